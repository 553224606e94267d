//! The integral of a zone's intensity over time, ready for look-ups, and the cleanest window in it.
//!
//! A window counts only if every instant of it is known well enough to shift on: holes and flat means break the curve.

use crate::likely::Lengths;
use crate::stamp::{Stamp, stamp};
use neap_model::grid::{Grade, Series};

/// One stretch of constant intensity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: Stamp,
    until: Stamp,
    /// mg CO2e per kWh.
    value: u64,
    /// Integral from the beginning of the series to `from`.
    before: u128,
    /// End of the unbroken run of pieces this one belongs to.
    unbroken: Stamp,
    /// First instant from here on that is known from climatology only.
    poor_from: Stamp,
}

/// Prefix sums over the pieces of a series that may be shifted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Integral {
    pieces: Vec<Piece>,
}

/// What a window costs and how well that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// mg CO2e per kWh × milliseconds.
    pub integral: u128,
    /// Climatology took part: only twice the usual saving counts.
    pub poor: bool,
}

/// The cleanest starts: of windows without climatology, and of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleanest {
    pub good: Option<(u128, Stamp)>,
    pub any: Option<(u128, Stamp, bool)>,
}

impl Cleanest {
    /// Keeps what is less; of equals the earlier one, which comes first.
    fn see(&mut self, cost: Cost, start: Stamp) {
        if self.any.is_none_or(|(least, ..)| cost.integral < least) {
            self.any = Some((cost.integral, start, cost.poor));
        }
        if !cost.poor && self.good.is_none_or(|(least, _)| cost.integral < least) {
            self.good = Some((cost.integral, start));
        }
    }
}

impl Integral {
    pub fn of(series: &Series) -> Self {
        let mut pieces: Vec<Piece> = Vec::with_capacity(series.spans().len());
        let mut before = 0u128;
        for span in series.spans() {
            let (from, until) = (stamp(span.from), stamp(span.until));
            if from >= until || !span.grade.may_shift() {
                continue;
            }
            let poor_from = if span.grade >= Grade::Climatology { from } else { Stamp::MAX };
            pieces.push(Piece { from, until, value: span.value.0, before, unbroken: until, poor_from });
            before += u128::from(span.value.0) * u128::from((until - from).unsigned_abs());
        }
        for i in (1..pieces.len()).rev() {
            if pieces[i - 1].until == pieces[i].from {
                pieces[i - 1].unbroken = pieces[i].unbroken;
            }
            pieces[i - 1].poor_from = pieces[i - 1].poor_from.min(pieces[i].poor_from);
        }
        Self { pieces }
    }

    /// Instants at which the curve may change, in the order of time.
    pub fn edges(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.pieces.iter().flat_map(|piece| [piece.from, piece.until])
    }

    /// The least intensity from `at` on, in mg CO2e per kWh; `None` where nothing is known from then on.
    pub fn least(&self, at: Stamp) -> Option<u64> {
        let first = self.pieces.partition_point(|piece| piece.until <= at);
        self.pieces[first..].iter().map(|piece| piece.value).min()
    }

    /// The piece that covers `at`, as an index.
    fn covering(&self, at: Stamp) -> Option<usize> {
        let next = self.pieces.partition_point(|piece| piece.from <= at);
        next.checked_sub(1).filter(|i| at < self.pieces[*i].until)
    }

    /// What `[from, from + length)` costs; `None` where part of it is not known well enough. `length` is positive.
    pub fn cost(&self, from: Stamp, length: i64) -> Option<Cost> {
        let (first, until) = (self.pieces[self.covering(from)?], from.checked_add(length)?);
        if first.unbroken < until {
            return None;
        }
        let last = self.pieces[self.covering(until - 1)?];
        let upto = |piece: Piece, at: Stamp| {
            piece.before + u128::from(piece.value) * u128::from((at - piece.from).unsigned_abs())
        };
        Some(Cost { integral: upto(last, until) - upto(first, from), poor: first.poor_from < until })
    }

    /// What a run from there on is expected to cost: the mean over its likely lengths, rounded down. `None` where part of the
    /// longest is not known well enough; whether climatology takes part is asked of the planning length.
    pub fn expected(&self, from: Stamp, lengths: &Lengths) -> Option<Cost> {
        let whole = self.cost(from, lengths.planned)?;
        // There is always one.
        let (mut sum, mut count) = (0u128, 0u128);
        for length in lengths.likely() {
            sum += if *length == lengths.planned { whole.integral } else { self.cost(from, *length)?.integral };
            count += 1;
        }
        Some(Cost { integral: sum / count, ..whole })
    }

    /// Looks at every start in `[from, until]` from which a run can be expected to be the cleanest.
    ///
    /// The cost of each length is linear in the start between the instants at which either end of its window meets an edge of
    /// the curve, and so is the mean over all lengths between those of all of them: these and the ends of the interval are
    /// enough to be exact.
    pub fn cleanest(&self, from: Stamp, until: Stamp, lengths: &Lengths, best: &mut Cleanest) {
        let first = self.pieces.partition_point(|piece| piece.until <= from);
        let mut at = from;
        for index in first..self.pieces.len() {
            let head = self.pieces[index];
            at = at.max(head.from);
            if at > until {
                return;
            }
            let last_start = until.min(head.unbroken.saturating_sub(lengths.longest));
            if at <= last_start {
                self.walk(at, last_start, lengths, index, best);
            }
            if head.unbroken > until {
                return;
            }
            at = at.max(head.unbroken);
        }
    }

    /// Slides windows of all lengths over `[from, until]`, inside one unbroken run, from edge to edge.
    fn walk(&self, from: Stamp, until: Stamp, lengths: &Lengths, index: usize, best: &mut Cleanest) {
        let (mut start, mut head, likely) = (from, index, lengths.likely());
        // That of the planning length last, which decides whether climatology takes part. One length, the usual case, needs
        // nothing of the heap.
        let all = (!likely.contains(&lengths.planned)).then_some((lengths.planned, 0));
        let windows = || likely.iter().map(|length| (*length, 1)).chain(all);
        let mut few = [Tail::default(); 2];
        let mut many = vec![Tail::default(); if likely.len() > 1 { likely.len() + 1 } else { 0 }];
        let tails: &mut [Tail] = if likely.len() > 1 { &mut many } else { &mut few };
        let tails = &mut tails[..windows().count()];
        // What enters at the ends of all windows, for a millisecond.
        let (mut sum, mut count, mut enters) = (0u128, 0u128, 0u128);
        for (tail, (length, weight)) in tails.iter_mut().zip(windows()) {
            let (Some(piece), Some(cost)) = (self.covering(from + length - 1), self.cost(from, length)) else { return };
            *tail = Tail { piece, length, weight, leaves: self.pieces[piece].until - length };
            (sum, count) = (sum + cost.integral * weight, count + weight);
            enters += u128::from(self.pieces[piece].value) * weight;
        }
        loop {
            let poor = self.pieces[head].poor_from < start + lengths.planned;
            best.see(Cost { integral: sum / count, poor }, start);
            if start >= until {
                return;
            }
            let mut next = self.pieces[head].until.min(until);
            for tail in tails.iter_mut() {
                if tail.leaves == start
                    && let Some(piece) = self.pieces.get(tail.piece + 1)
                {
                    enters += u128::from(piece.value) * tail.weight;
                    enters -= u128::from(self.pieces[tail.piece].value) * tail.weight;
                    (tail.piece, tail.leaves) = (tail.piece + 1, piece.until - tail.length);
                }
                next = next.min(tail.leaves);
            }
            if next <= start {
                return;
            }
            let moved = u128::from((next - start).unsigned_abs());
            sum = sum + enters * moved - u128::from(self.pieces[head].value) * count * moved;
            start = next;
            if start == self.pieces[head].until {
                head += 1;
            }
        }
    }
}

/// The end of a window that slides.
#[derive(Clone, Copy, Debug, Default)]
struct Tail {
    /// In which piece it lies.
    piece: usize,
    length: i64,
    /// How often it counts.
    weight: u128,
    /// The start of the window at which it comes to the end of that piece.
    leaves: Stamp,
}

#[cfg(test)]
mod tests;
