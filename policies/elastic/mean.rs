//! The average of many answers: no job's best at any one price, but near to what all can have together.

use super::draft::Draft;
use super::ground::Ground;
use crate::market::Share;

/// Hours on average below which a share is forgotten.
const FORGOTTEN: f64 = 1e-5;

/// A fading average of the shares of every task.
#[derive(Clone, Debug, Default)]
pub(super) struct Mean {
    shares: Vec<Vec<Share>>,
    fresh: Vec<Vec<Share>>,
}

fn key(share: &Share) -> (usize, usize, usize) {
    (share.slot, share.pool, share.point)
}

impl Mean {
    pub fn new(tasks: usize) -> Self {
        Self { shares: vec![Vec::new(); tasks], fresh: vec![Vec::new(); tasks] }
    }

    /// A share of the round in progress.
    pub fn take(&mut self, task: usize, share: Share) {
        self.fresh[task].push(share);
    }

    /// The round is over; it counts for `weight` of the average.
    pub fn fold(&mut self, weight: f64) {
        for (mean, fresh) in self.shares.iter_mut().zip(&mut self.fresh) {
            fresh.sort_by_key(key);
            let mut merged: Vec<Share> = Vec::with_capacity(mean.len() + fresh.len());
            let old =
                std::mem::take(mean).into_iter().map(|share| Share { hours: share.hours * (1.0 - weight), ..share });
            let new = fresh.drain(..).map(|share| Share { hours: share.hours * weight, ..share });
            let (mut old, mut new) = (old.peekable(), new.peekable());
            loop {
                let older = match (old.peek(), new.peek()) {
                    (Some(a), Some(b)) => key(a) <= key(b),
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (None, None) => break,
                };
                let Some(share) = (if older { old.next() } else { new.next() }) else { break };
                match merged.last_mut() {
                    Some(last) if key(last) == key(&share) => last.hours += share.hours,
                    _ => merged.push(share),
                }
            }
            merged.retain(|share| share.hours >= FORGOTTEN);
            *mean = merged;
        }
    }

    /// A draft of it: where more is taken than there is, everybody gets less. A job that must stay has what it took where
    /// it took most.
    pub fn draft(&self, ground: &Ground) -> Draft {
        let mut draft = Draft::new(ground);
        let market = ground.market;
        let room = draft.room.clone();
        let mut wanted: Vec<Vec<f64>> = room.iter().map(|pool| vec![0.0; pool.len()]).collect();
        let mut taken = Vec::with_capacity(self.shares.len());
        for (task, shares) in market.tasks.iter().zip(&self.shares) {
            let class = &market.classes[task.class];
            let gpus = |share: &Share| class.points[share.point].gpus * share.hours;
            let in_pool = |pool: usize| shares.iter().filter(|s| s.pool == pool).map(gpus).sum::<f64>();
            let most = class.pools.iter().copied().rev().max_by(|&a, &b| in_pool(a).total_cmp(&in_pool(b)));
            let kept = |share: &&Share| !class.stays || Some(share.pool) == most;
            let shares: Vec<Share> = shares.iter().filter(kept).copied().collect();
            for share in &shares {
                wanted[share.pool][share.slot] += gpus(share);
            }
            taken.push(shares);
        }
        for (task, shares) in taken.into_iter().enumerate().filter(|(task, _)| ground.takes(*task)) {
            let cut = |share: Share| {
                let (room, wanted) = (room[share.pool][share.slot], wanted[share.pool][share.slot]);
                Share { hours: share.hours * if wanted > room { room / wanted } else { 1.0 }, ..share }
            };
            let some = |share: &Share| share.hours > 0.0;
            draft.place(ground, task, shares.into_iter().map(cut).filter(some).collect());
        }
        draft
    }
}
