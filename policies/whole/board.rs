//! Where every job stands while a plan is made: room taken, spots held, costs charged.

use super::bound::RoomPrices;
use super::room::Room;
use super::search::{Ground, Spot, Work, cheapest, earliest};
use super::terms::{Standing, Terms, late_gpu_hours};
use crate::replay::{Case, Ran, Segment};

/// The state of a plan in the making. Jobs that have started hold room and cannot be lifted.
pub(super) struct Board<'a> {
    pub(super) case: &'a Case,
    pub(super) terms: &'a Terms,
    pub(super) works: Vec<Work>,
    rooms: Vec<Room>,
    /// By job: where it runs, and what that costs by the terms.
    pub(super) spots: Vec<Option<Spot>>,
    /// Jobs that may be moved, rising.
    pub(super) open: Vec<usize>,
    /// What the jobs cost that have started.
    fixed: f64,
}

impl<'a> Board<'a> {
    pub(super) fn new(case: &'a Case, terms: &'a Terms, standing: &Standing<'_>) -> Self {
        let limit = |gpus: Option<f64>| gpus.map_or(i64::MAX / 2, |gpus| gpus.floor() as i64);
        let mut board = Self {
            case,
            terms,
            works: case.jobs.iter().map(|job| Work::new(job, standing.now)).collect(),
            rooms: case.places.iter().map(|place| Room::new(limit(place.gpus))).collect(),
            spots: vec![None; case.jobs.len()],
            open: (0..case.jobs.len()).filter(|&job| standing.run(job).is_none()).collect(),
            fixed: 0.0,
        };
        for (job, truth) in case.jobs.iter().enumerate() {
            let Some(run) = standing.run(job) else { continue };
            let cost = terms.cost(case, truth, run.place, run.from);
            let spot = Spot { place: run.place, at: (run.from * 1000.0).round() as i64, cost };
            board.fixed += cost;
            // What is over holds no room any more.
            if run.until > standing.now {
                board.put(job, spot);
            } else {
                board.spots[job] = Some(spot);
            }
        }
        board
    }

    /// The ground of every place, with that share of the prices of room.
    pub(super) fn grounds(&self, prices: &RoomPrices, share: f64) -> Vec<Ground> {
        let places = self.case.places.iter().zip(&prices.places);
        places.map(|(place, cells)| Ground::new(self.case, place, cells, share)).collect()
    }

    /// Takes a job off the board.
    pub(super) fn lift(&mut self, job: usize) -> Option<Spot> {
        let spot = self.spots[job].take()?;
        let work = &self.works[job];
        self.rooms[spot.place].take(spot.at, spot.at + work.length, -work.gpus);
        Some(spot)
    }

    /// Puts a job that is off the board there.
    pub(super) fn put(&mut self, job: usize, spot: Spot) {
        let work = &self.works[job];
        self.rooms[spot.place].take(spot.at, spot.at + work.length, work.gpus);
        self.spots[job] = Some(spot);
    }

    /// Puts a job that is off the board at its cheapest start in what is left, or as early as room appears behind its
    /// window. A job wider than every place it may use stays off. Answers what it costs by the terms.
    pub(super) fn insert(&mut self, job: usize, grounds: &[Ground]) -> f64 {
        let Some(spot) = self.look(job, grounds) else { return 0.0 };
        self.put(job, spot);
        spot.cost
    }

    /// Puts a job that is off the board where it was to run, if there is room.
    pub(super) fn put_run(&mut self, job: usize, run: &Segment) -> bool {
        let work = &self.works[job];
        let at = (run.from * 1000.0).round() as i64;
        let mut free = false;
        self.rooms[run.place].starts((at, at), work.length, work.gpus, |_, _| {
            free = true;
            false
        });
        if free {
            let cost = self.terms.cost(self.case, &self.case.jobs[job], run.place, seconds(at));
            self.put(job, Spot { place: run.place, at, cost });
        }
        free
    }

    /// Where each job that may be moved would run if there were no others that may, the board being empty of them.
    pub(super) fn ideal(&self, free: &[Ground]) -> Vec<Option<Spot>> {
        let mut ideal = vec![None; self.spots.len()];
        for &job in &self.open {
            ideal[job] = self.look(job, free);
        }
        ideal
    }

    /// The first instant at which a job that is off the board would not fit if it ran there.
    pub(super) fn obstacle(&self, job: usize, place: usize, at: i64) -> Option<i64> {
        let work = &self.works[job];
        self.rooms[place].first_full(at, at + work.length, work.gpus)
    }

    /// Jobs that may be moved and run at some instant of a time in a place, rising.
    pub(super) fn running(&self, place: usize, from: i64, until: i64) -> Vec<usize> {
        let runs = |job: &usize| {
            let Some(spot) = self.spots[*job] else { return false };
            spot.place == place && spot.at < until && spot.at + self.works[*job].length > from
        };
        self.open.iter().copied().filter(runs).collect()
    }

    fn look(&self, job: usize, grounds: &[Ground]) -> Option<Spot> {
        let (work, truth) = (&self.works[job], &self.case.jobs[job]);
        let anywhere = self.case.anywhere;
        let (place, at) = cheapest(&self.rooms, grounds, work, anywhere, self.terms.waiting)
            .or_else(|| earliest(&self.rooms, work, anywhere))?;
        Some(Spot { place, at, cost: self.terms.cost(self.case, truth, place, seconds(at)) })
    }

    /// Makes the jobs that may be moved stand exactly so.
    pub(super) fn restore(&mut self, spots: &[Option<Spot>]) {
        for index in 0..self.open.len() {
            self.lift(self.open[index]);
        }
        for index in 0..self.open.len() {
            let job = self.open[index];
            if let Some(spot) = spots[job] {
                self.put(job, spot);
            }
        }
    }

    pub(super) fn is_late(&self, job: usize) -> bool {
        self.spots[job].is_some_and(|spot| spot.at > self.works[job].latest)
    }

    /// Jobs that end behind their window, rising.
    pub(super) fn late(&self) -> Vec<usize> {
        (0..self.spots.len()).filter(|&job| self.is_late(job)).collect()
    }

    pub(super) fn late_gpu_hours(&self) -> f64 {
        let behind = |job: usize| self.spots[job].map_or(0.0, |s| late_gpu_hours(&self.case.jobs[job], seconds(s.at)));
        self.late().into_iter().map(behind).fold(0.0, |sum, hours| sum + hours)
    }

    /// What all jobs cost by the terms, in grams, without those that stay off the board.
    pub(super) fn cost(&self) -> f64 {
        self.open.iter().filter_map(|&job| self.spots[job]).fold(self.fixed, |sum, spot| sum + spot.cost)
    }

    /// How a job runs; not at all if it stays off the board.
    pub(super) fn run(&self, job: usize) -> Ran {
        let truth = &self.case.jobs[job];
        let segment = |spot: Spot| {
            let from = seconds(spot.at);
            Segment { from, until: from + truth.length, gpus: truth.width, place: spot.place }
        };
        self.spots[job].map(segment).into_iter().collect()
    }
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}
