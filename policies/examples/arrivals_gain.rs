//! What it is worth to plan around jobs that are expected: `cargo run --release -p neap-policies --example arrivals_gain`.
//!
//! Jobs come in one week, one at a time; each is inserted when it comes, and all that wait are planned anew every half hour, as
//! the controller does. Lengths and widths are drawn from the trace in `shared/data`, arrivals from a law that has working days;
//! how many are expected was learned from the four weeks before, which were drawn from the same law and from nothing else.
//! Short jobs may wait 6 hours and long ones 24. Curves are taken to be right, so that arrivals alone are uncertain.
//!
//! By zone, week and GPUs (as a multiple of the mean demand of the weeks before): grams against a planner that expects nobody,
//! jobs that started behind their latest start, their mean wait in hours, and how often a planned start moved.
//! `NEAP_ZONES=DE,PL`, `NEAP_STARTS=3000,5000` (hours of 2022), `NEAP_LOADS=1.5,2`, `NEAP_JOBS=400` (a week) choose others,
//! `NEAP_STRENGTHS=0,50` strengths in percent, and with `NEAP_BEFORE=2` twice as many came in the weeks before as come now.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measured")]

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::plan::{Decision, Verdict};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Watts};
use neap_policies::arrivals::{Came, expected};
use neap_policies::problem::{Delay, Effort, Job, NodeState, Occupant, Policy, Problem, Site, ZoneState};
use neap_policies::{Plan, insert, plan};
use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR: i64 = 3_600;
/// Seconds between two plans for all.
const EVERY: i64 = 1_800;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_478_400, 0).expect("a time of this century") + TimeDelta::seconds(seconds)
}

fn seconds(at: DateTime<Utc>) -> i64 {
    (at - self::at(0)).num_seconds()
}

/// Marsaglia's xorshift64 (2003).
struct Dice(u64);

impl Dice {
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// A job of the stream.
#[derive(Clone, Copy)]
struct Drawn {
    /// Seconds after the week began; before 0 it is history.
    at: i64,
    length: u64,
    gpus: u32,
}

impl Drawn {
    fn delay(&self) -> Delay {
        Delay {
            objective: Objective::Carbon,
            max: Seconds::hours(if self.length < 7_200 { 6 } else { 24 }),
            min_saving: Percent::whole(2),
            replan_gain: Percent::whole(5),
        }
    }

    fn came(&self) -> Came<'static> {
        let (at, length, delay) = (at(self.at), Seconds(self.length), self.delay());
        Came { at, length, gpus: self.gpus, gpu_model: &[], cpus: Some(1), memory: Bytes(1 << 30), zones: &[], delay }
    }

    fn job(&self, id: u64) -> Arc<Job> {
        Arc::new(Job {
            gpus: self.gpus,
            cpus: Some(1),
            memory: Bytes(1 << 30),
            delay: self.delay(),
            ..Job::plain(JobId(id), at(self.at), Seconds(self.length))
        })
    }
}

/// How busy an hour of the week is: most by day, least at night, little on two days of seven.
fn busy(hour: i64) -> f64 {
    let day = match hour.rem_euclid(24) {
        8..=18 => 2.0,
        19..=22 => 1.0,
        _ => 0.4,
    };
    if hour.rem_euclid(168) >= 120 { 0.4 * day } else { day }
}

/// Four weeks of history and one more, so many jobs in that week and `before` times as many in each before, in the mean (a
/// Poisson process by the hour).
fn stream(kinds: &[(u64, u32)], (a_week, before): (f64, f64), start: i64) -> Vec<Drawn> {
    let mut dice = Dice(77 + start.unsigned_abs());
    (0..20).for_each(|_| _ = dice.share());
    let all: f64 = (0..168).map(busy).sum();
    let mut drawn = Vec::new();
    for hour in -4 * 168..168 {
        let rate = a_week * if hour < 0 { before } else { 1.0 } * busy(hour + start) / all;
        let mut passed = -dice.share().ln() / rate;
        while passed < 1.0 {
            let (length, gpus) = kinds[(dice.share() * kinds.len() as f64) as usize];
            drawn.push(Drawn { at: hour * HOUR + (passed * HOUR as f64) as i64, length, gpus });
            passed -= dice.share().ln() / rate;
        }
    }
    drawn
}

/// One zone with three days of its curve, and GPUs by eight on a node.
fn site(hours: &[f64], gpus: u32, now: i64) -> Site {
    let first = now / HOUR;
    let span = |hour: i64| {
        let value = Intensity::from_base(*hours.get(usize::try_from(hour).ok()?)?)?;
        Some(Span { from: at(hour * HOUR), until: at((hour + 1) * HOUR), value, grade: Grade::Forecast })
    };
    let gpu = |node, index| Gpu {
        uuid: format!("{node}-{index}"),
        index,
        model: "H100".to_owned(),
        limit: Watts::whole(1_000),
        settable: None,
        uncapped: None,
    };
    let node = |node: u32| NodeState {
        name: format!("n{node}"),
        zone: "Z".to_owned(),
        up: true,
        cpus: 128,
        memory: Bytes(2 << 40),
        gpus: (0..(gpus - node * 8).min(8)).map(|index| gpu(node, index)).collect(),
        watts_per_cpu: Watts::ZERO,
    };
    let zone = ZoneState {
        zone: Zone { name: "Z".to_owned(), home: true, pue: None },
        curve: Arc::new(Series::new((first..first + 72).filter_map(span).collect::<Vec<_>>())),
        basis: 0,
        prices: None,
    };
    Site { now: at(now), zones: vec![zone], nodes: (0..gpus.div_ceil(8)).map(node).collect(), shared: Vec::new() }
}

/// Grams of a kilowatt from then on.
fn grams(hours: &[f64], from: i64, length: u64) -> f64 {
    let until = from + length.cast_signed();
    let part = |hour: i64| {
        let inside = (until.min((hour + 1) * HOUR) - from.max(hour * HOUR)).max(0) as f64;
        inside / HOUR as f64 * hours[usize::try_from(hour).expect("behind the start")]
    };
    (from / HOUR..=until / HOUR).map(part).sum()
}

#[derive(Default)]
struct Score {
    grams: f64,
    late: usize,
    waited: f64,
    moves: usize,
}

/// The week as it goes with that share of the arrivals expected.
fn play(hours: &[f64], gpus: u32, drawn: &[Drawn], strength: Percent) -> Score {
    let jobs: Vec<&Drawn> = drawn.iter().filter(|drawn| drawn.at >= 0).collect();
    let policy = |effort| Policy { effort, ..Policy::default() };
    let mut score = Score::default();
    let mut waiting: BTreeMap<JobId, Arc<Job>> = BTreeMap::new();
    let mut told: BTreeMap<JobId, Decision> = BTreeMap::new();
    let (mut occupants, mut made, mut learned) = (Vec::<Occupant>::new(), Plan::default(), (-1, Arc::default()));
    let (mut next, mut now, mut tick) = (0, 0, 0);
    loop {
        occupants.retain(|occupant| occupant.until > at(now));
        let site = site(hours, gpus, now);
        while let Some(job) = jobs.get(next).filter(|job| job.at <= now) {
            next += 1;
            let job = job.job(next as u64);
            told.insert(job.id, insert(&mut made, &site, &policy(Effort::Keep), &job));
            waiting.insert(job.id, job);
        }
        if learned.0 != now / HOUR {
            let history = drawn.iter().take_while(|drawn| drawn.at < now).map(Drawn::came);
            learned = (now / HOUR, expected(at(now), history, strength));
        }
        let due = told.values().any(|decision| decision.start().is_some_and(|start| start <= at(now)));
        if (now >= tick || due) && !waiting.is_empty() {
            let effort = if now >= tick { Effort::Search } else { Effort::Keep };
            let problem = Problem {
                site: site.clone(),
                occupants: occupants.clone(),
                running: Vec::new(),
                waiting: waiting.values().cloned().collect(),
                previous: Arc::new(told.clone()),
                arrivals: Arc::clone(&learned.1),
            };
            made = plan(&problem, &policy(effort));
            score.moves += told.iter().filter(|(id, old)| old.start() != made.decisions[id].start()).count();
            told.clone_from(&made.decisions);
        }
        if now >= tick {
            tick = (now / EVERY + 1) * EVERY;
        }
        told.retain(|id, decision| {
            let Verdict::Start { place, .. } = &decision.verdict else { return true };
            let job = waiting.remove(id).expect("it waits");
            let taken = |uuid: &String| occupants.iter().any(|occupant| occupant.gpus.contains(uuid));
            let node = site.nodes.iter().find(|node| node.name == place.node).expect("a node");
            let free = node.gpus.iter().map(|gpu| gpu.uuid.clone()).filter(|uuid| !taken(uuid));
            let gpus: Vec<String> = free.take(job.gpus as usize).collect();
            assert_eq!(gpus.len(), job.gpus as usize, "a start finds its GPUs free");
            let (node, until) = (place.node.clone(), at(now) + job.length.delta());
            occupants.push(Occupant { job: *id, node, cpus: 1, memory: job.memory, gpus, until, draws: Watts::ZERO });
            made.started(&job);
            let waited = now - seconds(job.eligible);
            score.grams += f64::from(job.gpus) * grams(hours, now, job.length.0);
            score.waited += waited as f64 / HOUR as f64 / jobs.len() as f64;
            score.late += usize::from(waited > job.delay.max.0.cast_signed());
            false
        });
        let starts = told.values().filter_map(|decision| decision.start().map(seconds));
        let tick = (!waiting.is_empty()).then_some(tick);
        let Some(then) = starts.chain(jobs.get(next).map(|job| job.at)).chain(tick).min() else { return score };
        now = then.max(now + 1);
    }
}

/// A list from the environment.
fn list<T: std::str::FromStr>(name: &str, usual: &str) -> Vec<T> {
    let text = std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    text.split(',').filter_map(|part| part.parse().ok()).collect()
}

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}"));
    let (Ok(trace), Ok(carbon)) = (read("jobs/gaia_pai_1k.csv"), read("carbon/ci_lca_hourly_2022.csv")) else {
        eprintln!("SKIPPED: the trace and the curves are not in shared/data");
        return;
    };
    let kind = |line: &str| {
        let mut fields = line.split(',').skip(1).filter_map(|field| field.parse::<f64>().ok());
        Some((fields.next()?.ceil().max(60.0) as u64, fields.next()? as u32))
    };
    let kinds: Vec<(u64, u32)> = trace.lines().skip(1).filter_map(kind).collect();
    let a_week = list("NEAP_JOBS", "400").first().copied().unwrap_or(400.0);
    let times_before = list("NEAP_BEFORE", "1").first().copied().unwrap_or(1.0);
    let strengths: Vec<u32> = list("NEAP_STRENGTHS", "0,25,50,80,100");
    let mut sums: Vec<Score> = strengths.iter().map(|_| Score::default()).collect();
    let mut cells = 0.0;
    for zone in list::<String>("NEAP_ZONES", "DE,US-CAL-CISO,AU-SA,GB,PL,FR") {
        let column = carbon.lines().next().and_then(|head| head.split(',').position(|name| name == zone));
        let value = |line: &str| line.split(',').nth(column?)?.parse::<f64>().ok();
        let year: Vec<f64> = carbon.lines().skip(1).filter_map(value).collect();
        for start in list::<usize>("NEAP_STARTS", "1500,3000,5000,7000") {
            let Some(hours) = year.get(start..start + 14 * 24) else { continue };
            let drawn = stream(&kinds, (a_week, times_before), start.cast_signed() as i64);
            let before = drawn.iter().filter(|drawn| drawn.at < 0);
            let mean = before.map(|drawn| f64::from(drawn.gpus) * drawn.length as f64).sum::<f64>() / (672.0 * 3_600.0);
            for load in list::<f64>("NEAP_LOADS", "1.25,1.5,2") {
                let gpus = ((mean / times_before * load).round() as u32).max(4);
                let mut first = None;
                print!("{zone:<12} {start:>5} {load:<4} {gpus:>3} GPUs");
                for (strength, sum) in strengths.iter().zip(&mut sums) {
                    let score = play(hours, gpus, &drawn, Percent::whole(*strength));
                    let more = 100.0 * (score.grams / *first.get_or_insert(score.grams) - 1.0);
                    print!(" | {more:+.2} % {:>3} late {:>4.1} h {:>4}", score.late, score.waited, score.moves);
                    sum.grams += more;
                    sum.waited += score.waited;
                    (sum.late, sum.moves) = (sum.late + score.late, sum.moves + score.moves);
                }
                cells += 1.0;
                println!();
            }
        }
    }
    for (strength, sum) in strengths.iter().zip(&sums) {
        let (grams, waited, moves) = (sum.grams / cells, sum.waited / cells, sum.moves as f64 / cells);
        println!("{strength:>3} %: {grams:+.2} % grams, {} late in all, {waited:.2} h, {moves:.0} moves", sum.late);
    }
}
