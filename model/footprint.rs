//! Energy spans × intensity spans → emissions. The only carbon formula.
//!
//! Each energy span is spread evenly over its time and meets the intensity of each part of that time;
//! rounding happens once per part.

use crate::grid::{Curve, Grade, Quantity, Series, Span};
use crate::units::{GramsCo2e, Intensity, Joules, Money, Price};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Energy taken between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyOver {
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant; equal to `from` for energy that has no length.
    pub until: DateTime<Utc>,
    /// Facility energy.
    pub energy: Joules,
}

/// Emissions, and what they rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Facility energy.
    pub energy: Joules,
    /// Emissions of the covered energy.
    pub emits: GramsCo2e,
    /// Energy that met no intensity at all: not in `emits`.
    pub uncovered: Joules,
    /// The part of the energy that met an intensity of grade `Measured`.
    pub measured: Joules,
    /// The worst grade that took part; `None` where nothing did.
    pub worst: Option<Grade>,
}

impl Footprint {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            energy: self.energy + other.energy,
            emits: self.emits + other.emits,
            uncovered: self.uncovered + other.uncovered,
            measured: self.measured + other.measured,
            worst: self.worst.max(other.worst),
        }
    }

    /// Mean intensity over the covered energy; `None` where none was covered.
    #[must_use]
    pub fn intensity(&self) -> Option<Intensity> {
        let covered = self.energy.saturating_sub(self.uncovered);
        (covered.0 > 0).then(|| {
            let mg_per_kwh = u128::from(self.emits.0) * 3_600_000 / u128::from(covered.0);
            Intensity(u64::try_from(mg_per_kwh).unwrap_or(u64::MAX))
        })
    }
}

/// What energy emits at the intensities of its time moved by `shift`: zero for what happened, negative for *had it run
/// earlier*.
///
/// `E` is spread evenly over its span; for each intensity span it overlaps, `E × overlap / length × intensity`
/// (location-based operational emissions, GHG Protocol Scope 2; SCI's `O = E × I` summed over intervals, ISO/IEC 21031).
#[must_use]
pub fn footprint(spans: &[EnergyOver], series: &Series, shift: TimeDelta) -> Footprint {
    spans.iter().map(|span| of_one(span, series, shift)).fold(Footprint::default(), Footprint::and)
}

fn of_one(span: &EnergyOver, series: &Series, shift: TimeDelta) -> Footprint {
    let mut result = Footprint { energy: span.energy, ..Footprint::default() };
    result.uncovered = spread(span, series, shift, |energy, part| {
        result.emits += energy * part.value;
        result.worst = result.worst.max(Some(part.grade));
        if part.grade == Grade::Measured {
            result.measured += energy;
        }
    });
    result
}

/// Spreads a span's energy evenly over its time, moved by `shift`, and gives what falls into each span of the series to
/// `take`. Returns the energy that met none.
fn spread<Q: Quantity>(
    span: &EnergyOver,
    series: &Series<Q>,
    shift: TimeDelta,
    mut take: impl FnMut(Joules, Span<Q>),
) -> Joules {
    let (from, until) = (span.from + shift, (span.until + shift).max(span.from + shift + TimeDelta::milliseconds(1)));
    let whole = millis(until - from);
    let (mut passed, mut given) = (0, Joules::ZERO);
    for part in series.within(from, until) {
        passed += millis(part.until - part.from);
        // Cumulative shares, so that the parts add up to the whole exactly.
        let upto = span.energy.scaled(passed, whole);
        take(upto.saturating_sub(given), part);
        given = upto;
    }
    span.energy.saturating_sub(given)
}

/// The feeds whose intensities a span of energy meets, in the order of time, and what of it met each: spread evenly over its
/// time, so that the parts add up to what the curve covers.
#[must_use]
pub fn by_feed(span: &EnergyOver, curve: &Curve) -> Vec<(String, Joules)> {
    let mut feeds: Vec<(String, Joules)> = Vec::new();
    spread(span, &curve.series, TimeDelta::zero(), |energy, part| {
        // A part may reach over the end of one feed's time.
        let mut at = part.from;
        let (whole, mut given) = (millis(part.until - part.from), Joules::ZERO);
        while at < part.until {
            let next = curve.whose.iter().map(|(from, _)| *from).find(|from| *from > at);
            let until = next.map_or(part.until, |next| next.min(part.until));
            let upto = energy.scaled(millis(until - part.from), whole);
            if let Some(feed) = curve.feed_at(at) {
                add_feed(&mut feeds, feed, upto.saturating_sub(given));
            }
            (at, given) = (until, upto);
        }
    });
    feeds
}

/// Adds energy that met a feed's intensities to what did before.
pub(crate) fn add_feed(feeds: &mut Vec<(String, Joules)>, feed: &str, energy: Joules) {
    match feeds.iter_mut().find(|(known, _)| known == feed) {
        Some((_, sum)) => *sum += energy,
        None => feeds.push((feed.to_owned(), energy)),
    }
}

/// What energy cost, in one currency: at the prices of its time, and at those from when the job first could have started.
/// Prices are as their source says them; a price below zero gives money back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// As the source of the prices names it: `EUR`.
    pub currency: String,
    /// Of the priced energy.
    pub paid: Money,
    /// Of the same energy had the job started when it first could.
    pub run_now: Money,
    /// Facility energy that met a price in both.
    pub priced: Joules,
    /// Facility energy that met no price in at least one of them: in neither figure.
    pub unpriced: Joules,
}

impl Bill {
    /// What a span costs at those prices. A span of which any part has no price, now or then, is not priced at all, so that
    /// both figures are about the same energy.
    #[must_use]
    pub fn of(span: &EnergyOver, prices: &Series<Price>, currency: &str, shift: TimeDelta) -> Self {
        let at = |shift| {
            let mut cost = Money::default();
            let left = spread(span, prices, shift, |energy, part| cost = cost + energy * part.value);
            (left == Joules::ZERO).then_some(cost)
        };
        let costs = at(TimeDelta::zero()).zip(at(shift));
        let (paid, run_now) = costs.unwrap_or_default();
        let (priced, unpriced) =
            if costs.is_some() { (span.energy, Joules::ZERO) } else { (Joules::ZERO, span.energy) };
        Self { currency: currency.to_owned(), paid, run_now, priced, unpriced }
    }

    /// Adds another of the same currency.
    pub fn add(&mut self, other: &Self) {
        (self.paid, self.run_now) = (self.paid + other.paid, self.run_now + other.run_now);
        self.priced += other.priced;
        self.unpriced += other.unpriced;
    }

    /// Adds a bill to those of its currency.
    pub fn into_list(&self, list: &mut Vec<Self>) {
        match list.iter_mut().find(|known| known.currency == self.currency) {
            Some(known) => known.add(self),
            None => list.push(self.clone()),
        }
    }

    /// The share saved against running at once; `None` where there was nothing positive to save from.
    #[must_use]
    pub fn saved_ratio(&self) -> Option<f64> {
        self.paid.less_than(self.run_now)
    }

    /// Mean price paid; `None` where nothing was priced.
    #[must_use]
    pub fn mean(&self) -> Option<Price> {
        (self.priced.0 > 0).then(|| Price::from_base(self.paid.in_base() / self.priced.in_kwh() * 1e3))?
    }
}

/// What is known of a span's energy beside its location-based emissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// What it cost, where prices are known for the zone.
    pub bill: Option<Bill>,
    /// Its emissions by the market-based method, where the site gives a factor for any zone.
    pub market: Option<Market>,
    /// The feeds whose intensities it met; earlier versions do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// Facility energy that met those of each; earlier versions do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_signal: Vec<(String, Joules)>,
}

/// Emissions by the market-based method (GHG Protocol, Scope 2 Guidance, 2015): energy times the factor of the site's contract
/// or of the residual mix. Never added to location-based emissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    /// Emissions of the energy a factor is known for.
    pub emits: GramsCo2e,
    /// Facility energy in zones with a factor,
    pub covered: Joules,
    /// and in zones without one: in no figure.
    pub uncovered: Joules,
}

impl Market {
    /// Of energy taken in a zone with that factor, if it has one.
    #[must_use]
    pub fn of(energy: Joules, factor: Option<Intensity>) -> Self {
        match factor {
            Some(factor) => Self { emits: energy * factor, covered: energy, uncovered: Joules::ZERO },
            None => Self { uncovered: energy, ..Self::default() },
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            emits: self.emits + other.emits,
            covered: self.covered + other.covered,
            uncovered: self.uncovered + other.uncovered,
        }
    }

    /// Whether no factor was known for any of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.covered == Joules::ZERO
    }
}

fn millis(delta: TimeDelta) -> u64 {
    u64::try_from(delta.num_milliseconds()).unwrap_or(0)
}

/// A comparison is a pair, not a difference: the difference may be negative and is then printed so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savings {
    /// What this emits.
    pub emits: GramsCo2e,
    /// What running at once would have emitted.
    pub instead_of: GramsCo2e,
}

impl Savings {
    /// Grams saved; negative where it was worse.
    #[must_use]
    pub fn grams(&self) -> f64 {
        self.instead_of.in_base() - self.emits.in_base()
    }

    /// Share saved of what it is compared with; `None` where that is zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.instead_of.0 > 0).then(|| self.grams() / self.instead_of.in_base())
    }
}
