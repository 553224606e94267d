//! How often a job's limit may change: raises 30 s apart and a bit drawn by lot, two turns of direction in ten minutes.

use std::collections::VecDeque;
use std::time::Duration;

/// A limit is not raised, nor lowered for somebody else's good, sooner after a change.
const APART: Duration = Duration::from_secs(30);
/// Most that is drawn on top, so that not all jobs rise at once.
const EXTRA: Duration = Duration::from_secs(10);
/// Turns are counted over
const WINDOW: Duration = Duration::from_secs(600);

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// The changes of one job.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    last: Option<(Duration, Way)>,
    turns: VecDeque<Duration>,
    changes: u64,
}

impl Pace {
    /// Whether a change that could wait may be made now. One that turns the direction needs ten minutes without a turn: then
    /// another one that cannot wait makes two.
    pub(super) fn allows(&self, way: Way, now: Duration, seed: u64) -> bool {
        let Some((at, before)) = self.last else { return true };
        let extra = EXTRA.mul_f64((mixed(seed ^ self.changes) >> 11) as f64 / (1u64 << 53) as f64);
        let turned = self.turns.iter().any(|turn| now < *turn + WINDOW);
        now >= at + APART + extra && (way == before || !turned)
    }

    /// A change was made.
    pub(super) fn change(&mut self, way: Way, now: Duration) {
        self.turns.retain(|turn| now < *turn + WINDOW);
        if self.last.is_some_and(|(_, before)| before != way) {
            self.turns.push_back(now);
        }
        self.last = Some((now, way));
        self.changes += 1;
    }

    /// Whether it never changed.
    pub(super) const fn is_fresh(&self) -> bool {
        self.last.is_none()
    }
}

/// The output step of `splitmix64`.
pub(super) const fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
