//! Whole GPUs that are free over time, by pool and slot, exact to the microsecond.

use super::HOUR;
use crate::market::Market;

/// GPUs of a place without limit; far above all widths together.
const ENDLESS: f64 = 1e12;

/// So many GPUs from an instant to the next one of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    at: i64,
    free: i64,
}

/// A stretch of one slot in which the same GPUs are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: i64,
    pub until: i64,
    pub free: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Room {
    pub slot: i64,
    pub slots: usize,
    pools: usize,
    /// By slot and pool: edges rising, the first at the slot's beginning.
    cells: Vec<Vec<Edge>>,
}

impl Room {
    /// All whole GPUs of a market.
    pub(super) fn all(market: &Market) -> Self {
        let slot = (market.slot_hours * HOUR).round() as i64;
        let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
        let cell = |index: usize| {
            let (n, pool) = (index / market.pools.len(), index % market.pools.len());
            let free = (market.pools[pool].capacity[n] + 1e-9).floor().clamp(0.0, ENDLESS) as i64;
            vec![Edge { at: n as i64 * slot, free }]
        };
        let pools = market.pools.len();
        Self { slot, slots, pools, cells: (0..slots * pools).map(cell).collect() }
    }

    /// What is free in a slot of a pool, in the order of time.
    pub(super) fn spans(&self, slot: usize, pool: usize) -> impl Iterator<Item = Span> + '_ {
        let cell = &self.cells[slot * self.pools + pool];
        let end = (slot as i64 + 1) * self.slot;
        let ends = cell.iter().skip(1).map(|edge| edge.at).chain(std::iter::once(end));
        cell.iter().zip(ends).map(|(edge, until)| Span { from: edge.at, until, free: edge.free })
    }

    /// Takes GPUs of a pool for a time, or gives them back if `gpus` is negative.
    pub(super) fn take(&mut self, pool: usize, from: i64, until: i64, gpus: i64) {
        let mut begin = from;
        while begin < until {
            let slot = (begin / self.slot) as usize;
            let end = until.min((slot as i64 + 1) * self.slot);
            take(&mut self.cells[slot * self.pools + pool], (slot as i64 + 1) * self.slot, begin, end, gpus);
            begin = end;
        }
    }
}

fn take(cell: &mut Vec<Edge>, slot_end: i64, from: i64, until: i64, gpus: i64) {
    let first = split(cell, from);
    let last = if until < slot_end { split(cell, until) } else { cell.len() };
    for edge in &mut cell[first..last] {
        edge.free -= gpus;
    }
    if last < cell.len() && cell[last].free == cell[last - 1].free {
        cell.remove(last);
    }
    if first > 0 && cell[first].free == cell[first - 1].free {
        cell.remove(first);
    }
}

/// The index of the edge there, made if there is none.
fn split(cell: &mut Vec<Edge>, at: i64) -> usize {
    let index = cell.partition_point(|edge| edge.at < at);
    if cell.get(index).is_none_or(|edge| edge.at != at) {
        let free = cell[index - 1].free;
        cell.insert(index, Edge { at, free });
    }
    index
}
