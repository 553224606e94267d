//! Lets everybody who waits for the grid look around once more, now that all have a place, until nobody finds better.
//!
//! Each move makes a job's own run cleaner and leaves all others where they are; then the queue is gone through again, for
//! what became free belongs to whoever is first in it.

use super::decide::{Desk, Target};
use super::line::{Line, Pass, Standing, Wish};
use super::search::{Choice, rate};
use crate::order::latest_start;
use crate::room::Room;
use crate::stamp::{Stamp, stamp};
use neap_model::job::JobId;
use neap_model::plan::Decision;

/// Passes at most, and at least, and jobs with a choice times nodes in all of them together: what is not settled by then
/// goes on with the next plan.
const ROUNDS: usize = 16;
const FEW: usize = 3;
const LOOKS: usize = 400_000;

/// A plan with the words for everybody who had a choice.
#[derive(Clone, Debug)]
pub(super) struct Settled<'a> {
    pub pass: Pass<'a>,
    pub targets: Vec<Target>,
}

/// Passes through the queue until nobody who waits for the grid would rather be elsewhere, or until a pass gives no better
/// plan than the one before it, which then stands.
pub(super) fn settle<'a>(line: &Line<'a>, mut wishes: Vec<Wish<'a>>) -> Settled<'a> {
    let mut best: Option<(Cost, Settled<'a>)> = None;
    let rounds = LOOKS.checked_div(line.looks).unwrap_or(ROUNDS).clamp(FEW, ROUNDS);
    for _ in 0..rounds {
        let pass = line.pass(&wishes, |_| true);
        if !pass.standing.iter().all(|standing| granted(standing, &wishes[standing.index])) {
            // Whoever was refused is in others' way where they did not expect him.
            for standing in &pass.standing {
                wishes[standing.index] = wish(standing, standing.target.clone(), &wishes[standing.index]);
            }
            continue;
        }
        let (targets, moved) = look_around(line, &pass);
        let standing = || pass.standing.iter().zip(&targets);
        let words = |(standing, target): (&Standing<'a>, &Target)| {
            // Who would move and does not keeps the words of his place.
            if same(&standing.target, target) { target.clone() } else { standing.target.clone() }
        };
        let next: Vec<(usize, Wish<'a>)> = standing()
            .map(|(standing, target)| (standing.index, wish(standing, target.clone(), &wishes[standing.index])))
            .collect();
        let words = standing().map(words).collect();
        let settled = Settled { pass, targets: words };
        let cost = Cost::of(&settled);
        if let Some((_, before)) = best.take_if(|(least, _)| *least <= cost) {
            return before;
        }
        if !moved {
            return settled;
        }
        best = Some((cost, settled));
        next.into_iter().for_each(|(index, wish)| wishes[index] = wish);
    }
    best.map_or_else(|| in_order(line, &wishes), |(_, settled)| settled)
}

/// Whether a job got what it asked for.
fn granted(standing: &Standing<'_>, wish: &Wish<'_>) -> bool {
    match wish {
        Wish::Alone(_) => false,
        Wish::First(slots) => *slots == standing.target.slots(standing.job),
        Wish::Started(decision) => decision.start().is_none_or(|at| stamp(at) == standing.target.choice.start),
        Wish::Promised(_) | Wish::Begun(_) => standing.kept.is_some(),
        Wish::There(target, _) => same(&standing.target, target),
    }
}

/// One pass through the queue, and all are content with what they got.
pub(super) fn in_order<'a>(line: &Line<'a>, wishes: &[Wish<'a>]) -> Settled<'a> {
    let pass = line.pass(wishes, |_| true);
    let targets = pass.standing.iter().map(|standing| standing.target.clone()).collect();
    Settled { pass, targets }
}

/// What the jobs with a choice cost in a plan. Late work is never a bargain: it counts before everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// Milliseconds behind latest starts, each by its power.
    pub late: u128,
    /// In the steps of a price.
    pub emits: u128,
}

impl Cost {
    pub fn of(settled: &Settled<'_>) -> Self {
        let zones = &settled.pass.room.zones;
        let mut cost = Self::default();
        for (standing, target) in settled.pass.standing.iter().zip(&settled.targets) {
            let latest = latest_start(standing.job).map_or(Stamp::MAX, stamp);
            let late = u128::try_from(target.choice.start.saturating_sub(latest)).unwrap_or(0);
            let power = rate(&zones[target.choice.zone], &target.choice.shape);
            cost.late = cost.late.saturating_add(late.saturating_mul(power.max(1)));
            cost.emits = cost.emits.saturating_add(target.choice.price.map_or(0, |price| price.emits));
        }
        cost
    }
}

/// What a job asks for in the next pass.
fn wish<'a>(standing: &Standing<'a>, target: Target, before: &Wish<'a>) -> Wish<'a> {
    let stays = same(&standing.target, &target);
    match (before, standing.promise) {
        (Wish::Promised(previous), Some(_)) if stays => Wish::Promised(previous),
        (Wish::Begun(previous), _) if stays && standing.kept.is_some() => Wish::Begun(previous),
        (_, promise) if target.why.is_none() => Wish::There(Box::new(target), promise.filter(|_| stays)),
        _ if !target.runs.is_empty() => Wish::There(Box::new(target), None),
        (Wish::Started(decision), _) if stays => Wish::Started(decision),
        _ if stays => Wish::First(standing.target.slots(standing.job)),
        _ => Wish::First(Vec::new()),
    }
}

/// Whether two targets are the same runs in the same place.
pub(super) fn same(a: &Target, b: &Target) -> bool {
    let run = |choice: &Choice| (choice.node, choice.shape, choice.start);
    (run(&a.choice), &a.runs, a.why.is_some()) == (run(&b.choice), &b.runs, b.why.is_some())
}

/// What everybody would choose with all others in their places, those before him having chosen, and whether anybody
/// would move.
fn look_around<'a>(line: &Line<'a>, pass: &Pass<'a>) -> (Vec<Target>, bool) {
    let (mut room, mut moved) = (pass.room.clone(), false);
    let mut targets = Vec::with_capacity(pass.standing.len());
    for standing in &pass.standing {
        let (job, first) = (standing.job, &standing.first);
        room.release(job.id);
        let desk = Desk { room: &room, policy: line.policy, now: line.problem.site.now };
        let target = match &standing.kept {
            Some(kept) => desk
                .rests(job, first, kept, standing.promise)
                .unwrap_or_else(|| desk.weigh(job, first, kept, standing.promise, desk.anew(job, first))),
            None => desk.anew(job, first),
        };
        let stays = same(&standing.target, &target);
        moved |= !stays;
        let slots = target.slots(job);
        // Its first start may be another's by now, who is behind it: that is for the next pass to say.
        let slots = if stays || slots.iter().all(|slot| room.fits(slot)) { slots } else { standing.target.slots(job) };
        room.promise(job.id, slots);
        targets.push(target);
    }
    (targets, moved)
}

/// The room of a plan and the decisions on all who are planned.
pub(super) type Told = (Room, Vec<(JobId, Decision)>);

impl Settled<'_> {
    /// The plan in words.
    pub fn told(&self, line: &Line<'_>) -> Told {
        let desk = Desk { room: &self.pass.room, policy: line.policy, now: line.problem.site.now };
        let words = self.pass.standing.iter().zip(&self.targets).map(|(standing, target)| {
            (standing.job.id, desk.told(standing.job, &standing.first, target, standing.blockers.clone()))
        });
        (self.pass.room.clone(), self.pass.decisions.iter().cloned().chain(words).collect())
    }
}
