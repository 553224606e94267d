//! Things that draw power and can say how much. Vendor words stay in the files below.

pub mod nvml;
pub mod rapl;

use neap_model::units::Joules;

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
    /// The driver refused, or did not answer in time.
    #[error("{what}: {why}")]
    Driver {
        /// Which device.
        what: String,
        /// In the driver's words.
        why: String,
    },
}

/// Something that draws power. The verbs that tell it to draw less join it with the caps.
pub trait PowerDomain: Send {
    /// Energy used since the domain was opened. Never falls, never jumps, never invented.
    ///
    /// # Errors
    /// [`DomainError`] if it cannot be read now; a later reading covers the time between.
    fn energy(&mut self) -> Result<Joules, DomainError>;
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

    /// Takes a reading of a counter in millijoules that starts anew when its driver is loaded again: a fall is the
    /// beginning of a new life, and what was used before it in this interval is not known.
    pub fn millijoules(&mut self, reading: u64) -> Joules {
        if let Some(last) = self.last.replace(reading) {
            self.total = self.total.saturating_add(if reading >= last { reading - last } else { reading });
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

    #[test]
    fn a_reset_is_no_negative_energy() {
        let mut counter = Unwrapped::default();
        counter.millijoules(5_000);
        assert_eq!(counter.millijoules(6_000), Joules(1_000));
        assert_eq!(counter.millijoules(200), Joules(1_200));
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
