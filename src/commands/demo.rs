//! `neap demo`: plays the real scheduler over a made-up site, and prints what came of it.

use super::{Left, no_such_format, print};
use crate::args::Format;
use crate::demo::{DAYS, Options, play};
use crate::output;
use crate::render::demo as shown;
use crate::session::{Session, problem};
use crate::simulate::progress::Progress;
use neap_model::refusal::{Code, Refusal};
use std::time::Instant;

/// `neap demo`.
pub fn demo(session: &Session, seed: Option<u64>, days: Option<u32>) -> Left {
    if matches!(session.format, Format::Toml | Format::Md) {
        return Err(no_such_format(session.format));
    }
    let usual = Options::default();
    let options = Options { seed: seed.unwrap_or(usual.seed), days: days.unwrap_or(usual.days) };
    let (least, most) = DAYS;
    if !(least..=most).contains(&options.days) {
        let refusal = Refusal::new(Code::BadValue, format!("--days {}: {least} to {most} can be played", options.days));
        return Err(problem(refusal.about("days", options.days.to_string())));
    }
    let began = Instant::now();
    let mut progress = Progress::new("demo", session.common.quiet);
    let told = play(options, |done, all| progress.at(done, all))?;
    drop(progress);
    if !session.common.quiet {
        output::note(&format!("{} simulated in {:.1} s", shown::days(options.days), began.elapsed().as_secs_f64()));
    }
    print(session, || shown::text(&told, &session.style), || shown::value(&told))
}
