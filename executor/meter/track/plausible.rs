//! Power readings that cannot be true: nothing at all, far beyond the board, or frozen while the counter says otherwise.

use neap_model::units::{Joules, Watts};
use std::time::Duration;

/// So many equal readings in a row are looked at.
const FROZEN: u32 = 30;

#[derive(Clone, Debug)]
pub(super) struct Plausible {
    most: Watts,
    /// The reading that repeats, how often, and time and energy when it began.
    same: Option<(Watts, u32, Duration, Option<Joules>)>,
}

impl Plausible {
    pub(super) const fn new(most: Watts) -> Self {
        Self { most, same: None }
    }

    /// Whether a reading can be true; `energy` is what is known to have been used so far, where a counter says so. No board that answers draws nothing. A steady load reads the same for long: that
    /// alone says nothing, and only a counter that tells another mean power convicts it.
    pub(super) fn power(&mut self, power: Watts, energy: Option<Joules>, at: Duration) -> bool {
        if power.0 == 0 || (self.most.0 > 0 && power.0 > self.most.0 + self.most.0 / 2) {
            self.same = None;
            return false;
        }
        let (count, since, began) = match self.same {
            Some((before, count, since, began)) if before == power => (count + 1, since, began),
            _ => (1, at, energy),
        };
        self.same = Some((power, count, since, began));
        if count < FROZEN {
            return true;
        }
        let (Some(began), Some(energy)) = (began, energy) else {
            // Compared from here on, or not at all.
            self.same = Some((power, 1, at, energy));
            return true;
        };
        let meant = power * (at - since);
        let off = meant.0.abs_diff(energy.saturating_sub(began).0);
        // A tick at each end, and a tenth of the whole: boards' sensors and counters differ by that much.
        let allowed = meant.0 / 10 + (self.most * Duration::from_millis(200)).0;
        off <= allowed
    }
}
