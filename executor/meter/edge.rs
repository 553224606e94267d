//! The beginning and the end of a job on its GPUs, aligned to a tick of each energy counter. Pure but for the clock it is
//! given.

use crate::clock::Clock;
use neap_model::units::Joules;
use std::time::Duration;

/// Between two looks.
const STEP: Duration = Duration::from_millis(5);
/// So many looks: longer than the slowest counter known.
const LOOKS: u32 = 30;

/// A counter at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What it said; `None`: it said nothing.
    pub counter: Option<Joules>,
    /// The instant it came to say so, since boot.
    pub at: Duration,
    /// How far that instant may be off.
    pub slack: Duration,
}

/// Waits for the counters of `count` devices to tick, all at the same time, and stamps the ticks; at most 150 ms.
pub fn edges(count: usize, mut read: impl FnMut(usize) -> Option<Joules>, clock: &dyn Clock) -> Vec<Edge> {
    let mut first = Vec::with_capacity(count);
    for n in 0..count {
        first.push((read(n), clock.now()));
    }
    let mut found: Vec<Option<Edge>> = first
        .iter()
        // Without a counter there is nothing to wait for.
        .map(|(value, at)| value.is_none().then_some(Edge { counter: None, at: *at, slack: Duration::ZERO }))
        .collect();
    let mut before: Vec<Duration> = first.iter().map(|(_, at)| *at).collect();
    for _ in 0..LOOKS {
        if found.iter().all(Option::is_some) {
            break;
        }
        clock.sleep(STEP);
        for n in 0..count {
            if found[n].is_some() {
                continue;
            }
            let (value, now) = (read(n), clock.now());
            if value != first[n].0 && value.is_some() {
                let slack = now.saturating_sub(before[n]);
                found[n] = Some(Edge { counter: value, at: before[n] + slack / 2, slack });
            }
            before[n] = now;
        }
    }
    let unaligned = |n: usize| Edge { counter: first[n].0, at: first[n].1, slack: STEP * LOOKS };
    found.into_iter().enumerate().map(|(n, edge)| edge.unwrap_or_else(|| unaligned(n))).collect()
}
