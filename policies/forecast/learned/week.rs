//! What the hours of the week do: how each differs from the same hour of the seven days before it, as a share of the level.
//! Found from the hours alone, so it follows the zone's own calendar without knowing its time zone.

use super::super::damp::DAY;

/// Hours in a week.
pub(super) const WEEK: usize = 7 * DAY;
/// Weeks after which an hour counts half.
const HALF_LIFE: f64 = 40.0;
/// Weeks without any difference that are imagined before the first.
const CALM: f64 = 4.0;
/// Hours of history that come before the first hour that is looked at.
const AFTER: usize = 35 * DAY;
/// Hours that the level is a mean of.
const LEVEL: usize = 28 * DAY;

/// Profiles of the week, as they were known on each day of the past.
pub(super) struct Week {
    /// By days before the end of the history, and by hour counted from the beginning of the history.
    profiles: Vec<[f64; WEEK]>,
}

impl Week {
    /// Of hours as they were and without holes.
    pub fn of(raw: &[f64], hours: &[f64]) -> Self {
        let end = hours.len();
        let mut profiles = vec![[0.0; WEEK]; end / DAY + 1];
        let (mut sums, mut counts, mut level) = ([0.0; WEEK], [0.0; WEEK], 1.0f64);
        let fade = 0.5f64.powf(1.0 / HALF_LIFE);
        for at in AFTER..end {
            // An hour early, so that an issue an hour before its day's does not see itself either.
            if (end - 1 - at).is_multiple_of(DAY) || at == AFTER {
                level = (hours[at - LEVEL..at].iter().sum::<f64>() / LEVEL as f64).max(1.0);
                let profile = &mut profiles[(end - 1 - at) / DAY];
                for (value, (sum, count)) in profile.iter_mut().zip(sums.iter().zip(&counts)) {
                    *value = sum / (count + CALM);
                }
            }
            if !raw[at].is_nan() {
                let mean = (1..=7).map(|day| hours[at - DAY * day]).sum::<f64>() / 7.0;
                let of = at % WEEK;
                sums[of] = sums[of] * fade + (hours[at] - mean) / level;
                counts[of] = counts[of] * fade + 1.0;
            }
        }
        Self { profiles }
    }

    /// As it was known so many days before the end of the history, less an hour.
    pub fn as_of(&self, days: usize) -> &[f64; WEEK] {
        &self.profiles[days]
    }
}
