//! Jobs that may be paused: before they start, in how many pieces they run; while they run, whether to stop for a while.

use super::broken::{self, Begins, Broken, Terms};
use super::decide::{Desk, Kept, Target, kit};
use super::priced::Curves;
use super::reasons;
use super::search::{self, Choice, Price, Reach, WHOLE};
use crate::likely::Lengths;
use crate::machine::Shape;
use crate::order::{Turn, by_price, latest_start, turn, waits_for_grid};
use crate::problem::{Job, Policy, Problem, Running};
use crate::room::{Room, Slot};
use crate::stamp::{Stamp, millis, stamp, time};
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::job::JobId;
use neap_model::plan::{Decision, Verdict};
use neap_model::reason::WhyNow;
use std::collections::BTreeMap;

/// A running job that is to stop for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pausing {
    /// It is planned to go on then.
    pub until: DateTime<Utc>,
    /// What is left of it with the pause, against going on at once.
    pub savings: Savings,
}

fn terms(job: &Job) -> Option<Terms> {
    // For money it runs in one piece.
    let terms = job.pause.filter(|_| waits_for_grid(job) && !by_price(job))?;
    Some(Terms { cost: millis(terms.cost), least: millis(terms.least).max(1) })
}

impl Desk<'_> {
    /// When a job with pauses may begin: from its first moment to its latest start.
    fn reach(&self, job: &Job) -> Option<Reach> {
        let from = stamp(self.now.max(job.eligible));
        let last = self.until(job).filter(|until| *until > stamp(self.now))?;
        Some(Reach { from, last, since: stamp(job.eligible) })
    }

    /// The same, or runs with pauses where these are cleaner than one piece and worth it against starting now.
    pub(super) fn with_pauses(&self, job: &Job, first: &Choice, plain: Target) -> Target {
        let (Some(terms), Some(reach), Some(now)) = (terms(job), self.reach(job), first.price) else {
            return plain;
        };
        if matches!(plain.why, Some(WhyNow::LatestStart | WhyNow::NoForecast { .. })) {
            return plain;
        }
        let found = search::broken(self.room, job, terms, reach, first, Begins::Waiting, &Curves::true_ones());
        let Some((choice, broken)) = found.filter(|(_, broken)| broken.runs.len() > 1) else {
            return plain;
        };
        let Some(price) = choice.price else { return plain };
        let asks = self.asks(job, &choice, first);
        let cleaner = plain.why.is_some() || plain.choice.price.is_none_or(|one| price.emits < one.emits);
        if !(cleaner && price.saves(now, asks)) {
            return plain;
        }
        let why = (choice.start <= first.start).then(|| self.pieces(job, first, &choice, &broken.runs));
        Target { choice, runs: broken.runs, why, asks, told: None }
    }

    /// The cheapest runs with pauses on curves where room has its price, their choice at its true one; and the price with
    /// room.
    pub(super) fn in_pieces(&self, job: &Job, first: &Choice, curves: &Curves<'_>) -> Option<(Target, u128)> {
        let (terms, reach) = (terms(job)?, self.reach(job)?);
        let found = search::broken(self.room, job, terms, reach, first, Begins::Waiting, curves);
        let (choice, broken) = found.filter(|(_, broken)| broken.runs.len() > 1)?;
        let zone = &self.room.zones[choice.zone];
        let lengths = Lengths::of(job, choice.shape.length);
        let truly = Broken::of(&zone.integral, broken.runs, terms, Begins::Waiting, choice.start, &lengths)?;
        let price = Some(Price::new(zone.rate(&choice.shape).saturating_mul(truly.integral), truly.poor));
        let (choice, with_room) = (Choice { price, ..choice }, choice.price?.emits);
        let asks = job.delay.min_saving;
        Some((Target { choice, runs: truly.runs, why: None, asks, told: None }, with_room))
    }

    /// Whether nothing could be cleaner than `below`, even with all room there is.
    pub(super) fn nothing_below(&self, job: &Job, first: &Choice, below: u128) -> bool {
        let Some(until) = self.until(job).filter(|until| first.start <= *until) else { return false };
        let pauses = terms(job).zip(self.reach(job));
        search::none_below(self.room, job, (first, until), pauses, below)
    }

    /// What was decided for a job that begins at its first start and pauses later, as far as the node is still there.
    pub(super) fn begun(&self, job: &Job, first: &Choice, previous: &Decision) -> Option<Target> {
        let (Verdict::Start { place, .. } | Verdict::Hold { place: Some(place), .. }) = &previous.verdict else {
            return None;
        };
        let node = self.room.node(&place.node)?;
        let shape = match kit(previous) {
            None => first.shape,
            kit => self.room.nodes[node].machine.shapes_of(job, kit).next()?,
        };
        let runs: Vec<(Stamp, Stamp)> = previous.runs.iter().map(|run| (stamp(run.from), stamp(run.until))).collect();
        let start = runs.first()?.0;
        let end = self.reach(job)?.window(shape.millis()).until;
        let in_time = runs.last()?.1 <= end && start >= stamp(self.now.max(job.eligible));
        let whole = runs.iter().map(|(from, until)| until - from).sum::<i64>() == shape.millis();
        (in_time && whole).then(|| {
            let why = Some(WhyNow::CleanestNow);
            Target {
                choice: Choice { node, start, shape, ..*first },
                runs,
                why,
                asks: job.delay.min_saving,
                told: None,
            }
        })
    }

    /// The same runs on the same node, if there is room for them.
    pub(super) fn again(
        &self,
        job: &Job,
        first: &Choice,
        target: &Target,
        promised: bool,
    ) -> Option<(Choice, Vec<(Stamp, Stamp)>)> {
        // Nobody waits anew for what cannot be compared with his first start.
        let may = |choice: &Choice| promised || first.price.is_none() || self.beside(job, first, choice).is_some();
        let (machine, rank) = (&self.room.nodes[target.choice.node].machine, first.shape.rank);
        let place = (machine.name.as_str(), machine.kit(job, &target.choice.shape));
        if target.runs.is_empty() {
            let choice = search::there(self.room, job, place, target.choice.start, rank)?;
            return may(&choice).then(|| (choice, Vec::new()));
        }
        let (choice, broken) = search::broken_there(self.room, job, terms(job)?, place, &target.runs, rank)?;
        may(&choice).then_some((choice, broken.runs))
    }

    /// What was planned with pauses before, if it can still be had. What falls due begins now, with the best pauses that
    /// are left to it.
    pub(super) fn kept_with_pauses(&self, job: &Job, first: &Choice, previous: &Decision) -> Option<Kept> {
        let (terms, reach) = (terms(job)?, self.reach(job)?);
        let Verdict::Hold { place: Some(place), .. } = &previous.verdict else { return None };
        let runs: Vec<(Stamp, Stamp)> = previous.runs.iter().map(|run| (stamp(run.from), stamp(run.until))).collect();
        let due = runs.first()?.0 <= stamp(self.now);
        let (choice, broken) = if due {
            let must = Begins::Running { must: true };
            search::broken(self.room, job, terms, reach, first, must, &Curves::true_ones())?
        } else {
            let place = (place.node.as_str(), kit(previous));
            let there = search::broken_there(self.room, job, terms, place, &runs, first.shape.rank)?;
            let in_time = runs.last()?.1 <= reach.window(there.0.shape.millis()).until;
            (in_time && runs[0].0 > first.start).then_some(there)?
        };
        choice.price?;
        let runs = if broken.runs.len() > 1 { broken.runs } else { Vec::new() };
        Some(Kept { choice, runs, due, pauses: true })
    }

    pub(super) fn pieces(&self, job: &Job, first: &Choice, choice: &Choice, runs: &[(Stamp, Stamp)]) -> WhyNow {
        let zone = &self.room.zones[choice.zone];
        let emits = reasons::broken_outlook(zone, choice.shape.watts, choice.shape.length, runs, job)
            .map(|outlook| outlook.emits);
        let savings = Savings {
            emits: emits.unwrap_or_default(),
            instead_of: self.outlook(job, first).map(|outlook| outlook.emits).unwrap_or_default(),
        };
        WhyNow::WithPauses { pauses: u32::try_from(runs.len().saturating_sub(1)).unwrap_or(u32::MAX), savings }
    }
}

/// Who of the running jobs is paused now, and when the next of the others comes to its pause.
pub(super) fn pauses(
    problem: &Problem,
    policy: &Policy,
    room: &Room,
) -> (BTreeMap<JobId, Pausing>, Option<DateTime<Utc>>) {
    let desk = Desk { room, policy, now: problem.site.now };
    let (mut pauses, mut look_again) = (BTreeMap::new(), None::<Stamp>);
    let mut running: Vec<&Running> = problem.running.iter().collect();
    running.sort_by_key(|running| running.job.id);
    for running in running {
        match desk.while_running(problem, running) {
            Some(Next::Pause(pausing)) => {
                pauses.insert(running.job.id, pausing);
            }
            Some(Next::LookAgain(at)) => look_again = Some(look_again.map_or(at, |known| known.min(at))),
            None => {}
        }
    }
    (pauses, look_again.map(time))
}

enum Next {
    Pause(Pausing),
    LookAgain(Stamp),
}

impl Desk<'_> {
    fn while_running(&self, problem: &Problem, running: &Running) -> Option<Next> {
        let job = &*running.job;
        let (terms, now) = (terms(job)?, stamp(self.now));
        let latest = stamp(latest_start(job)?);
        if turn(job, self.now) != Turn::Ordinary {
            return None;
        }
        let may = stamp(running.since).saturating_add(terms.least);
        if may > now {
            return Some(Next::LookAgain(may));
        }
        let (index, node, zone) = self.room.open_node(job, &running.node)?;
        let occupant = problem.occupants.iter().find(|occupant| occupant.job == job.id)?;
        let gpus = &problem.site.nodes[index].gpus;
        let held = node.machine.held(gpus, occupant);
        let shape: Shape = node.machine.shapes(job).find(|shape| shape.need == held)?;
        let held_until = crate::room::occupied_until(occupant, now);
        let free = |from: Stamp, until: Stamp| {
            let slot = Slot { node: index, need: held, draws: occupant.draws, from, until };
            self.room.fits_beside(&slot, (&held, occupant.draws), held_until)
        };
        let integral = &self.room.zones[zone].integral;
        let all = shape.millis();
        if all < terms.least {
            return None;
        }
        let lengths = Lengths::of(job, shape.length);
        let goes_on = integral.expected(now, &lengths)?;
        let window = self.reach(job)?.window(all);
        let best = broken::cheapest(integral, free, window, &lengths, terms, Begins::Running { must: false })?;
        let (from, until) = *best.runs.first()?;
        if from <= now {
            return (best.runs.len() > 1).then_some(Next::LookAgain(until));
        }
        let rate = self.room.zones[zone].rate(&shape);
        let price = |integral: u128, poor| Price::new(rate.saturating_mul(integral), poor);
        let (then, on) = (price(best.integral, best.poor), price(goes_on.integral, goes_on.poor));
        // It also has to be worth it for the whole job: nobody stops shortly before the end for a little.
        let saved = on.emits.saturating_sub(then.emits).saturating_mul(u128::from(all.unsigned_abs()));
        let whole = on.emits.saturating_mul(u128::from((all + millis(job.done)).unsigned_abs()));
        let much = saved.saturating_mul(WHOLE) >= whole.saturating_mul(u128::from(job.delay.replan_gain.0));
        let choice = |start, price| Choice { node: index, zone, shape, start, price: Some(price) };
        let asks = self.asks(job, &choice(from, then), &choice(now, on));
        if from.saturating_add(terms.cost) > latest || !much || !then.saves(on, asks) {
            return None;
        }
        let zone = &self.room.zones[zone];
        let instead_of = reasons::outlook(zone, shape.watts, self.now, shape.length, job)?.emits;
        let emits = reasons::broken_outlook(zone, shape.watts, shape.length, &best.runs, job)?.emits;
        Some(Next::Pause(Pausing { until: time(from), savings: Savings { emits, instead_of } }))
    }
}
