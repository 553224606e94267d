//! What to measure next while a job runs: three limits in an order drawn by lot, then up to four refinements around the best.
//!
//! No work is lost, these are steps the job needs. What turns out to be beyond the slowdown lasts one window and is not
//! chosen: the end is always a limit that was measured within it.

use super::{Choice, Curve, Point, Terms};
use neap_model::units::Watts;

/// Extra points after the first three.
const REFINEMENTS: usize = 4;
/// Shares of the highest limit that are measured first.
const FIRST: [f64; 3] = [1.0, 0.7, 0.45];
/// Readings of one configuration differ by about that share at least.
const NOISE: f64 = 0.02;
/// A rate that differs by more than that at the same limit is another phase.
const PHASE: f64 = 0.10;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Run a window at this limit and tell the point.
    Measure(Watts),
    /// Stay at this one.
    Stay(Choice),
}

/// The search for one job's limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    limits: Vec<Watts>,
    terms: Terms,
    first: Vec<Watts>,
    curve: Curve,
    refined: usize,
}

impl Probe {
    /// Over limits that may be set (any order, at least one), with a curve that is known already or an empty one. `seed`
    /// draws the order: leakage rises with temperature, and so must not side with one limit.
    #[must_use]
    pub fn new(limits: &[Watts], terms: Terms, known: Curve, seed: u64) -> Self {
        let mut limits = limits.to_vec();
        limits.sort_unstable();
        limits.dedup();
        let highest = limits.last().copied().unwrap_or_default();
        let mut first: Vec<Watts> = Vec::new();
        for share in FIRST {
            let wanted = highest.in_base() * share;
            let near = limits
                .iter()
                .copied()
                .min_by(|a, b| (a.in_base() - wanted).abs().total_cmp(&(b.in_base() - wanted).abs()).then(b.cmp(a)));
            first.extend(near.filter(|limit| !first.contains(limit)));
        }
        let turn = (seed % first.len().max(1) as u64) as usize;
        first.rotate_left(turn);
        if seed & 0x10 != 0 {
            first.reverse();
        }
        let known = Curve::new(known.points().iter().filter(|point| limits.contains(&point.limit)).copied());
        Self { limits, terms, first, curve: known, refined: 0 }
    }

    /// What is known so far.
    #[must_use]
    pub const fn curve(&self) -> &Curve {
        &self.curve
    }

    /// What to do now. `None` without a limit that may be set.
    #[must_use]
    pub fn next(&self) -> Option<Next> {
        if let Some(limit) = self.first.iter().find(|limit| self.curve.at(**limit).is_none()) {
            return Some(Next::Measure(*limit));
        }
        let measured = self.curve.choose(&[], &self.terms)?;
        if self.refined >= REFINEMENTS {
            return Some(Next::Stay(measured));
        }
        if let Some(limit) = self.bottom() {
            return Some(Next::Measure(limit));
        }
        let chosen = self.curve.choose(&self.limits, &self.terms)?;
        if !chosen.measured {
            return Some(Next::Measure(chosen.limit));
        }
        // The best is measured: its neighbours may be better, and so may what a reading's noise can hide.
        match self.neighbour(chosen.limit).or_else(|| self.promising(&measured)) {
            Some(limit) => Some(Next::Measure(limit)),
            None => Some(Next::Stay(measured)),
        }
    }

    /// Of the limits between measured ones the one of least expected cost, if it could beat the best within noise.
    fn promising(&self, best: &Choice) -> Option<Watts> {
        let best = self.terms.cost(self.curve.at(best.limit)?);
        let full = self.curve.highest()?.rate;
        let unmeasured = self.limits.iter().filter(|limit| self.curve.at(**limit).is_none());
        let between = unmeasured.filter_map(|limit| self.curve.between(*limit));
        let could = between.filter(|point| {
            full <= point.rate * (1.0 + self.terms.slowdown) * (1.0 + self.noise())
                && self.terms.cost(point) < best * (1.0 + self.noise())
        });
        could.min_by(|a, b| self.terms.cost(a).total_cmp(&self.terms.cost(b))).map(|point| point.limit)
    }

    /// By what share a reading of this job may be off.
    fn noise(&self) -> f64 {
        self.scatter().max(NOISE)
    }

    /// By how much its readings are seen to scatter: the most by which a lower limit was faster than a higher one, which no
    /// board does.
    fn scatter(&self) -> f64 {
        let (mut fastest, mut most) = (0.0f64, 0.0f64);
        for point in self.curve.points() {
            most = most.max(fastest / point.rate - 1.0);
            fastest = fastest.max(point.rate);
        }
        most
    }

    /// The lowest limit there is, for a job that the lowest measured one slows no more than it may, as far as its readings can
    /// tell: it waits for something else.
    fn bottom(&self) -> Option<Watts> {
        let (lowest, full) = (self.curve.points().first()?, self.curve.highest()?.rate);
        let hardly = full <= lowest.rate * (1.0 + self.terms.slowdown) * (1.0 + self.scatter());
        self.limits.first().copied().filter(|limit| self.curve.at(*limit).is_none() && hardly)
    }

    /// The unmeasured limit next below the best, while going lower may still keep the slowdown; else the one next above.
    fn neighbour(&self, best: Watts) -> Option<Watts> {
        let at = self.limits.iter().position(|limit| *limit == best)?;
        let full = self.curve.highest()?.rate;
        let too_slow = |limit: Watts| {
            self.curve
                .at(limit)
                .is_some_and(|point| full > point.rate * (1.0 + self.terms.slowdown) * (1.0 + self.noise()))
        };
        let open = self.limits[..at].iter().rev().take_while(|limit| !too_slow(**limit));
        let lower = open.copied().find(|limit| self.curve.at(*limit).is_none());
        let higher = self.limits.get(at + 1).copied().filter(|limit| self.curve.at(*limit).is_none());
        lower.or(higher)
    }

    /// Takes the point that was measured.
    pub fn measured(&mut self, point: Point) {
        if !self.first.contains(&point.limit) && self.curve.at(point.limit).is_none() {
            self.refined += 1;
        }
        self.curve.put(point);
    }

    /// Whether a rate seen at a limit that is known belongs to another phase of the job: then everything is measured anew.
    #[must_use]
    pub fn is_another_phase(&self, limit: Watts, rate: f64) -> bool {
        self.curve.at(limit).is_some_and(|point| (rate / point.rate - 1.0).abs() > PHASE)
    }
}
