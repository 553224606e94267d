//! What is read of a GPU, and the sums that come of it.

use neap_model::units::{Joules, Watts};
use std::time::Duration;

/// A reading of one GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, since boot.
    pub at: Duration,
    /// Energy counter.
    pub counter: Option<Joules>,
    /// Power now.
    pub power: Option<Watts>,
    /// How long a limit has held its clocks down since the driver was loaded.
    pub bound: Option<Duration>,
}

/// Sums since the track began. Two of them subtract to what lies between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Energy the counter counted.
    pub counted: Joules,
    /// Energy from power readings where the counter does not say.
    pub integrated: Joules,
    /// Energy filled in where nothing says.
    pub estimated: Joules,
    /// Counter energy over the time in which both counter and integral are known, and the integral there.
    pub compared: (Joules, Joules),
    /// Time.
    pub window: Duration,
    /// Time in which plausible readings were at most 300 ms apart.
    pub covered: Duration,
    /// Time that neither counter nor power readings span.
    pub gap: Duration,
    /// How much more the gaps could have held: (highest power − mean power) × gap.
    pub spread: Joules,
    /// Times the counter started anew.
    pub segments: u32,
    /// Readings that cannot be true.
    pub implausible: u32,
}

impl Tally {
    /// All energy.
    #[must_use]
    pub fn energy(&self) -> Joules {
        self.counted + self.integrated + self.estimated
    }

    /// What came since an earlier tally of the same track.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            counted: self.counted.saturating_sub(before.counted),
            integrated: self.integrated.saturating_sub(before.integrated),
            estimated: self.estimated.saturating_sub(before.estimated),
            compared: (
                self.compared.0.saturating_sub(before.compared.0),
                self.compared.1.saturating_sub(before.compared.1),
            ),
            window: self.window.saturating_sub(before.window),
            covered: self.covered.saturating_sub(before.covered),
            gap: self.gap.saturating_sub(before.gap),
            spread: self.spread.saturating_sub(before.spread),
            segments: self.segments - before.segments.min(self.segments),
            implausible: self.implausible - before.implausible.min(self.implausible),
        }
    }
}
