//! What can be known of the hours to come at one moment: forecasts that were issued, what was measured, and blends.

mod learned;

use learned::Lessons;

use super::super::{Case, Curve};

/// A day, in seconds.
const DAY: f64 = 86_400.0;
/// A forecast's present error fades with that, in seconds.
const FADES: f64 = 6.0 * 3600.0;
/// Days over which a source's bias is taken, and over which an hour's mean is.
const DAYS: usize = 7;
/// Weights of the provider, of the same hour yesterday and of that hour's mean over a week.
const WEIGHTS: [f64; 3] = [0.4, 0.3, 0.3];

/// Days of what was measured and forecast before a moment that help at it; what is older is not looked at.
pub const HISTORY_DAYS: usize = learned::LONGEST + learned::NEEDS;

/// A forecast that can be used from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    /// Not before that second.
    pub from: f64,
    /// What it says.
    pub curve: Curve,
}

/// What later slots are priced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// The truth.
    Perfect,
    /// The provider as it stands; where it says nothing, yesterday.
    Provider,
    /// Provider, yesterday and the week's mean, each corrected by its bias and its present error; and that corrected by
    /// what was learned from its errors of the last months.
    Blend,
    /// The same hour of the last day that is known.
    Yesterday,
    /// The same as now.
    Present,
}

/// What is known of the hours to come.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What later slots are priced with.
    pub outlook: Outlook,
    /// By place, what a provider issued.
    pub issues: &'a [Vec<Issue>],
    /// A forecast is used no further ahead than that, in seconds.
    pub trusted: f64,
}

impl Sight<'_> {
    /// Intensity of so many slots from `now` on, in g/kWh. The step in progress has its measured value.
    #[must_use]
    pub fn ahead(&self, case: &Case, place: usize, now: f64, slot: f64, slots: usize) -> Vec<f64> {
        self.ahead_with(&mut Memory::default(), case, place, now, slot, slots)
    }

    /// The same, with what was learned in this hour already.
    pub(super) fn ahead_with(
        &self,
        memory: &mut Memory,
        case: &Case,
        place: usize,
        now: f64,
        slot: f64,
        slots: usize,
    ) -> Vec<f64> {
        let truth = &case.places[place].curve;
        let view = View::new(truth, self.issues.get(place).map_or(&[], Vec::as_slice), now, self.trusted);
        let centre = |n: usize| now + (n as f64 + 0.5) * slot;
        if self.outlook == Outlook::Perfect {
            let mean = |n: usize| truth.integral(now + n as f64 * slot, now + (n + 1) as f64 * slot) * 3600.0 / slot;
            return (0..slots).map(mean).collect();
        }
        let blend = (self.outlook == Outlook::Blend)
            .then(|| (Blend::new(&view), memory.lessons(place, &view).corrections(&view)));
        let value = |n: usize| match (&blend, self.outlook) {
            _ if view.in_progress(centre(n)) => view.present(),
            (Some((blend, corrections)), _) => {
                let hours = (view.hour(centre(n)) - view.hour(now)) as usize;
                blend.at(&view, centre(n)) + corrections.get(hours).copied().unwrap_or(0.0)
            }
            (None, Outlook::Provider) => {
                view.provider(centre(n)).or_else(|| view.yesterday(centre(n))).unwrap_or(view.present())
            }
            (None, Outlook::Yesterday) => view.yesterday(centre(n)).unwrap_or(view.present()),
            _ => view.present(),
        };
        (0..slots).map(|n| value(n).max(0.0)).collect()
    }
}

/// What was learned of each place in the hour in progress, so that plans of the same hour need not learn it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Vec<Option<(f64, usize, Lessons)>>);

impl Memory {
    fn lessons(&mut self, place: usize, view: &View<'_>) -> &Lessons {
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        let (hour, usable) = (view.hour(view.now), view.issues.iter().filter(|issue| issue.from <= view.now).count());
        let kept = self.0[place].take().filter(|kept| (kept.0, kept.1) == (hour, usable));
        &self.0[place].insert(kept.unwrap_or_else(|| (hour, usable, Lessons::of(view)))).2
    }
}

/// What was measured up to a moment, and what was forecast by then. It answers nothing about later measurements.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    truth: &'a Curve,
    issues: &'a [Issue],
    now: f64,
    trusted: f64,
}

impl<'a> View<'a> {
    /// The view at `now`.
    #[must_use]
    pub const fn new(truth: &'a Curve, issues: &'a [Issue], now: f64, trusted: f64) -> Self {
        Self { truth, issues, now, trusted }
    }

    /// The measured value of the step in progress.
    #[must_use]
    pub fn present(&self) -> f64 {
        self.truth.at(self.now)
    }

    /// Whether a second lies in the step in progress.
    #[must_use]
    pub fn in_progress(&self, second: f64) -> bool {
        let step = |second: f64| ((second - self.truth.start()) / self.truth.step()).floor();
        step(second) <= step(self.now)
    }

    /// Whole hours from the beginning of what was measured.
    fn hour(&self, second: f64) -> f64 {
        ((second - self.truth.start()) / 3600.0).floor()
    }

    /// What was measured then, if that is known by now.
    #[must_use]
    pub fn measured(&self, second: f64) -> Option<f64> {
        (second >= self.truth.start() && self.in_progress(second)).then(|| self.truth.at(second))
    }

    /// What the newest forecast that can be used now says about then.
    #[must_use]
    pub fn provider(&self, second: f64) -> Option<f64> {
        self.forecast_at(second, self.now)
    }

    /// What the newest forecast usable at `when` said about `second`.
    fn forecast_at(&self, second: f64, when: f64) -> Option<f64> {
        let covers = |curve: &Curve| {
            second >= curve.start() && second < curve.start() + curve.step() * curve.values().len() as f64
        };
        if second - when > self.trusted {
            return None;
        }
        let usable = self.issues.iter().filter(|issue| issue.from <= when && covers(&issue.curve));
        usable.max_by(|a, b| a.from.total_cmp(&b.from)).map(|issue| issue.curve.at(second))
    }

    /// The same hour of the last day on which it is known.
    #[must_use]
    pub fn yesterday(&self, second: f64) -> Option<f64> {
        self.measured(second - self.days_back(second) * DAY)
    }

    /// The mean of that hour over the last seven days on which it is known.
    #[must_use]
    pub fn week(&self, second: f64) -> Option<f64> {
        let back = self.days_back(second);
        let mut sum = 0.0;
        for day in 0..DAYS {
            sum += self.measured(second - (back + day as f64) * DAY)?;
        }
        Some(sum / DAYS as f64)
    }

    /// Whole days back from a second to the first that is known; at least one.
    fn days_back(&self, second: f64) -> f64 {
        let mut back = ((second - self.now) / DAY).floor().max(0.0) + 1.0;
        // The rest of the step in progress is known.
        if back > 1.0 && self.in_progress(second - (back - 1.0) * DAY) {
            back -= 1.0;
        }
        back
    }

    /// The same view at an earlier moment.
    fn at(&self, now: f64) -> Self {
        Self { now, ..*self }
    }
}

/// The three sources, each with what it is corrected by.
#[derive(Clone, Copy, Debug)]
struct Blend {
    /// By source: mean of measured − source over seven days, and its present error on top of that.
    corrections: [Option<(f64, f64)>; 3],
}

impl Blend {
    fn new(view: &View<'_>) -> Self {
        let correction = |source: &dyn Fn(&View<'_>, f64) -> Option<f64>| {
            let (mut sum, mut count) = (0.0, 0u32);
            let step = view.truth.step();
            let steps = (DAYS as f64 * DAY / step).round() as usize;
            for back in 1..=steps {
                let second = view.now - back as f64 * step;
                // As the source stood a day before: it must not have seen the hour it speaks of.
                let then = view.at(second - DAY);
                if let (Some(measured), Some(said)) = (view.measured(second), source(&then, second)) {
                    sum += measured - said;
                    count += 1;
                }
            }
            let bias = if count == 0 { 0.0 } else { sum / f64::from(count) };
            let before = view.at(view.now - view.truth.step());
            source(&before, view.now).map(|said| (bias, view.present() - said - bias))
        };
        Self {
            corrections: [
                correction(&|view, second| view.provider(second)),
                correction(&|view, second| view.yesterday(second)),
                correction(&|view, second| view.week(second)),
            ],
        }
    }

    fn at(&self, view: &View<'_>, second: f64) -> f64 {
        let sources = [view.provider(second), view.yesterday(second), view.week(second)];
        let fading = (-(second - view.now) / FADES).exp();
        let (mut sum, mut weight) = (0.0, 0.0);
        for ((said, correction), share) in sources.into_iter().zip(self.corrections).zip(WEIGHTS) {
            if let (Some(said), Some((bias, error))) = (said, correction) {
                sum += share * (said + bias + error * fading);
                weight += share;
            }
        }
        if weight > 0.0 { sum / weight } else { view.present() }
    }
}

#[cfg(test)]
mod tests;
