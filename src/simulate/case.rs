//! A trace and grid data put together: jobs in seconds from the beginning of the replay, zones with curves over the same
//! seconds. What does not fit together is refused with the times.

use super::intensity::{self, Grid, Hole, Series, Zone, show};
use super::options::{Capacity, Lengths, Moves, Options, Start};
use super::text::File;
use super::trace::{Job, Trace};
use super::{openb, trace};
use crate::diagnostic::did_you_mean;
use crate::session::{Problems, problem};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::refusal::{Code, Refusal};
use neap_policies::replay::online::Issue;
use neap_policies::replay::{Case, Curve, Place, TraceJob};

/// How much of what was measured before the beginning is kept, in seconds: what forecasts learn from.
const HISTORY: i64 = neap_policies::replay::online::HISTORY_DAYS as i64 * 86_400;

/// Everything a replay needs.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The truth.
    pub case: Case,
    /// Jobs as the trace states them, in the same order.
    pub jobs: Vec<Job>,
    /// The moment of second 0.
    pub begins: DateTime<Utc>,
    /// Forecasts that could be read, by zone.
    pub issues: Vec<Vec<Issue>>,
    /// A second series by zone.
    pub marginal: Option<Vec<Curve>>,
    /// GPUs in use on average, if every job ran at once.
    pub mean_demand: f64,
    /// Holes of the file in these zones.
    pub holes: Vec<Hole>,
    /// What was left out or changed, and how often.
    pub counts: Vec<(&'static str, u64)>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Files that were read: what, name, digest.
    pub inputs: Vec<(&'static str, String, String)>,
}

/// Reads the files and puts them together.
///
/// # Errors
/// What is wrong with them, or does not fit together.
pub fn read(options: &Options) -> Result<Setting, Problems> {
    let trace_file = File::read(options.trace.as_deref().unwrap_or_default(), "trace")?;
    let carbon_file = File::read(&options.carbon, "carbon")?;
    let mut inputs = vec![digest("trace", &trace_file), digest("carbon", &carbon_file)];
    let (trace, grid) = match (
        trace::read(&trace_file, options.format, options.whole_gpus),
        intensity::read(&carbon_file, &options.reading),
    ) {
        (Ok(trace), Ok(grid)) => (trace, grid),
        (one, other) => return Err(one.err().into_iter().chain(other.err()).flatten().collect()),
    };
    let gpus = match &options.nodes {
        Some(name) => {
            let file = File::read(name, "nodes")?;
            inputs.push(digest("nodes", &file));
            Some(openb::gpus(&file)?)
        }
        None => None,
    };
    let marginal = match &options.marginal {
        Some(name) => {
            let file = File::read(name, "marginal")?;
            inputs.push(digest("marginal", &file));
            let zones = grid.zones.iter().map(|zone| zone.name.clone()).collect();
            let reading = intensity::Reading { zones, actual: None, forecast: None, ..options.reading.clone() };
            Some(intensity::read(&file, &reading)?)
        }
        None => None,
    };
    Ok(Setting { inputs, ..together(trace, &grid, marginal.as_ref(), gpus, options)? })
}

fn digest(what: &'static str, file: &File) -> (&'static str, String, String) {
    (what, file.name.clone(), file.digest.clone())
}

/// Puts a trace and grid data together.
///
/// # Errors
/// What does not fit.
pub fn together(
    mut trace: Trace,
    grid: &Grid,
    marginal: Option<&Grid>,
    nodes: Option<f64>,
    options: &Options,
) -> Result<Setting, Problems> {
    if trace.jobs.is_empty() {
        return Err(problem(Refusal::new(Code::BadValue, "there is no job in the trace that could be replayed")));
    }
    let cut = |seconds: f64| {
        if options.truncate > 0.0 { (seconds / options.truncate).floor() * options.truncate } else { seconds }
    };
    let work: f64 = trace.jobs.iter().map(|job| job.width * job.length).sum();
    let last = trace.jobs.last().map_or(0.0, |job| job.arrival);
    // The span of a trace is that of its arrivals, in whole hours.
    let mean_demand = work / ((last / 3600.0).ceil().max(1.0) * 3600.0);
    // Queues and their means are those of the lengths as the trace has them.
    let lengths: Vec<f64> = trace.jobs.iter().map(|job| job.length).collect();
    for job in &mut trace.jobs {
        (job.arrival, job.length) = (cut(job.arrival), cut(job.length));
    }
    let begins = beginning(&trace, grid, options)?;
    let jobs = jobs(&trace, &lengths, grid, options)?;
    let end_of = |job: &TraceJob| job.arrival + job.length;
    let until = jobs.iter().map(end_of).max_by(f64::total_cmp).unwrap_or(0.0);
    let latest = jobs.iter().map(|job| end_of(job) + job.slack).max_by(f64::total_cmp).unwrap_or(0.0);
    within(grid, begins, until, latest)?;
    let total = match (options.capacity, nodes) {
        (_, Some(gpus)) | (Capacity::Gpus(gpus), None) => Some(gpus),
        (Capacity::Mean(multiple), None) => Some(multiple * mean_demand),
        (Capacity::Unlimited, None) => None,
    };
    let each = total.map(|gpus| gpus / grid.zones.len() as f64);
    let each = if options.model == super::options::Model::Whole { each.map(f64::floor) } else { each };
    if each == Some(0.0) {
        return Err(problem(
            Refusal::new(Code::BadValue, "the capacity is less than one GPU a zone").about("capacity", ""),
        ));
    }
    let places = grid.zones.iter().map(|zone| Place {
        name: zone.name.clone(),
        curve: curve(&zone.actual, begins),
        forecast: zone.column.as_ref().map(|column| curve(column, begins)),
        pue: options.pue.of(&zone.name),
        gpus: each,
    });
    let mut notes = Vec::new();
    let behind = jobs.iter().filter(|job| end_of(job) + job.slack > ends(grid, begins)).count();
    if behind > 0 {
        notes
            .push(format!("{behind} jobs may wait past the last value, {}: it is held from there on", show(end(grid))));
    }
    let anywhere = grid.zones.len() > 1 && options.moves != Moves::Home;
    let case = Case { places: places.collect(), jobs, anywhere, kw_per_gpu: options.watts / 1e3 };
    Ok(Setting {
        case,
        begins,
        issues: grid.zones.iter().map(|zone| issues(zone, begins, options)).collect(),
        marginal: marginal.map(|grid| grid.zones.iter().map(|zone| curve(&zone.actual, begins)).collect()),
        mean_demand,
        holes: grid.holes.clone(),
        counts: trace.counts,
        notes,
        inputs: Vec::new(),
        jobs: trace.jobs,
    })
}

fn end(grid: &Grid) -> DateTime<Utc> {
    grid.zones.iter().map(|zone| zone.actual.end()).min().unwrap_or_default()
}

fn ends(grid: &Grid, begins: DateTime<Utc>) -> f64 {
    (end(grid) - begins).num_seconds() as f64
}

/// The moment of second 0.
fn beginning(trace: &Trace, grid: &Grid, options: &Options) -> Result<DateTime<Utc>, Problems> {
    let (first, end) = (grid.zones.iter().map(|zone| zone.actual.start).max().unwrap_or_default(), end(grid));
    let outside = |what: String| {
        let refusal = Refusal::new(Code::BadValue, what);
        Err(problem(refusal.note(format!(
            "{} has {} rows, {} to {}",
            options.carbon,
            grid.rows.len(),
            show(first),
            show(end)
        ))))
    };
    let begins = match (options.start, trace.begins) {
        (Start::Row(row), _) => match grid.rows.get(row) {
            Some(at) => *at,
            None => return outside(format!("--start: there is no row {row}")),
        },
        (Start::At(at), _) => at,
        (Start::Natural, Some(at)) if at >= first && at < end => at,
        (Start::Natural, Some(at)) => {
            return outside(format!("the trace begins {}, outside the data: say where with --start", show(at)));
        }
        (Start::Natural, None) => first,
    };
    if begins < first || begins >= end {
        return outside(format!("--start: {} is outside the data", show(begins)));
    }
    Ok(begins)
}

/// All hours that running at once would need are there, and none of those that could be used is a hole.
fn within(grid: &Grid, begins: DateTime<Utc>, until: f64, latest: f64) -> Result<(), Problems> {
    let (end, at) = (end(grid), |seconds: f64| begins + TimeDelta::seconds(seconds.ceil() as i64));
    if at(until) > end {
        let refusal = Refusal::new(
            Code::BadValue,
            format!("the trace runs until {}, the data end {}", show(at(until)), show(end)),
        );
        return Err(problem(refusal.hint("begin earlier with --start, or give data that reach further", &[])));
    }
    let inside: Vec<String> = grid
        .holes
        .iter()
        .filter(|hole| hole.from < at(latest) && hole.until > begins)
        .map(|hole| format!("{} {} to {}", hole.zone, show(hole.from), show(hole.until)))
        .collect();
    if inside.is_empty() {
        return Ok(());
    }
    let refusal =
        Refusal::new(Code::BadValue, format!("there are {} holes in the hours that are replayed", inside.len()));
    Err(problem(refusal.note(inside.join(" · ")).hint("begin elsewhere with --start: nothing is filled in", &[])))
}

fn jobs(trace: &Trace, lengths: &[f64], grid: &Grid, options: &Options) -> Result<Vec<TraceJob>, Problems> {
    let names: Vec<&str> = grid.zones.iter().map(|zone| zone.name.as_str()).collect();
    let home = match &options.home {
        Some(name) => Some(names.iter().position(|zone| zone == name).ok_or_else(|| {
            let refusal = Refusal::new(Code::NoSuchPlace, format!("--home: `{name}` is none of the zones"));
            let refusal = refusal.about("home", name).note(format!("zones: {}", names.join(", ")));
            problem(match did_you_mean(name, names.iter().copied()) {
                Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
                None => refusal,
            })
        })?),
        None => None,
    };
    let means = queue_means(lengths, options);
    let all = trace.jobs.iter().enumerate().map(|(index, job)| {
        let (queue, slack) = options.slack.of(lengths[index]);
        let slack = if job.urgent { 0.0 } else { job.slack.unwrap_or(slack) };
        let of_trace = job.zone.as_ref().and_then(|zone| names.iter().position(|name| name == zone));
        TraceJob {
            arrival: job.arrival,
            length: job.length,
            width: job.width,
            slack,
            assumed: match options.lengths {
                Lengths::True => job.length,
                Lengths::Asked => job.asked.unwrap_or(means[queue]),
                Lengths::QueueMean | Lengths::Quantiles => means[queue],
            },
            queue,
            home: home.or(of_trace).unwrap_or(index % names.len()),
        }
    });
    Ok(all.collect())
}

/// Mean length by queue, its bounds counted on both sides, cut to whole steps if lengths are.
fn queue_means(lengths: &[f64], options: &Options) -> Vec<f64> {
    let bounds: Vec<f64> = options.slack.below.iter().map(|(below, _)| *below).collect();
    let mean = |queue: usize| {
        let from = if queue == 0 { 0.0 } else { bounds[queue - 1] };
        let until = bounds.get(queue).copied().unwrap_or(f64::INFINITY);
        let of: Vec<f64> = lengths.iter().copied().filter(|l| *l >= from && *l <= until).collect();
        let mean = if of.is_empty() { 0.0 } else { of.iter().sum::<f64>() / of.len() as f64 };
        if options.truncate > 0.0 { (mean / options.truncate).floor() * options.truncate } else { mean }
    };
    (0..=bounds.len()).map(mean).collect()
}

/// A series over the seconds of the replay. It begins behind the last hole before the beginning, and not earlier than
/// history is of use.
fn curve(series: &Series, begins: DateTime<Utc>) -> Curve {
    let offset = (series.start - begins).num_seconds();
    let needed = ((-HISTORY - offset) / series.step).clamp(0, series.values.len() as i64 - 1) as usize;
    let now = (-offset / series.step).clamp(0, series.values.len() as i64 - 1) as usize;
    let holed =
        series.values[needed..=now.max(needed)].iter().rposition(Option::is_none).map_or(needed, |n| needed + n + 1);
    let from = holed.min(series.values.len() - 1);
    // Behind the beginning there is no hole in the hours that are used; elsewhere the value before it stands in.
    let mut held = series.values[from..].iter().flatten().next().copied().unwrap_or(0.0);
    let values = series.values[from..].iter().map(|value| {
        held = value.unwrap_or(held);
        held
    });
    let start = (offset + series.step * from as i64) as f64;
    Curve::new(start, series.step as f64, values.collect()).expect("a series has a value and a step")
}

/// Forecasts by the moment they can be used. A column without issue times is one only where that was allowed.
fn issues(zone: &Zone, begins: DateTime<Utc>, options: &Options) -> Vec<Issue> {
    let usable = |at: DateTime<Utc>| (at - begins).num_seconds() as f64 + options.lag;
    let column = zone.column.as_ref().filter(|_| options.trusted.is_some());
    let column = column.map(|column| Issue { from: f64::NEG_INFINITY, curve: curve(column, begins) });
    let issued = zone.issues.iter().map(|(at, series)| Issue { from: usable(*at), curve: whole(series, begins) });
    column.into_iter().chain(issued).collect()
}

fn whole(series: &Series, begins: DateTime<Utc>) -> Curve {
    let mut held = series.values.iter().flatten().next().copied().unwrap_or(0.0);
    let values = series.values.iter().map(|value| {
        held = value.unwrap_or(held);
        held
    });
    let start = (series.start - begins).num_seconds() as f64;
    Curve::new(start, series.step as f64, values.collect()).expect("a series has a value and a step")
}

#[cfg(test)]
mod tests;
