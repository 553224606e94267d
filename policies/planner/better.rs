//! Lets everybody who waits for the grid look around once more, now that all have a place, until nobody finds better.
//!
//! Each move makes a job's own run cleaner and leaves all others where they are; then the queue is gone through again, for
//! what became free belongs to whoever is first in it.

use super::decide::{Desk, Target};
use super::line::{Line, Pass, Standing, Wish};
use super::search::Choice;
use crate::order::latest_start;
use crate::room::Room;
use crate::stamp::{Stamp, stamp};
use neap_model::job::JobId;
use neap_model::plan::Decision;

/// Passes at most, and at least, and jobs with a choice times nodes in all of them together: what is not settled by then
/// goes on with the next plan.
const ROUNDS: usize = 16;
const FEW: usize = 2;
const LOOKS: usize = 200_000;

/// A plan with the words for everybody who had a choice.
#[derive(Clone, Debug)]
pub(super) struct Settled<'a> {
    pub pass: Pass<'a>,
    pub targets: Vec<Target>,
}

/// Passes through the queue until nobody who waits for the grid would rather be elsewhere, or until a pass gives no better
/// plan than the one before it, which then stands.
pub(super) fn settle<'a>(line: &Line<'a>, mut wishes: Vec<Wish<'a>>) -> Settled<'a> {
    let rounds = LOOKS.checked_div(line.looks).unwrap_or(ROUNDS).clamp(FEW, ROUNDS);
    let mut now = in_order(line, &wishes);
    for _ in 0..FEW {
        if now.pass.standing.iter().all(|standing| granted(standing, &wishes[standing.index])) {
            break;
        }
        // Whoever was refused is in others' way where they did not expect him.
        wishes = places(&now, wishes);
        now = in_order(line, &wishes);
    }
    for _ in 0..rounds {
        wishes = places(&now, wishes);
        let next = moved(line, &wishes);
        let stays = |(a, b): (&Target, &Target)| same(a, b);
        let settled = now.targets.iter().zip(&next.targets).all(stays);
        if !settled && Cost::of(&next) < Cost::of(&now) {
            now = next;
            continue;
        }
        // Who would move and does not keeps the words of his place.
        let words = now.targets.iter().zip(next.targets);
        now.targets = words.map(|(old, new)| if same(old, &new) { new } else { old.clone() }).collect();
        break;
    }
    now
}

/// Wishes for the very places of a plan.
fn places<'a>(settled: &Settled<'a>, mut wishes: Vec<Wish<'a>>) -> Vec<Wish<'a>> {
    for (standing, target) in settled.pass.standing.iter().zip(&settled.targets) {
        wishes[standing.index] = wish(standing, target.clone(), &wishes[standing.index]);
    }
    wishes
}

/// Whether a job got what it asked for.
fn granted(standing: &Standing<'_>, wish: &Wish<'_>) -> bool {
    match wish {
        Wish::Alone(_) => false,
        Wish::First(slots) => *slots == standing.target.slots(),
        Wish::Started(decision) => decision.start().is_none_or(|at| stamp(at) == standing.target.choice.start),
        Wish::Promised(_) | Wish::Begun(_) => standing.kept.is_some(),
        Wish::There(target, _) => same(&standing.target, target),
    }
}

/// One pass through the queue, and all are content with what they got.
pub(super) fn in_order<'a>(line: &Line<'a>, wishes: &[Wish<'a>]) -> Settled<'a> {
    whole(line.pass(wishes, false, |_| true))
}

/// One pass in which everybody looks around at his turn.
fn moved<'a>(line: &Line<'a>, wishes: &[Wish<'a>]) -> Settled<'a> {
    whole(line.pass(wishes, true, |_| true))
}

fn whole(pass: Pass<'_>) -> Settled<'_> {
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
            let power = zones[target.choice.zone].rate(&target.choice.shape);
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
        _ if stays => Wish::First(standing.target.slots()),
        _ => Wish::First(Vec::new()),
    }
}

/// Whether two targets are the same runs in the same place.
pub(super) fn same(a: &Target, b: &Target) -> bool {
    let run = |choice: &Choice| (choice.node, choice.shape, choice.start);
    (run(&a.choice), &a.runs, a.why.is_some()) == (run(&b.choice), &b.runs, b.why.is_some())
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
