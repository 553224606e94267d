//! What was known at one moment of a zone's past, as numbers that a forecast can be corrected by. Looks at nothing later.

use super::super::HORIZON;
use super::super::damp::{DAY, Typical};
use super::week::{WEEK, Week};

/// Numbers that do not depend on the hour that is forecast.
const COMMON: usize = 20;
/// What is looked at.
pub(super) const FEATURES: usize = COMMON + 12;
/// Where among them the time of the year is.
#[cfg(test)]
pub(super) const YEAR: std::ops::Range<usize> = 6..8;
/// Hours of history that an issue needs before it.
pub(super) const NEEDS: usize = 36 * DAY;
/// The last day is looked at in pieces of that many hours.
const PIECE: usize = 3;
/// Days that the typical day is held against: what lies above them comes down again.
const LONG: usize = 365;
/// Days of history up to which their mean level tells nothing, as it may be the season, and those from which it tells all it
/// can: 52 weeks, which all have that teach the table.
const OF_A_YEAR: (usize, usize) = (120, 364);

pub(super) type Vector = [f64; FEATURES];

/// A zone's hours without holes, in g/kWh, and sums of them over days.
pub(super) struct Past {
    pub hours: Vec<f64>,
    /// Of each hour and the same hour of all days before.
    sums: Vec<f64>,
    pub week: Week,
    /// How much the level of the year before counts; the same for all issues of a history.
    year_counts: f64,
}

impl Past {
    /// Holes are filled with the same hour of the day before, so that sums can be formed; what was a hole teaches nothing.
    pub fn of(raw: &[f64]) -> Self {
        let known = raw.iter().filter(|value| !value.is_nan());
        let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
        let (mut hours, mut sums) = (raw.to_vec(), vec![0.0; raw.len()]);
        for at in 0..hours.len() {
            if hours[at].is_nan() {
                hours[at] = if at >= DAY { hours[at - DAY] } else { mean };
            }
            sums[at] = hours[at] + if at >= DAY { sums[at - DAY] } else { 0.0 };
        }
        let week = Week::of(raw, &hours);
        let year_counts = year_counts(hours.len() / DAY);
        Self { hours, sums, week, year_counts }
    }

    /// Mean of one hour of the day over so many days, the first of them at `first`.
    fn days(&self, first: usize, days: usize) -> f64 {
        let before = if first >= DAY { self.sums[first - DAY] } else { 0.0 };
        (self.sums[first + DAY * (days - 1)] - before) / days as f64
    }

    /// Three weeks around the day in question a year ago, against the four weeks before the issue then.
    fn season(&self, at: usize) -> [[f64; DAY]; HORIZON / DAY] {
        let mut all = [[0.0; DAY]; HORIZON / DAY];
        let Some(then) = at.checked_sub(364 * DAY).filter(|then| *then >= 30 * DAY) else { return all };
        for k in 0..DAY {
            let before = self.days(then - 28 * DAY + k, 28);
            for (day, row) in all.iter_mut().enumerate() {
                row[k] = self.days(then + day * DAY + k - 10 * DAY, 21) - before;
            }
        }
        all
    }
}

/// How much the level of the year before counts when so many days are known: from nothing to all of it, in a straight line. The
/// table's half of a correction grows with it; the zone's own, which is learned at any scale, is there as soon as it is not zero.
fn year_counts(days: usize) -> f64 {
    let (nothing, all) = OF_A_YEAR;
    (days.clamp(nothing, all) - nothing) as f64 / (all - nothing) as f64
}

/// What was known at one issue. Differences are from the typical day, in g/kWh.
pub(super) struct Issue {
    pub at: usize,
    pub typical: Typical,
    /// Mean of the typical day, at least 1.
    pub level: f64,
    /// The same without that bound: where nothing is emitted, a day has no shape.
    mean: f64,
    common: [f64; COMMON],
    /// Mean of the last seven days by position.
    week_day: [f64; DAY],
    /// How far the typical day lies above the mean day of the year before the issue, less the mean of that; by position.
    above: [f64; DAY],
    /// What the season did last year, by position; for each of the four days ahead.
    season: [[f64; DAY]; HORIZON / DAY],
    /// What the days of the week do to each hour from the issue on, and to each of the four days.
    weekly: [f64; HORIZON],
    weekly_day: [f64; HORIZON / DAY],
}

impl Issue {
    /// At the hour `at`, which lies `back` days before the end of the history, an hour more or less. `year` is the time of the year
    /// as an angle.
    pub fn of(past: &Past, at: usize, back: usize, typical: Typical, year: f64) -> Self {
        let hours = &past.hours;
        let week_day: [f64; DAY] = std::array::from_fn(|k| past.days(at - 7 * DAY + k, 7));
        let whole_mean = typical.day.iter().sum::<f64>() / DAY as f64;
        let level = whole_mean.max(1.0);
        let distance = |k: usize, days: usize| hours[at - DAY * days + k] - typical.day[k];
        let mean =
            |from: usize, until: usize| (from..until).map(|k| distance(k, 1)).sum::<f64>() / (until - from) as f64;
        let whole = |days: usize| (0..DAY).map(|k| distance(k, days)).sum::<f64>() / DAY as f64;
        let long = (at / DAY).min(LONG);
        let above: [f64; DAY] = std::array::from_fn(|k| typical.day[k] - past.days(at - DAY * long + k, long));
        let lies_above = above.iter().sum::<f64>() / DAY as f64;
        let profile = past.week.as_of(back);
        let weekly = std::array::from_fn(|h| level * profile[(at + h) % WEEK]);
        let yesterday = (0..DAY).map(|k| profile[(at - DAY + k) % WEEK]).sum::<f64>() / DAY as f64;
        let mut common = [0.0; COMMON];
        common[..9].copy_from_slice(&[
            distance(DAY - 1, 1),
            typical.a3,
            typical.a24,
            whole(2),
            week_day.iter().zip(&typical.day).map(|(week, day)| week - day).sum::<f64>() / DAY as f64,
            (8..=14).map(whole).sum::<f64>() / 7.0,
            0.3 * level * year.sin(),
            0.3 * level * year.cos(),
            level * yesterday,
        ]);
        let counted = lies_above * past.year_counts;
        common[9..12].copy_from_slice(&[distance(DAY - 2, 1), counted, counted * lies_above.abs() / level]);
        for (piece, value) in common[12..].iter_mut().enumerate() {
            *value = mean(PIECE * piece, PIECE * (piece + 1));
        }
        Self {
            at,
            level,
            mean: whole_mean,
            common,
            week_day,
            above: above.map(|value| value - lies_above),
            season: past.season(at),
            weekly,
            weekly_day: std::array::from_fn(|day| weekly[DAY * day..DAY * (day + 1)].iter().sum::<f64>() / DAY as f64),
            typical,
        }
    }

    /// For the hour `h` ahead, from 1 on; `weekend` is the class of the day that holds it.
    pub fn features(&self, past: &Past, h: usize, weekend: bool) -> Vector {
        let (day, k) = ((h - 1) / DAY, (h - 1) % DAY);
        let typical = self.typical.day[k];
        let ago = |days: usize| past.hours[self.at + k - DAY * days] - typical;
        let shape = typical - self.mean;
        let mut all = [0.0; FEATURES];
        all[..COMMON].copy_from_slice(&self.common);
        all[COMMON..].copy_from_slice(&[
            ago(1),
            ago(2),
            ago(3),
            past.hours[self.at + h - 1 - 7 * DAY] - typical,
            self.typical.class[usize::from(weekend)][k] - typical,
            self.week_day[k] - typical,
            self.above[k],
            shape,
            shape * self.typical.a24 / self.level,
            self.season[day][k],
            self.weekly[h - 1],
            self.weekly_day[day],
        ]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_before_counts_as_far_as_it_is_known() {
        for (days, counts) in [(0, 0.0), (46, 0.0), (120, 0.0), (242, 0.5), (364, 1.0), (365, 1.0), (1_200, 1.0)] {
            assert_eq!(year_counts(days), counts, "{days}");
        }
    }
}
