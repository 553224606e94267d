//! One episode: a plant, a regulator, and somebody who knows both and believes neither.

use crate::dice::Dice;
use crate::plant::{Counts, Faults, Net, Plant, TICK, TICKS, config, time};
use neap_model::job::JobId;
use neap_model::units::Watts;
use neap_policies::regulate::{Because, Readings, Regulator, Turn};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After something from outside raised a limit, or the budget was cut, all limits fit again within that.
const REACT: u64 = 10 * TICKS;

/// What an episode is made of.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub faults: Faults,
    pub net: Net,
    /// How often the budget is cut, in seconds.
    pub cuts: f64,
    /// How often the scheduler starts anew, in seconds.
    pub restarts: f64,
    pub seconds: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub ticks: u64,
    pub orders: u64,
    pub again: u64,
    pub changes: u64,
    pub cuts: u64,
    /// Quarters of a second with limits above the budget, by why that is not ours.
    pub over_cut: u64,
    pub over_unordered: u64,
    pub over_short: u64,
    /// Calls after which more was reserved than the budget, all of them after something from outside.
    pub reserved_over: u64,
    /// Longest that limits were above the budget after something from outside, in ticks, while messages got through.
    pub longest: u64,
    pub pauses: u64,
    pub counts: Counts,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.steps, other.steps),
            (&mut self.ticks, other.ticks),
            (&mut self.orders, other.orders),
            (&mut self.again, other.again),
            (&mut self.changes, other.changes),
            (&mut self.cuts, other.cuts),
            (&mut self.over_cut, other.over_cut),
            (&mut self.over_unordered, other.over_unordered),
            (&mut self.over_short, other.over_short),
            (&mut self.reserved_over, other.reserved_over),
            (&mut self.pauses, other.pauses),
            (&mut self.counts.lost_nodes, other.counts.lost_nodes),
            (&mut self.counts.storms, other.counts.storms),
            (&mut self.counts.reloads, other.counts.reloads),
            (&mut self.counts.foreign, other.counts.foreign),
            (&mut self.counts.restarts, other.counts.restarts),
            (&mut self.counts.stale, other.counts.stale),
            (&mut self.counts.blind, other.counts.blind),
            (&mut self.counts.lost_messages, other.counts.lost_messages),
            (&mut self.counts.ignored, other.counts.ignored),
        ];
        pairs.into_iter().for_each(|(sum, part)| *sum += part);
        self.longest = self.longest.max(other.longest);
    }
}

/// Why limits may be above the budget just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Cut,
    Unordered,
}

struct Changes {
    last: Option<(Duration, bool)>,
    turns: Vec<Duration>,
    limit: Watts,
}

/// The watcher of one episode.
pub struct Watch {
    pub plant: Plant,
    pub regulator: Regulator,
    pub tally: Tally,
    script: Script,
    base: u64,
    pub budget: u64,
    cut_until: u64,
    /// What may have put limits above the budget and is not yet made up for, and since when.
    open: Option<(Over, u64)>,
    clear_since: u64,
    site: Option<(Watts, Duration)>,
    known: Vec<Duration>,
    /// When each node was last heard.
    heard: Vec<u64>,
    orders: BTreeMap<usize, u64>,
    changes: BTreeMap<JobId, Changes>,
    others: u64,
    pub turn: Turn,
    starts: u64,
    begun: u64,
    dice: Dice,
    seed: u64,
}

impl Watch {
    pub fn new(seed: u64, script: Script) -> Self {
        let mut plant = Plant::new(seed, script.faults, script.net);
        let base = plant.budget();
        let regulator = Regulator::new(config(seed), plant.boards(), 1, Duration::ZERO);
        let known = vec![Duration::ZERO; plant.devices.len()];
        Self {
            regulator,
            tally: Tally::default(),
            script,
            base,
            budget: base,
            cut_until: 0,
            open: None,
            clear_since: 0,
            site: None,
            known,
            heard: vec![0; plant.away.len()],
            orders: BTreeMap::new(),
            changes: BTreeMap::new(),
            others: plant.others,
            turn: Turn::default(),
            starts: 0,
            begun: 0,
            dice: Dice(seed ^ 0x5eed),
            seed,
            plant,
        }
    }

    fn say(&self, tick: u64) -> String {
        format!("seed {} at {:?}", self.seed, time(tick))
    }

    /// Runs to the end.
    pub fn run(mut self) -> Tally {
        for tick in 1..=self.script.seconds * TICKS {
            self.pass(tick);
        }
        self.tally.counts = self.plant.counts;
        self.tally
    }

    /// A quarter of a second.
    pub fn pass(&mut self, tick: u64) {
        self.tally.ticks += 1;
        self.plant.pass(tick, config(0).order_life);
        for (heard, away) in self.heard.iter_mut().zip(&self.plant.away) {
            if *away <= tick {
                *heard = tick;
            }
        }
        let mut urgent = self.new_budget(tick);
        if self.dice.every(self.script.restarts) {
            // The scheduler starts anew: it knows no more than which orders were given.
            self.starts += 1;
            self.plant.drop_messages();
            self.regulator = Regulator::new(
                config(self.seed ^ self.starts),
                self.plant.boards(),
                (self.starts + 1) << 40,
                time(tick),
            );
            self.changes.clear();
            (self.begun, urgent) = (tick, true);
        }
        // Every five seconds, when it is due, and when something happened; the odd episodes every second.
        let regular = if self.seed.is_multiple_of(2) { 5 * TICKS } else { TICKS };
        if urgent || tick.is_multiple_of(regular) || time(tick) >= self.regulator.due() {
            self.step(tick);
        }
        self.check_limits(tick);
    }

    fn new_budget(&mut self, tick: u64) -> bool {
        if self.cut_until != 0 && tick >= self.cut_until {
            (self.cut_until, self.budget) = (0, self.base);
            return true;
        }
        if self.cut_until == 0 && self.dice.every(self.script.cuts) {
            let share = self.dice.between(0.65, 0.95);
            self.cut(tick, share, 60 + self.dice.clone().below(600) as u64);
            return true;
        }
        false
    }

    /// From now on there is a budget of that share of all limits at their highest.
    pub fn give(&mut self, share: f64) {
        let highest: u64 = self.plant.devices.iter().map(|device| device.board.highest.0).sum();
        self.base = self.plant.others + (highest as f64 * share) as u64;
        self.budget = self.base;
    }

    /// Announces a budget of that share of what there is.
    pub fn cut(&mut self, tick: u64, share: f64, seconds: u64) {
        self.tally.cuts += 1;
        self.budget = (self.base as f64 * share) as u64;
        self.cut_until = tick + seconds * TICKS;
        self.open = Some((Over::Cut, tick));
    }

    /// The regulator is asked, and what it says is held against what it may say.
    pub fn step(&mut self, tick: u64) {
        let now = time(tick);
        self.tally.steps += 1;
        let (seen, site) = self.plant.arrived(tick);
        for read in &seen {
            let n = self.plant.devices.iter().position(|device| device.board.gpu == read.gpu).expect("it is here");
            self.known[n] = self.known[n].max(read.at);
            if self.plant.devices[n].unknown.is_some_and(|at| time(at) <= read.at) {
                self.plant.devices[n].unknown = None;
            }
        }
        self.site = site.or(self.site);
        // A node is given up after five seconds without a word.
        let mut lost = Vec::new();
        for node in 0..self.plant.away.len() {
            if self.plant.away[node] > tick {
                let heard = self.heard[node];
                if tick >= heard + 5 * TICKS {
                    lost.push((format!("n{node}"), time(heard)));
                }
            }
        }
        let readings = Readings {
            budget: Watts(self.budget),
            others: Watts(self.others),
            site: self.site,
            gpus: seen,
            lost,
            jobs: self.plant.jobs.iter().map(|(job, _)| job.clone()).collect(),
        };
        // What is read now may say that more counts than was known.
        let mut before: Vec<u64> = self.reserved();
        for read in &readings.gpus {
            let n = self.plant.devices.iter().position(|device| device.board.gpu == read.gpu).expect("it is here");
            before[n] = before[n].max(read.limit.0);
        }
        let turn = self.regulator.regulate(now, &readings);
        self.check_orders(tick, &before, &turn);
        self.check_changes(tick, &turn);
        for set in &turn.set {
            self.plant.send(tick, set);
        }
        self.tally.pauses += turn.pause.len() as u64;
        let start = turn.may_start && turn.committed.0 <= self.budget && tick > self.begun + 20 * TICKS;
        self.plant.work(tick, start, &turn.pause);
        self.turn = turn;
    }

    pub fn reserved(&self) -> Vec<u64> {
        let of = |gpu: &str| self.regulator.reserved(gpu).expect("it is known").0;
        self.plant.devices.iter().map(|device| of(&device.board.gpu)).collect()
    }

    /// Orders are within ranges, whole watts, raise nothing above the budget, and what is reserved covers them.
    fn check_orders(&mut self, tick: u64, before: &[u64], turn: &Turn) {
        let after = self.reserved();
        let total = self.others + after.iter().sum::<u64>();
        assert!(turn.committed.0 >= total, "{}: {} told, {total} reserved", self.say(tick), turn.committed.0);
        let mut fresh = 0u64;
        for set in &turn.set {
            let n = self.plant.devices.iter().position(|device| device.board.gpu == set.gpu).expect("it is here");
            let board = &self.plant.devices[n].board;
            assert!(set.limit >= board.floor && set.limit <= board.highest, "{}: {set:?}", self.say(tick));
            assert_eq!(set.limit.0 % 1_000, 0, "{}: {set:?}", self.say(tick));
            assert!(after[n] >= set.limit.0, "{}: reserved before it leaves: {set:?}", self.say(tick));
            if self.orders.get(&n).is_none_or(|last| set.order > *last) {
                self.orders.insert(n, set.order);
                fresh += 1;
                // More is reserved for it than before: only within the budget.
                assert!(
                    set.limit.0 <= before[n] || total <= self.budget,
                    "{}: {set:?} is above {} with {total} of {} reserved",
                    self.say(tick),
                    before[n],
                    self.budget
                );
            }
        }
        if turn.short > Watts::ZERO {
            // Floors and what is not ours are above the budget: then every job is at its floor.
            for (job, _) in &self.plant.jobs {
                let boards = self.plant.devices.iter().map(|device| &device.board);
                let floor = boards.filter(|board| job.gpus.contains(&board.gpu)).map(|board| board.floor).max();
                let at = turn.jobs.iter().find(|slow| slow.job == job.id && slow.not_ours < job.gpus.len());
                assert!(at.is_none_or(|slow| Some(slow.limit) <= floor), "{}: {at:?}", self.say(tick));
            }
        }
        self.tally.orders += fresh;
        self.tally.again += turn.set.len() as u64 - fresh;
        if total > self.budget {
            self.tally.reserved_over += 1;
        }
    }

    /// A limit is raised at least 30 s after it was changed, by no less than 5 %, and turns at most twice in ten minutes; all GPUs
    /// of a job are told the same.
    fn check_changes(&mut self, tick: u64, turn: &Turn) {
        let (now, at) = (time(tick), self.say(tick));
        let live: BTreeSet<JobId> = turn.jobs.iter().map(|job| job.job).collect();
        self.changes.retain(|id, _| live.contains(id));
        for job in &turn.jobs {
            let known =
                self.changes.entry(job.job).or_insert(Changes { last: None, turns: Vec::new(), limit: job.limit });
            if job.limit == known.limit {
                continue;
            }
            self.tally.changes += 1;
            let up = job.limit > known.limit;
            if let Some((last, was_up)) = known.last {
                let due = up || matches!(job.because, Because::Reused);
                assert!(!due || now >= last + Duration::from_secs(30), "{at}: {job:?} changed at {last:?}");
                assert!(
                    !up || (job.limit.0 - known.limit.0) * 20 + 20_000 > known.limit.0,
                    "{at}: {job:?} raised from {}",
                    known.limit.0
                );
                if up != was_up {
                    known.turns.retain(|turn| now < *turn + Duration::from_secs(600));
                    known.turns.push(now);
                    assert!(known.turns.len() <= 2, "{at}: {job:?} turned at {:?}", known.turns);
                }
            }
            (known.last, known.limit) = (Some((now, up)), job.limit);
        }
    }

    /// Limits that are really in force: each within what is reserved for it, and together within the budget, but for what is said
    /// on [`Tally`].
    fn check_limits(&mut self, tick: u64) {
        let reserved = self.reserved();
        let mut unknown = false;
        for (device, reserved) in self.plant.devices.iter().zip(&reserved) {
            unknown |= device.unknown.is_some();
            assert!(
                device.limit <= *reserved || device.unknown.is_some(),
                "{}: {} is at {} mW, {reserved} are reserved",
                self.say(tick),
                device.board.gpu,
                device.limit
            );
        }
        if self.plant.raised == Some(tick) {
            self.open = Some((Over::Unordered, tick));
        }
        if !self.plant.is_calm(tick) || self.plant.away.iter().any(|until| *until > tick) {
            self.clear_since = tick;
        }
        let total = self.plant.in_force();
        if total <= self.budget {
            if let Some((_, since)) = self.open
                && self.turn.committed.0 <= self.budget
                && !unknown
                && tick > since + TICKS
            {
                self.open = None;
            }
            return;
        }
        if self.turn.short > Watts::ZERO {
            self.tally.over_short += 1;
            self.open = self.open.or(Some((Over::Cut, tick))).map(|(why, _)| (why, tick));
            return;
        }
        let Some((why, since)) = self.open else {
            panic!("{}: {total} in force of {}, and nothing happened", self.say(tick), self.budget);
        };
        match why {
            Over::Cut => self.tally.over_cut += 1,
            Over::Unordered => self.tally.over_unordered += 1,
        }
        // A storm, or a node that is away, may hold orders and news back; then it begins to count when that is over.
        let since = since.max(self.clear_since).max(self.begun);
        self.tally.longest = self.tally.longest.max(tick - since);
        assert!(
            tick - since <= REACT,
            "{}: {total} in force of {} for {:?} after {why:?}; unknown {unknown}, {:?}",
            self.say(tick),
            self.budget,
            TICK * u32::try_from(tick - since).expect("small"),
            self.turn
        );
    }
}
