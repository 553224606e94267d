//! Makes a plan better: a few jobs in each other's way are lifted and put back in another order, and the outcome is kept if
//! it costs less, or hardly more while much effort is left. The best plan seen wins, so it never gets worse.

use super::board::{Board, Run};
use super::search::slots;
use crate::dice::Dice;
use crate::market::Menu;

/// Jobs lifted beside the one that wants better pieces, at most.
const COMPANY: usize = 6;

/// Of so many jobs drawn, the one that loses most by the others is moved.
const DRAWN: usize = 4;

/// At first a step may cost more by up to this share of the mean cost of a job, at last by nothing.
const WARM: f64 = 0.02;

/// The same seed for every plan: the same market gives the same plan.
const SEED: u64 = 1;

/// Every job in turn takes its cheapest pieces in what the others leave, if that is better for it; with `calm` as few of
/// them as pays. Whether any did.
pub(super) fn descend(board: &mut Board<'_>, menu: &[Menu], calm: bool) -> bool {
    let calm = calm || board.pauses_cost();
    let mut better = false;
    for job in 0..board.runs.len() {
        let before = board.lift(job);
        let weight = board.insert(job, menu, calm);
        if weight < before.weight - 1e-9 * before.weight.abs() {
            better = true;
        } else {
            board.lift(job);
            board.put(job, before);
        }
    }
    better
}

/// `ideal`: what each job would cost if there were no others. `steps`: how many times jobs are lifted and put back.
pub(super) fn polish(board: &mut Board<'_>, menus: [&[Menu]; 4], ideal: &[f64], steps: usize, enough: f64) {
    if board.runs.is_empty() {
        return;
    }
    let (mut dice, calm) = (Dice(SEED), board.pauses_cost());
    let first = board.weight();
    let mean = first.abs() / board.runs.len() as f64;
    let (mut weight, mut least, mut best) = (first, first, board.runs.clone());
    // Jobs that stand otherwise than in the best plan.
    let mut moved: Vec<usize> = Vec::new();
    let mut cost = board.cost();
    let mut late = board.late();
    for step in 0..steps {
        if late.is_empty() && cost <= enough {
            break;
        }
        let left = (steps - step) as f64 / steps as f64;
        let heat = WARM * mean * left * left * left;
        let wants = pick(board, ideal, &late, &mut dice);
        let mut lifted: Vec<(usize, Run)> = Vec::with_capacity(COMPANY + 1);
        let was_late = board.runs[wants].late > 0;
        make_room(board, wants, was_late, &mut lifted, &mut dice);
        let old: f64 = lifted.iter().map(|(_, run)| run.weight).sum();
        let late_before = lifted.iter().any(|(_, run)| run.late > 0);
        let mut order: Vec<usize> = lifted.iter().map(|(job, _)| *job).collect();
        sort(board, &mut order[1..], &mut dice);
        let menu = menus[dice.below(menus.len())];
        let new: f64 = order.iter().map(|&job| board.insert(job, menu, calm)).sum();
        if new < old + heat * dice.share() {
            weight += new - old;
            cost += order.iter().map(|&job| board.runs[job].cost).sum::<f64>();
            cost -= lifted.iter().map(|(_, run)| run.cost).sum::<f64>();
            if late_before || order.iter().any(|&job| board.runs[job].late > 0) {
                late = board.late();
            }
            moved.extend(order);
            if weight < least - 1e-9 * least.abs() {
                least = weight;
                for job in moved.drain(..) {
                    best[job].clone_from(&board.runs[job]);
                }
            }
            continue;
        }
        for job in order {
            board.lift(job);
        }
        for (job, run) in lifted {
            board.put(job, run);
        }
    }
    board.restore(&best);
}

/// A job that loses by the others, often a late one.
fn pick(board: &Board<'_>, ideal: &[f64], late: &[usize], dice: &mut Dice) -> usize {
    if !late.is_empty() && dice.below(2) == 0 {
        return late[dice.below(late.len())];
    }
    let loss = |job: usize| board.runs[job].weight - ideal[job];
    let mut job = dice.below(board.runs.len());
    for _ in 1..DRAWN {
        let other = dice.below(board.runs.len());
        if loss(other) > loss(job) {
            job = other;
        }
    }
    job
}

/// Lifts the job and some of those that run in a slot of its window.
fn make_room(board: &mut Board<'_>, job: usize, late: bool, lifted: &mut Vec<(usize, Run)>, dice: &mut Dice) {
    lifted.push((job, board.lift(job)));
    let work = board.works[job];
    let window = slots(&board.room, work.release, work.due);
    let pools = &board.market.classes[work.class].pools;
    if window.is_empty() || pools.is_empty() {
        return;
    }
    // Of some slots the cheapest, unless any time will do.
    let mut at = (window.start + dice.below(window.len()), pools[dice.below(pools.len())]);
    for _ in 1..if late { 1 } else { 3 } {
        let other = (window.start + dice.below(window.len()), pools[dice.below(pools.len())]);
        let grams = |(slot, pool): (usize, usize)| board.market.pools[pool].grams_per_kwh[slot];
        if grams(other) < grams(at) {
            at = other;
        }
    }
    let mut near: Vec<usize> = board.there(at.0, at.1).to_vec();
    let count = if late && dice.below(2) == 0 { near.len() } else { 1 + dice.below(COMPANY) };
    for _ in 0..near.len().min(count) {
        let other = near.swap_remove(dice.below(near.len()));
        if lifted.iter().all(|(job, _)| *job != other) {
            lifted.push((other, board.lift(other)));
        }
    }
}

/// The order in which lifted jobs come back: the widest first, the tightest first, as lifted, or any.
fn sort(board: &Board<'_>, order: &mut [usize], dice: &mut Dice) {
    match dice.below(5) {
        0 | 1 => order.sort_by(|&a, &b| {
            let size = |job: usize| (board.works[job].gpus, board.works[job].length);
            size(b).cmp(&size(a)).then(a.cmp(&b))
        }),
        2 => order.sort_by(|&a, &b| board.works[a].freedom().total_cmp(&board.works[b].freedom()).then(a.cmp(&b))),
        3 => (1..order.len()).rev().for_each(|index| order.swap(index, dice.below(index + 1))),
        _ => {}
    }
}
