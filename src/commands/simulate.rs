//! `neap simulate`: reads a trace and grid data, runs policies over them, and prints what came of it.

use super::{Left, no_such_format, pretty};
use crate::args::{Format, SimulateArgs};
use crate::output;
use crate::render::simulate::picture::{Point, svg};
use crate::render::{data, simulate as shown};
use crate::session::{Session, problem, problems};
use crate::simulate::case::{self, Setting};
use crate::simulate::measure::{self, Figures};
use crate::simulate::options::{Given, Options};
use crate::simulate::progress::Progress;
use crate::simulate::{policies, synthetic};
use neap_model::refusal::{Code, Refusal};
use serde_json::Value;

/// `neap simulate`.
pub fn simulate(session: &Session, args: &SimulateArgs) -> Left {
    if matches!(session.format, Format::Toml | Format::Md) {
        return Err(no_such_format(session.format));
    }
    let given = Given { trace: args.trace.as_deref(), values: &args.values, switches: &args.switches };
    let options = Options::of(given)?;
    if let Some((jobs, zones)) = options.synthetic {
        if !args.switches.contains("plan-only") {
            let refusal = Refusal::new(Code::BadValue, "--synthetic plans once and replays nothing: say --plan-only");
            return Err(problem(refusal));
        }
        let figures = synthetic::plan(jobs, zones, &options)?;
        return print(
            session,
            &options,
            std::slice::from_ref(&figures),
            || synthetic::text(&figures, &session.style),
            Vec::new,
        );
    }
    if args.switches.contains("plan-only") {
        let refusal = Refusal::new(Code::BadValue, "--plan-only goes with --synthetic");
        return Err(problem(refusal.hint("with --arrivals all a trace is planned once as well", &[])));
    }
    let setting = case::read(&options)?;
    let (all, reference) = play(session, &setting, &options)?;
    let values: Vec<Value> = all.iter().map(|f| shown::policy(f, &setting, &options, &reference)).collect();
    if let Some(file) = &options.plot {
        draw(file, &values, &setting)?;
    }
    let text = || {
        let rows: Vec<(Value, &Figures)> = values.iter().cloned().zip(&all).collect();
        shown::table(&rows, &setting, &options, &session.style)
    };
    let lines = || all.iter().flat_map(|figures| shown::jobs(figures, &setting, &options)).collect();
    print(session, &options, &values, text, lines)
}

fn play(
    session: &Session,
    setting: &Setting,
    options: &Options,
) -> Result<(Vec<Figures>, measure::Reference), crate::session::Problems> {
    let mut outcomes = Vec::new();
    for name in &options.policies {
        let mut progress = Progress::new(name, session.common.quiet);
        outcomes.push((name, policies::run(name, setting, options, &mut progress).map_err(problem)?));
    }
    let of_all = |(_, outcome): &(_, policies::Outcome)| outcome.bound.filter(|_| outcome.bounds_all);
    let bound = outcomes.iter().filter_map(of_all).reduce(f64::max);
    let reference = measure::reference(setting, options, bound);
    let figures = |(name, outcome): (&String, _)| measure::figures(name, setting, options, outcome, &reference);
    let all = outcomes.into_iter().map(figures).collect();
    Ok((all, reference))
}

/// Prints figures, and fails where a condition holds.
fn print(
    session: &Session,
    options: &Options,
    values: &[Value],
    text: impl FnOnce() -> String,
    lines: impl FnOnce() -> Vec<Value>,
) -> Left {
    match session.format {
        Format::Json => output::out(&(pretty(&Value::from(values.to_vec())) + "\n")),
        Format::Jsonl => {
            let lines = lines();
            let lines = if lines.is_empty() { values } else { &lines };
            output::out(&lines.iter().map(|value| format!("{value}\n")).collect::<String>());
        }
        Format::Csv => output::out(&data::csv(values)),
        _ => output::out(&text()),
    }
    let failed: Vec<String> =
        options.wanted.iter().flat_map(|wanted| values.iter().filter_map(|value| wanted.holds(value))).collect();
    for line in &failed {
        output::note(&format!("failed: {line}"));
    }
    Ok(u8::from(!failed.is_empty()))
}

fn draw(file: &str, values: &[Value], setting: &Setting) -> Result<(), crate::session::Problems> {
    let points: Vec<Point> = values
        .iter()
        .filter_map(|value| {
            let name = value["policy"].as_str()?.to_owned();
            Some(Point { name, wait: value["wait_hours_mean"].as_f64()?, carbon: value["carbon_ratio"].as_f64()? })
        })
        .collect();
    let zones: Vec<&str> = setting.case.places.iter().map(|place| place.name.as_str()).collect();
    let title = format!("{} jobs, {}", setting.case.jobs.len(), zones.join(", "));
    std::fs::write(file, svg(&points, &title)).map_err(|error| {
        let refusal = Refusal::new(Code::Unreadable, format!("--plot: {file} cannot be written: {error}"));
        problems(vec![refusal.about("plot", file)])
    })
}
