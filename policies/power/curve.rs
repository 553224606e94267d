//! Speed and power by limit, as measured, and what lies between the measured limits.
//!
//! Power is never turned into speed: the mean power of a job that waits for input stays under every limit. Between points a
//! monotone cubic is drawn (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980); outside of them nothing is claimed.

use neap_model::units::Watts;
use serde::{Deserialize, Serialize};

/// One limit at which a job was watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The limit in force.
    pub limit: Watts,
    /// Steps a second.
    pub rate: f64,
    /// Mean power in watts.
    pub power: f64,
}

impl Point {
    /// Energy of a step in joules, with `host` watts of the rest of the machine.
    #[must_use]
    pub fn energy(&self, host: f64) -> f64 {
        (self.power + host) / self.rate
    }

    pub(super) fn is_sound(&self) -> bool {
        self.rate.is_finite() && self.rate > 0.0 && self.power.is_finite() && self.power >= 0.0
    }
}

/// What is asked of a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Share of time that may be added: 0.05 for 5 %.
    pub slowdown: f64,
    /// Watts of the rest of the machine for each GPU of the job: slower costs them longer.
    pub host: f64,
    /// Price of delay and of embodied carbon over that of the energy, in watts: (τ + m) / (CI · PUE). A dirty grid makes it
    /// small. 0: energy alone counts.
    pub delay: f64,
}

impl Terms {
    /// Least energy of the GPU within a slowdown.
    #[must_use]
    pub const fn within(slowdown: f64) -> Self {
        Self { slowdown, host: 0.0, delay: 0.0 }
    }

    pub(super) fn cost(&self, point: &Point) -> f64 {
        point.energy(self.host + self.delay)
    }
}

/// A limit, and what it is expected to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The limit.
    pub limit: Watts,
    /// Time against the highest limit: 1.03 takes 3 % longer.
    pub time: f64,
    /// Energy of the GPU against the highest limit.
    pub energy: f64,
    /// The limit was measured; else it lies between two that were.
    pub measured: bool,
}

/// One of the limits that a job is offered with its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// The limit.
    pub limit: Watts,
    /// Time against the highest limit: 1.03 takes 3 % longer.
    pub time: f64,
    /// Mean power against that at the highest limit.
    pub power: f64,
    /// It lies below the one of least cost: fewer watts at more energy, for where watts are short.
    pub short: bool,
}

/// Measured points, lowest limit first, one a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    points: Vec<Point>,
}

impl Curve {
    /// From points in any order. Of two at one limit the later counts; a point without a rate is none.
    #[must_use]
    pub fn new(points: impl IntoIterator<Item = Point>) -> Self {
        let mut curve = Self::default();
        points.into_iter().for_each(|point| curve.put(point));
        curve
    }

    /// Takes a point in.
    pub fn put(&mut self, point: Point) {
        if !point.is_sound() {
            return;
        }
        match self.points.binary_search_by_key(&point.limit, |known| known.limit) {
            Ok(at) => self.points[at] = point,
            Err(at) => self.points.insert(at, point),
        }
    }

    /// The points, lowest limit first.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The point at a limit, if it was measured.
    #[must_use]
    pub fn at(&self, limit: Watts) -> Option<&Point> {
        self.points.binary_search_by_key(&limit, |known| known.limit).ok().map(|at| &self.points[at])
    }

    /// The point of the highest limit, against which time is reckoned.
    #[must_use]
    pub fn highest(&self) -> Option<&Point> {
        self.points.last()
    }

    /// What a limit between two measured ones would do; `None` outside of them. Rates are made non-decreasing first: a lower
    /// limit that looked faster was noise.
    #[must_use]
    pub fn between(&self, limit: Watts) -> Option<Point> {
        let first = self.points.first()?;
        if limit < first.limit || limit > self.highest()?.limit {
            return None;
        }
        let x: Vec<f64> = self.points.iter().map(|point| point.limit.in_base()).collect();
        let mut rates: Vec<f64> = self.points.iter().map(|point| point.rate).collect();
        for at in 1..rates.len() {
            rates[at] = rates[at].max(rates[at - 1]);
        }
        let powers: Vec<f64> = self.points.iter().map(|point| point.power).collect();
        let at = limit.in_base();
        Some(Point { limit, rate: pchip(&x, &rates, at), power: pchip(&x, &powers, at) })
    }

    /// What a limit does; `None` outside of those that were measured.
    #[must_use]
    pub fn choice(&self, limit: Watts) -> Option<Choice> {
        Some(against(self.highest()?, &self.point(limit)?, self.at(limit).is_some()))
    }

    /// As it was measured, else as it lies between two that were.
    pub(super) fn point(&self, limit: Watts) -> Option<Point> {
        self.at(limit).copied().or_else(|| self.between(limit))
    }

    /// The limits between which a plan may choose, at most `most` (two or more): the highest, the one of least cost within the
    /// slowdown, and of those between them, measured or in `limits`, some that each take less energy than every faster one.
    /// Empty where the highest limit costs least.
    #[must_use]
    pub fn rungs(&self, limits: &[Watts], terms: &Terms, most: usize) -> Vec<Rung> {
        let Some((highest, chosen)) = self.highest().zip(self.choose(limits, terms)) else { return Vec::new() };
        if chosen.limit == highest.limit {
            return Vec::new();
        }
        let mut all: Vec<Watts> = self.points.iter().map(|point| point.limit).chain(limits.iter().copied()).collect();
        all.retain(|limit| (chosen.limit..=highest.limit).contains(limit));
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        let slower = |point: &Point| (point.rate * (1.0 + terms.slowdown.max(0.0))) < highest.rate;
        let mut frontier: Vec<Point> = Vec::new();
        for limit in all {
            let Some(point) = self.point(limit) else { continue };
            let gains = |last: &Point| point.energy(0.0) < last.energy(0.0) && point.rate < last.rate;
            let last = limit == chosen.limit;
            // The chosen one also counts what the host draws meanwhile, and stands whatever lies above it.
            if last {
                frontier.retain(|above| above.limit == highest.limit || gains(above));
            }
            if last || !slower(&point) && frontier.last().is_none_or(gains) {
                frontier.push(point);
            }
        }
        let (have, most) = (frontier.len(), most.max(2));
        let kept = (0..have.min(most)).map(|n| frontier[n * (have - 1) / (have.min(most) - 1).max(1)]);
        kept.map(|point| rung(highest, &point, false)).collect()
    }

    /// The limits below that of least cost which a plan may take where watts are short, at most `most`, highest first: within
    /// the slowdown, not below `least`, measured or in `limits` between measured ones, each with less power than every one
    /// above it.
    #[must_use]
    pub fn short_rungs(&self, limits: &[Watts], terms: &Terms, least: Watts, most: usize) -> Vec<Rung> {
        let Some((highest, chosen)) = self.highest().zip(self.choose(limits, terms)) else { return Vec::new() };
        let mut all: Vec<Watts> = self.points.iter().map(|point| point.limit).chain(limits.iter().copied()).collect();
        all.retain(|limit| (least..chosen.limit).contains(limit));
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        let mut power = self.point(chosen.limit).map_or(0.0, |point| point.power);
        let mut below: Vec<Point> = Vec::new();
        for point in all.into_iter().filter_map(|limit| self.point(limit)) {
            if point.power < power && highest.rate <= point.rate * (1.0 + terms.slowdown.max(0.0)) {
                power = point.power;
                below.push(point);
            }
        }
        // The lowest of them, and what lies evenly above it.
        let (have, kept) = (below.len(), below.len().min(most));
        (1..=kept).map(|n| rung(highest, &below[n * have / kept - 1], true)).collect()
    }

    /// The limit of least cost within the slowdown, of `limits` that lie between measured ones and of those that were
    /// measured. Of equals the higher. `None` before anything was measured.
    #[must_use]
    pub fn choose(&self, limits: &[Watts], terms: &Terms) -> Option<Choice> {
        let highest = *self.highest()?;
        let known = self.points.iter().map(|point| (*point, true));
        let guessed = limits.iter().filter(|limit| self.at(**limit).is_none()).filter_map(|limit| self.between(*limit));
        let all = known.chain(guessed.map(|point| (point, false)));
        let within = all.filter(|(point, _)| {
            highest.rate <= point.rate * (1.0 + terms.slowdown.max(0.0)) || point.limit == highest.limit
        });
        let (best, measured) =
            within.min_by(|(a, _), (b, _)| terms.cost(a).total_cmp(&terms.cost(b)).then(b.limit.cmp(&a.limit)))?;
        Some(against(&highest, &best, measured))
    }
}

fn rung(highest: &Point, point: &Point, short: bool) -> Rung {
    let power = point.power / highest.power.max(f64::MIN_POSITIVE);
    Rung { limit: point.limit, time: highest.rate / point.rate, power, short }
}

fn against(highest: &Point, point: &Point, measured: bool) -> Choice {
    Choice {
        limit: point.limit,
        time: highest.rate / point.rate,
        energy: point.energy(0.0) / highest.energy(0.0).max(f64::MIN_POSITIVE),
        measured,
    }
}

/// The monotone cubic through points at rising `x`, at `at` inside of them.
fn pchip(x: &[f64], y: &[f64], at: f64) -> f64 {
    let n = x.len();
    if n == 1 {
        return y[0];
    }
    let step = |i: usize| x[i + 1] - x[i];
    let slope = |i: usize| (y[i + 1] - y[i]) / step(i);
    let end = |h0: f64, h1: f64, d0: f64, d1: f64| {
        let m = ((2.0 * h0 + h1) * d0 - h0 * d1) / (h0 + h1);
        if m * d0 <= 0.0 {
            0.0
        } else if d0 * d1 <= 0.0 && m.abs() > 3.0 * d0.abs() {
            3.0 * d0
        } else {
            m
        }
    };
    let tangent = |i: usize| -> f64 {
        if n == 2 {
            slope(0)
        } else if i == 0 {
            end(step(0), step(1), slope(0), slope(1))
        } else if i == n - 1 {
            end(step(n - 2), step(n - 3), slope(n - 2), slope(n - 3))
        } else if slope(i - 1) * slope(i) <= 0.0 {
            0.0
        } else {
            let (w1, w2) = (2.0 * step(i) + step(i - 1), step(i) + 2.0 * step(i - 1));
            (w1 + w2) / (w1 / slope(i - 1) + w2 / slope(i))
        }
    };
    let i = x.partition_point(|known| *known <= at).clamp(1, n - 1) - 1;
    let (h, t) = (step(i), (at - x[i]) / step(i));
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * y[i]
        + (t3 - 2.0 * t2 + t) * h * tangent(i)
        + (3.0 * t2 - 2.0 * t3) * y[i + 1]
        + (t3 - t2) * h * tangent(i + 1)
}
