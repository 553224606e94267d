//! What the blend gets wrong, learned from how it erred at earlier moments: for every hour ahead a ridge regression over
//! past moments at the same time of day and an hour to either side, each seen as it stood then.
//!
//! It knows no zone and no calendar. Without weeks of history it corrects nothing.

use super::{Blend, DAY, DAYS, View};

/// An hour, in seconds.
const HOUR: f64 = 3600.0;
/// What is looked at.
const FEATURES: usize = 18;
/// Hours ahead that are corrected; further ahead the blend stands as it is.
const AHEAD: usize = 72;
/// Days looked back at, at most.
pub(super) const LONGEST: usize = 120;
/// Days after which a past moment counts half.
const HALF_LIFE: f64 = 60.0;
/// Days that a moment needs behind it: the same hour of seven days, seen from four days back.
pub(super) const NEEDS: usize = 12;
/// Fewer past moments than that teach nothing.
const LEAST: u32 = 20;
/// Past moments at which nothing had to be corrected, to hold the coefficients at zero.
const RIDGE: f64 = 10.0;

type Vector = [f64; FEATURES];

/// A moment, with what was known at it. Values in g/kWh.
struct Moment<'a> {
    view: View<'a>,
    blend: Blend,
    /// Distance from the same hour a day before, of the last hour, of three, of a day.
    day: [f64; 3],
    /// Distance from the mean of that hour over the week before, of the last hour, of six, of a day.
    week: [f64; 3],
    /// The provider's bias, and its error on top of that, of the last hour, of six, of a day; `None` where it said nothing.
    provider: Option<(f64, [f64; 3])>,
}

/// Mean over so many hours that end with the one in progress.
fn mean(view: &View<'_>, hours: usize, of: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    let mut sum = 0.0;
    for hour in 0..hours {
        sum += of(view.now - hour as f64 * HOUR)?;
    }
    Some(sum / hours as f64)
}

/// Measured less what a provider had said a day before.
fn missed(view: &View<'_>, second: f64) -> Option<f64> {
    Some(view.measured(second)? - view.forecast_at(second, second - DAY)?)
}

impl<'a> Moment<'a> {
    /// `None` where too little was measured before it.
    fn new(view: View<'a>) -> Option<Self> {
        let from_day = |second: f64| Some(view.measured(second)? - view.measured(second - DAY)?);
        let from_week = |second: f64| Some(view.measured(second)? - view.at(second - DAY).week(second)?);
        let provider = || {
            let bias = mean(&view, DAYS * 24, |second| missed(&view, second))?;
            let error = |hours| mean(&view, hours, |second| Some(missed(&view, second)? - bias));
            Some((bias, [error(1)?, error(6)?, error(24)?]))
        };
        Some(Self {
            day: [mean(&view, 1, from_day)?, mean(&view, 3, from_day)?, mean(&view, 24, from_day)?],
            week: [mean(&view, 1, from_week)?, mean(&view, 6, from_week)?, mean(&view, 24, from_week)?],
            provider: provider(),
            blend: Blend::new(&view),
            view,
        })
    }

    /// What is looked at for the hour so far ahead, and what the blend says of it; with or without a provider's word.
    fn features(&self, hour: usize, provided: bool) -> Option<(Vector, f64)> {
        let view = &self.view;
        let second = view.now + hour as f64 * HOUR;
        let base = self.blend.at(view, second);
        let known = second - view.days_back(second) * DAY;
        let mut all = [0.0; FEATURES];
        all[..4].copy_from_slice(&[
            0.3 * base,
            view.week(second)? - base,
            view.measured(known)? - base,
            view.measured(known - DAY)? - base,
        ]);
        all[4..7].copy_from_slice(&self.day);
        all[7..10].copy_from_slice(&self.week);
        if provided {
            let (bias, errors) = self.provider?;
            let said = view.provider(second)?;
            let mut at_that_hour = 0.0;
            for day in 0..DAYS {
                at_that_hour += missed(view, known - day as f64 * DAY)? / DAYS as f64;
            }
            all[10..15].copy_from_slice(&[
                said + bias - base,
                at_that_hour - bias,
                missed(view, known)? - bias,
                said - view.provider(second - HOUR).unwrap_or(said),
                view.provider(second + HOUR).unwrap_or(said) - said,
            ]);
            all[15..].copy_from_slice(&errors);
        }
        Some((all, base))
    }
}

/// Coefficients by hour ahead, from the first one on; `None` where nothing was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lessons(Vec<Option<(Vector, bool)>>);

impl Lessons {
    /// What the past teaches at `view`.
    pub fn of(view: &View<'_>) -> Self {
        let days = ((view.now - view.truth.start()) / DAY - NEEDS as f64).floor().max(0.0) as usize;
        let past: Vec<(usize, Moment<'_>)> = (1..=24 * days.min(LONGEST))
            .filter(|back| (back + 1) % 24 <= 2)
            .filter_map(|back| Some((back, Moment::new(view.at(view.now - back as f64 * HOUR))?)))
            .collect();
        Self((1..=AHEAD).map(|hour| learn(view, &past, hour)).collect())
    }

    /// What is to be added to the blend, by hour ahead from the hour in progress on.
    pub fn corrections(&self, view: &View<'_>) -> Vec<f64> {
        let Some(moment) = Moment::new(*view) else { return Vec::new() };
        let of_hour = |(hour, lesson): (usize, &Option<(Vector, bool)>)| {
            let (coefficients, provided) = (*lesson)?;
            Some(dot(&coefficients, &moment.features(hour, provided)?.0))
        };
        let later = (1..).zip(&self.0).map(|lesson| of_hour(lesson).unwrap_or(0.0));
        [0.0].into_iter().chain(later).collect()
    }
}

/// The coefficients for an hour ahead, and whether they ask for a provider's word.
fn learn(view: &View<'_>, past: &[(usize, Moment<'_>)], hour: usize) -> Option<(Vector, bool)> {
    let provided = view.provider(view.now + hour as f64 * HOUR).is_some();
    let fit = |provided: bool| {
        let mut fit = Fit::default();
        for (back, moment) in past.iter().filter(|(back, _)| *back >= hour) {
            let truth = view.measured(moment.view.now + hour as f64 * HOUR);
            if let (Some(truth), Some((features, base))) = (truth, moment.features(hour, provided)) {
                fit.add(&features, truth - base, 0.5f64.powf(*back as f64 / (24.0 * HALF_LIFE)));
            }
        }
        Some((fit.solve()?, provided))
    };
    provided.then(|| fit(true)).flatten().or_else(|| fit(false))
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Normal equations of one hour ahead.
#[derive(Default)]
struct Fit {
    square: [Vector; FEATURES],
    cross: Vector,
    count: u32,
}

impl Fit {
    fn add(&mut self, features: &Vector, missed: f64, weight: f64) {
        self.count += 1;
        for (row, &feature) in features.iter().enumerate() {
            let weighted = weight * feature;
            for (sum, other) in self.square[row].iter_mut().zip(features) {
                *sum += weighted * other;
            }
            self.cross[row] += weighted * missed;
        }
    }

    /// By Cholesky's decomposition. `None` where too little was seen.
    fn solve(mut self) -> Option<Vector> {
        if self.count < LEAST {
            return None;
        }
        for row in 0..FEATURES {
            self.square[row][row] = self.square[row][row] * (1.0 + RIDGE / f64::from(self.count)) + 1e-9;
        }
        let mut lower = [[0.0; FEATURES]; FEATURES];
        for row in 0..FEATURES {
            for column in 0..=row {
                let sum = dot(&lower[row], &lower[column]);
                let rest = self.square[column][row] - sum;
                lower[row][column] = if row == column { rest.max(1e-12).sqrt() } else { rest / lower[column][column] };
            }
        }
        let mut half = [0.0; FEATURES];
        for row in 0..FEATURES {
            half[row] = (self.cross[row] - dot(&lower[row], &half)) / lower[row][row];
        }
        let mut all = [0.0; FEATURES];
        for row in (0..FEATURES).rev() {
            let sum: f64 = (row + 1..FEATURES).map(|n| lower[n][row] * all[n]).sum();
            all[row] = (half[row] - sum) / lower[row][row];
        }
        all.iter().all(|value| value.is_finite()).then_some(all)
    }
}
