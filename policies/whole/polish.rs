//! Makes a plan better: a few jobs in each other's way are lifted and put back in another order, and the outcome is kept
//! if it costs less, or hardly more while much effort is left. The best plan seen wins, so it never gets worse.

use super::board::Board;
use super::search::{Ground, Spot};
use crate::dice::Dice;

/// Jobs lifted beside the one that wants a better start, at most, when they are drawn from its neighbours …
const COMPANY: usize = 10;

/// … and when they are those in its way.
const EJECTED: usize = 60;

/// Of so many jobs drawn, the one that loses most by the others is moved.
const DRAWN: usize = 4;

/// At first a step may cost more by up to this share of the mean cost of a job, at last by nothing.
const WARM: f64 = 0.05;

/// The same seed for every plan: the same case gives the same plan.
const SEED: u64 = 1;

/// `ideal`: where each job would run if there were no others. `steps`: how many times jobs are lifted and put back.
pub(super) fn polish(board: &mut Board<'_>, grounds: &[&[Ground]], ideal: &[Option<Spot>], steps: usize) {
    if board.open.is_empty() {
        return;
    }
    let mut dice = Dice(SEED);
    let first: f64 = board.open.iter().filter_map(|&job| board.spots[job]).map(|spot| spot.cost).sum();
    let mean = first.abs() / board.open.len() as f64;
    let (mut cost, mut least, mut best) = (first, first, board.spots.clone());
    let mut late = board.late();
    for step in 0..steps {
        let left = (steps - step) as f64 / steps as f64;
        let heat = WARM * mean * left * left * left;
        let wants = pick(board, ideal, &late, &mut dice);
        let mut lifted = vec![(wants, board.lift(wants))];
        let is_late = lifted[0].1.is_some_and(|spot| spot.at > board.works[wants].latest);
        let ejects = dice.below(4) == 0 || is_late;
        if ejects {
            eject(board, ideal, is_late, &mut lifted, &mut dice);
        } else {
            lift_neighbours(board, ideal, &mut lifted, &mut dice);
        }
        let old: f64 = lifted.iter().filter_map(|(_, spot)| *spot).map(|spot| spot.cost).sum();
        let mut order: Vec<usize> = lifted.iter().map(|(job, _)| *job).collect();
        sort(board, &mut order[usize::from(ejects)..], &mut dice);
        let ground = grounds[dice.below(grounds.len())];
        let new: f64 = order.iter().map(|&job| board.insert(job, ground)).sum();
        if new < old + heat * dice.share() {
            cost += new - old;
            if !late.is_empty() || order.iter().any(|&job| board.is_late(job)) {
                late = board.late();
            }
            if cost < least - 1e-9 * least.abs() {
                least = cost;
                best.clone_from(&board.spots);
            }
            continue;
        }
        for job in order {
            board.lift(job);
        }
        for (job, spot) in lifted {
            if let Some(spot) = spot {
                board.put(job, spot);
            }
        }
    }
    board.restore(&best);
}

/// A job that loses by the others, often a late one.
fn pick(board: &Board<'_>, ideal: &[Option<Spot>], late: &[usize], dice: &mut Dice) -> usize {
    let loss = |job: usize| match (board.spots[job], ideal[job]) {
        (Some(now), Some(ideal)) => now.cost - ideal.cost,
        _ => 0.0,
    };
    if !late.is_empty() && dice.below(2) == 0 {
        let job = late[dice.below(late.len())];
        // A job that has started late stays so.
        if board.open.binary_search(&job).is_ok() {
            return job;
        }
    }
    let mut job = board.open[dice.below(board.open.len())];
    for _ in 1..DRAWN {
        let other = board.open[dice.below(board.open.len())];
        if loss(other) > loss(job) {
            job = other;
        }
    }
    job
}

/// Lifts some of the jobs that run where the first would like to run, or around where it ran.
fn lift_neighbours(
    board: &mut Board<'_>,
    ideal: &[Option<Spot>],
    lifted: &mut Vec<(usize, Option<Spot>)>,
    dice: &mut Dice,
) {
    let (job, spot) = lifted[0];
    let around = if dice.below(2) == 0 { spot } else { ideal[job] };
    let Some(around) = around else { return };
    let until = around.at + board.works[job].length.max(3_600_000);
    let mut near = board.running(around.place, around.at, until);
    for _ in 0..near.len().min(1 + dice.below(COMPANY)) {
        let other = near.swap_remove(dice.below(near.len()));
        lifted.push((other, board.lift(other)));
    }
}

/// Lifts jobs until the first fits at a start it would like: its own best, or any in its window if it is late.
fn eject(
    board: &mut Board<'_>,
    ideal: &[Option<Spot>],
    is_late: bool,
    lifted: &mut Vec<(usize, Option<Spot>)>,
    dice: &mut Dice,
) {
    let job = lifted[0].0;
    let Some(Spot { place, mut at, .. }) = ideal[job] else { return };
    let work = board.works[job];
    if is_late && work.latest > work.earliest {
        at = work.earliest + dice.below((work.latest - work.earliest) as usize + 1) as i64;
    }
    while let Some(full) = board.obstacle(job, place, at) {
        let there = board.running(place, full, full + 1);
        if there.is_empty() || lifted.len() > EJECTED {
            return;
        }
        let other = there[dice.below(there.len())];
        lifted.push((other, board.lift(other)));
    }
}

/// The order in which lifted jobs come back: the largest first, the tightest first, as lifted, or any.
fn sort(board: &Board<'_>, order: &mut [usize], dice: &mut Dice) {
    let size = |job: usize| board.works[job].gpus as f64 * board.works[job].length as f64;
    match dice.below(5) {
        0 | 1 => order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b))),
        2 => order.sort_by(|&a, &b| board.works[a].freedom().total_cmp(&board.works[b].freedom()).then(a.cmp(&b))),
        3 => (1..order.len()).rev().for_each(|index| order.swap(index, dice.below(index + 1))),
        _ => {}
    }
}
