//! Plans that come out again: made once more from itself, without news, a plan is itself.
//!
//! A kept plan is followed until it repeats. A search takes another plan only where that one, followed as far, costs less
//! with what its moves ask for, so that it ends at a plan from which it would not leave.

use super::better::{Cost, Settled, Told, in_order, same, settle};
use super::decide::Target;
use super::fill;
use super::line::{Line, Wish};
use super::search;
use super::stand_ins::stands_in;
use crate::problem::{Job, Problem};
use neap_model::job::JobId;
use neap_model::plan::Decision;
use neap_model::units::Percent;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A plan for more jobs with a choice, times nodes, is made again from itself only so often, and not at all where promises
/// are only kept. It may then move once more without news.
const MANY: usize = 50_000;
const FEW: usize = 2;

/// How often a plan is made again from itself, at most.
const ROUNDS: usize = 24;

/// A plan without its words, to be compared.
#[derive(Clone, Debug)]
struct Sketch {
    cost: Cost,
    places: BTreeMap<usize, Target>,
    /// What a move of a promise asks for, in the steps of a price.
    promised: Vec<(usize, u128)>,
}

impl Sketch {
    fn of(settled: &Settled<'_>) -> Self {
        let all = || settled.pass.standing.iter().zip(&settled.targets);
        let places = all().map(|(standing, target)| (standing.index, target.clone())).collect();
        let asks = |job: &Job, target: &Target| {
            let Percent(gain) = job.delay.replan_gain;
            let emits = target.choice.price.map_or(0, |price| price.emits.saturating_sub(price.hire));
            emits.saturating_mul(u128::from(gain)) / search::WHOLE
        };
        let promised = all().filter(|(standing, _)| standing.promise.is_some());
        let promised = promised.map(|(standing, target)| (standing.index, asks(standing.job, target))).collect();
        Self { cost: Cost::of(settled), places, promised }
    }

    /// What it costs with what it asks for to come to it from another plan.
    fn from(&self, other: &Self) -> Cost {
        let stays = |index: &usize| match (self.places.get(index), other.places.get(index)) {
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        };
        // A place of which nothing is known costs nothing to the eye: who leaves a promise for it gains nothing by that.
        let price = |of: &Self, index: &usize| of.places.get(index).and_then(|target| target.choice.price);
        let unknown = |index: &usize| match (price(self, index), price(other, index)) {
            (None, Some(left)) => left.emits,
            _ => 0,
        };
        let moved = other.promised.iter().filter(|(index, _)| !stays(index));
        let moved = moved.map(|(index, asks)| asks.saturating_add(unknown(index)));
        Cost { emits: moved.fold(self.cost.emits, u128::saturating_add), ..self.cost }
    }
}

/// A plan with its words.
#[derive(Clone, Debug)]
struct Steady {
    sketch: Sketch,
    told: Told,
}

impl Steady {
    fn of(line: &Line<'_>, settled: &Settled<'_>) -> Self {
        Self { sketch: Sketch::of(settled), told: settled.told(line) }
    }
}

/// What was promised, as far as it can be kept.
pub(super) fn kept(line: &Line<'_>) -> Told {
    let settled = settle(line, wishes(line.problem, &line.problem.previous));
    if line.looks > MANY { settled.told(line) } else { followed(line, &settled).told }
}

/// The same, or what a search found meanwhile, as far as it can still be had: whichever costs less with its moves.
pub(super) fn adopted(line: &Line<'_>, found: &BTreeMap<JobId, Decision>) -> Told {
    let [now, then] = [&*line.problem.previous, found].map(|before| {
        let settled = settle(line, wishes(line.problem, before));
        if line.looks > MANY { Steady::of(line, &settled) } else { followed(line, &settled) }
    });
    if then.sketch.from(&now.sketch) < now.sketch.cost { then.told } else { now.told }
}

/// The best of what was promised, the order of the queue, and what prices of room lead to.
pub(super) fn searched(line: &Line<'_>) -> Told {
    let alone = vec![Wish::Alone(None); line.problem.waiting.len()];
    let queue = in_order(line, &alone);
    let after = settle(line, alone);
    let mut found = fill::anew(line, &after);
    found.extend([after, queue.clone()]);
    found.sort_by_key(Cost::of);
    let sketches: Vec<Sketch> = found.iter().map(Sketch::of).collect();
    let mut ends: Vec<Option<Steady>> = vec![None; found.len()];
    let promised = !line.problem.previous.is_empty();
    let mut now = if promised {
        followed(line, &settle(line, wishes(line.problem, &line.problem.previous)))
    } else {
        followed(line, &found[0])
    };
    loop {
        let better = (0..found.len()).find_map(|index| {
            if sketches[index].from(&now.sketch) >= now.sketch.cost {
                return None;
            }
            let end = ends[index].get_or_insert_with(|| followed(line, &found[index]));
            (end.sketch.from(&now.sketch) < now.sketch.cost).then(|| end.clone())
        });
        match better {
            Some(better) => now = better,
            None => break,
        }
    }
    // Where nothing was promised no plan is worse than the order of the queue.
    if promised || now.sketch.cost <= Cost::of(&queue) { now.told } else { queue.told(line) }
}

/// The plan that a plan ends at when it is made from itself again and again. Where several take turns it is always the
/// same of them.
fn followed(line: &Line<'_>, settled: &Settled<'_>) -> Steady {
    let again = |told: &Told| {
        let before = told.1.iter().filter(|(job, _)| !stands_in(*job));
        let before: BTreeMap<JobId, Decision> = before.cloned().collect();
        Steady::of(line, &settle(line, wishes(line.problem, &before)))
    };
    if line.looks > MANY {
        let first = Steady::of(line, settled);
        return (0..FEW).fold(first, |now, _| again(&now.told));
    }
    let mut seen = vec![again(&settled.told(line))];
    for _ in 0..ROUNDS {
        let next = again(&seen[seen.len() - 1].told);
        if let Some(since) = seen.iter().position(|before| before.told == next.told) {
            let turns = seen.drain(since..).map(|plan| (plan.sketch.cost, plan));
            return turns
                .min_by(|a, b| a.0.cmp(&b.0).then_with(|| words(&a.1).cmp(&words(&b.1))))
                .map_or(next, |least| least.1);
        }
        seen.push(next);
    }
    seen.pop().unwrap_or_else(|| Steady::of(line, settled))
}

fn words(plan: &Steady) -> String {
    format!("{:?}", plan.told.1)
}

/// What was promised is wished for, and pauses after a first start; all others ask for their first start.
fn wishes<'a>(problem: &Problem, before: &'a BTreeMap<JobId, Decision>) -> Vec<Wish<'a>> {
    let wish = |job: &Arc<Job>| match before.get(&job.id) {
        Some(decision) if decision.is_planned() => Wish::Promised(decision),
        Some(decision) if decision.runs.len() > 1 => Wish::Begun(decision),
        Some(decision) => Wish::Started(decision),
        // In what those who wait leave, so that their plan says all there is to say.
        None if stands_in(job.id) => Wish::Alone(None),
        None => Wish::First(Vec::new()),
    };
    problem.waiting.iter().map(wish).collect()
}
