//! What planning costs on this machine: `cargo run --release -p neap-policies --example plan_cost`.
//!
//! Prints the median and the worst of several repetitions. The problems are made up by a fixed generator, so two
//! machines measure the same work.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures time and prints what it measured")]

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Watts};
use neap_policies::problem::{Delay, Effort, Job, NodeState, Occupant, PauseTerms, Policy, Problem, Site, ZoneState};
use neap_policies::{admit, alternatives, audit, insert, plan};
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

/// One zone with 168 hours ahead, and nodes of eight GPUs.
fn site(nodes: u32, dice: &mut Dice) -> Site {
    let span = |hour: i64, value| Span {
        from: at(hour * 60),
        until: at(hour * 60 + 60),
        value: Intensity::grams(value),
        grade: Grade::Forecast,
    };
    let shape = |hour: i64| if (9..17).contains(&(hour % 24)) { 180 } else { 420 };
    let curve = Series::new((0..168).map(|hour| span(hour, shape(hour) + dice.below(80))).collect::<Vec<_>>());
    let gpu = |node, index| Gpu {
        uuid: format!("{node}-{index}"),
        index,
        model: "H100-SXM5-80GB".to_owned(),
        limit: Watts::whole(700),
        settable: None,
        uncapped: None,
    };
    let node = |node: u32| NodeState {
        name: format!("gpu{node:02}"),
        zone: "DE".to_owned(),
        up: true,
        cpus: 128,
        memory: Bytes(2 << 40),
        gpus: (0..8).map(|index| gpu(node, index)).collect(),
        watts_per_cpu: Watts::whole(3),
    };
    Site {
        now: at(0),
        zones: vec![ZoneState {
            zone: Zone { name: "DE".to_owned(), home: true, pue: None },
            curve: Arc::new(curve),
            basis: 0,
            prices: None,
        }],
        nodes: (0..nodes).map(node).collect(),
        shared: Vec::new(),
    }
}

/// Lengths of 15 minutes to 8 hours, widths 1 to 8; `green` of a hundred wait up to two days for cleaner hours.
fn job(id: u64, green: u64, dice: &mut Dice) -> Job {
    let waits = dice.below(100) < green;
    let length = Seconds::minutes(15 + dice.below(465));
    Job {
        gpus: 1 << dice.below(4),
        gpu_model: vec!["H100".to_owned()],
        memory: Bytes(64 << 30),
        delay: Delay {
            objective: if waits { Objective::Carbon } else { Objective::None },
            max: Seconds::hours(if waits { 48 } else { 0 }),
            min_saving: Percent::whole(10),
            replan_gain: Percent::whole(5),
        },
        ..Job::plain(JobId(id), at(-60), length)
    }
}

/// Every GPU busy for one to four more hours.
fn occupants(site: &Site, dice: &mut Dice) -> Vec<Occupant> {
    let all = site.nodes.iter().flat_map(|node| node.gpus.iter().map(move |gpu| (node, gpu)));
    let busy = |(id, (node, gpu)): (u64, (&NodeState, &Gpu))| Occupant {
        job: JobId(id),
        node: node.name.clone(),
        cpus: 16,
        memory: Bytes(64 << 30),
        gpus: vec![gpu.uuid.clone()],
        until: at(i64::try_from(60 + dice.below(180)).expect("minutes")),
        draws: Watts::whole(563),
    };
    (1_000_000..).zip(all).map(busy).collect()
}

fn problem(jobs: u64, nodes: u32, green: u64) -> Problem {
    let mut dice = Dice(42);
    let site = site(nodes, &mut dice);
    let occupants = occupants(&site, &mut dice);
    let waiting = (1..=jobs).map(|id| Arc::new(job(id, green, &mut dice))).collect();
    Problem { site, occupants, running: Vec::new(), waiting, previous: Arc::default(), arrivals: Arc::default() }
}

/// Median and worst of so many runs, in microseconds.
fn timed<T>(runs: usize, mut what: impl FnMut() -> T) -> (f64, f64) {
    let mut took: Vec<f64> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(what());
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[runs / 2], took[runs - 1])
}

fn line(what: &str, (median, worst): (f64, f64)) {
    println!("{what:<80} {median:>10.1} µs  worst {worst:>10.1} µs");
}

/// A hundred nodes and queues up to the size that one site may have: anew, and with the plan before.
fn large() {
    for (jobs, green, pauses) in
        [(2_000, 100, false), (100_000, 50, false), (100_000, 100, false), (100_000, 100, true)]
    {
        let mut problem = problem(jobs, 100, green);
        if pauses {
            let pause = PauseTerms { cost: Seconds::minutes(2), least: Seconds::minutes(30) };
            let paused = |job: &Arc<Job>| Arc::new(Job { pause: Some(pause), ..(**job).clone() });
            problem.waiting = problem.waiting.iter().map(paused).collect();
        }
        let also = if pauses { ", with pauses" } else { "" };
        let what = format!("{jobs} waiting ({green} % wait for the grid{also}), 100 nodes");
        let with = |effort| Policy { effort, ..Policy::default() };
        for (word, effort) in [("in queue order", Effort::Queue), ("searched anew", Effort::Search)] {
            line(&format!("plan: {what}: {word}"), timed(3, || plan(&problem, &with(effort))));
        }
        let first = plan(&problem, &Policy::default());
        let again = Problem { previous: Arc::new(first.decisions.clone()), ..problem };
        line("  kept, with the plan before", timed(5, || plan(&again, &with(Effort::Keep))));
    }
}

fn plans(policy: &Policy) {
    for (jobs, nodes, green) in
        [(2_000, 8, 50), (10_000, 8, 0), (10_000, 8, 50), (10_000, 8, 100), (10_000, 1, 50), (100_000, 8, 50)]
    {
        let problem = problem(jobs, nodes, green);
        let what = format!("plan: {jobs} waiting ({green} % wait for the grid), {nodes} nodes, 168 h");
        line(&what, timed(9, || plan(&problem, policy)));
        let first = plan(&problem, policy);
        let again = Problem { previous: Arc::new(first.decisions.clone()), ..problem };
        line("  again, with the plan before", timed(9, || plan(&again, policy)));
        if jobs <= 2_000 {
            line("  audit of it", timed(5, || audit(&again, &first)));
        }
    }
}

fn inserts(policy: &Policy) {
    for (waiting, nodes, what) in [
        (0, 1, "idle"),
        (200, 1, "200 planned"),
        (1_900, 1, "1900 planned"),
        (1_900, 8, "1900 planned"),
        (20_000, 8, "deeper than planned"),
    ] {
        let problem = problem(waiting, nodes, 50);
        for green in [0, 100] {
            let mut dice = Dice(7);
            let mut grown = plan(&problem, policy);
            let mut id = waiting;
            let cost = timed(99, || {
                id += 1;
                insert(&mut grown, &problem.site, policy, &job(id, green, &mut dice))
            });
            line(&format!("insert: {nodes} nodes, {what}, {green} % wait for the grid"), cost);
        }
    }
    let problem = problem(200, 1, 50);
    let grown = plan(&problem, policy);
    let mut dice = Dice(9);
    line("admit", timed(99, || admit(&problem.site, policy, &job(1_000, 100, &mut dice))));
    line(
        "alternatives, 1 node, 200 planned",
        timed(99, || alternatives(&grown, &problem.site, policy, &job(1_000, 100, &mut dice))),
    );
}

fn main() {
    let policy = Policy::default();
    large();
    plans(&policy);
    inserts(&policy);
}
