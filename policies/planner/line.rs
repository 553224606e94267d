//! One way through the queue: everybody at his turn, in what those before him left. Whoever waits for the grid comes with a
//! wish, and has it where it is still free and still worth the wait; who else starts as early as he can.
//!
//! Nobody moves once he had his turn, so that every pass is a whole plan in which no job before another pays for it.

use super::ahead::Ahead;
use super::better::same;
use super::decide::{Desk, Kept, Target};
use super::search::{self, Choice};
use super::stand_ins::stands_in;
use super::{possible, reasons};
use crate::order::{Rank, Turn, rank, turn, waits_for_grid};
use crate::problem::{Job, Policy, Problem};
use crate::room::{Room, Slot};
use crate::stamp::stamp;
use neap_model::job::JobId;
use neap_model::plan::{Blocker, Decision};
use neap_model::reason::WhyNow;
use neap_model::units::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Where a job that waits for the grid would like to be.
#[derive(Clone, Debug)]
pub(super) enum Wish<'a> {
    /// Where it would be if nobody came behind it; what was promised to it moves only for what a move asks for.
    Alone(Option<&'a Decision>),
    /// Where it was promised to be.
    Promised(&'a Decision),
    /// At once and with the pauses that were planned.
    Begun(&'a Decision),
    /// There. The decision is the promise of that very place, if there was one.
    There(Box<Target>, Option<&'a Decision>),
    /// At its first possible start, which was there lately.
    First(Vec<Slot>),
    /// The same, as it was decided.
    Started(&'a Decision),
}

/// A job that waits for the grid, after its turn.
#[derive(Clone, Debug)]
pub(super) struct Standing<'a> {
    /// Its place in the problem's list.
    pub index: usize,
    pub job: &'a Job,
    /// The first start it could have had at its turn, and what keeps it from that.
    pub first: Choice,
    pub blockers: Vec<Blocker>,
    pub target: Target,
    /// Its wish, if it was granted.
    pub kept: Option<Kept>,
    /// The promise of the place where it stands.
    pub promise: Option<&'a Decision>,
}

impl Standing<'_> {
    /// Takes what is better than the place that was granted, if it is worth a move, and the words for staying otherwise.
    fn looks_around(mut self, desk: &Desk<'_>) -> Self {
        let (job, first) = (self.job, &self.first);
        let target = match &self.kept {
            Some(kept) => desk
                .rests(job, first, kept, self.promise)
                .unwrap_or_else(|| desk.weigh(job, first, kept, self.promise, desk.anew(job, first))),
            None => desk.anew(job, first),
        };
        if !same(&self.target, &target) {
            (self.kept, self.promise) = (None, None);
        }
        self.target = target;
        self
    }
}

/// What a pass gave.
#[derive(Clone, Debug)]
pub(super) struct Pass<'a> {
    pub room: Room,
    /// Decisions on jobs without a choice.
    pub decisions: Vec<(JobId, Decision)>,
    pub standing: Vec<Standing<'a>>,
}

/// The queue of a problem, in its order.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub problem: &'a Problem,
    pub policy: &'a Policy,
    empty: Room,
    /// Who is planned, and who only gets what is idle then, each with how many go before him; by place in the problem's list.
    planned: Vec<usize>,
    behind: Vec<(usize, usize)>,
    /// Decisions that no room changes.
    settled: Vec<(JobId, Decision)>,
    /// Jobs with a choice, times nodes.
    pub looks: usize,
    /// Jobs that compete for room, by priority.
    pub queued: BTreeMap<i32, usize>,
}

/// Whether the planner has a choice: the job consented to wait, and may still.
pub(super) fn has_a_choice(problem: &Problem, job: &Job) -> bool {
    waits_for_grid(job) && turn(job, problem.site.now) == Turn::Ordinary
}

impl<'a> Line<'a> {
    pub fn of(problem: &'a Problem, policy: &'a Policy) -> Self {
        let now = problem.site.now;
        let ranked = |(index, job): (usize, &std::sync::Arc<Job>)| (rank(job, now), index);
        let mut order: Vec<(Rank, usize)> = problem.waiting.iter().enumerate().map(ranked).collect();
        order.sort_unstable();
        let empty = Room::of(&problem.site, &problem.occupants);
        let (planned, behind, settled, queued) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let mut line = Self { problem, policy, empty, planned, behind, settled, looks: 0, queued };
        // Jobs that cannot start yet have a depth of their own, so that a queue full of them does not hide the others.
        let (mut ready, mut unready, mut before) = (0usize, 0usize, 0usize);
        for (_, index) in order {
            let job = &*problem.waiting[index];
            if stands_in(job.id) {
                // Behind all others; where there is no room in the plan for it, nobody stands in.
                if unready < policy.depth && possible(&line.empty, job) {
                    unready += 1;
                    line.planned.push(index);
                }
            } else if let Some(reason) = &job.blocked {
                line.settled.push((job.id, reasons::blocked(job, reason)));
            } else if !possible(&line.empty, job) {
                line.settled.push((job.id, reasons::hopeless(&line.empty, job, now)));
            } else {
                let depth = if job.eligible <= now { &mut ready } else { &mut unready };
                *depth += 1;
                *line.queued.entry(job.priority).or_default() += 1;
                if *depth > policy.depth {
                    line.behind.push((index, before));
                } else {
                    line.planned.push(index);
                }
                before += 1;
            }
        }
        let choosing = line.planned.iter().filter(|index| has_a_choice(problem, &problem.waiting[**index])).count();
        line.looks = choosing * line.empty.nodes.len();
        line
    }

    /// Everybody at his turn, with these wishes by the place in the problem's list. `who` says who takes part; with
    /// `moving` those with a choice look around for better, in what those before them took and the wishes of those behind.
    pub fn pass(&self, wishes: &[Wish<'a>], moving: bool, who: impl Fn(&Job) -> bool) -> Pass<'a> {
        let now = self.problem.site.now;
        let mut pass = Pass { room: self.empty.clone(), decisions: Vec::new(), standing: Vec::new() };
        let mut ahead = Ahead::new(&self.empty);
        let taking_part = || self.planned.iter().map(|index| (*index, &*self.problem.waiting[*index]));
        // Who looks around leaves alone what stand-ins wish for; first starts and reasons know nothing of them.
        let mut beside = taking_part().any(|(_, job)| stands_in(job.id)).then(|| ahead.clone());
        for (index, job) in taking_part().filter(|(_, job)| has_a_choice(self.problem, job) && who(job)) {
            beside.iter_mut().for_each(|beside| beside.wish(job, &wishes[index], stamp(now)));
            if !stands_in(job.id) {
                ahead.wish(job, &wishes[index], stamp(now));
            }
        }
        for (index, job) in taking_part().filter(|(_, job)| who(job)) {
            let desk = Desk { room: &pass.room, policy: self.policy, now };
            ahead.turn(job.id);
            beside.iter_mut().for_each(|beside| beside.turn(job.id));
            let slots = if !has_a_choice(self.problem, job) {
                let (decision, slots) = desk.decide(job, None);
                pass.decisions.push((job.id, decision));
                slots
            } else if let Some(standing) = granted(&desk, &ahead, index, job, &wishes[index]) {
                let around = Desk { room: &beside.as_ref().unwrap_or(&ahead).room, ..desk };
                let standing = if moving { standing.looks_around(&around) } else { standing };
                let slots = standing.target.slots();
                pass.standing.push(standing);
                slots
            } else {
                pass.decisions.push((job.id, reasons::hopeless(&pass.room, job, now)));
                continue;
            };
            ahead.decided(job.id, &slots);
            beside.iter_mut().for_each(|beside| beside.decided(job.id, &slots));
            pass.room.promise(job.id, slots);
        }
        pass
    }

    /// The decisions on all who are not planned, in the room that the others leave.
    pub fn others(&self, room: &mut Room) -> Vec<(JobId, Decision)> {
        let now = self.problem.site.now;
        let mut decisions = self.settled.clone();
        // There is only less and less room: who asks for the same as somebody for whom there is none at all does not look.
        let mut nowhere: BTreeSet<Size<'_>> = BTreeSet::new();
        for (index, before) in &self.behind {
            let job = &*self.problem.waiting[*index];
            let desk = Desk { room, policy: self.policy, now };
            let size = (job.gpus, job.cpus, job.memory, &job.gpu_model[..], &job.zones[..]);
            let alike = job.ways.is_empty();
            if alike && nowhere.contains(&size) {
                decisions.push((job.id, reasons::behind(job, now, *before)));
                continue;
            }
            let (decision, slots) = desk.glance(job, *before);
            if alike && slots.is_empty() && desk.would_start(job) && !search::any_room(room, job, stamp(now)) {
                nowhere.insert(size);
            }
            room.promise(job.id, slots);
            decisions.push((job.id, decision));
        }
        decisions
    }
}

/// What decides whether a job without a choice of width finds room on a node: GPUs, cores, memory, models, zones.
type Size<'a> = (u32, Option<u32>, Bytes, &'a [String], &'a [String]);

/// A job's turn. Its first start is the one that leaves the wishes of others alone, unless it would be late by that.
/// `None`: no node that is up can run it.
fn granted<'a>(desk: &Desk<'_>, ahead: &Ahead, index: usize, job: &'a Job, wish: &Wish<'a>) -> Option<Standing<'a>> {
    let from = stamp(desk.now.max(job.eligible));
    let in_time = |first: &Choice| desk.until(job).is_some_and(|until| first.start <= until);
    let polite = search::earliest(&ahead.room, job, from).filter(in_time);
    let (room, first) = match polite {
        Some(first) => (&ahead.room, first),
        None => (desk.room, search::earliest(desk.room, job, from)?),
    };
    let blockers = reasons::until_first(room, job, desk.now, &first);
    let (target, kept, promise) = match wish {
        Wish::Alone(previous) => (desk.flexible(job, first, *previous), None, None),
        Wish::First(_) | Wish::Started(_) => (at_first(job, first), None, None),
        Wish::Promised(previous) => match desk.promised(job, &first, Some(previous)) {
            Some(kept) => still(desk, job, first, kept, Some(previous)),
            None => (at_first(job, first), None, None),
        },
        Wish::Begun(previous) => match desk.begun(job, &first, previous) {
            Some(target) => there(desk, job, first, &target, None),
            None => (at_first(job, first), None, None),
        },
        Wish::There(target, promise) => there(desk, job, first, target, *promise),
    };
    Some(Standing { index, job, first, blockers, target, kept, promise })
}

type Stand<'a> = (Target, Option<Kept>, Option<&'a Decision>);

/// A job at its first start; why is for others to say.
pub(super) fn at_first(job: &Job, first: Choice) -> Target {
    Target { choice: first, runs: Vec::new(), why: Some(WhyNow::CleanestNow), asks: job.delay.min_saving, told: None }
}

/// A wish for a place: it has to be free. Which GPUs of the node it gets is decided as it will be when it starts.
fn there<'a>(desk: &Desk<'_>, job: &Job, first: Choice, target: &Target, promise: Option<&'a Decision>) -> Stand<'a> {
    let begins = target.choice.start;
    let Some((choice, runs)) = desk.again(job, &first, target, promise.is_some()) else {
        return (at_first(job, first), None, None);
    };
    if target.why.is_none() && begins > first.start {
        let kept = Kept { choice, due: false, pauses: !runs.is_empty(), runs };
        return still(desk, job, first, kept, promise);
    }
    // It begins at once, and pauses later.
    if target.why.is_some() && begins <= first.start && !runs.is_empty() {
        let kept = Kept { choice, runs, due: true, pauses: true };
        let target = Target { choice, runs: kept.runs.clone(), ..target.clone() };
        return (target, Some(kept), None);
    }
    (at_first(job, first), None, None)
}

/// A wish that can be granted: it has to be worth the wait, against the first start the job could have.
fn still<'a>(desk: &Desk<'_>, job: &Job, first: Choice, kept: Kept, promise: Option<&'a Decision>) -> Stand<'a> {
    let now = desk.beside(job, &first, &kept.choice).map(|price| (&first, price));
    if !kept.due
        && let (Some((_, now)), Some(old)) = (now, kept.choice.price)
    {
        let as_good = kept.pauses || first.shape.rank <= kept.choice.shape.rank;
        let worth = promise.is_some() || old.saves(now, desk.asks(job, &kept.choice, &first));
        if !worth || (as_good && old.emits > now.emits) {
            return (at_first(job, first), None, None);
        }
    }
    if kept.choice.price.is_none() {
        return (at_first(job, first), None, None);
    }
    (desk.stays(job, &kept, promise, now), Some(kept), promise)
}
