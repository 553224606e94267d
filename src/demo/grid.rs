//! The grids of the demo: the usual hours of each month from the scheduler's own table, under weather that is made up.
//!
//! What has been is known, what comes is not: the curve ahead is Neap's own forecast from what has been, behind it the
//! table, laid under one another by the rules that hold for any site.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Origin, Series, Span};
use neap_policies::forecast::{self, History};
use neap_scheduler::controller::ZoneCurve;
use neap_scheduler::feeds::chain::{Tier, chain};
use neap_scheduler::feeds::schedule::hashed_text;
use neap_scheduler::feeds::table::{Row, row};
use neap_scheduler::feeds::{AHEAD, BEHIND};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Days before the start that the forecast learns from.
const LEARNS: i64 = 35;
/// How much the mean of a day is off the usual, in a normal way, as a share; assumed.
const DAYS_DIFFER: f64 = 0.16;
/// How much of that a day hands on to the next; assumed.
const LASTS: f64 = 0.6;
/// How much an hour is off its day, likewise; assumed.
const HOURS_DIFFER: f64 = 0.03;
/// No hour has less than this share of its usual value; assumed.
const LEAST: f64 = 0.25;

/// What the values are called wherever a source is named.
pub const FEED: &str = "simulated grid";

/// One zone's grid.
#[derive(Debug)]
pub struct Grid {
    zone: String,
    row: Row,
    /// What really happens: every hour from long before the start to after the end.
    truth: Series,
}

impl Grid {
    /// A zone of the table from well before `start` to after `end`, under weather of its own. A later end adds to it and changes
    /// nothing before.
    #[must_use]
    pub fn new(zone: &str, start: DateTime<Utc>, end: DateTime<Utc>, seed: u64) -> Self {
        let row = row(zone, None);
        let dice = |what: &str| StdRng::seed_from_u64(hashed_text(&format!("{seed} {zone} {what}")));
        let (mut by_day, mut by_hour) = (dice("days"), dice("hours"));
        let (from, until) = (start - TimeDelta::days(LEARNS), end + TimeDelta::hours(2));
        let days = usize::try_from((until - from).num_days()).unwrap_or(0) + 2;
        let mut day = 0.0;
        let weather: Vec<f64> = std::iter::repeat_with(|| {
            day = LASTS * day + (1.0 - LASTS * LASTS).sqrt() * normal(&mut by_day);
            day
        })
        .take(days)
        .collect();
        let usual = row.usual(from, until);
        let spans = usual.spans().iter().map(|span| {
            let hours = (span.from - from).num_hours();
            let (at, into) = (usize::try_from(hours / 24).unwrap_or(0), (hours % 24) as f64 / 24.0);
            // The weather goes over from one day into the next.
            let off = DAYS_DIFFER * (weather[at] * (1.0 - into) + weather[at + 1] * into);
            let share = 1.0 + off + HOURS_DIFFER * normal(&mut by_hour);
            let value = span.value.scaled((share.max(LEAST) * 1e6) as u64, 1_000_000);
            Span { value, grade: Grade::Measured, ..*span }
        });
        let truth = Series::new(spans.collect::<Vec<_>>());
        Self { zone: zone.to_owned(), row, truth }
    }

    /// What is known at the beginning of an hour, and what is expected.
    #[must_use]
    pub fn known(&self, hour: DateTime<Utc>) -> (String, ZoneCurve) {
        let (from, until) = (hour - BEHIND, hour + AHEAD);
        let past = self.truth.trim(hour - TimeDelta::days(LEARNS), hour + TimeDelta::hours(1));
        let ahead = forecast::forecast(&History::of(&past, hour + TimeDelta::hours(1)));
        let tier = |series: Series, feed: &str, usual| {
            let origin = Origin {
                feed: feed.to_owned(),
                zone: self.zone.clone(),
                basis: self.row.basis.clone(),
                issued: None,
                fetched: hour,
                credit: self.row.credit.clone().filter(|_| usual),
                note: Some(if usual { "the usual hours of the month" } else { "made up" }.to_owned()),
                private: false,
                usual_error: None,
            };
            Tier { series: series.trim(from, until), origin, usual }
        };
        let usual = self.row.usual(from, until);
        let tiers = [tier(past, FEED, false), tier(ahead, forecast::NAME, false), tier(usual, "table", true)];
        let curve = chain(tiers, hour);
        let past = curve.series.clone();
        (self.zone.clone(), ZoneCurve { curve, past, prices: None })
    }
}

/// A number off zero as the normal distribution has them, near enough: twelve throws of a die without corners.
fn normal(dice: &mut StdRng) -> f64 {
    (0..12).map(|_| dice.random::<f64>()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::START;

    #[test]
    fn more_days_are_the_same_days_and_more() {
        let day = TimeDelta::days(1);
        let grid = |days: i32, seed| Grid::new("DE", START, START + day * days, seed);
        let (short, long, other) = (grid(1, 7), grid(9, 7), grid(1, 8));
        assert_eq!(short.known(START + day), long.known(START + day));
        assert_ne!(short.known(START), other.known(START));
        // Nothing is known of what comes but the forecast: another future leaves no trace in it.
        let (_, known) = long.known(START);
        let ahead = known.curve.series.at(START + TimeDelta::hours(1)).expect("no holes");
        assert_eq!(ahead.grade, Grade::Forecast);
        assert!(known.curve.series.holes(START - BEHIND, START + AHEAD).is_empty());
    }
}
