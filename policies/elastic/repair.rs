//! A late job takes room from others, who take theirs from others again, until all have a place or nobody is left to ask.

use super::desk::Desk;
use super::draft::Draft;
use super::shelf::Level;
use crate::market::Share;
use std::collections::{BTreeSet, VecDeque};

/// Lets every late job insist on its room, keeps what makes the whole cheaper. Prices are those in stock: they say where
/// others can make room most easily.
pub(super) fn repair(draft: &mut Draft, desk: &mut Desk, order: &[usize], level: Level) {
    for &task in order {
        if draft.is_late(desk.ground, task) {
            let other = insist(draft.clone(), desk, order, task, level);
            if other.cost() < draft.cost() {
                *draft = other;
            }
        }
    }
}

/// A chain of jobs that push each other aside; whoever has pushed stays where it is.
fn insist(mut draft: Draft, desk: &mut Desk, order: &[usize], task: usize, level: Level) -> Draft {
    let ground = desk.ground;
    let gpus = |task: usize, share: &Share| {
        ground.market.classes[ground.market.tasks[task].class].points[share.point].gpus * share.hours
    };
    let (mut settled, mut queue) = (BTreeSet::new(), VecDeque::from([task]));
    while let Some(task) = queue.pop_front() {
        if !settled.insert(task) || !draft.is_late(ground, task) {
            continue;
        }
        draft.lift(ground, task);
        // For this job there is room wherever no settled one is.
        let mut wide = draft.clone();
        for &other in order.iter().filter(|other| !settled.contains(other)) {
            wide.lift(ground, other);
        }
        let shares = wide.best(desk, task, level);
        draft.place(ground, task, shares);
        let mut pushed = Vec::new();
        for &other in order.iter().filter(|other| !settled.contains(other)) {
            let short = |share: &Share| draft.room[share.pool][share.slot] < 0.0;
            if draft.shares[other].iter().any(short) {
                // The last in line gives way first; it takes its place again below, with what is left.
                let shares = draft.lift(ground, other);
                let mut kept = Vec::with_capacity(shares.len());
                for share in shares {
                    let room = &mut draft.room[share.pool][share.slot];
                    let fits = (*room / gpus(other, &share)).clamp(0.0, 1.0);
                    *room -= fits * gpus(other, &share);
                    if fits > 0.0 {
                        kept.push(Share { hours: share.hours * fits, ..share });
                    }
                }
                for share in &kept {
                    draft.room[share.pool][share.slot] += gpus(other, share);
                }
                draft.place(ground, other, kept);
                pushed.push(other);
            }
        }
        for other in pushed {
            draft.lift(ground, other);
            let shares = draft.best(desk, other, level);
            draft.place(ground, other, shares);
            if draft.is_late(ground, other) {
                queue.push_back(other);
            }
        }
    }
    draft
}
