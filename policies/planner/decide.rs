//! The decision on one job in what is left: when it starts, and whether it waits for cleaner hours.
//!
//! It looks at nothing but the room, the job and what was decided for it before. That is the seam for a planner that
//! prices room: another choice of start, the same room, reasons and audit.

use super::reasons::{self, ahead};
use super::search::{self, Choice, Price};
use crate::order::{Turn, latest_start, length, turn, waits_for_grid};
use crate::problem::{Job, Policy};
use crate::room::{Room, Slot};
use crate::stamp::{Stamp, millis, stamp, time};
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::plan::{Blocker, Decision, Outlook, Place, Run, Verdict};
use neap_model::reason::{Reason, WhyNow};
use neap_model::units::Percent;

/// What a job is to do, and what it would do if it did not wait for the grid.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub choice: Choice,
    /// Two or more runs with pauses between them; empty: one piece.
    pub runs: Vec<(Stamp, Stamp)>,
    /// Why it starts at the first possible moment; `None`: it waits for the grid.
    pub why: Option<WhyNow>,
    /// The least saving that was asked for the wait.
    pub asks: Percent,
    /// The reason as it was told, where the present one cannot be put in numbers.
    pub told: Option<Reason>,
}

/// What everybody who decides has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk<'a> {
    pub room: &'a Room,
    pub policy: &'a Policy,
    pub now: DateTime<Utc>,
}

impl Desk<'_> {
    /// The decision, and the room it needs.
    pub fn decide(&self, job: &Job, previous: Option<&Decision>) -> (Decision, Vec<Slot>) {
        let from = stamp(self.now.max(job.eligible));
        let Some(first) = search::earliest(self.room, job, from) else {
            return (reasons::hopeless(self.room, job, self.now), Vec::new());
        };
        let flexible = waits_for_grid(job);
        let target = if flexible { self.flexible(job, first, previous) } else { rigid(job, first) };
        let expected = match target.runs.as_slice() {
            [] => self.outlook(job, &target.choice),
            runs => {
                let zone = &self.room.zones[target.choice.zone];
                reasons::broken_outlook(zone, target.choice.shape.watts, length(job), runs)
            }
        };
        let runs = target.runs.iter().map(|(from, until)| Run { from: time(*from), until: time(*until) }).collect();
        let run_now = flexible.then(|| self.outlook(job, &first)).flatten();
        let place = Some(self.place(&target.choice));
        let verdict = match (target.choice.start <= stamp(self.now), place, &target.why) {
            (true, Some(place), Some(why)) => Verdict::Start { place, because: why.clone() },
            (_, place, _) => {
                Verdict::Hold { until: Some(time(target.choice.start)), place, because: Reason::Evaluating }
            }
        };
        let mut decision = Decision {
            job: job.id,
            verdict,
            blockers: Vec::new(),
            latest_start: latest_start(job),
            expected,
            run_now,
            runs,
        };
        if let Verdict::Hold { because, .. } = &mut decision.verdict {
            let mut blockers = reasons::until_first(self.room, job, self.now, &first);
            if target.why.is_none() {
                blockers.push(self.cleaner(job, &target, expected, run_now));
            }
            ahead(&mut blockers);
            *because = blockers.first().map_or(Reason::Evaluating, |blocker| blocker.reason.clone());
            decision.blockers = blockers;
        }
        let slots = match target.runs.as_slice() {
            [] => vec![target.choice.slot(job)],
            runs => runs
                .iter()
                .map(|(from, until)| Slot { from: *from, until: *until, ..target.choice.slot(job) })
                .collect(),
        };
        (decision, slots)
    }

    /// A job beyond the planned depth starts if that delays nobody who has a reservation; otherwise it is told how many
    /// go first.
    pub fn glance(&self, job: &Job, before: usize) -> (Decision, Vec<Slot>) {
        let now = stamp(self.now);
        let waits = waits_for_grid(job) && turn(job, self.now) == Turn::Ordinary;
        if !waits && job.eligible <= self.now && search::at_once(self.room, job, now).is_some() {
            return self.decide(job, None);
        }
        (reasons::behind(job, self.now, before), Vec::new())
    }

    fn place(&self, choice: &Choice) -> Place {
        Place {
            zone: self.room.zones[choice.zone].name.clone(),
            node: self.room.nodes[choice.node].machine.name.clone(),
        }
    }

    pub fn outlook(&self, job: &Job, choice: &Choice) -> Option<Outlook> {
        reasons::outlook(&self.room.zones[choice.zone], choice.shape.watts, time(choice.start), length(job))
    }

    /// When a job that may wait starts.
    fn flexible(&self, job: &Job, first: Choice, previous: Option<&Decision>) -> Target {
        let fresh = self.with_pauses(job, &first, self.fresh(job, first));
        if let Some(kept) = self.kept_with_pauses(job, &first, &fresh, previous) {
            return kept;
        }
        let Some(kept) = self.kept(job, &first, previous) else {
            return fresh;
        };
        let Some(old) = kept.price else {
            return fresh;
        };
        let Some(now) = first.price else {
            // Nothing is known about its first moment any more. That is no reason to give up what was planned.
            let told = previous.and_then(Decision::because).cloned();
            let waits = Target { choice: kept, runs: Vec::new(), why: None, asks: job.delay.min_saving, told };
            return if kept.start == first.start { fresh } else { waits };
        };
        if kept.start == first.start {
            // What was planned falls due. It is put off again only for what would also move a plan.
            let better = fresh.choice.price.is_some_and(|new| new.saves(now, job.delay.replan_gain));
            return if fresh.why.is_some() || better { fresh } else { self.not_again(job, first, &fresh) };
        }
        // Plans are not given up for a model that the job likes less, nor plans on a forecast for plans on climatology.
        let as_good = |choice: &Choice| choice.shape.rank <= kept.shape.rank;
        let moves = as_good(&fresh.choice)
            && fresh.choice.price.is_some_and(|new| {
                new.saves(old, job.delay.replan_gain) && (old.poor || !new.poor || fresh.why.is_some())
            });
        if moves || (as_good(&first) && old.emits > now.emits) {
            return fresh;
        }
        Target { choice: kept, runs: Vec::new(), why: None, asks: asks(job, old, now), told: None }
    }

    /// The decision of somebody who has promised nothing yet.
    fn fresh(&self, job: &Job, first: Choice) -> Target {
        let at_first =
            |why| Target { choice: first, runs: Vec::new(), why: Some(why), asks: job.delay.min_saving, told: None };
        let Some(until) = self.until(job).filter(|until| *until > stamp(self.now) && first.start <= *until) else {
            return at_first(WhyNow::LatestStart);
        };
        let Some(now) = first.price else {
            let grade = self.outlook(job, &first).map(|outlook| outlook.grade);
            return at_first(WhyNow::NoForecast { grade });
        };
        let (good, any) = search::cleanest(self.room, job, first.start, until, first.shape.rank);
        let worth = |choice: &Choice| {
            choice.start > first.start && choice.price.is_some_and(|price| price.saves(now, asks(job, price, now)))
        };
        let best = [good, any].into_iter().flatten().filter(worth).min_by_key(|c| (c.price, c.start));
        if let Some(choice) = best {
            let asks = choice.price.map_or(job.delay.min_saving, |price| asks(job, price, now));
            return Target { choice, runs: Vec::new(), why: None, asks, told: None };
        }
        let cleaner = any.filter(|choice| choice.price.is_some_and(|price| price.emits < now.emits));
        at_first(cleaner.map_or(WhyNow::CleanestNow, |choice| self.too_small(job, &first, &choice)))
    }

    /// The last start that counts for the grid.
    pub(super) fn until(&self, job: &Job) -> Option<Stamp> {
        let horizon = stamp(self.now).saturating_add(millis(self.policy.horizon));
        latest_start(job).map(|latest| stamp(latest).min(horizon))
    }

    /// The window planned before, if it can still be had. A window that has fallen due is the present one.
    fn kept(&self, job: &Job, first: &Choice, previous: Option<&Decision>) -> Option<Choice> {
        let previous = previous.filter(|decision| decision.is_planned())?;
        let Verdict::Hold { until: Some(planned), place: Some(place), .. } = &previous.verdict else {
            return None;
        };
        if *planned <= self.now {
            return (first.start <= stamp(self.now)).then_some(*first);
        }
        let start = stamp(*planned);
        let allowed = start > first.start && latest_start(job).is_some_and(|latest| start <= stamp(latest));
        allowed.then(|| search::there(self.room, job, &place.node, start))?
    }

    fn not_again(&self, job: &Job, first: Choice, later: &Target) -> Target {
        let why = self.too_small(job, &first, &later.choice);
        Target { choice: first, runs: Vec::new(), why: Some(why), asks: later.asks, told: None }
    }

    fn too_small(&self, job: &Job, first: &Choice, later: &Choice) -> WhyNow {
        let (now, then) = (self.outlook(job, first), self.outlook(job, later));
        let savings = Savings {
            emits: then.map(|outlook| outlook.emits).unwrap_or_default(),
            instead_of: now.map(|outlook| outlook.emits).unwrap_or_default(),
        };
        let asks = match (later.price, first.price) {
            (Some(price), Some(now)) => asks(job, price, now),
            _ => job.delay.min_saving,
        };
        WhyNow::SavingTooSmall { savings, asks }
    }

    fn cleaner(&self, job: &Job, target: &Target, then: Option<Outlook>, now: Option<Outlook>) -> Blocker {
        let reason = match (then, now, &target.told) {
            (_, _, Some(told)) => told.clone(),
            (Some(then), Some(now), None) => Reason::CleanerLater {
                savings: Savings { emits: then.emits, instead_of: now.emits },
                now: now.intensity,
                then: then.intensity,
                grade: then.grade.max(now.grade),
                asks: target.asks,
                max_delay: job.delay.max,
            },
            // Both windows have a price, so both meet a curve.
            _ => Reason::Evaluating,
        };
        Blocker { reason, clears: Some(time(target.choice.start)) }
    }
}

fn rigid(job: &Job, first: Choice) -> Target {
    let why = job.forced_by.as_ref().map_or(WhyNow::NotAsked, |by| WhyNow::Override { by: by.clone() });
    Target { choice: first, runs: Vec::new(), why: Some(why), asks: job.delay.min_saving, told: None }
}

/// The least saving a job asks for; on climatology twice as much.
pub(super) fn asks(job: &Job, then: Price, now: Price) -> Percent {
    let twice = then.poor || now.poor;
    Percent(job.delay.min_saving.0.saturating_mul(if twice { 2 } else { 1 }))
}
