//! Scenes to plan in, and how a plan reads in a test: one line a job.

mod arrivals;
mod cases;
mod certificate;
mod hire;
mod learned;
mod life;
mod money;
mod properties;
mod random;
mod shared;
mod short;
mod starving;
mod widths;

use crate::problem::{Job, NodeState, Occupant, Policy, Problem, Site, ZoneState};
use crate::{Plan, audit, plan};
use chrono::{DateTime, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::plan::{Decision, Verdict};
use neap_model::reason::{Reason, WhyNow};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Money, Percent, Watts};
use std::sync::Arc;

/// So many minutes after the scene begins.
pub(crate) fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_478_400 + minutes * 60, 0).expect("a time of this century")
}

/// Hourly values in g/kWh, all of one grade, from the beginning of the scene.
pub(crate) fn hourly(values: &[u64], grade: Grade) -> Series {
    let span = |(hour, value): (usize, &u64)| {
        let from = i64::try_from(hour).expect("few hours") * 60;
        Span { from: at(from), until: at(from + 60), value: Intensity::grams(*value), grade }
    };
    Series::new(values.iter().enumerate().map(span))
}

pub(crate) fn zone(name: &str, home: bool, curve: Series) -> ZoneState {
    ZoneState { zone: Zone { name: name.to_owned(), home, pue: None }, curve: Arc::new(curve), basis: 0, prices: None }
}

/// A node with 8 cores and 64 GiB; GPUs draw 1 kW each, cores nothing.
pub(crate) fn node(name: &str, zone: &str, gpus: u32, model: &str) -> NodeState {
    let gpu = |index| Gpu {
        uuid: format!("{name}-{index}"),
        index,
        model: model.to_owned(),
        limit: Watts::whole(1_000),
        settable: None,
        uncapped: None,
    };
    NodeState {
        name: name.to_owned(),
        zone: zone.to_owned(),
        up: true,
        cpus: 8,
        memory: Bytes(64 << 30),
        gpus: (0..gpus).map(gpu).collect(),
        watts_per_cpu: Watts::ZERO,
    }
}

/// A job of one GPU and so many minutes that does not wait for the grid.
pub(crate) fn job(id: u64, minutes: u64) -> Job {
    let mut job = Job::plain(JobId(id), at(0), Seconds::minutes(minutes));
    job.gpus = 1;
    (job.delay.min_saving, job.delay.replan_gain) = (Percent::whole(10), Percent::whole(5));
    job
}

/// The same, willing to wait so many hours for cleaner ones.
pub(crate) fn green(id: u64, minutes: u64, hours: u64) -> Job {
    let mut job = job(id, minutes);
    (job.delay.objective, job.delay.max) = (Objective::Carbon, Seconds::hours(hours));
    job
}

pub(crate) fn occupant(id: u64, node: &str, gpus: &[u32], until: i64) -> Occupant {
    Occupant {
        job: JobId(id),
        node: node.to_owned(),
        cpus: 1,
        memory: Bytes(0),
        gpus: gpus.iter().map(|index| format!("{node}-{index}")).collect(),
        until: at(until),
        draws: Watts::whole(750 * gpus.len() as u64),
    }
}

/// One home zone `DE` with that forecast and one node `a` with so many GPUs.
pub(crate) fn scene(forecast: &[u64], gpus: u32, jobs: impl IntoIterator<Item = Job>) -> Problem {
    Problem {
        site: Site {
            now: at(0),
            zones: vec![zone("DE", true, hourly(forecast, Grade::Forecast))],
            nodes: vec![node("a", "DE", gpus, "H100")],
            shared: Vec::new(),
        },
        occupants: Vec::new(),
        running: Vec::new(),
        waiting: jobs.into_iter().map(Arc::new).collect(),
        previous: Arc::default(),
        arrivals: Arc::default(),
    }
}

/// The problem as it looks when `plan` was made: same world, that plan behind it.
pub(crate) fn after(problem: &Problem, plan: &Plan) -> Problem {
    Problem { previous: Arc::new(plan.decisions.clone()), ..problem.clone() }
}

pub(crate) fn clock(time: DateTime<Utc>) -> String {
    let minutes = (time - at(0)).num_minutes();
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// One line: what happens to the job and why.
pub(crate) fn said(decision: &Decision) -> String {
    let id = decision.job;
    match &decision.verdict {
        Verdict::Start { place, because } => {
            let why = match because {
                WhyNow::SavingTooSmall { savings, asks } => {
                    let saving = savings.ratio().unwrap_or(0.0) * 100.0;
                    format!("saving_too_small {saving:.0}% of {asks}")
                }
                WhyNow::WithinError { savings, asks } => {
                    format!("within_error {:.0}% of {asks}", savings.ratio().unwrap_or(0.0) * 100.0)
                }
                WhyNow::TooLittleCheaper { costs, asks } => {
                    format!("too_little_cheaper {:.0}% of {asks}", costs.ratio().unwrap_or(0.0) * 100.0)
                }
                WhyNow::Override { by } => format!("override by {by}"),
                WhyNow::NoForecast { grade } => {
                    format!("no_forecast {}", grade.map_or("none", Grade::word))
                }
                other => other.code().to_owned(),
            };
            format!("{id} starts on {}: {why}", place.node)
        }
        Verdict::Hold { until, place, because } => {
            let when = until.map_or("nobody knows".to_owned(), clock);
            let on = place.as_ref().map_or(String::new(), |place| format!(" on {}", place.node));
            let why = match because {
                Reason::CleanerLater { savings, .. } => {
                    format!("{} instead of {}", savings.emits, savings.instead_of)
                }
                Reason::CheaperLater { costs, .. } => {
                    let money = |money: Money| format!("{:.4} {}", money.in_base(), costs.currency);
                    format!("{} instead of {}", money(costs.costs), money(costs.instead_of))
                }
                other => other.to_string(),
            };
            let also: Vec<&str> = decision.blockers[1..].iter().map(|blocker| blocker.reason.code()).collect();
            let also = if also.is_empty() { String::new() } else { format!(" (also {})", also.join(", ")) };
            format!("{id} waits until {when}{on}: {} {why}{also}", because.code())
        }
    }
}

/// Plans, audits, and compares what is said of every job.
#[track_caller]
pub(crate) fn check(problem: &Problem, lines: &[&str]) {
    let made = plan(problem, &Policy::default());
    assert_eq!(audit(problem, &made), vec![], "{made:#?}");
    let said: Vec<String> = made.decisions.values().map(said).collect();
    assert_eq!(said, lines);
}
