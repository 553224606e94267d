//! One job among others: its cheapest start in the room that is left, at any prices, exact to the millisecond.

use super::bound::Cells;
use super::room::Room;
use crate::replay::{Case, Place, TraceJob};

/// A job in whole milliseconds, its window rounded inwards and its length up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) earliest: i64,
    /// The latest start in the window; before `earliest` if the window is gone.
    pub(super) latest: i64,
    pub(super) length: i64,
    pub(super) gpus: i64,
    home: usize,
}

impl Work {
    /// A job that cannot start before `now`. A window in whole milliseconds stays as it is.
    pub(super) fn new(job: &TraceJob, now: f64) -> Self {
        let up = |seconds: f64| (seconds * 1000.0 - 1e-3).ceil() as i64;
        let latest = ((job.arrival + job.slack) * 1000.0 + 1e-3).floor() as i64;
        Self {
            earliest: up(job.arrival.max(now)),
            latest: latest.max(up(job.arrival)),
            length: up(job.length),
            gpus: job.width.ceil() as i64,
            home: job.home,
        }
    }

    /// How much longer its window is than its run: the less, the tighter.
    pub(super) fn freedom(&self) -> f64 {
        (self.latest - self.earliest) as f64 / self.length.max(1) as f64
    }

    /// The places it may use, its home first.
    fn places(&self, count: usize, anywhere: bool) -> impl Iterator<Item = usize> + use<> {
        let home = self.home;
        std::iter::once(home).chain((0..count).filter(move |&place| anywhere && place != home))
    }
}

/// Where a job runs and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spot {
    pub(super) place: usize,
    /// Its start, in milliseconds.
    pub(super) at: i64,
    /// In grams.
    pub(super) cost: f64,
}

/// What a GPU has cost up to each instant in a place: energy, and a share of the price of room.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    start: i64,
    cell: i64,
    /// Grams for one GPU up to the beginning of each cell.
    before: Vec<f64>,
    /// Grams for one GPU a millisecond, by cell.
    rate: Vec<f64>,
}

impl Ground {
    pub(super) fn new(case: &Case, place: &Place, prices: &Cells, share: f64) -> Self {
        let mut sum = 0.0;
        let (mut before, mut rate) = (vec![], vec![]);
        for (index, price) in prices.values.iter().enumerate() {
            let from = prices.start + index as f64 * prices.cell;
            let energy = case.kw_per_gpu * place.pue * place.curve.integral(from, from + prices.cell);
            let cost = energy + share * price * prices.hours();
            before.push(sum);
            rate.push(cost / (prices.cell * 1000.0));
            sum += cost;
        }
        let milliseconds = |seconds: f64| (seconds * 1000.0).round() as i64;
        Self { start: milliseconds(prices.start), cell: milliseconds(prices.cell).max(1), before, rate }
    }

    fn up_to(&self, at: i64) -> f64 {
        let into = at - self.start;
        let index = ((into / self.cell).max(0) as usize).min(self.rate.len() - 1);
        self.before[index] + self.rate[index] * (into - index as i64 * self.cell) as f64
    }

    /// The first edge behind an instant.
    fn edge_behind(&self, at: i64) -> i64 {
        self.start + ((at - self.start).div_euclid(self.cell) + 1) * self.cell
    }
}

/// The place and start within its window that cost a job least in the room that is left; the first found of equals.
pub(super) fn cheapest(
    rooms: &[Room],
    grounds: &[Ground],
    work: &Work,
    anywhere: bool,
    waiting: f64,
) -> Option<(usize, i64)> {
    let mut best: Option<(f64, usize, i64)> = None;
    let (gpus, waiting) = (work.gpus as f64, waiting / 3.6e6);
    for place in work.places(rooms.len(), anywhere) {
        let ground = &grounds[place];
        let mut offer = |at: i64| {
            let cost =
                gpus * (ground.up_to(at + work.length) - ground.up_to(at)) + waiting * (at - work.earliest) as f64;
            if best.is_none_or(|(least, _, _)| cost < least) {
                best = Some((cost, place, at));
            }
        };
        rooms[place].starts((work.earliest, work.latest), work.length, work.gpus, |first, last| {
            offer(first);
            for offset in [0, work.length] {
                let mut edge = ground.edge_behind(first + offset) - offset;
                while edge < last {
                    offer(edge);
                    edge += ground.cell;
                }
            }
            if last > first {
                offer(last);
            }
            true
        });
    }
    best.map(|(_, place, at)| (place, at))
}

/// The place and start at which room first appears behind the window of a job.
pub(super) fn earliest(rooms: &[Room], work: &Work, anywhere: bool) -> Option<(usize, i64)> {
    let mut best: Option<(usize, i64)> = None;
    for place in work.places(rooms.len(), anywhere) {
        let from = work.earliest.max(work.latest);
        rooms[place].starts((from, i64::MAX / 4), work.length, work.gpus, |first, _| {
            if best.is_none_or(|(_, at)| first < at) {
                best = Some((place, first));
            }
            false
        });
    }
    best
}
