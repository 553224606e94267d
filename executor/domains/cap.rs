//! What a domain may be told: a power limit and a ceiling of its clock, together a cap.

use neap_model::units::{Megahertz, Watts};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What is asked for; `None` leaves it as it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// Power limit.
    pub limit: Option<Watts>,
    /// Highest core clock.
    pub clock_ceiling: Option<Megahertz>,
}

/// What is in force, read from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapState {
    /// The limit somebody asked for last. Ownership goes by this.
    pub requested: Watts,
    /// The limit in force: something else may hold a tighter one. Budgets go by this.
    pub enforced: Watts,
    /// The ceiling this process set. The driver has no call that reads a lock back.
    pub clock_ceiling: Option<Megahertz>,
    /// How long the limit has held the clocks down since the driver was loaded; zero where the driver does not say.
    pub bound_for: Duration,
}

/// Why nothing may be asked of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncapped {
    /// Setting needs rights this process does not have.
    #[error("no permission to set limits on this node")]
    NoPermission,
    /// The device has no such limit.
    #[error("the device supports no limit")]
    NotSupported,
}

/// What may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapRange {
    /// Power limits.
    pub limit: Option<RangeInclusive<Watts>>,
    /// Clock ceilings.
    pub clocks: Option<RangeInclusive<Megahertz>>,
    /// Why nothing, if nothing.
    pub because: Option<Uncapped>,
}
