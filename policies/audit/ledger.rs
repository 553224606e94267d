//! Recounts what is free: of every node, and of what nodes share.

use super::{Auditor, Run};
use crate::machine::{Amount, Shape};
use crate::problem::{Good, Shared};
use crate::room::{Goods, occupied_until};
use crate::stamp::{Stamp, stamp};
use neap_model::units::Watts;

/// All accounts.
pub(super) struct Books {
    pub nodes: Vec<Ledger<Amount>>,
    /// In mW, or GPUs, in the order of the site.
    pub shared: Vec<Ledger<u64>>,
}

/// Somebody comes or goes.
struct Change<T> {
    at: Stamp,
    arrives: bool,
    amount: T,
    /// A planned job; else one that runs.
    planned: bool,
}

/// What is free between changes, counted by going through them in the order of time.
pub(super) struct Ledger<T> {
    free: Vec<(Stamp, T)>,
    /// Instants at which planned jobs take more than there is.
    pub over: Vec<Stamp>,
}

impl<T: Goods + Default> Ledger<T> {
    /// `total` says how much there is from an instant on, and changes at `edges`.
    fn of(total: impl Fn(Stamp) -> T, edges: &[Stamp], now: Stamp, mut changes: Vec<Change<T>>) -> Self {
        changes.sort_by_key(|change| change.at);
        let mut instants: Vec<Stamp> = changes.iter().map(|change| change.at).chain(edges.iter().copied()).collect();
        instants.sort_unstable();
        instants.dedup();
        let (mut held, mut planned) = (Vec::<T>::new(), Vec::<T>::new());
        let (mut free, mut over) = (vec![(now, total(now))], Vec::new());
        let mut changes = changes.into_iter().peekable();
        for at in instants {
            while let Some(change) = changes.next_if(|change| change.at == at) {
                let there = if change.planned { &mut planned } else { &mut held };
                if change.arrives {
                    there.push(change.amount);
                } else {
                    let gone = there.iter().position(|other| *other == change.amount).expect("what leaves has arrived");
                    there.swap_remove(gone);
                }
            }
            let mut rest = total(at);
            rest.take(&sum(&held));
            if !rest.covers(&sum(&planned)) {
                over.push(at);
            }
            rest.take(&sum(&planned));
            free.push((at, rest));
        }
        Self { free, over }
    }

    /// The first start in `[from, limit)` with `need` free for `length`, with one's own run given back.
    fn earliest(
        &self,
        need: &T,
        (from, limit): (Stamp, Stamp),
        length: i64,
        own: Option<(Stamp, Stamp, T)>,
    ) -> Option<Stamp> {
        let mut start = from;
        for (index, (at, free)) in self.free.iter().enumerate() {
            let end = self.free.get(index + 1).map_or(Stamp::MAX, |(next, _)| *next);
            if end <= start {
                continue;
            }
            if start >= limit {
                return None;
            }
            let mut free = *free;
            if let Some((own_from, own_until, mine)) = own
                && own_from <= *at
                && *at < own_until
            {
                free.give(&mine);
            }
            if !free.covers(need) {
                start = end;
            } else if end.saturating_sub(start) >= length {
                return Some(start).filter(|start| *start < limit);
            }
        }
        None
    }
}

/// The sum without wrapping: more than can be counted is more than there is.
fn sum<T: Goods + Default>(amounts: &[T]) -> T {
    let mut sum = T::default();
    amounts.iter().for_each(|amount| sum.give(amount));
    sum
}

impl Auditor<'_> {
    /// What everybody has, of every node and of all that is shared.
    pub(super) fn books(&self, runs: &[Run<'_>]) -> Books {
        Books {
            nodes: (0..self.machines.len()).map(|node| self.node(node, runs)).collect(),
            shared: self.problem.site.shared.iter().map(|shared| self.shared(shared, runs)).collect(),
        }
    }

    fn node(&self, node: usize, runs: &[Run<'_>]) -> Ledger<Amount> {
        let machine = &self.machines[node];
        let gpus = &self.problem.site.nodes[node].gpus;
        let here = self.problem.occupants.iter().filter(|occupant| occupant.node == machine.name);
        let mut changes: Vec<Change<Amount>> = Vec::new();
        for occupant in here {
            let until = occupied_until(occupant, self.now);
            changes.extend(self.stay(self.now, until, machine.held(gpus, occupant), false));
        }
        for run in runs.iter().filter(|run| run.node == node) {
            changes.extend(self.stay(run.from, run.until, run.shape.need, true));
        }
        Ledger::of(|_| machine.total, &[], self.now, changes)
    }

    fn shared(&self, shared: &Shared, runs: &[Run<'_>]) -> Ledger<u64> {
        let mut changes: Vec<Change<u64>> = Vec::new();
        for occupant in &self.problem.occupants {
            let Some(node) = self.machines.iter().position(|machine| machine.name == occupant.node) else { continue };
            let held = self.machines[node].held(&self.problem.site.nodes[node].gpus, occupant);
            if let Some(takes) = self.takes(shared, node, &held, occupant.draws) {
                changes.extend(self.stay(self.now, occupied_until(occupant, self.now), takes, false));
            }
        }
        for run in runs {
            if let Some(takes) = self.takes(shared, run.node, &run.shape.need, run.shape.draws) {
                changes.extend(self.stay(run.from, run.until, takes, true));
            }
        }
        let total = |at: Stamp| {
            let begun = shared.levels.iter().take_while(|level| stamp(level.from) <= at).last();
            let level = begun.or(shared.levels.first()).map_or(u64::MAX, |level| level.most);
            level.saturating_sub(shared.idle)
        };
        let edges: Vec<Stamp> =
            shared.levels.iter().map(|level| stamp(level.from)).filter(|at| *at > self.now).collect();
        Ledger::of(total, &edges, self.now, changes)
    }

    fn stay<T: Copy>(&self, from: Stamp, until: Stamp, amount: T, planned: bool) -> [Change<T>; 2] {
        let change = |at, arrives| Change { at, arrives, amount, planned };
        [change(from, true), change(until, false)]
    }

    /// What somebody on a node takes of something shared; `None`: the node does not share it.
    fn takes(&self, shared: &Shared, node: usize, need: &Amount, draws: Watts) -> Option<u64> {
        let machine = &self.machines[node];
        shared.nodes.contains(&machine.name).then(|| match &shared.what {
            Good::Power => draws.0,
            Good::Gpus { model } => {
                let counts = machine.models.iter().zip(&need.gpus);
                let of =
                    counts.filter(|(of, _)| model.as_ref().is_none_or(|model| of.name.starts_with(model.as_str())));
                of.map(|(_, count)| u64::from(*count)).sum()
            }
        })
    }

    /// The first start in `[from, limit)` that a job could have there if all others stay where they are.
    pub(super) fn start(
        &self,
        run: &Run<'_>,
        books: &Books,
        (node, shape): (usize, &Shape),
        from: Stamp,
        limit: Stamp,
    ) -> Option<Stamp> {
        let own = |mine| Some((run.from, run.until, mine));
        let length = shape.millis();
        let mut start = from;
        loop {
            let mine = if node == run.node { own(run.shape.need) } else { None };
            let mut later = books.nodes[node].earliest(&shape.need, (start, limit), length, mine)?;
            for (shared, ledger) in self.problem.site.shared.iter().zip(&books.shared) {
                let Some(takes) = self.takes(shared, node, &shape.need, shape.draws).filter(|takes| *takes > 0) else {
                    continue;
                };
                let mine = self
                    .takes(shared, run.node, &run.shape.need, run.shape.draws)
                    .map(|mine| (run.from, run.until, mine));
                later = ledger.earliest(&takes, (later, limit), length, mine)?;
            }
            if later == start {
                return Some(start);
            }
            start = later;
        }
    }
}
