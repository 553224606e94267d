//! How far the live plan is from the best there can be: `cargo run --release -p neap-policies --example live_gap`.
//!
//! For several capacities, jobs in one piece, of a length that is known or was learned, and with pauses, of a generator and
//! of the trace in `shared/data` if it is there: what is planned over the certified bound, first in the order of the queue
//! and then with prices of room, and how long a plan takes. The problems are made from a fixed seed, so two machines
//! measure the same.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it measures time and prints what it measured"
)]

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Watts};
use neap_policies::problem::{
    Delay, Effort, Good, Job, Level, NodeState, PauseTerms, Policy, Problem, Shared, Site, ZoneState,
};
use neap_policies::{Plan, audit, certified, latest_start, plan};
use std::sync::Arc;
use std::time::Instant;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_478_400, 0).expect("a time of this century") + TimeDelta::minutes(minutes)
}

/// Marsaglia's xorshift64 (2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// A curve of hours in g/kWh.
fn curve(hours: impl IntoIterator<Item = u64>) -> Series {
    let span = |(hour, value): (i64, u64)| Span {
        from: at(hour * 60),
        until: at(hour * 60 + 60),
        value: Intensity::grams(value),
        grade: Grade::Forecast,
    };
    Series::new((0..).zip(hours).map(span).collect::<Vec<_>>())
}

/// A grid that is clean while the sun shines, each day more or less so.
fn sunny(hours: u64, dice: &mut Dice) -> Vec<u64> {
    let mut sun = 0;
    (0..hours)
        .map(|hour| {
            if hour % 24 == 0 {
                sun = 60 + dice.below(240);
            }
            let height =
                [0, 0, 0, 0, 0, 0, 1, 3, 5, 7, 9, 10, 10, 10, 9, 7, 5, 3, 1, 0, 0, 0, 0, 0][(hour % 24) as usize];
            420 + dice.below(60) - sun * height / 10
        })
        .collect()
}

/// One zone, and GPUs of 400 W by eight on a node; the last node has what is left.
fn site(curve: Series, gpus: u32) -> Site {
    let gpu = |node, index| Gpu {
        uuid: format!("{node}-{index}"),
        index,
        model: "H100".into(),
        limit: Watts::whole(400),
        settable: None,
        uncapped: None,
    };
    let node = |node: u32| NodeState {
        name: format!("gpu{node:03}"),
        zone: "DE".to_owned(),
        up: true,
        cpus: 128,
        memory: Bytes(2 << 40),
        gpus: (0..(gpus - node * 8).min(8)).map(|index| gpu(node, index)).collect(),
        watts_per_cpu: Watts::whole(0),
    };
    Site {
        now: at(0),
        zones: vec![ZoneState {
            zone: Zone { name: "DE".to_owned(), home: true, pue: None },
            curve: Arc::new(curve),
            basis: 0,
            prices: None,
        }],
        nodes: (0..gpus.div_ceil(8)).map(node).collect(),
        shared: Vec::new(),
    }
}

/// The same with twice the GPUs, and power for only so many of them at work: 300 W each more than idle.
fn by_watts(curve: Series, gpus: u32) -> Site {
    let mut site = site(curve, 2 * gpus);
    let idle = u64::from(2 * gpus) * 100_000;
    site.shared = vec![Arc::new(Shared {
        name: "row".to_owned(),
        what: Good::Power,
        nodes: site.nodes.iter().map(|node| node.name.clone()).collect(),
        levels: vec![Level { from: at(0), most: idle + u64::from(gpus) * 300_000, event: None }],
        idle,
    })];
    site
}

fn job(id: u64, eligible: i64, minutes: u64, gpus: u32, hours: u64, pauses: bool) -> Job {
    let pause = PauseTerms { cost: Seconds::minutes(2), least: Seconds::minutes(30) };
    Job {
        pause: pauses.then_some(pause),
        gpus,
        cpus: Some(1),
        memory: Bytes(1 << 30),
        delay: Delay {
            objective: if hours > 0 { Objective::Carbon } else { Objective::None },
            max: Seconds::hours(hours),
            min_saving: Percent(0),
            replan_gain: Percent::whole(5),
        },
        ..Job::plain(JobId(id), at(eligible), Seconds::minutes(minutes))
    }
}

/// Lengths of 15 minutes to 12 hours, more short than long; widths 1, 2, 4, 8, more narrow than wide; they are there or
/// come within a day and wait for up to 24 or 48 hours. One in `rigid` does not wait for the grid; 0: all do.
fn drawn(count: u64, rigid: u64, pauses: bool, dice: &mut Dice) -> Vec<Job> {
    (1..=count)
        .map(|id| {
            let minutes = (15 << dice.below(5)) + dice.below(240);
            let gpus = 1 << dice.below(4).min(dice.below(4));
            let eligible = if dice.below(2) == 0 { -60 } else { dice.below(24 * 60) as i64 };
            let hours = if rigid > 0 && dice.below(rigid) == 0 { 0 } else { 24 * (1 + dice.below(2)) };
            job(id, eligible, minutes, gpus, hours, pauses)
        })
        .collect()
}

/// Three days of the trace, whose jobs all may wait for a day; `None` if it is not there.
fn trace(pauses: bool) -> Option<(Vec<Job>, Vec<u64>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/");
    let jobs = std::fs::read_to_string(format!("{folder}jobs/gaia_pai_1k.csv")).ok()?;
    let carbon = std::fs::read_to_string(format!("{folder}carbon/ci_lca_hourly_2022.csv")).ok()?;
    let mut lines = carbon.lines();
    let column = lines.next()?.split(',').position(|name| name.trim() == "DE")?;
    let hours: Vec<u64> = lines
        .skip(7_000)
        .take(168)
        .filter_map(|line| Some(line.split(',').nth(column)?.trim().parse::<f64>().ok()?.round() as u64))
        .collect();
    let read = |(id, line): (u64, &str)| {
        let mut fields = line.split(',').map(|field| field.trim().parse::<f64>().ok());
        let (arrival, length, gpus) = (fields.next()??, fields.next()??, fields.next()??);
        let minutes = (length / 60.0).ceil().max(1.0) as u64;
        (arrival < 72.0 * 3600.0).then(|| job(id, (arrival / 60.0) as i64, minutes, gpus as u32, 24, pauses))
    };
    Some(((1..).zip(jobs.lines().skip(1)).filter_map(read).collect(), hours))
}

/// Grams planned over the bound, in percent, and how many jobs start behind their latest start.
fn gap(problem: &Problem, made: &Plan) -> (f64, usize) {
    let found = certified(problem, made);
    let late = problem.waiting.iter().filter(|job| {
        let start = made.decisions.get(&job.id).and_then(|decision| decision.start());
        start.zip(latest_start(job)).is_some_and(|(start, latest)| start > latest)
    });
    let bound = found.bound.in_base();
    (100.0 * (found.emits.in_base() - bound) / bound.max(1e-9), late.count())
}

fn measure(what: &str, problem: &Problem) {
    let mut figures = Vec::new();
    for effort in [Effort::Queue, Effort::Search] {
        let policy = Policy { effort, ..Policy::default() };
        let begin = Instant::now();
        let made = plan(problem, &policy);
        let took = begin.elapsed().as_secs_f64() * 1e3;
        let breaches = audit(problem, &made).len();
        let emits = certified(problem, &made).emits.in_base() / 1e3;
        figures.push((gap(problem, &made), took, breaches, emits, made));
    }
    let [(queue, before, _, a, _), (prices, after, breaches, b, made)] = &figures[..] else { return };
    let again = Problem { previous: Arc::new(made.decisions.clone()), ..problem.clone() };
    let begin = Instant::now();
    let same = plan(&again, &Policy { effort: Effort::Keep, ..Policy::default() }).decisions == made.decisions;
    let kept = begin.elapsed().as_secs_f64() * 1e3;
    println!(
        "{what:<44} {a:>8.1} {:>6.2} % {:>4} {before:>7.0} | {b:>8.1} {:>6.2} % {:>4} {after:>7.0} | {kept:>7.0} {same:>5} {breaches:>2}",
        queue.0, queue.1, prices.0, prices.1
    );
}

/// GPUs for `times` the mean demand of the jobs over so many hours.
fn gpus(jobs: &[Job], hours: f64, times: f64) -> u32 {
    let work: f64 = jobs.iter().map(|job| f64::from(job.gpus) * job.length.0 as f64 / 3_600.0).sum();
    let widest = jobs.iter().map(|job| job.gpus).max().unwrap_or(1);
    ((times * work / hours).ceil() as u32).max(widest)
}

fn main() {
    println!(
        "{:<44} {:>8} {:>8} {:>4} {:>7} | {:>8} {:>8} {:>4} {:>7} | {:>7} {:>5} {:>2}",
        "problem", "queue kg", "gap", "late", "ms", "prices kg", "gap", "late", "ms", "kept ms", "same", "breaches"
    );
    let problem = |site: Site, jobs: Vec<Job>| Problem {
        site,
        occupants: Vec::new(),
        running: Vec::new(),
        waiting: jobs.into_iter().map(Arc::new).collect(),
        previous: Arc::default(),
        arrivals: Arc::default(),
    };
    for (count, rigid) in [(200, 0), (1_000, 0), (1_000, 3)] {
        for kind in ["one piece", "one piece, by watts", "one piece, learned", "with pauses"] {
            for times in [1.25, 1.5, 2.0, 3.0] {
                let mut dice = Dice(42);
                let hours = sunny(168, &mut dice);
                let mut jobs = drawn(count, rigid, kind == "with pauses", &mut dice);
                if kind == "one piece, learned" {
                    jobs.iter_mut()
                        .for_each(|job| job.likely = Arc::new([90, 150, 210, 280, 350, 440, 550, 720, 1_000, 1_800]));
                }
                let (curve, gpus) = (curve(hours), gpus(&jobs, 48.0, times));
                let site = if kind == "one piece, by watts" { by_watts(curve, gpus) } else { site(curve, gpus) };
                let who = if rigid > 0 { format!("1 in {rigid} rigid, ") } else { String::new() };
                measure(&format!("{count} drawn, {who}{kind}, {times}x"), &problem(site, jobs));
            }
        }
    }
    for pauses in [false, true] {
        for times in [1.25, 1.5, 2.0, 3.0] {
            let Some((jobs, hours)) = trace(pauses) else {
                eprintln!("SKIPPED: the trace is not in shared/data");
                return;
            };
            let site = site(curve(hours), gpus(&jobs, 72.0, times));
            let kind = if pauses { "with pauses" } else { "one piece" };
            measure(&format!("{} of the trace, {kind}, {times}x", jobs.len()), &problem(site, jobs));
        }
    }
}
