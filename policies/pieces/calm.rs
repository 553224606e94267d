//! One job among others, where beginning a piece costs something: what is earned above a wage is weighed against the
//! number of pieces by a programme over time, and the wage is found at which the job is done.

use super::room::Room;
use super::search::slots;
use super::work::Work;
use super::{HOUR, Piece};
use crate::market::Menu;

/// Nowhere: the job rests.
const REST: u8 = u8::MAX;

/// Halvings of the range of wages.
const HALVINGS: usize = 24;

/// Grams an hour that a wage is above the dearest price at the least.
const LEAST: f64 = 1e-6;

/// A stretch in which the same pools have room.
#[derive(Clone, Copy, Debug)]
struct Atom {
    from: i64,
    until: i64,
    /// Its choices on the desk.
    first: usize,
    end: usize,
}

/// A pool with room, and what an hour costs there.
#[derive(Clone, Copy, Debug)]
struct Choice {
    pool: usize,
    price: f64,
    /// Whether the best run that is there begins there.
    begun: bool,
}

/// Memory that is used again from job to job.
#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    spans: Vec<(i64, i64, usize, f64)>,
    edges: Vec<i64>,
    atoms: Vec<Atom>,
    choices: Vec<Choice>,
    /// By atom: where the best of those who rest behind it were in it.
    rested: Vec<u8>,
    value: Vec<f64>,
    path: Vec<u8>,
}

impl Desk {
    /// The cheapest pieces of a job at the menu's prices where every piece costs `begin` grams more, in one pool or in all;
    /// `false` if its window has not enough room. They replace those in `taken`, in the order of time.
    pub(super) fn search(
        &mut self,
        room: &Room,
        menu: &Menu,
        work: &Work,
        only: Option<usize>,
        begin: f64,
        taken: &mut Vec<Piece>,
    ) -> bool {
        taken.clear();
        self.gather(room, menu, work, only);
        let prices = || self.choices.iter().map(|choice| choice.price);
        let time: i64 = self.atoms.iter().map(|atom| atom.until - atom.from).sum();
        if time < work.length || work.length <= 0 {
            return false;
        }
        let mut low = prices().fold(f64::INFINITY, f64::min);
        // At that wage no piece is too short.
        let mut high = prices().fold(f64::NEG_INFINITY, f64::max);
        let range = (high - low).max(begin).max(LEAST);
        high += range;
        while self.earn(high, begin) < work.length {
            high += 4.0 * (high - low);
            if !high.is_finite() || high - low > 1e12 * range {
                return false;
            }
        }
        for _ in 0..HALVINGS {
            let wage = f64::midpoint(low, high);
            let time = self.earn(wage, begin);
            if time >= work.length {
                high = wage;
            } else {
                low = wage;
            }
            if time == work.length {
                break;
            }
        }
        self.earn(high, begin);
        self.lay(taken);
        self.trim(work.length, taken);
        true
    }

    /// Cuts the window where room changes.
    fn gather(&mut self, room: &Room, menu: &Menu, work: &Work, only: Option<usize>) {
        self.atoms.clear();
        self.choices.clear();
        let ready = work.release.max(0);
        for slot in slots(room, ready, work.due) {
            self.spans.clear();
            self.edges.clear();
            for (price, pool) in menu.slot(slot).filter(|(_, pool)| only.is_none_or(|only| only == *pool)) {
                for span in room.spans(slot, pool).filter(|span| span.free >= work.gpus) {
                    let (from, until) = (span.from.max(ready), span.until.min(work.due));
                    if until > from {
                        self.spans.push((from, until, pool, price));
                        self.edges.extend([from, until]);
                    }
                }
            }
            self.edges.sort_unstable();
            self.edges.dedup();
            for pair in self.edges.windows(2) {
                let first = self.choices.len();
                let here = self.spans.iter().filter(|span| span.0 <= pair[0] && span.1 >= pair[1]);
                self.choices.extend(here.map(|span| Choice { pool: span.2, price: span.3, begun: false }));
                if self.choices.len() > first {
                    self.atoms.push(Atom { from: pair[0], until: pair[1], first, end: self.choices.len() });
                }
            }
        }
    }

    /// The best of all runs if an hour earns that wage; answered is how long it is.
    fn earn(&mut self, wage: f64, begin: f64) -> i64 {
        let pools = self.choices.iter().map(|choice| choice.pool + 1).max().unwrap_or(0);
        self.value.clear();
        self.value.resize(pools, f64::NEG_INFINITY);
        self.rested.clear();
        let (mut rest, mut before) = (0.0, i64::MIN);
        for n in 0..self.atoms.len() {
            let atom = self.atoms[n];
            if atom.from != before {
                self.value.fill(f64::NEG_INFINITY);
            }
            let hours = (atom.until - atom.from) as f64 / HOUR;
            let (mut best, mut place) = (rest, REST);
            for pool in 0..pools {
                // Choices are few, and in no order of pools.
                let choice = self.choices[atom.first..atom.end].iter_mut().find(|choice| choice.pool == pool);
                let Some(choice) = choice else {
                    self.value[pool] = f64::NEG_INFINITY;
                    continue;
                };
                choice.begun = self.value[pool] < rest - begin;
                let value = self.value[pool].max(rest - begin) + (wage - choice.price) * hours;
                self.value[pool] = value;
                if value > best {
                    (best, place) = (value, pool as u8);
                }
            }
            (rest, before) = (best, atom.until);
            self.rested.push(place);
        }
        self.back()
    }

    /// Walks back along the best run; answered is how long it is.
    fn back(&mut self) -> i64 {
        self.path.clear();
        self.path.resize(self.atoms.len(), REST);
        let (mut place, mut time) = (REST, 0);
        for n in (0..self.atoms.len()).rev() {
            let atom = self.atoms[n];
            if place == REST {
                place = self.rested[n];
            }
            self.path[n] = place;
            if place == REST {
                continue;
            }
            time += atom.until - atom.from;
            let choice = self.choices[atom.first..atom.end].iter().find(|choice| choice.pool == usize::from(place));
            if choice.is_none_or(|choice| choice.begun) {
                place = REST;
            }
        }
        time
    }

    /// The run as pieces.
    fn lay(&self, taken: &mut Vec<Piece>) {
        for (atom, place) in self.atoms.iter().zip(&self.path).filter(|(_, place)| **place != REST) {
            let pool = usize::from(*place);
            match taken.last_mut() {
                Some(last) if last.until == atom.from && last.pool == pool => last.until = atom.until,
                _ => taken.push(Piece { pool, from: atom.from, until: atom.until }),
            }
        }
    }

    /// What an hour costs there.
    fn price(&self, pool: usize, from: i64) -> f64 {
        let n = self.atoms.partition_point(|atom| atom.until <= from);
        let choices = &self.choices[self.atoms[n].first..self.atoms[n].end];
        choices.iter().find(|choice| choice.pool == pool).map_or(0.0, |choice| choice.price)
    }

    /// Gives back what is too much: whole pieces if they are short enough, then the dearest ends.
    fn trim(&self, length: i64, taken: &mut Vec<Piece>) {
        let mut over = taken.iter().map(|piece| piece.until - piece.from).sum::<i64>() - length;
        while over > 0 {
            let fits = |piece: &&Piece| piece.until - piece.from <= over;
            let dear = |piece: &Piece| self.price(piece.pool, piece.from);
            let whole = taken.iter().filter(fits).max_by(|a, b| dear(a).total_cmp(&dear(b)).then(b.from.cmp(&a.from)));
            if let Some(whole) = whole.copied() {
                over -= whole.until - whole.from;
                taken.retain(|piece| *piece != whole);
                continue;
            }
            let mut best = (f64::NEG_INFINITY, 0, false);
            for (n, piece) in taken.iter().enumerate() {
                for (price, end) in [(self.price(piece.pool, piece.until - 1), true), (dear(piece), false)] {
                    if price > best.0 {
                        best = (price, n, end);
                    }
                }
            }
            let (_, n, end) = best;
            let piece = &mut taken[n];
            let at = if end { piece.until - 1 } else { piece.from };
            let atom = self.atoms[self.atoms.partition_point(|atom| atom.until <= at)];
            if end {
                let time = over.min(piece.until - atom.from.max(piece.from));
                piece.until -= time;
                over -= time;
            } else {
                let time = over.min(atom.until.min(piece.until) - piece.from);
                piece.from += time;
                over -= time;
            }
        }
    }
}
