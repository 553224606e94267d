//! Checks pieces against the market alone. It does not know how they were found, and is naive on purpose.

use super::{HOUR, Piece};
use crate::market::Market;

/// Something a plan must not do. Jobs and pools are indices, times microseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Breach {
    /// There are more or fewer runs than jobs.
    Count { jobs: usize, runs: usize },
    /// A piece has no length, is out of order, or runs beside another of its job.
    Order { job: usize, piece: Piece },
    /// It runs where it may not, or behind the last slot.
    Place { job: usize, piece: Piece },
    /// It runs before it came.
    Early { job: usize, at: i64 },
    /// It moves between pools and may not.
    Moves { job: usize },
    /// It does not run exactly as long as it takes.
    Length { job: usize, time: i64 },
    /// More GPUs are in use at that instant than there are.
    Room { pool: usize, at: i64, gpus: f64 },
}

/// What is wrong with these pieces, one list a job. Nothing is, if it is empty.
#[must_use]
pub fn check(market: &Market, runs: &[Vec<Piece>]) -> Vec<Breach> {
    let mut breaches = vec![];
    if runs.len() != market.tasks.len() {
        breaches.push(Breach::Count { jobs: market.tasks.len(), runs: runs.len() });
    }
    let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
    let end = (slots as f64 * market.slot_hours * HOUR).round() as i64;
    for (job, (task, run)) in market.tasks.iter().zip(runs).enumerate() {
        let class = &market.classes[task.class];
        let mut before = i64::MIN;
        for piece in run {
            if piece.from < before || piece.until <= piece.from {
                breaches.push(Breach::Order { job, piece: *piece });
            }
            if !class.pools.contains(&piece.pool) || piece.until > end {
                breaches.push(Breach::Place { job, piece: *piece });
            }
            before = piece.until;
        }
        if run.first().is_some_and(|first| (first.from as f64) < task.release * HOUR - 1.0) {
            breaches.push(Breach::Early { job, at: run[0].from });
        }
        if class.stays && run.iter().any(|piece| piece.pool != run[0].pool) {
            breaches.push(Breach::Moves { job });
        }
        let time: i64 = run.iter().map(|piece| piece.until - piece.from).sum();
        if (time as f64 - task.hours / class.points[0].speed * HOUR).abs() > 1.0 {
            breaches.push(Breach::Length { job, time });
        }
    }
    for pool in 0..market.pools.len() {
        overfull(market, runs, pool, &mut breaches);
    }
    breaches
}

/// Instants at which a pool holds more than it has, by a sweep over starts, ends and slots.
fn overfull(market: &Market, runs: &[Vec<Piece>], pool: usize, breaches: &mut Vec<Breach>) {
    let mut events: Vec<(i64, f64)> = vec![];
    for (task, run) in market.tasks.iter().zip(runs) {
        let gpus = market.classes[task.class].points[0].gpus;
        for piece in run.iter().filter(|piece| piece.pool == pool) {
            events.extend([(piece.from, gpus), (piece.until, -gpus)]);
        }
    }
    let capacity = &market.pools[pool].capacity;
    let slot = (market.slot_hours * HOUR).round() as i64;
    events.extend((0..capacity.len() as i64).map(|n| (n * slot, 0.0)));
    // Ends come before starts at the same instant.
    events.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut gpus = 0.0;
    for (n, (at, change)) in events.iter().enumerate() {
        gpus += change;
        let settled = events.get(n + 1).is_none_or(|next| next.0 > *at);
        let limit = usize::try_from(at / slot).ok().and_then(|n| capacity.get(n)).map_or(0.0, |gpus| gpus.floor());
        if settled && gpus > limit + 1e-6 {
            breaches.push(Breach::Room { pool, at: *at, gpus });
        }
    }
}
