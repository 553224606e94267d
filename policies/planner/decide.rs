//! The decision on one job in what is left: when it starts, and whether it waits for cleaner hours.
//!
//! It looks at nothing but the room, the job and what was decided for it before. Who is asked when, and what room costs,
//! is decided elsewhere.

use super::costs::in_words;
use super::priced::Curves;
use super::reasons::{self, ahead};
use super::search::{self, Choice, Price};
use crate::machine::Kit;
use crate::order::{Turn, by_price, latest_start, length, turn, waits_for_grid};
use crate::problem::{Job, Policy};
use crate::room::{Room, Slot};
use crate::stamp::{Stamp, millis, stamp, time};
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::plan::{Blocker, Decision, Outlook, Place, Run, Verdict, Width};
use neap_model::reason::{Reason, WhyNow};
use neap_model::units::Percent;

/// What a job is to do, and what it would do if it did not wait for the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Target {
    /// The room it needs.
    pub fn slots(&self) -> Vec<Slot> {
        let whole = self.choice.slot();
        match self.runs.as_slice() {
            [] => vec![whole],
            runs => runs.iter().map(|(from, until)| Slot { from: *from, until: *until, ..whole }).collect(),
        }
    }
}

/// Nobody moves for less than that, promised or not.
const LITTLE: Percent = Percent(500);

/// Where a job stands that has promised something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub choice: Choice,
    /// Empty: one piece.
    pub runs: Vec<(Stamp, Stamp)>,
    /// Its time has come.
    pub due: bool,
    /// It was planned with pauses, though fewer may be left.
    pub pauses: bool,
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
        let target = if waits_for_grid(job) { self.flexible(job, first, previous) } else { rigid(job, first) };
        let blockers = reasons::until_first(self.room, job, self.now, &first);
        (self.told(job, &first, &target, blockers), target.slots())
    }

    /// The decision in words and figures. `blockers` keep the job from `first`, its first possible start.
    pub(super) fn told(&self, job: &Job, first: &Choice, target: &Target, blockers: Vec<Blocker>) -> Decision {
        let expected = match target.runs.as_slice() {
            [] => self.outlook(job, &target.choice),
            runs => {
                let zone = &self.room.zones[target.choice.zone];
                reasons::broken_outlook(zone, target.choice.shape.watts, target.choice.shape.length, runs, job)
            }
        };
        let runs = target.runs.iter().map(|(from, until)| Run { from: time(*from), until: time(*until) }).collect();
        // What measures something else is no figure to compare with.
        let alike = self.room.alike(job, first.zone, target.choice.zone);
        let run_now = (waits_for_grid(job) && alike).then(|| self.outlook(job, first)).flatten();
        let place = Some(self.place(&target.choice));
        let verdict = match (target.choice.start <= stamp(self.now), place, &target.why) {
            (true, Some(place), Some(why)) => Verdict::Start { place, because: in_words(job, why) },
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
            width: self.width(job, &target.choice),
        };
        if let Verdict::Hold { because, .. } = &mut decision.verdict {
            let mut blockers = blockers;
            if target.why.is_none() {
                let blocker = self.cleaner(job, target, expected, run_now);
                blockers.push(match &target.told {
                    None if by_price(job) => {
                        Blocker { reason: self.cheaper(job, first, &target.choice, target.asks), ..blocker }
                    }
                    _ => blocker,
                });
            }
            ahead(&mut blockers);
            *because = blockers.first().map_or(Reason::Evaluating, |blocker| blocker.reason.clone());
            decision.blockers = blockers;
        }
        decision
    }

    /// A job beyond the planned depth starts if that delays nobody who has a reservation; otherwise it is told how many
    /// go first.
    pub fn glance(&self, job: &Job, before: usize) -> (Decision, Vec<Slot>) {
        if self.would_start(job) && search::at_once(self.room, job, stamp(self.now)).is_some() {
            return self.decide(job, None);
        }
        (reasons::behind(job, self.now, before), Vec::new())
    }

    /// Whether it starts now if there is room for it.
    pub fn would_start(&self, job: &Job) -> bool {
        let waits = waits_for_grid(job) && turn(job, self.now) == Turn::Ordinary;
        !waits && job.eligible <= self.now
    }

    fn place(&self, choice: &Choice) -> Place {
        Place {
            zone: self.room.zones[choice.zone].name.clone(),
            node: self.room.nodes[choice.node].machine.name.clone(),
        }
    }

    /// What a choice is expected to be, in one piece.
    pub fn outlook(&self, job: &Job, choice: &Choice) -> Option<Outlook> {
        let zone = &self.room.zones[choice.zone];
        reasons::outlook(zone, choice.shape.watts, time(choice.start), choice.shape.length, job)
    }

    /// The GPUs of a choice in words, where there was a choice of them.
    pub fn width(&self, job: &Job, choice: &Choice) -> Option<Width> {
        let (model, gpus, limit) = self.room.nodes[choice.node].machine.kit(job, &choice.shape)?;
        let takes = u128::from(choice.shape.length.0.max(1));
        let times = (u128::from(length(job).0) * 1_000 + takes / 2) / takes;
        Some(Width { gpus, model: model.to_owned(), limit, speed: u32::try_from(times).unwrap_or(u32::MAX) })
    }

    /// When a job that may wait starts.
    pub(super) fn flexible(&self, job: &Job, first: Choice, previous: Option<&Decision>) -> Target {
        let fresh = self.anew(job, &first);
        match self.promised(job, &first, previous) {
            Some(kept) => self.weigh(job, &first, &kept, previous, fresh),
            None => fresh,
        }
    }

    /// What a job would choose that has promised nothing.
    pub(super) fn anew(&self, job: &Job, first: &Choice) -> Target {
        self.with_pauses(job, first, self.fresh(job, *first))
    }

    /// What was promised, if it can still be had.
    pub(super) fn promised(&self, job: &Job, first: &Choice, previous: Option<&Decision>) -> Option<Kept> {
        let previous = previous.filter(|decision| decision.is_planned())?;
        self.kept_with_pauses(job, first, previous).or_else(|| {
            let choice = self.kept(job, first, previous)?;
            Some(Kept { choice, runs: Vec::new(), due: choice.start == first.start, pauses: false })
        })
    }

    /// Whether a job stays where it stands or takes what it would choose anew. A promise moves only for what a move asks
    /// for; `promise` is none for a place that nobody was told of: it moves for little.
    pub(super) fn weigh(
        &self,
        job: &Job,
        first: &Choice,
        kept: &Kept,
        promise: Option<&Decision>,
        fresh: Target,
    ) -> Target {
        let gain = if promise.is_some() { job.delay.replan_gain } else { job.delay.replan_gain.min(LITTLE) };
        let Some(old) = kept.choice.price else { return fresh };
        let Some(now) = self.beside(job, first, &kept.choice) else {
            // Nothing is known about its first moment any more, or nothing that could be compared. That is no reason to give up
            // what was planned.
            return if kept.due { fresh } else { self.stays(job, kept, promise, None) };
        };
        // Plans are not given up for a model that the job likes less, nor plans on a forecast for plans on climatology.
        let as_good = |choice: &Choice| choice.shape.rank <= kept.choice.shape.rank;
        let better = |new: Price| new.saves(old, gain);
        if kept.due && !kept.pauses {
            // What was planned falls due. It is put off again only for what would also move a plan.
            let better = fresh.choice.price.is_some_and(better);
            return if fresh.why.is_some() || better { fresh } else { self.not_again(job, *first, &fresh) };
        }
        let poorer = |new: Price| new.poor && !old.poor && (kept.pauses || fresh.why.is_none());
        let moves = as_good(&fresh.choice) && fresh.choice.price.is_some_and(|new| better(new) && !poorer(new));
        if moves || ((kept.pauses || as_good(first)) && old.emits > now.emits) {
            return fresh;
        }
        self.stays(job, kept, promise, Some((first, now)))
    }

    /// Whether `weigh` would let it stay whatever it would choose anew, which is then not looked for.
    pub(super) fn rests(&self, job: &Job, first: &Choice, kept: &Kept, promise: Option<&Decision>) -> Option<Target> {
        let (old, now) = (kept.choice.price?, self.beside(job, first, &kept.choice)?);
        let gain = if promise.is_some() { job.delay.replan_gain } else { job.delay.replan_gain.min(LITTLE) };
        let pointless = (kept.pauses || first.shape.rank <= kept.choice.shape.rank) && old.emits > now.emits;
        // One more than what would just be enough, for what rounds.
        let below = old.less(gain).saturating_add(1).min(old.emits);
        (!kept.due && !pointless && self.nothing_below(job, first, below))
            .then(|| self.stays(job, kept, promise, Some((first, now))))
    }

    /// It stays where it stands. `now`: its first start with its price; unknown: what was told is told again.
    pub(super) fn stays(
        &self,
        job: &Job,
        kept: &Kept,
        promise: Option<&Decision>,
        now: Option<(&Choice, Price)>,
    ) -> Target {
        let asks = match (now, kept.choice.price) {
            (Some((first, _)), Some(_)) => self.asks(job, &kept.choice, first),
            _ => job.delay.min_saving,
        };
        let told = if now.is_none() { promise.and_then(Decision::because).cloned() } else { None };
        let why = kept.due.then(|| match (kept.runs.len(), now) {
            (2.., Some((first, _))) => self.pieces(job, first, &kept.choice, &kept.runs),
            _ => WhyNow::CleanestNow,
        });
        Target { choice: kept.choice, runs: kept.runs.clone(), why, asks, told }
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
        let (good, any) = search::cleanest(self.room, job, &first, until, first.shape.rank, &Curves::true_ones());
        let worth = |choice: &Choice| {
            choice.start > first.start
                && choice.price.is_some_and(|price| price.saves(now, self.asks(job, choice, &first)))
        };
        let best = [good, any].into_iter().flatten().filter(worth).min_by_key(|c| (c.price, c.start));
        if let Some(choice) = best {
            let asks = self.asks(job, &choice, &first);
            return Target { choice, runs: Vec::new(), why: None, asks, told: None };
        }
        let cleaner = any.filter(|choice| choice.price.is_some_and(|price| price.emits < now.emits));
        at_first(cleaner.map_or(WhyNow::CleanestNow, |choice| self.too_small(job, &first, &choice)))
    }

    /// The least saving that a wait is worth: what the job asks for, and not less than what forecasts in these places are
    /// good for; on climatology twice as much. Where a price is not known it is what the job asks for.
    pub(super) fn asks(&self, job: &Job, then: &Choice, now: &Choice) -> Percent {
        let (Some(later), Some(first)) = (then.price, now.price) else { return job.delay.min_saving };
        if by_price(job) {
            // Prices of the day ahead are no forecasts.
            return job.delay.min_saving;
        }
        let doubt = |zone: usize| self.policy.doubts.get(&self.room.zones[zone].name).copied().unwrap_or_default();
        let least = job.delay.min_saving.max(doubt(then.zone)).max(doubt(now.zone));
        Percent(least.0.saturating_mul(if later.poor || first.poor { 2 } else { 1 }))
    }

    /// What the first start costs, beside what is planned; `None` where it is not known, or measures something else.
    pub(super) fn beside(&self, job: &Job, first: &Choice, planned: &Choice) -> Option<Price> {
        first.price.filter(|_| self.room.alike(job, planned.zone, first.zone))
    }

    /// The last start that counts for the grid.
    pub(super) fn until(&self, job: &Job) -> Option<Stamp> {
        let horizon = stamp(self.now).saturating_add(millis(self.policy.horizon));
        latest_start(job).map(|latest| stamp(latest).min(horizon))
    }

    /// The window planned before, if it can still be had. A window that has fallen due is the present one.
    fn kept(&self, job: &Job, first: &Choice, previous: &Decision) -> Option<Choice> {
        let Verdict::Hold { until: Some(planned), place: Some(place), .. } = &previous.verdict else {
            return None;
        };
        if *planned <= self.now {
            return (first.start <= stamp(self.now)).then_some(*first);
        }
        let start = stamp(*planned);
        let allowed = start > first.start && latest_start(job).is_some_and(|latest| start <= stamp(latest));
        let choice =
            allowed.then(|| search::there(self.room, job, (&place.node, kit(previous)), start, first.shape.rank))??;
        Some(choice)
    }

    pub(super) fn not_again(&self, job: &Job, first: Choice, later: &Target) -> Target {
        let why = self.too_small(job, &first, &later.choice);
        Target { choice: first, runs: Vec::new(), why: Some(why), asks: later.asks, told: None }
    }

    fn too_small(&self, job: &Job, first: &Choice, later: &Choice) -> WhyNow {
        if by_price(job) {
            let costs = self.costs(job, first, later);
            return costs
                .map_or(WhyNow::NoPrices, |costs| WhyNow::TooLittleCheaper { costs, asks: job.delay.min_saving });
        }
        let (now, then) = (self.outlook(job, first), self.outlook(job, later));
        let savings = Savings {
            emits: then.map(|outlook| outlook.emits).unwrap_or_default(),
            instead_of: now.map(|outlook| outlook.emits).unwrap_or_default(),
        };
        let asks = self.asks(job, later, first);
        let poor = later.price.is_some_and(|price| price.poor) || first.price.is_some_and(|price| price.poor);
        if asks.0 > job.delay.min_saving.0.saturating_mul(if poor { 2 } else { 1 }) {
            return WhyNow::WithinError { savings, asks };
        }
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

/// The GPUs that were decided on before, where there was a choice of them.
pub(crate) fn kit(decision: &Decision) -> Kit<'_> {
    decision.width.as_ref().map(|width| (width.model.as_str(), width.gpus, width.limit))
}

fn rigid(job: &Job, first: Choice) -> Target {
    let why = job.forced_by.as_ref().map_or(WhyNow::NotAsked, |by| WhyNow::Override { by: by.clone() });
    Target { choice: first, runs: Vec::new(), why: Some(why), asks: job.delay.min_saving, told: None }
}
