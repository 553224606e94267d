//! What a GPU draws with nothing to do: the lowest mean of 30 s seen without a compute process. Pure.

use neap_model::units::{Joules, Watts};
use std::time::Duration;

/// Length of a mean.
const LONG: Duration = Duration::from_secs(30);

/// Watches one GPU for idle stretches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    since: Option<(Duration, Joules)>,
    lowest: Option<Watts>,
}

impl Idle {
    /// Takes the energy so far and whether a compute process is there.
    pub fn take(&mut self, at: Duration, energy: Joules, busy: bool) {
        let Some((began, before)) = self.since.filter(|_| !busy) else {
            self.since = (!busy).then_some((at, energy));
            return;
        };
        let time = at.saturating_sub(began);
        if time < LONG {
            return;
        }
        let used = u128::from(energy.saturating_sub(before).0) * 1_000_000;
        let mean = Watts(u64::try_from(used / time.as_micros().max(1)).unwrap_or(u64::MAX));
        // No board that is on draws nothing: such a mean comes from a counter that stood still.
        if mean.0 > 0 {
            self.lowest = Some(self.lowest.map_or(mean, |lowest| lowest.min(mean)));
        }
        self.since = Some((at, energy));
    }

    /// The baseline; `None` until a whole idle stretch was seen.
    #[must_use]
    pub const fn watts(&self) -> Option<Watts> {
        self.lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_idle_stretch_counts_and_a_process_breaks_it() {
        let mut idle = Idle::default();
        let mut energy = 0;
        for second in 0..100 {
            let busy = (40..60).contains(&second);
            idle.take(Duration::from_secs(second), Joules(energy), busy);
            energy += if busy { 300_000 } else { 31_000 + second * 10 };
        }
        assert_eq!(idle.watts(), Some(Watts(31_145)));
    }
}
