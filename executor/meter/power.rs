//! What each attempt drew on average between two readings, where meters saw all of that time. Pure.
//!
//! Every board is divided by its own time between readings, the rest by the time between the readings themselves. A hole, a
//! filled-in figure or two readings that lie too close leave that interval out: it counts for no mean and no maximum.

use super::share::Parted;
use super::track::Tally;
use crate::clock::millis;
use neap_model::fleet::Component;
use neap_model::job::AttemptId;
use neap_model::ledger::Part;
use neap_model::units::{Joules, Watts};
use std::collections::BTreeMap;
use std::time::Duration;

/// Readings that are closer say little: a counter's step is up to a tenth of a second.
const LEAST_MS: u64 = 500;

/// Mean power of attempts between two readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// The time between them.
    pub time: Duration,
    by_attempt: BTreeMap<AttemptId, Option<Watts>>,
}

/// Millijoules a millisecond are watts.
fn over(energy: Joules, ms: u64) -> Watts {
    Watts(energy.0.saturating_mul(1_000) / ms.max(1))
}

/// Mean power of a span that was metered without a hole and is long beside the steps of a counter.
#[must_use]
pub fn mean(energy: Joules, tally: &Tally) -> Option<Watts> {
    let ms = millis(tally.window);
    let metered = tally.gap.is_zero() && tally.estimated == Joules::ZERO && ms >= LEAST_MS;
    metered.then(|| over(energy, ms))
}

impl Draws {
    /// What of a board's energy went to whom.
    pub(super) fn board(&mut self, tally: &Tally, parted: &Parted) {
        for (holder, _) in &parted.metering {
            let of = parted.holders.iter().filter(|(who, ..)| who == holder);
            let drawn = mean(of.map(|(_, _, energy)| *energy).sum(), tally);
            let known = self.by_attempt.entry(*holder).or_insert(Some(Watts::ZERO));
            *known = known.zip(drawn).map(|(known, drawn)| known + drawn);
        }
    }

    /// What else went to whom between the two readings. `whole`: meters left nothing of it to the next reading, nor took
    /// anything over from the last.
    pub fn rest(&mut self, attempts: &BTreeMap<AttemptId, Vec<Part>>, time: Duration, whole: bool) {
        self.time = time;
        let ms = millis(time);
        for (attempt, parts) in attempts {
            let energy = parts.iter().filter(|part| part.component != Component::Gpu).map(|part| part.energy).sum();
            let known = self.by_attempt.entry(*attempt).or_insert(Some(Watts::ZERO));
            *known = known.filter(|_| whole && ms >= LEAST_MS).map(|known| known + over(energy, ms));
        }
    }

    /// What an attempt drew; `None`: that is not known.
    #[must_use]
    pub fn of(&self, attempt: AttemptId) -> Option<Watts> {
        self.by_attempt.get(&attempt).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::share::GpuUse;
    use crate::meter::{Holders, Interval, divide};
    use neap_model::job::{Epoch, JobId};

    const SECOND: Duration = Duration::from_secs(1);

    fn attempt() -> AttemptId {
        AttemptId { job: JobId(1), epoch: Epoch(1) }
    }

    /// An attempt on two boards, one of them read a little later, and 5 W of processors.
    fn drawn(second: Tally, time: Duration, whole: bool) -> Option<Watts> {
        let first = Tally { counted: Joules(300_000), window: SECOND, ..Tally::default() };
        let used = |tally| GpuUse { tally, ..GpuUse::default() };
        let gpus = [("a".to_owned(), used(first)), ("b".to_owned(), used(second))];
        let interval = Interval {
            busy_ms: 1_000,
            attempts: [(attempt(), 1_000)].into(),
            gpus: gpus.into(),
            ..Interval::default()
        };
        let holders: Holders = ["a", "b"].map(|uuid| (uuid.to_owned(), vec![attempt()])).into();
        let mut shares = divide(&interval, &holders, Watts::whole(5));
        shares.draws.rest(&shares.attempts, time, whole);
        shares.draws.of(attempt())
    }

    #[test]
    fn boards_are_divided_by_their_own_time_and_the_rest_by_that_of_the_readings() {
        let later = Tally { counted: Joules(220_000), window: SECOND * 11 / 10, ..Tally::default() };
        assert_eq!(drawn(later, SECOND, true), Some(Watts::whole(300 + 200 + 5)));
        assert_eq!(drawn(later, SECOND * 5, true), Some(Watts::whole(300 + 200 + 1)));
        // A board that used nothing counts for nothing, and does not hide the other one.
        assert_eq!(drawn(Tally { window: SECOND, ..Tally::default() }, SECOND, true), Some(Watts::whole(305)));
    }

    #[test]
    fn what_was_not_metered_all_the_time_counts_for_nothing() {
        let whole = Tally { counted: Joules(200_000), window: SECOND, ..Tally::default() };
        assert!(drawn(whole, SECOND, true).is_some());
        let hole = Tally { gap: SECOND / 2, ..whole };
        let filled = Tally { estimated: Joules(1), ..whole };
        let close = Tally { window: SECOND / 3, ..whole };
        for tally in [hole, filled, close] {
            assert_eq!(drawn(tally, SECOND, true), None, "{tally:?}");
        }
        assert_eq!(drawn(whole, SECOND / 3, true), None);
        assert_eq!(drawn(whole, SECOND, false), None, "processors were not read");
        assert_eq!(Draws::default().of(attempt()), None);
    }
}
