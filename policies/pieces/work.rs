//! A task in whole microseconds and GPUs.

use super::HOUR;
use crate::market::{Market, Task};

#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub class: usize,
    pub gpus: i64,
    pub release: i64,
    /// Done by then; never earlier than a run without a pause would end.
    pub due: i64,
    /// How long it runs.
    pub length: i64,
    /// What an hour between release and end costs, in grams.
    pub waiting: f64,
}

impl Work {
    pub(super) fn of(market: &Market, task: &Task) -> Self {
        let point = market.classes[task.class].points[0];
        let instant = |hours: f64| (hours * HOUR).round() as i64;
        let (release, length) = (instant(task.release.max(0.0)), instant(task.hours.max(0.0) / point.speed));
        let due = instant(task.due);
        // Rounding must not make a window too short.
        let due = if (due - release - length).abs() <= 2 { release + length } else { due };
        let gpus = (point.gpus - 1e-9).ceil().max(0.0) as i64;
        Self { class: task.class, gpus, release, due, length, waiting: task.waiting }
    }

    /// How much longer its window is than its run: the less, the tighter.
    pub(super) fn freedom(&self) -> f64 {
        (self.due - self.release - self.length) as f64 / self.length.max(1) as f64
    }
}
