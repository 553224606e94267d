//! Points on their way to a series. One value that cannot be drops them all: whoever sends nonsense once is not believed.

use super::super::feed::FeedError;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Quantity, Series, Span};
use neap_model::units::{Intensity, Price};
use std::collections::BTreeSet;

/// Most points of one answer.
pub const MOST: usize = 20_000;
/// Highest intensity that is believed, in g/kWh.
pub const HIGHEST: f64 = 3_000.0;
/// Highest price that is believed, either way, in currency units per MWh.
pub const DEAREST: f64 = 100_000.0;
/// A value stands for no more than that.
const LONGEST_STEP: TimeDelta = TimeDelta::hours(6);
/// Of a series with a single value.
const USUAL_STEP: TimeDelta = TimeDelta::hours(1);

/// Points of one answer, in any order.
#[derive(Clone, Debug)]
pub struct Points {
    rows: Vec<Row>,
    /// Values that contradict an earlier one for the same time.
    contradictions: usize,
    /// The longest time that a value may be stated for.
    longest: TimeDelta,
}

impl Default for Points {
    fn default() -> Self {
        Self::lasting(LONGEST_STEP)
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// `None`: a hole.
    value: Option<f64>,
    grade: Grade,
}

impl Points {
    /// None yet; each may be stated for as long as `longest`, and is cut there.
    #[must_use]
    pub fn lasting(longest: TimeDelta) -> Self {
        Self { rows: Vec::new(), contradictions: 0, longest }
    }

    /// A value from `from` on, for a step of the series.
    pub fn at(&mut self, from: DateTime<Utc>, value: Option<f64>, grade: Grade) {
        self.rows.push(Row { from, until: None, value, grade });
    }

    /// A value over a stated time.
    pub fn over(&mut self, from: DateTime<Utc>, until: DateTime<Utc>, value: Option<f64>, grade: Grade) {
        self.rows.push(Row { from, until: Some(until), value, grade });
    }

    /// Takes another answer's points in; where both speak of a time, these win.
    pub fn extend(&mut self, later: Self) {
        // Two answers may differ without contradicting each other: one of them is newer.
        let newer: BTreeSet<_> = later.rows.iter().filter(|row| row.value.is_some()).map(|row| row.from).collect();
        self.rows.retain(|row| !newer.contains(&row.from));
        self.rows.extend(later.rows);
        self.contradictions += later.contradictions;
    }

    /// Points so far, holes included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Intensities in g/kWh. `step` is how long a value stands for where it does not say; `None`: as the data show.
    ///
    /// # Errors
    /// [`FeedError::Refused`] for a value that cannot be, [`FeedError::NoData`] where nothing is left.
    pub fn intensity(self, step: Option<TimeDelta>) -> Result<Series<Intensity>, FeedError> {
        self.series(step, |value| {
            if !(0.0..=HIGHEST).contains(&value) {
                return Err(FeedError::Refused(format!("{value} g/kWh is no carbon intensity")));
            }
            Ok(Intensity((value * 1e3).round() as u64))
        })
    }

    /// Prices in currency units per MWh, negative ones included.
    ///
    /// # Errors
    /// As [`Points::intensity`].
    pub fn price(self, step: Option<TimeDelta>) -> Result<Series<Price>, FeedError> {
        self.series(step, |value| match Price::from_base(value) {
            Some(price) if value.abs() <= DEAREST => Ok(price),
            _ => Err(FeedError::Refused(format!("{value} per MWh is no price"))),
        })
    }

    fn series<Q: Quantity>(
        mut self,
        step: Option<TimeDelta>,
        read: impl Fn(f64) -> Result<Q, FeedError>,
    ) -> Result<Series<Q>, FeedError> {
        if self.rows.len() > MOST {
            return Err(FeedError::Refused(format!("{} points, {MOST} are the limit", self.rows.len())));
        }
        self.settle()?;
        let step = step.unwrap_or_else(|| self.step()).min(LONGEST_STEP);
        if step <= TimeDelta::zero() {
            return Err(FeedError::Refused("its steps take no time".to_owned()));
        }
        let mut spans = Vec::with_capacity(self.rows.len());
        for (n, row) in self.rows.iter().enumerate() {
            let Some(value) = row.value else { continue };
            let next = self.rows.get(n + 1).map(|next| next.from);
            let until = row.until.unwrap_or(row.from + step).min(next.unwrap_or(DateTime::<Utc>::MAX_UTC));
            spans.push(Span {
                from: row.from,
                until: until.min(row.from + if row.until.is_some() { self.longest } else { LONGEST_STEP }),
                value: read(value)?,
                grade: row.grade,
            });
        }
        let series = Series::new(spans);
        if series.is_empty() {
            return Err(FeedError::NoData("no value in the answer".to_owned()));
        }
        Ok(series)
    }

    /// Sorts by start; of two values for one time the later in the answer wins. More than one in twenty that contradict each
    /// other are too many.
    fn settle(&mut self) -> Result<(), FeedError> {
        let all = self.rows.len();
        self.rows.sort_by_key(|row| row.from);
        let mut kept: Vec<Row> = Vec::with_capacity(all);
        for row in self.rows.drain(..) {
            match kept.last_mut() {
                Some(last) if last.from == row.from => {
                    if last.value != row.value && last.value.is_some() && row.value.is_some() {
                        self.contradictions += 1;
                    }
                    if row.value.is_some() || last.value.is_none() {
                        *last = row;
                    }
                }
                _ => kept.push(row),
            }
        }
        self.rows = kept;
        if self.contradictions * 20 > all {
            let message = format!("{} of {all} points contradict another for the same time", self.contradictions);
            return Err(FeedError::Refused(message));
        }
        Ok(())
    }

    /// The most frequent distance between two starts; of equals the shorter.
    fn step(&self) -> TimeDelta {
        let mut gaps: Vec<i64> = self
            .rows
            .windows(2)
            .map(|pair| (pair[1].from - pair[0].from).num_seconds())
            .filter(|gap| *gap > 0)
            .collect();
        gaps.sort_unstable();
        let mut best = (0, USUAL_STEP.num_seconds());
        for run in gaps.chunk_by(|a, b| a == b) {
            if run.len() > best.0 {
                best = (run.len(), run[0]);
            }
        }
        TimeDelta::seconds(best.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_778_396_400 + minutes * 60, 0).expect("in range")
    }

    fn points(rows: &[(i64, Option<f64>)]) -> Points {
        let mut points = Points::default();
        rows.iter().for_each(|(minutes, value)| points.at(at(*minutes), *value, Grade::Measured));
        points
    }

    fn spans(rows: &[(i64, Option<f64>)]) -> Vec<(i64, i64, u64)> {
        let series = points(rows).intensity(None).expect("plausible");
        let minutes = |time: DateTime<Utc>| (time - at(0)).num_minutes();
        series.spans().iter().map(|s| (minutes(s.from), minutes(s.until), s.value.0)).collect()
    }

    #[test]
    fn steps_come_from_the_data_and_holes_stay_holes() {
        assert_eq!(spans(&[(0, Some(1.0)), (15, None), (30, Some(0.0))]), [(0, 15, 1_000), (30, 45, 0)]);
        assert_eq!(
            spans(&[(30, Some(2.0)), (0, Some(1.0)), (60, Some(3.0))]),
            [(0, 30, 1_000), (30, 60, 2_000), (60, 90, 3_000)]
        );
        assert_eq!(spans(&[(0, Some(1.0))]), [(0, 60, 1_000)]);
        assert_eq!(
            spans(&[(0, Some(1.0)), (60, Some(2.0)), (120, Some(2.5)), (150, Some(3.0))]).last(),
            Some(&(150, 210, 3_000))
        );
    }

    #[test]
    fn a_value_that_cannot_be_drops_all() {
        for wrong in [-0.1, 3_000.1, f64::NAN, f64::INFINITY] {
            let all = points(&[(0, Some(100.0)), (60, Some(wrong))]).intensity(None);
            assert!(matches!(all, Err(FeedError::Refused(_))), "{wrong}");
        }
        assert!(matches!(points(&[(0, None)]).intensity(None), Err(FeedError::NoData(_))));
        assert!(matches!(points(&[]).intensity(None), Err(FeedError::NoData(_))));
        assert_eq!(points(&[(0, Some(-3.2))]).price(None).map(|p| p.spans()[0].value), Ok(Price(-3_200)));
        assert!(matches!(points(&[(0, Some(1e9))]).price(None), Err(FeedError::Refused(_))));
    }

    #[test]
    fn of_two_values_for_one_time_the_later_wins_unless_there_are_many() {
        let mut rows: Vec<(i64, Option<f64>)> = (0..40).map(|n| (n * 60, Some(5.0))).collect();
        rows.push((60, Some(5.0)));
        rows.push((120, Some(7.0)));
        let all = spans(&rows);
        assert_eq!((all.len(), all[2].2), (40, 7_000));
        rows.extend([(180, Some(8.0)), (240, Some(8.0)), (300, Some(8.0))]);
        assert!(matches!(points(&rows).intensity(None), Err(FeedError::Refused(_))));
        let many: Vec<(i64, Option<f64>)> = (0..20_001).map(|n| (n, Some(1.0))).collect();
        assert!(matches!(points(&many).intensity(None), Err(FeedError::Refused(_))));
    }
}
