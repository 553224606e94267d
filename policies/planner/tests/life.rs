//! Weeks of a cluster with its clock moved by the test: nobody starves, and promises are kept where there is room.

use super::{at, green, hourly, job, node, zone};
use crate::problem::{Effort, Job, Occupant, Policy, Problem, Site};
use crate::{Plan, audit, insert, latest_start, plan};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Grade;
use neap_model::job::JobId;
use neap_model::plan::Verdict;
use neap_model::units::Watts;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A generator of the test's own, so that a seed tells the whole story (Marsaglia's xorshift64, 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// A grid that is clean at noon, over so many days.
fn sunny(days: usize, dice: &mut Dice) -> Vec<u64> {
    let hour = |hour: usize| 450 - 300 * u64::from((9..16).contains(&(hour % 24)));
    (0..days * 24).map(|h| hour(h) + dice.below(80)).collect()
}

struct Life {
    problem: Problem,
    plan: Plan,
    arrivals: Vec<(DateTime<Utc>, Job)>,
    started: BTreeMap<JobId, DateTime<Utc>>,
}

impl Life {
    /// `count` jobs over `days`, on two nodes of two GPUs.
    fn new(seed: u64, count: u64, days: u64) -> Self {
        let mut dice = Dice(seed);
        let curve = hourly(&sunny(usize::try_from(days * 3).expect("few days"), &mut dice), Grade::Forecast);
        let mut arrivals: Vec<(DateTime<Utc>, Job)> = (1..=count)
            .map(|id| {
                let when = at(i64::try_from(dice.below(days * 24 * 60)).expect("a minute of these weeks"));
                let minutes = 10 + dice.below(350);
                let mut job =
                    if dice.below(2) == 0 { green(id, minutes, 6 + dice.below(30)) } else { job(id, minutes) };
                (job.submitted, job.eligible) = (when, when);
                job.gpus = 1 + u32::from(dice.below(5) == 0);
                (when, job)
            })
            .collect();
        arrivals.sort_by_key(|(when, job)| (*when, job.id));
        arrivals.reverse();
        let nodes = vec![node("a", "DE", 2, "H100"), node("b", "DE", 2, "H100")];
        let site = Site { now: at(0), zones: vec![zone("DE", true, curve)], nodes, shared: Vec::new() };
        let problem = Problem {
            site,
            occupants: Vec::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            previous: Arc::default(),
            arrivals: Arc::default(),
        };
        let plan = plan(&problem, &Policy::default());
        Self { problem, plan, arrivals, started: BTreeMap::new() }
    }

    /// Lives until nobody waits and nobody is to come; panics where that takes too long.
    fn run(&mut self, policy: &Policy) {
        for event in 0.. {
            assert!(event < 20_000, "{} jobs still wait", self.problem.waiting.len());
            let now = self.problem.site.now;
            self.problem.occupants.retain(|occupant| occupant.until > now);
            while let Some((_, job)) = self.arrivals.pop_if(|(when, _)| *when <= now) {
                // Whoever comes is told at once; nobody else moves.
                insert(&mut self.plan, &self.problem.site, policy, &job);
                self.problem.waiting.push(Arc::new(job));
            }
            self.problem.previous = Arc::new(self.plan.decisions.clone());
            // All is placed anew now and then, as in life.
            let effort = if event % 16 == 0 { Effort::Search } else { Effort::Keep };
            self.plan = plan(&self.problem, &Policy { effort, ..policy.clone() });
            assert_eq!(audit(&self.problem, &self.plan), vec![], "at {now}");
            self.start();
            let wakes = self.plan.decisions.values().filter_map(|decision| match &decision.verdict {
                Verdict::Hold { until, .. } => *until,
                Verdict::Start { .. } => None,
            });
            let ends = self.problem.occupants.iter().map(|occupant| occupant.until);
            let comes = self.arrivals.last().map(|(when, _)| *when);
            let Some(next) = wakes.chain(ends).chain(comes).filter(|time| *time > now).min() else { return };
            self.problem.site.now = next;
        }
    }

    fn start(&mut self) {
        let now = self.problem.site.now;
        let waiting = std::mem::take(&mut self.problem.waiting);
        for job in waiting {
            let Verdict::Start { place, .. } = &self.plan.decisions[&job.id].verdict else {
                self.problem.waiting.push(job);
                continue;
            };
            let node = self.problem.site.nodes.iter().find(|node| node.name == place.node).expect("a node of the site");
            let taken = |uuid: &String| self.problem.occupants.iter().any(|occupant| occupant.gpus.contains(uuid));
            let free = node.gpus.iter().map(|gpu| gpu.uuid.clone()).filter(|uuid| !taken(uuid));
            let gpus: Vec<String> = free.take(job.gpus as usize).collect();
            assert_eq!(gpus.len(), job.gpus as usize, "a start finds its GPUs free");
            let until = now + job.length.delta();
            let cpus = crate::cores_on(&job, node);
            self.problem.occupants.push(Occupant {
                job: job.id,
                node: node.name.clone(),
                cpus,
                memory: job.memory,
                gpus,
                until,
                draws: Watts::whole(750 * u64::from(job.gpus)),
            });
            self.started.insert(job.id, now);
            self.plan.started(&job);
        }
    }
}

fn jobs_of(life: &Life) -> BTreeMap<JobId, Job> {
    life.arrivals.iter().map(|(_, job)| (job.id, job.clone())).collect()
}

#[test]
fn with_room_to_spare_every_latest_start_is_kept() {
    for seed in 1..6 {
        let mut life = Life::new(seed, 120, 14);
        let jobs = jobs_of(&life);
        life.run(&Policy::default());
        assert_eq!(life.started.len(), jobs.len(), "seed {seed}");
        let late: Vec<_> =
            life.started.iter().filter(|(id, at)| latest_start(&jobs[id]).is_some_and(|l| **at > l)).collect();
        assert_eq!(late, vec![], "seed {seed}");
        let waited = life.started.iter().filter(|(id, at)| **at - jobs[id].submitted > TimeDelta::hours(2)).count();
        assert!(waited > 10, "somebody waited for the sun (seed {seed}: {waited})");
    }
}

#[test]
fn in_a_crowd_everybody_starts_in_the_end() {
    for (seed, depth) in [(7, 2_000), (8, 2_000), (9, 10), (10, 3)] {
        let mut life = Life::new(seed, 300, 4);
        let jobs = jobs_of(&life);
        life.run(&Policy { depth, ..Policy::default() });
        assert_eq!(life.started.len(), jobs.len(), "seed {seed}");
        // Work for so long cannot be done in less; nobody should need much more.
        let work: u64 = jobs.values().map(|job| job.length.0 * u64::from(job.gpus)).sum();
        let last = life.started.values().max().expect("they started");
        let bound = TimeDelta::seconds(i64::try_from(work / 4).expect("weeks")) + TimeDelta::hours(60);
        assert!(*last - at(0) < bound, "seed {seed}: the last started after {}", *last - at(0));
    }
}
