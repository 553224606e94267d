//! Where every job stands while a plan is made: room taken, pieces held, costs charged.

use super::calm;
use super::room::Room;
use super::search::{Desk, search, slots};
use super::work::Work;
use super::{HOUR, Piece};
use crate::market::{Market, Menu};

/// How one job runs and what that costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Run {
    /// In the order of time.
    pub pieces: Vec<Piece>,
    /// Energy, waiting, pauses and late work, in grams.
    pub cost: f64,
    /// The same and a little for every piece: of equals the one with fewer pieces is wanted.
    pub weight: f64,
    /// Time behind its due time, or without room, in microseconds.
    pub late: i64,
}

/// What a pause costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pause {
    /// Hours run again.
    pub hours: f64,
    /// Energy beside it, in kWh.
    pub kwh: f64,
}

pub(super) struct Board<'a> {
    pub market: &'a Market,
    pub works: Vec<Work>,
    pub room: Room,
    pub runs: Vec<Run>,
    /// By slot and pool: who runs there, once a piece.
    there: Vec<Vec<usize>>,
    pause: Pause,
    /// What a piece weighs beside what it costs, in grams.
    piece: f64,
    /// What a late job weighs beside what its late work costs, in grams.
    late: f64,
    dearest: f64,
    desk: Desk,
    calm: calm::Desk,
}

impl<'a> Board<'a> {
    pub(super) fn new(market: &'a Market, pause: Pause, piece: f64, late: f64) -> Self {
        let works: Vec<Work> = market.tasks.iter().map(|task| Work::of(market, task)).collect();
        let grams = market.pools.iter().flat_map(|pool| &pool.grams_per_kwh);
        let room = Room::all(market);
        Self {
            market,
            there: vec![Vec::new(); room.slots * market.pools.len()],
            room,
            runs: works.iter().map(|_| Run::default()).collect(),
            works,
            pause,
            piece,
            late,
            dearest: grams.fold(0.0, |a: f64, b| a.max(*b)),
            desk: Desk::default(),
            calm: calm::Desk::default(),
        }
    }

    /// Takes a job off the board.
    pub(super) fn lift(&mut self, job: usize) -> Run {
        let run = std::mem::take(&mut self.runs[job]);
        for piece in &run.pieces {
            self.room.take(piece.pool, piece.from, piece.until, -self.works[job].gpus);
            for slot in slots(&self.room, piece.from, piece.until) {
                let there = &mut self.there[slot * self.market.pools.len() + piece.pool];
                if let Some(at) = there.iter().position(|other| *other == job) {
                    there.swap_remove(at);
                }
            }
        }
        run
    }

    /// Puts a job that is off the board there.
    pub(super) fn put(&mut self, job: usize, run: Run) {
        for piece in &run.pieces {
            self.room.take(piece.pool, piece.from, piece.until, self.works[job].gpus);
            for slot in slots(&self.room, piece.from, piece.until) {
                self.there[slot * self.market.pools.len() + piece.pool].push(job);
            }
        }
        self.runs[job] = run;
    }

    /// Puts a job that is off the board at its cheapest pieces in what is left; `calm`: with as few of them as pays. Answers
    /// what it weighs.
    pub(super) fn insert(&mut self, job: usize, menus: &[Menu], calm: bool) -> f64 {
        let work = self.works[job];
        let (class, menu) = (&self.market.classes[work.class], &menus[work.class]);
        let mut best: Option<Run> = None;
        let stays = class.stays && class.pools.len() > 1;
        let options: &[usize] = if stays { &class.pools } else { &[0] };
        for pool in options {
            let only = stays.then_some(*pool);
            let calm = calm && work.waiting <= 0.0 && {
                let begin = self.begin(&work);
                self.calm.search(&self.room, menu, &work, only, begin, &mut self.desk.taken)
            };
            let missing = if calm { 0 } else { search(&self.room, menu, &work, only, &mut self.desk) };
            let run = self.charge(&work, &self.desk.taken, missing);
            if best.as_ref().is_none_or(|best| run.weight < best.weight) {
                best = Some(Run { pieces: self.desk.taken.clone(), ..run });
            }
        }
        let best = best.unwrap_or_default();
        let weight = best.weight;
        self.put(job, best);
        weight
    }

    /// Whether a pause costs something.
    pub(super) fn pauses_cost(&self) -> bool {
        self.pause.hours > 0.0 || self.pause.kwh > 0.0
    }

    /// What a piece of a job more costs and weighs, about.
    fn begin(&self, work: &Work) -> f64 {
        let point = self.market.classes[work.class].points[0];
        let (again, slot) = (point.kw * self.pause.hours + self.pause.kwh, (work.release / self.room.slot) as usize);
        let grams = |pool: &usize| self.market.pools[*pool].grams_per_kwh.get(slot).copied().unwrap_or(self.dearest);
        let least = self.market.classes[work.class].pools.iter().map(grams).fold(f64::INFINITY, f64::min);
        self.piece + if again > 0.0 { again * least.max(0.0) } else { 0.0 }
    }

    /// Puts a job that is off the board at those pieces, where there is room.
    pub(super) fn put_pieces(&mut self, job: usize, pieces: Vec<Piece>) {
        let work = self.works[job];
        let missing = work.length - pieces.iter().map(|piece| piece.until - piece.from).sum::<i64>();
        let run = self.charge(&work, &pieces, missing);
        self.put(job, Run { pieces, ..run });
    }

    /// What pieces cost and weigh, and how long the job is late.
    fn charge(&self, work: &Work, pieces: &[Piece], missing: i64) -> Run {
        let point = self.market.classes[work.class].points[0];
        let hours = |time: i64| time as f64 / HOUR;
        let (mut cost, mut late, mut end) = (0.0, missing, work.release);
        for (n, piece) in pieces.iter().enumerate() {
            let grams = &self.market.pools[piece.pool].grams_per_kwh;
            let mut begin = piece.from;
            while begin < piece.until {
                let slot = begin / self.room.slot;
                let until = piece.until.min((slot + 1) * self.room.slot);
                cost += point.kw * grams[slot as usize] * hours(until - begin);
                begin = until;
            }
            if n > 0 && (pieces[n - 1].until < piece.from || pieces[n - 1].pool != piece.pool) {
                let again = point.kw * self.pause.hours + self.pause.kwh;
                cost += again * grams[(piece.from / self.room.slot) as usize];
            }
            late += (piece.until - piece.from.max(work.due)).max(0);
            end = piece.until;
        }
        if missing > 0 {
            cost += hours(missing) * point.kw * self.dearest;
            end = (self.room.slots as i64 * self.room.slot).max(work.release) + missing;
        }
        cost += self.market.late * point.gpus * hours(late) + work.waiting * hours(end - work.release);
        let little = self.piece * pieces.len() as f64 + if late > 0 { self.late } else { 0.0 };
        Run { pieces: Vec::new(), cost, weight: cost + little, late }
    }

    /// Who runs in a slot of a pool; a job as often as it has pieces there.
    pub(super) fn there(&self, slot: usize, pool: usize) -> &[usize] {
        &self.there[slot * self.market.pools.len() + pool]
    }

    /// What each job would weigh if there were no others, the board being empty.
    pub(super) fn ideal(&mut self, menus: &[Menu]) -> Vec<f64> {
        let jobs = self.works.len();
        let alone = |job: usize| {
            let weight = self.insert(job, menus, false);
            self.lift(job);
            weight
        };
        (0..jobs).map(alone).collect()
    }

    /// Jobs that are late, rising.
    pub(super) fn late(&self) -> Vec<usize> {
        (0..self.runs.len()).filter(|job| self.runs[*job].late > 0).collect()
    }

    /// What all jobs cost, in grams.
    pub(super) fn cost(&self) -> f64 {
        self.runs.iter().map(|run| run.cost).sum()
    }

    /// What all jobs weigh.
    pub(super) fn weight(&self) -> f64 {
        self.runs.iter().map(|run| run.weight).sum()
    }

    /// Makes all jobs stand exactly so.
    pub(super) fn restore(&mut self, runs: &[Run]) {
        for (job, run) in runs.iter().enumerate() {
            if self.runs[job] != *run {
                self.lift(job);
            }
        }
        for (job, run) in runs.iter().enumerate() {
            if self.runs[job] != *run {
                self.put(job, run.clone());
            }
        }
    }
}
