//! Things that draw power and can say how much. Vendor words stay in the files below.

mod cap;
pub mod nvml;
pub mod rapl;
pub mod sensor;
pub mod simulated;

pub use cap::{Cap, CapRange, CapState, Uncapped};
use neap_model::fleet::Source;
use neap_model::units::{Joules, Watts};
use std::time::Duration;

/// Why a reading is missing.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// A counter could not be read.
    #[error("cannot read {what}")]
    Read {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A counter did not say a number.
    #[error("{what} says `{found}`, which is no number")]
    Nonsense {
        /// Which.
        what: String,
        /// What it says.
        found: String,
    },
    /// It takes no limit.
    #[error("{what} takes no limit: {why}")]
    Uncapped {
        /// Which.
        what: String,
        /// Why.
        #[source]
        why: Uncapped,
    },
    /// The driver took a limit and does not hold it.
    #[error("{what} was asked for a limit of {asked} and says {says}")]
    NotTaken {
        /// Which.
        what: String,
        /// What was asked.
        asked: Watts,
        /// What is in force now.
        says: Watts,
    },
    /// A limit outside of what the board takes.
    #[error("the driver refused a cap of {asked} for {what} (it allows {least} to {most})")]
    OutOfRange {
        /// Which.
        what: String,
        /// What was asked.
        asked: Watts,
        /// Lowest limit.
        least: Watts,
        /// Highest limit.
        most: Watts,
    },
    /// The driver refused, or did not answer in time.
    #[error("{what}: {why}")]
    Driver {
        /// Which device.
        what: String,
        /// In the driver's words.
        why: String,
    },
}

/// Energy so far, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Energy since the domain was opened.
    pub energy: Joules,
    /// When, since boot.
    pub at: Duration,
    /// What measured it.
    pub source: Source,
    /// Power now, where that is known.
    pub watts_now: Option<Watts>,
    /// How often the counter behind it started anew.
    pub segment: u32,
}

/// Something that draws power and may be told to draw less.
pub trait PowerDomain: Send {
    /// Energy used since the domain was opened. Never falls, never jumps, never invented.
    ///
    /// # Errors
    /// [`DomainError`] if it cannot be read now; a later reading covers the time between.
    fn energy(&mut self) -> Result<Reading, DomainError>;

    /// What is in force now: read from the device, not remembered.
    ///
    /// # Errors
    /// [`DomainError`] if the device does not say.
    fn cap(&mut self) -> Result<CapState, DomainError>;

    /// What may be asked for, and if nothing may, why not.
    fn cap_range(&self) -> CapRange;

    /// Asks, then reads back: the answer is what the device says, and `enforced` may be tighter than what was asked.
    ///
    /// # Errors
    /// [`DomainError`] if it may not be set, was refused, or was said to be set and is not.
    fn set_cap(&mut self, cap: Cap) -> Result<CapState, DomainError>;
}

/// A counter that wraps, as a sum that does not: raw steps in, whole millijoules out, the remainder carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwrapped {
    last: Option<u64>,
    /// Steps beyond the last whole millijoule.
    rest: u64,
    total: u64,
}

impl Unwrapped {
    /// Takes a reading of a counter in microjoules that goes back to zero behind `range`.
    pub fn microjoules(&mut self, reading: u64, range: u64) -> Joules {
        if let Some(last) = self.last.replace(reading) {
            let steps = if reading >= last {
                reading - last
            } else {
                range.saturating_sub(last).saturating_add(reading) + u64::from(range > 0)
            };
            let all = self.rest.saturating_add(steps);
            self.total = self.total.saturating_add(all / 1_000);
            self.rest = all % 1_000;
        }
        Joules(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrap_loses_nothing() {
        let mut counter = Unwrapped::default();
        assert_eq!(counter.microjoules(900_000, 999_999), Joules(0));
        assert_eq!(counter.microjoules(950_000, 999_999), Joules(50));
        // 50,000 to the end of the range and one step to zero, then 10,000.
        assert_eq!(counter.microjoules(10_000, 999_999), Joules(110));
    }

    proptest! {
        #[test]
        fn however_often_it_is_read_the_sum_is_the_same(steps in proptest::collection::vec(0u64..400_000, 1..60)) {
            let range = 999_999;
            let (mut counter, mut position, mut all) = (Unwrapped::default(), 0u64, 0u64);
            counter.microjoules(0, range);
            let mut seen = Joules(0);
            for step in steps {
                position = (position + step) % (range + 1);
                all += step;
                let now = counter.microjoules(position, range);
                prop_assert!(now >= seen);
                seen = now;
            }
            prop_assert_eq!(seen, Joules(all / 1_000));
        }
    }
}
