//! What does not change while a market is solved: which points a class may use where, the sections of a task's window,
//! and what a schedule costs.

use crate::market::{Class, Market, Mode, Point, Share, Task};

/// Work left undone by less than this share of the job counts as done.
const DUST: f64 = 1e-9;

/// One way to run in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub pool: usize,
    pub point: usize,
}

/// A class, prepared.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// Sets of ways of which a job must choose one: all together if it may move freely, else one set a pool.
    /// Each is sorted by speed.
    pub choices: Vec<Vec<Way>>,
    /// What an hour of work at the reference costs if it finds no place before the last slot ends, in grams: it is done
    /// behind it, late, with the market's dearest energy.
    pub unplaced: f64,
    /// Most GPUs at a time.
    pub widest: f64,
}

/// A stretch of a slot within a task's window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Section {
    pub slot: usize,
    pub hours: f64,
    /// Behind the due time.
    pub late: bool,
    /// Its beginning, in hours from slot 0.
    pub begin: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Ground<'m> {
    pub market: &'m Market,
    pub slots: usize,
    pub kinds: Vec<Kind>,
}

/// What a schedule comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bill {
    /// Energy, waiting, late and unplaced work, in grams.
    pub cost: f64,
    /// GPU-hours behind the due time, unplaced ones included.
    pub late_gpu_hours: f64,
}

impl<'m> Ground<'m> {
    pub fn new(market: &'m Market) -> Self {
        let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
        let dearest = market.pools.iter().flat_map(|pool| &pool.grams_per_kwh).copied().fold(0.0, f64::max);
        let kind = |class: &Class| {
            let sorted = |pools: &[usize]| {
                let points = 0..class.points.len();
                let mut ways: Vec<Way> =
                    pools.iter().flat_map(|&pool| points.clone().map(move |point| Way { pool, point })).collect();
                ways.sort_by(|a, b| class.points[a.point].speed.total_cmp(&class.points[b.point].speed));
                ways
            };
            let choices = if class.stays {
                class.pools.iter().map(|pool| sorted(&[*pool])).collect()
            } else {
                vec![sorted(&class.pools)]
            };
            let behind = |point: &Point| (point.kw * dearest + point.gpus * market.late) / point.speed;
            let unplaced = class.points.iter().filter(|p| p.speed > 0.0).map(behind).fold(f64::INFINITY, f64::min);
            let unplaced = if unplaced.is_finite() { unplaced } else { 0.0 };
            let widest = class.points.iter().map(|point| point.gpus).fold(0.0, f64::max);
            Kind { choices, unplaced, widest }
        };
        Self { market, slots, kinds: market.classes.iter().map(kind).collect() }
    }

    /// Whether this solver places the task.
    pub fn takes(&self, task: usize) -> bool {
        let task = &self.market.tasks[task];
        self.market.classes[task.class].mode == Mode::Interruptible && task.hours > 0.0
    }

    /// What an hour at a way costs, in grams, the price of a GPU-hour given.
    pub fn cost(&self, class: usize, way: Way, slot: usize, price: f64, late: bool) -> f64 {
        let point = &self.market.classes[class].points[way.point];
        let surcharge = if late { self.market.late } else { 0.0 };
        point.kw * self.market.pools[way.pool].grams_per_kwh[slot] + point.gpus * (price + surcharge)
    }

    /// The sections of the task's window up to the horizon, in order of time; late ones at the end.
    pub fn sections(&self, task: &Task) -> Vec<Section> {
        let h = self.market.slot_hours;
        let mut found = Vec::new();
        for late in [false, true] {
            let (from, until) =
                if late { (task.due.max(task.release), f64::INFINITY) } else { (task.release, task.due) };
            let first = (from.max(0.0) / h).floor() as usize;
            for slot in first..self.slots {
                let (begin, end) = ((slot as f64 * h).max(from), ((slot + 1) as f64 * h).min(until));
                if begin >= until {
                    break;
                }
                if end > begin {
                    found.push(Section { slot, hours: end - begin, late, begin });
                }
            }
        }
        found
    }

    /// What the shares of a task come to. Within the slot of the due time the first hours count as in time. A run ends so
    /// long after the beginning of its last slot, or after its release there, as it runs in it.
    pub fn bill(&self, task: &Task, shares: &[Share]) -> Bill {
        let (class, h) = (&self.market.classes[task.class], self.market.slot_hours);
        let (mut bill, mut work, mut end) = (Bill::default(), 0.0, task.release);
        for in_slot in shares.chunk_by(|a, b| a.slot == b.slot) {
            let slot = in_slot[0].slot;
            let begin = (slot as f64 * h).max(task.release);
            let mut in_time = (((slot + 1) as f64 * h).min(task.due) - begin).max(0.0);
            end = begin;
            for share in in_slot {
                let point = &class.points[share.point];
                let late = share.hours - share.hours.min(in_time);
                // What rounding pushes over the edge is not late.
                let late = if late <= DUST * h { 0.0 } else { late };
                in_time = (in_time - share.hours).max(0.0);
                end += share.hours;
                work += share.hours * point.speed;
                bill.cost += share.hours * point.kw * self.market.pools[share.pool].grams_per_kwh[slot];
                bill.cost += late * point.gpus * self.market.late;
                bill.late_gpu_hours += late * point.gpus;
            }
        }
        let missing = task.hours - work;
        if let Some(first) = class.points.first()
            && missing > DUST * task.hours
        {
            bill.cost += missing * self.kinds[task.class].unplaced;
            bill.late_gpu_hours += missing * first.gpus / first.speed;
            end = (self.slots as f64 * h).max(task.release) + missing / first.speed;
        }
        bill.cost += task.waiting * (end - task.release);
        bill
    }
}
