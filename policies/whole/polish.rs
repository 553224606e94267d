//! Makes a plan better: a few jobs in each other's way are lifted and put back in another order, and the outcome is kept
//! if it costs less, or hardly more while much effort is left. The best plan seen wins, so it never gets worse.

use super::board::Board;
use super::search::{Ground, Spot};

/// Jobs lifted beside the one that wants a better start, at most.
const COMPANY: usize = 10;

/// Of so many jobs drawn, the one that loses most by the others is moved.
const DRAWN: usize = 4;

/// At first a step may cost more by about this share of the mean cost of a job …
const WARM: f64 = 0.05;

/// … and at last by this share of that.
const COOLED: f64 = 0.01;

/// The same seed for every plan: the same case gives the same plan.
const SEED: u64 = 1;

/// `ideal`: where each job would run if there were no others. `steps`: how many times jobs are lifted and put back.
pub(super) fn polish(board: &mut Board<'_>, grounds: &[&[Ground]], ideal: &[Option<Spot>], steps: usize) {
    if board.open.is_empty() {
        return;
    }
    let mut dice = Dice(SEED);
    let first: f64 = board.open.iter().filter_map(|&job| board.spots[job]).map(|spot| spot.cost).sum();
    let (mut cost, mut least, mut best) = (first, first, board.spots.clone());
    let mut late = board.late();
    for step in 0..steps {
        let heat = WARM * first.abs() / board.open.len() as f64 * COOLED.powf(step as f64 / steps as f64);
        let group = group(board, ideal, &late, &mut dice);
        let before: Vec<Option<Spot>> = group.iter().map(|&job| board.lift(job)).collect();
        let old: f64 = before.iter().flatten().map(|spot| spot.cost).sum();
        let mut order = group.clone();
        sort(board, &mut order, &mut dice);
        let ground = grounds[dice.below(grounds.len())];
        let new: f64 = order.iter().map(|&job| board.insert(job, ground)).sum();
        if new < old - heat * dice.share().ln() {
            cost += new - old;
            if !late.is_empty() || group.iter().any(|&job| board.is_late(job)) {
                late = board.late();
            }
            if cost < least - 1e-9 * least.abs() {
                least = cost;
                best.clone_from(&board.spots);
            }
            continue;
        }
        for &job in &group {
            board.lift(job);
        }
        for (&job, spot) in group.iter().zip(before) {
            if let Some(spot) = spot {
                board.put(job, spot);
            }
        }
    }
    board.restore(&best);
}

/// A job that loses by the others, a late one first of all, and some of those that run where it would like to run or
/// around where it runs.
fn group(board: &Board<'_>, ideal: &[Option<Spot>], late: &[usize], dice: &mut Dice) -> Vec<usize> {
    let loss = |job: usize| match (board.spots[job], ideal[job]) {
        (Some(now), Some(ideal)) => now.cost - ideal.cost,
        _ => 0.0,
    };
    let mut first = board.open[dice.below(board.open.len())];
    for _ in 1..DRAWN {
        let other = board.open[dice.below(board.open.len())];
        if loss(other) > loss(first) {
            first = other;
        }
    }
    if !late.is_empty() && dice.below(4) == 0 {
        let other = late[dice.below(late.len())];
        // A job that has started late stays so.
        first = if board.open.binary_search(&other).is_ok() { other } else { first };
    }
    let mut group = vec![first];
    let around = if dice.below(2) == 0 { board.spots[first] } else { ideal[first] };
    let Some(around) = around else { return group };
    let until = around.at + board.works[first].length.max(3_600_000);
    let meets = |job: usize| {
        let Some(spot) = board.spots[job] else { return false };
        job != first && spot.place == around.place && spot.at < until && spot.at + board.works[job].length > around.at
    };
    let mut near: Vec<usize> = board.open.iter().copied().filter(|&job| meets(job)).collect();
    for _ in 0..near.len().min(1 + dice.below(COMPANY)) {
        let index = dice.below(near.len());
        group.push(near.swap_remove(index));
    }
    group
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

/// A fixed sequence of numbers that look like chance (SplitMix64).
struct Dice(u64);

impl Dice {
    /// A number below `sides`, 0 if there are none.
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * sides as u128) >> 64) as usize
    }

    /// A number in (0, 1].
    fn share(&mut self) -> f64 {
        (self.below(1 << 30) + 1) as f64 / f64::from(1 << 30)
    }
}
