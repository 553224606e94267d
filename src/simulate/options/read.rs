//! Reads the values of flags; what is wrong with each is kept, and all of it is told together.

use super::{Capacity, Forecast, Idle, Lengths, Model, Moves, Options, Pue, Slack, Start};
use crate::diagnostic::did_you_mean;
use crate::session::Problems;
use crate::simulate::intensity::{Reading, stamp};
use crate::simulate::policies;
use crate::simulate::trace::Format;
use crate::simulate::wanted::Wanted;
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;
use std::collections::{BTreeMap, BTreeSet};

/// What was typed.
#[derive(Debug)]
pub struct Given<'a> {
    /// The trace.
    pub trace: Option<&'a str>,
    /// Flags with their values.
    pub values: &'a BTreeMap<&'static str, String>,
    /// Flags without one.
    pub switches: &'a BTreeSet<&'static str>,
}

/// Values of flags, and what is wrong with them so far.
struct Reader<'a> {
    given: Given<'a>,
    problems: Problems,
}

impl Reader<'_> {
    fn text(&self, flag: &str) -> Option<String> {
        self.given.values.get(flag).cloned()
    }

    fn wrong(&mut self, refusal: Refusal) {
        self.problems.push(refusal.into());
    }

    /// The value of a flag as `parse` reads it, else `usual`.
    fn read<T>(&mut self, flag: &str, usual: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let Some(text) = self.text(flag) else { return usual };
        match parse(&text) {
            Ok(value) => value,
            Err(why) => {
                self.wrong(Refusal::new(Code::BadValue, format!("--{flag}: {why}")).about(flag, text));
                usual
            }
        }
    }

    fn choice<T: Copy>(&mut self, flag: &str, usual: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(flag) else { return usual };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let refusal = Refusal::new(Code::BadValue, format!("`{text}` cannot be used for --{flag}")).about(flag, &text);
        let refusal = refusal.note(format!("one of: {}", words.join(", ")));
        let refusal = match did_you_mean(&text, words) {
            _ if flag == "format" && crate::args::Format::of(&text).is_some() => {
                refusal.hint(format!("for how results are printed say -o {text}"), &[])
            }
            Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
            None => refusal,
        };
        self.wrong(refusal);
        usual
    }
}

/// A length of time in seconds. A bare 0 needs no unit.
///
/// # Errors
/// What is wrong with it.
fn duration(text: &str) -> Result<f64, String> {
    if text.trim() == "0" {
        return Ok(0.0);
    }
    text.trim().parse::<Seconds>().map(|seconds| seconds.0 as f64).map_err(|error| error.to_string())
}

fn at_least(text: &str, least: f64, what: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= least => Ok(value),
        _ => Err(format!("`{text}` is not {what}")),
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no whole number"))
}

fn capacity(text: &str) -> Result<Capacity, String> {
    let what = "a number of GPUs such as 28, or a multiple of the mean demand such as 1.5x";
    let (text, of): (&str, fn(f64) -> Capacity) = match text.trim().strip_suffix(['x', '×']) {
        Some(number) => (number, Capacity::Mean),
        None => (text, Capacity::Gpus),
    };
    match at_least(text, 0.0, what)? {
        0.0 => Err(format!("`{text}` is not {what}")),
        value => Ok(of(value)),
    }
}

/// `6h<2h,24h`.
fn slack(text: &str) -> Result<Slack, String> {
    let what = "`SLACK<LENGTH,…,SLACK`, such as 6h<2h,24h: 6 h for jobs below 2 h, else 24 h";
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (rest, below) = parts.split_last().ok_or(what)?;
    if rest.contains('<') {
        return Err(format!("`{text}` does not say how long the longest jobs may wait; {what}"));
    }
    let mut rules: Vec<(f64, f64)> = Vec::new();
    for part in below {
        let (slack, length) = part.split_once('<').ok_or_else(|| format!("`{part}` has no `<`; {what}"))?;
        let (slack, length) = (duration(slack)?, duration(length)?);
        if length <= rules.last().map_or(0.0, |(before, _)| *before) {
            return Err(format!("the lengths in `{text}` do not rise; {what}"));
        }
        rules.push((length, slack));
    }
    Ok(Slack { below: rules, rest: duration(rest)? })
}

fn start(text: &str) -> Result<Start, String> {
    if let Ok(row) = text.trim().parse::<usize>() {
        return Ok(Start::Row(row));
    }
    stamp(text, false).map(Start::At).map_err(|why| format!("{why}; a row from 0, or a time: 2022-10-19T16:00:00Z"))
}

fn idle(text: &str) -> Result<Idle, String> {
    match text.trim() {
        "none" => Ok(Idle::Nothing),
        "attributed" => Ok(Idle::Attributed),
        "on" => Ok(Idle::On),
        other => {
            let after =
                other.strip_prefix("off:").ok_or(format!("`{text}` is not one of: none, attributed, on, off:S"))?;
            let seconds = after.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
            seconds.map_or_else(|| duration(after), Ok).map(Idle::OffAfter)
        }
    }
}

fn pue(text: &str) -> Result<Pue, String> {
    let ratio = |text: &str| at_least(text, 1.0, "a ratio of at least 1, such as 1.2");
    if !text.contains('=') {
        return ratio(text).map(Pue::All);
    }
    let pairs = text.split(',').map(|pair| {
        let (zone, value) = pair.split_once('=').ok_or(format!("`{pair}` is not ZONE=RATIO"))?;
        Ok((zone.trim().to_owned(), ratio(value)?))
    });
    pairs.collect::<Result<_, String>>().map(Pue::By)
}

fn pause_cost(text: &str) -> Result<(f64, f64), String> {
    let (time, energy) = text.split_once(',').unwrap_or((text, "0"));
    let energy = energy.trim().trim_end_matches("kWh").trim_end();
    Ok((duration(time)?, at_least(energy, 0.0, "an energy in kWh")?))
}

/// `day-ahead`, `day-ahead:24`.
fn trusted(text: &str) -> Result<Option<f64>, String> {
    let what = "day-ahead, or day-ahead:24 to trust it 24 hours ahead";
    let rest = text.trim().strip_prefix("day-ahead").ok_or(format!("`{text}` is not {what}"))?;
    let hours = match rest.strip_prefix(':') {
        Some(hours) => at_least(hours.trim_end_matches('h'), 1.0, what)?,
        None if rest.is_empty() => 48.0,
        None => return Err(format!("`{text}` is not {what}")),
    };
    Ok(Some(hours * 3600.0))
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

const SLOTS: std::ops::RangeInclusive<f64> = 300.0..=3600.0;

pub fn options(given: Given<'_>) -> Result<Options, Problems> {
    let mut r = Reader { given, problems: Vec::new() };
    let r = &mut r;
    let synthetic = r.read("synthetic", None, |text| match whole(text)? {
        0 => Err("at least one job".to_owned()),
        jobs if jobs <= 10_000_000 => Ok(Some(jobs as usize)),
        jobs => Err(format!("{jobs} jobs are more than 10 million")),
    });
    if synthetic.is_none() {
        for (missing, what, hint) in [
            (r.given.trace.is_none(), "there is no trace", "neap simulate TRACE, or --synthetic N"),
            (r.text("format").is_none(), "--format is missing", "gaia-s, gaia-h, swf, openb or jsonl"),
            (r.text("carbon").is_none(), "--carbon is missing", "a file with the intensity of each hour, in g/kWh"),
        ] {
            if missing {
                r.wrong(Refusal::new(Code::BadValue, what).note(hint).hint("how it is typed", &["simulate", "--help"]));
            }
        }
    } else if r.given.trace.is_some() {
        r.wrong(Refusal::new(Code::Contradiction, "a trace and --synthetic: one of them"));
    }
    let zones = r.text("zones").map_or_else(Vec::new, |text| names(&text));
    let synthetic = synthetic.map(|jobs| (jobs, r.read("zones", 5, |text| Ok(whole(text)?.clamp(1, 100) as usize))));
    let online = r.choice("arrivals", false, &[("all", false), ("online", true)]);
    let model = r.choice("model", Model::Whole, &[("whole", Model::Whole), ("divisible", Model::Divisible)]);
    // Hours are what bounds of the divisible model are known for; pieces of whole widths begin and end within them.
    let usual_slot = if online { 900.0 } else { 3600.0 };
    let slot = r.read("slot", usual_slot, |text| {
        let slot = duration(text)?;
        let fits = SLOTS.contains(&slot) && 3600.0 % slot == 0.0;
        if fits { Ok(slot) } else { Err(format!("`{text}` is not a part of an hour of at least 5 min")) }
    });
    let idle = r.read("idle", Idle::Nothing, idle);
    let idle_watts = r.read("idle-watts", 0.0, |text| at_least(text, 0.0, "a power in watts"));
    if idle != Idle::Nothing && r.text("idle-watts").is_none() {
        r.wrong(Refusal::new(Code::BadValue, "--idle needs --idle-watts: the idle power of a GPU, in watts"));
    }
    let capacity = r.read("capacity", Capacity::Unlimited, capacity);
    let limited = capacity != Capacity::Unlimited || r.text("nodes").is_some();
    if matches!(idle, Idle::On | Idle::OffAfter(_)) && !limited {
        r.wrong(Refusal::new(Code::Contradiction, "--idle on and off:S need --capacity: how many GPUs there are"));
    }
    if capacity != Capacity::Unlimited && r.text("nodes").is_some() {
        r.wrong(Refusal::new(Code::Contradiction, "--capacity and --nodes both say how many GPUs there are"));
    }
    let forecasts = [
        ("perfect", Forecast::Perfect),
        ("column", Forecast::Column),
        ("blend", Forecast::Blend),
        ("yesterday", Forecast::Yesterday),
        ("damp_long", Forecast::DampLong),
        ("none", Forecast::Nothing),
    ];
    let forecast = r.choice("forecast", Forecast::Perfect, &forecasts);
    let lengths = [
        ("true", Lengths::True),
        ("queue-mean", Lengths::QueueMean),
        ("quantiles", Lengths::Quantiles),
        ("asked", Lengths::Asked),
    ];
    let asked = r.text("policy").map_or_else(|| vec!["neap".to_owned()], |text| names(&text));
    for name in &asked {
        if let Err(refusal) = policies::known(name) {
            r.wrong(refusal);
        }
    }
    let wanted = r.text("fail-if").map_or_else(Vec::new, |text| {
        let (fine, wrong): (Vec<_>, Vec<_>) = Wanted::all(&text).into_iter().partition(Result::is_ok);
        wrong.into_iter().filter_map(Result::err).for_each(|refusal| r.wrong(refusal));
        fine.into_iter().filter_map(Result::ok).collect()
    });
    let usual_slack = Slack { below: vec![(7200.0, 6.0 * 3600.0)], rest: 24.0 * 3600.0 };
    let reading = Reading {
        naive_utc: r.choice("naive", false, &[("utc", true)]),
        starts: r.choice("stamps", false, &[("start", true)]),
        actual: r.text("actual-column"),
        forecast: r.text("forecast-column"),
        zones: if synthetic.is_some() { Vec::new() } else { zones },
    };
    let sharing = [("whole", true), ("fraction", false)];
    let whole_gpus = r.choice("gpu-sharing", model == Model::Whole, &sharing);
    if !whole_gpus && model == Model::Whole {
        r.wrong(
            Refusal::new(Code::Contradiction, "fractions of a GPU need the divisible model")
                .hint("--model divisible, or --gpu-sharing whole", &[]),
        );
    }
    r.read("threads", 1, |text| match whole(text)? {
        0 => Err("at least one thread".to_owned()),
        some => Ok(some),
    });
    let options = Options {
        trace: r.given.trace.map(str::to_owned),
        format: r.choice("format", Format::GaiaSeconds, &Format::ALL),
        carbon: r.text("carbon").unwrap_or_default(),
        marginal: r.text("marginal"),
        reading,
        home: r.text("home"),
        start: r.read("start", Start::Natural, start),
        capacity,
        nodes: r.text("nodes"),
        slack: r.read("slack", usual_slack, slack),
        lengths: r.choice("lengths", Lengths::True, &lengths),
        online,
        forecast,
        trusted: r.read("assume-issued", None, trusted),
        lag: r.read("lag", 0.0, duration),
        interruptible: r.given.switches.contains("interruptible"),
        model,
        slot,
        moves: r.choice("moves", Moves::Any, &[("any", Moves::Any), ("choose", Moves::Choose), ("home", Moves::Home)]),
        whole_gpus,
        truncate: r.read("truncate", 0.0, duration),
        wait_price: r.read("wait-price", 0.0, |text| at_least(text, 0.0, "a share, such as 0.05")),
        watts: r.read("watts-per-gpu", 1.0, |text| match at_least(text, 0.0, "a power in watts")? {
            0.0 => Err("a GPU draws more than nothing".to_owned()),
            watts => Ok(watts),
        }),
        idle,
        idle_watts,
        pue: r.read("pue", Pue::All(1.0), pue),
        pause_cost: r.read("pause-cost", (0.0, 0.0), pause_cost),
        policies: asked,
        seed: r.read("seed", 1, whole),
        wanted,
        plot: r.text("plot"),
        synthetic,
        timing: !r.given.switches.contains("no-timing"),
    };
    if r.problems.is_empty() { Ok(options) } else { Err(std::mem::take(&mut r.problems)) }
}
