//! The second lever: a ceiling of the core clock, for a job that no power limit slows. The clock is stepped down while the job's
//! own steps stay within the slowdown it consented to, and the ceiling of least energy among those that were watched stays.
//!
//! Token-by-token inference draws far less than any limit and waits for memory, so a limit binds at no time and saves nothing,
//! while a lower clock saves energy at the same speed. What lies between two watched ceilings is never chosen.

use super::{Point, Terms};
use neap_model::units::Megahertz;
use serde::{Deserialize, Serialize};

/// Ceilings that are tried lie a tenth of the highest clock apart.
const RUNGS: u32 = 10;
/// Boards have their clocks in steps of that, in megahertz.
const STEP: u32 = 15;
/// Readings of one configuration differ by about that share.
const NOISE: f64 = 0.02;
/// A rate that differs by more than that at the same ceiling is another phase.
const PHASE: f64 = 0.10;

/// What is known of a job by ceiling: as it was found, and below ceilings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    /// Without a ceiling, at the limit that was found.
    pub free: Point,
    /// Below ceilings, highest first.
    below: Vec<(Megahertz, Point)>,
}

impl Clocks {
    /// Watched without a ceiling only.
    #[must_use]
    pub const fn new(free: Point) -> Self {
        Self { free, below: Vec::new() }
    }

    /// Takes a point in; `None`: without a ceiling. A later one at the same ceiling counts.
    pub fn put(&mut self, ceiling: Option<Megahertz>, point: Point) {
        let Some(ceiling) = ceiling else { return self.free = point };
        self.below.retain(|(known, _)| *known != ceiling);
        let at = self.below.partition_point(|(known, _)| *known > ceiling);
        self.below.insert(at, (ceiling, point));
    }

    /// The points below ceilings, highest first.
    #[must_use]
    pub fn below(&self) -> &[(Megahertz, Point)] {
        &self.below
    }

    fn at(&self, ceiling: Option<Megahertz>) -> Option<&Point> {
        let Some(ceiling) = ceiling else { return Some(&self.free) };
        self.below.iter().find(|(known, _)| *known == ceiling).map(|(_, point)| point)
    }

    fn is_within(&self, point: &Point, slowdown: f64) -> bool {
        self.free.rate <= point.rate * (1.0 + slowdown.max(0.0))
    }
}

/// A ceiling, and what it was seen to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockChoice {
    /// `None`: no ceiling is better than any.
    pub ceiling: Option<Megahertz>,
    /// Time against that without a ceiling: 1.03 takes 3 % longer.
    pub time: f64,
    /// Energy of the GPU against that without a ceiling.
    pub energy: f64,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClockNext {
    /// Run a window below this ceiling and tell the point.
    Measure(Megahertz),
    /// Stay at this one.
    Stay(ClockChoice),
}

/// The search for one job's ceiling.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockProbe {
    range: (Megahertz, Megahertz),
    terms: Terms,
    known: Clocks,
}

impl ClockProbe {
    /// Between the lowest and the highest ceiling that may be asked for, with what is known already.
    #[must_use]
    pub fn new(range: (Megahertz, Megahertz), known: Clocks, terms: Terms) -> Self {
        let mut known = known;
        known.below.retain(|(ceiling, _)| (range.0..=range.1).contains(ceiling));
        Self { range, terms, known }
    }

    /// What is known so far.
    #[must_use]
    pub const fn known(&self) -> &Clocks {
        &self.known
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self) -> ClockNext {
        let best = self.choice();
        match self.step_down().or_else(|| self.half_a_step(best.ceiling)) {
            Some(ceiling) => ClockNext::Measure(ceiling),
            None => ClockNext::Stay(best),
        }
    }

    /// The next lower ceiling, while the lowest one watched is within the slowdown and costs hardly more than the best.
    fn step_down(&self) -> Option<Megahertz> {
        if let Some((_, lowest)) = self.known.below.last() {
            let least = self.all().map(|(_, point)| self.terms.cost(point)).fold(f64::INFINITY, f64::min);
            let goes_on =
                self.known.is_within(lowest, self.terms.slowdown) && self.terms.cost(lowest) <= least * (1.0 + NOISE);
            if !goes_on {
                return None;
            }
        }
        let from = self.known.below.last().map_or(self.range.1, |(ceiling, _)| *ceiling);
        self.rungs().find(|rung| *rung < from)
    }

    /// Once, half way from the best ceiling to the next lower one that was watched: the best may lie between.
    fn half_a_step(&self, best: Option<Megahertz>) -> Option<Megahertz> {
        let from = best.unwrap_or(self.range.1);
        let (below, _) = self.known.below.iter().find(|(ceiling, _)| *ceiling < from)?;
        let rung = self.range.1.0 / RUNGS;
        if from.0 - below.0 + STEP < rung {
            return None;
        }
        let half = Megahertz(u32::midpoint(from.0, below.0) / STEP * STEP);
        (half > *below && half < from).then_some(half)
    }

    /// Ceilings a tenth of the highest apart, highest first, as boards have them.
    fn rungs(&self) -> impl Iterator<Item = Megahertz> {
        let (least, most) = self.range;
        (1..RUNGS)
            .map(move |n| Megahertz(most.0 / RUNGS * (RUNGS - n) / STEP * STEP))
            .filter(move |rung| *rung >= least)
    }

    fn all(&self) -> impl Iterator<Item = (Option<Megahertz>, &Point)> {
        let below = self.known.below.iter().map(|(ceiling, point)| (Some(*ceiling), point));
        std::iter::once((None, &self.known.free)).chain(below)
    }

    /// Least cost within the slowdown, of what was watched. Of equals the higher ceiling.
    fn choice(&self) -> ClockChoice {
        let free = &self.known.free;
        let within =
            self.all().filter(|(ceiling, point)| ceiling.is_none() || self.known.is_within(point, self.terms.slowdown));
        let best = within.min_by(|(_, a), (_, b)| self.terms.cost(a).total_cmp(&self.terms.cost(b)));
        let (ceiling, point) = best.unwrap_or((None, free));
        ClockChoice {
            ceiling,
            time: free.rate / point.rate,
            energy: point.energy(0.0) / free.energy(0.0).max(f64::MIN_POSITIVE),
        }
    }

    /// Takes what was watched; `None`: without a ceiling. A window without a rate tells nothing.
    pub fn measured(&mut self, ceiling: Option<Megahertz>, point: Point) {
        if point.is_sound() {
            self.known.put(ceiling, point);
        }
    }

    /// Whether a rate seen below a ceiling that is known belongs to another phase of the job: then everything is watched anew.
    #[must_use]
    pub fn is_another_phase(&self, ceiling: Option<Megahertz>, rate: f64) -> bool {
        self.known.at(ceiling).is_some_and(|point| (rate / point.rate - 1.0).abs() > PHASE)
    }
}
