//! How large a predicted saving must be before a job is held for it: forecasts err, and a wait for nothing is a cost.
//!
//! Half the error of the day ahead as it was measured lately, between 2 % and 10 %; 5 % until it was measured for two weeks.
//! Where only the usual shape of a day is known, twice as much; where only a yearly mean is, nothing is held.

use neap_model::grid::Grade;
use neap_model::units::Percent;

/// The least saving that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Hold for at least this saving.
    AtLeast(Percent),
    /// Hold for nothing.
    Never,
}

impl Guard {
    /// Of a plan that rests on values of this grade at worst. `error` is the mean absolute error of the day ahead as a share
    /// of the truth, and over how many days it was measured.
    #[must_use]
    pub fn of(grade: Grade, error: Option<(f64, u32)>) -> Self {
        let usual = match error {
            Some((share, days)) if days >= 14 && share.is_finite() => (share / 2.0).clamp(0.02, 0.10),
            _ => 0.05,
        };
        let share = match grade {
            Grade::Static => return Self::Never,
            Grade::Climatology => usual * 2.0,
            Grade::Measured | Grade::Estimated | Grade::Forecast => usual,
        };
        Self::AtLeast(Percent((share * 100_000.0).round() as u32))
    }
}
