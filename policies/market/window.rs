//! A task's window cut by slots: whole slots and what is covered of the first and the last.

use super::{Market, Task};

/// Hours shorter than that are none.
pub(super) const NOTHING: f64 = 1e-12;

/// Hours of `[from, until)` within a slot.
pub(super) fn overlap(from: f64, until: f64, slot: usize, slot_hours: f64) -> f64 {
    let (begin, end) = (slot as f64 * slot_hours, (slot + 1) as f64 * slot_hours);
    let hours = end.min(until) - begin.max(from);
    if hours > NOTHING { hours } else { 0.0 }
}

/// Number of slots.
pub(super) fn slots(market: &Market) -> usize {
    market.pools.first().map_or(0, |pool| pool.capacity.len())
}

/// Slots that `[from, until)` touches, within the horizon.
pub(super) fn touched(from: f64, until: f64, slot_hours: f64, slots: usize) -> std::ops::Range<usize> {
    let first = ((from / slot_hours).floor().max(0.0) as usize).min(slots);
    let end = ((until / slot_hours).ceil().max(0.0) as usize).min(slots);
    first..end.max(first)
}

/// The window of a task in time: whole slots `[from, until)` and up to two covered in part, as (slot, hours).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub from: usize,
    pub until: usize,
    pub parts: [(usize, f64); 2],
}

impl Window {
    /// Of a task, in time.
    pub(super) fn of(task: &Task, slot_hours: f64, slots: usize) -> Self {
        let touched = touched(task.release, task.due, slot_hours, slots);
        let (mut from, mut until) = (touched.start, touched.end);
        let mut parts = [(0, 0.0); 2];
        let covered = |slot| overlap(task.release, task.due, slot, slot_hours);
        if from < until && covered(from) < slot_hours {
            parts[0] = (from, covered(from));
            from += 1;
        }
        if from < until && covered(until - 1) < slot_hours {
            parts[1] = (until - 1, covered(until - 1));
            until -= 1;
        }
        Self { from, until, parts }
    }

    /// Hours in it.
    pub(super) fn hours(&self, slot_hours: f64) -> f64 {
        (self.until - self.from) as f64 * slot_hours + self.parts[0].1 + self.parts[1].1
    }
}
