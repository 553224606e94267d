//! Sums of what happened, for metrics; and the booking of energy against the grid.
//!
//! Counters keep what was booked first. They are a view of the journal: after a restart replay has them back.

use super::state::Job;
use super::{Controller, Turn};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Component, Quality, Source};
use neap_model::footprint::{Beside, Bill, EnergyOver, Footprint, Market, by_feed, footprint};
use neap_model::grid::Grade;
use neap_model::job::AttemptId;
use neap_model::ledger::{EnergySpan, GpuSpan, NodeSpan};
use neap_model::lifecycle::{Event, JobEvent, Phase};
use neap_model::seconds::Seconds;
use neap_model::units::{GramsCo2e, Joules, Money};
use std::collections::BTreeMap;

/// Zone, queue, project: the labels of energy and carbon.
pub type Share = (String, String, String);

/// A histogram that replay can rebuild: counts by upper bound, sum and count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Observations at or below each bound of [`DELAY_BOUNDS`], not cumulative; the last is everything above.
    pub counts: [u64; DELAY_BOUNDS.len() + 1],
    /// Sum of observations in seconds.
    pub sum: u64,
}

/// Upper bounds in seconds: a minute to three days.
pub const DELAY_BOUNDS: [u64; 9] = [10, 60, 300, 900, 3_600, 10_800, 21_600, 86_400, 259_200];

impl Histogram {
    fn observe(&mut self, seconds: u64) {
        let place = DELAY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(DELAY_BOUNDS.len());
        self.counts[place] += 1;
        self.sum += seconds;
    }

    /// How many observations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Energy and emissions of one share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Facility energy.
    pub energy: Joules,
    /// Its emissions.
    pub carbon: GramsCo2e,
    /// Emissions had each job started when it first could.
    pub run_now: GramsCo2e,
    /// The part of the emissions that rests on estimated power or fallback intensity.
    pub estimated: GramsCo2e,
    /// Money paid for it at prices above zero, in the zone's currency,
    pub cost: Money,
    /// and got for it at prices below, as a positive amount.
    pub credit: Money,
}

/// Sums since the journal began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs accepted, by queue and project.
    pub submitted: BTreeMap<(String, String), u64>,
    /// Requests refused, by verb and code.
    pub refused: BTreeMap<(String, String), u64>,
    /// Jobs over, by queue, project and outcome.
    pub finished: BTreeMap<(String, String, &'static str), u64>,
    /// Finish-by times missed, by queue and project.
    pub missed: BTreeMap<(String, String), u64>,
    /// Starts forced, by queue and project.
    pub overrides: BTreeMap<(String, String), u64>,
    /// Seconds waited, by queue and the class of what bound.
    pub waited: BTreeMap<(String, &'static str), u64>,
    /// Seconds from submission to start, by queue.
    pub start_delay: BTreeMap<String, Histogram>,
    /// Seconds between the start first told and the actual one, by queue.
    pub plan_error: BTreeMap<String, Histogram>,
    /// Energy and carbon by share.
    pub spent: BTreeMap<Share, Spent>,
    /// Energy of the computers, by node, component and source.
    pub node_energy: BTreeMap<(String, Component, Source), Joules>,
    /// Energy of the computers nobody's job used, by zone and node.
    pub idle_energy: BTreeMap<(String, String), Joules>,
    /// What each GPU used, by node and UUID.
    pub gpus: BTreeMap<(String, String), GpuSpan>,
    /// Milliseconds without readings, by node and component.
    pub gaps: BTreeMap<(String, Component), u64>,
    /// Energy of attempts whose work was lost, by queue and reason.
    pub lost_work: BTreeMap<(String, &'static str), Joules>,
    /// Pauses, by queue.
    pub pauses: BTreeMap<String, u64>,
}

fn queue_of(job: &Job) -> String {
    job.spec.queue.clone().unwrap_or_default()
}

fn queue_and_project(job: &Job) -> (String, String) {
    (queue_of(job), job.spec.project.clone())
}

impl Totals {
    pub(super) fn submitted(&mut self, job: &Job) {
        let key = queue_and_project(job);
        // Counters exist at 0 from the first submission on, or a first increase goes unseen.
        self.missed.entry(key.clone()).or_default();
        self.overrides.entry(key.clone()).or_default();
        *self.submitted.entry(key).or_default() += 1;
    }

    pub(super) fn refused(&mut self, verb: &str, code: &str, count: u32) {
        *self.refused.entry((verb.to_owned(), code.to_owned())).or_default() += u64::from(count);
    }

    pub(super) fn overridden(&mut self, job: &Job) {
        *self.overrides.entry(queue_and_project(job)).or_default() += 1;
    }

    pub(super) fn leased(&mut self, job: &Job, at: DateTime<Utc>) {
        let queue = queue_of(job);
        let all = u64::try_from((at - job.submitted).num_seconds()).unwrap_or(0);
        let you = held_seconds(job, at).min(all);
        let grid = job.waited_for_grid.0.min(all - you);
        for (cause, seconds) in [("you", you), ("grid", grid), ("capacity", all - you - grid)] {
            *self.waited.entry((queue.clone(), cause)).or_default() += seconds;
        }
        self.start_delay.entry(queue.clone()).or_default().observe(all);
        if let Some(told) = job.first_told.as_ref().and_then(neap_model::plan::Decision::start) {
            self.plan_error.entry(queue).or_default().observe((at - told).num_seconds().unsigned_abs());
        }
    }

    pub(super) fn ended(&mut self, job: &Job) {
        let (queue, project) = queue_and_project(job);
        if job.missed_finish_by() {
            *self.missed.entry((queue.clone(), project.clone())).or_default() += 1;
        }
        if let Phase::Ended { outcome, .. } = &job.phase {
            *self.finished.entry((queue, project, outcome.word())).or_default() += 1;
        }
    }

    pub(super) fn metered(&mut self, job: &Job, span: &EnergySpan, actual: Footprint, run_now: Footprint) {
        let (queue, project) = queue_and_project(job);
        let Some(place) = &job.place else { return };
        let spent = self.spent.entry((place.zone.clone(), queue, project)).or_default();
        spent.energy += actual.energy;
        spent.carbon += actual.emits;
        spent.run_now += run_now.emits;
        // Carbon rests on an estimate where the power or the intensity does.
        let all = span.energy();
        let metered: Joules =
            span.parts.iter().filter(|p| p.source.quality() == Quality::Measured).map(|p| p.energy).sum();
        let sure = match actual.worst {
            Some(Grade::Measured) => actual.emits.scaled(metered.0, all.0),
            _ => GramsCo2e::ZERO,
        };
        spent.estimated += actual.emits.saturating_sub(sure);
    }

    pub(super) fn billed(&mut self, job: &Job, bill: Option<&Bill>) {
        let Some((bill, place)) = bill.zip(job.place.as_ref()) else { return };
        let (queue, project) = queue_and_project(job);
        let spent = self.spent.entry((place.zone.clone(), queue, project)).or_default();
        // Counters do not fall: what is paid and what is got are counted apart.
        spent.cost = spent.cost + Money(bill.paid.0.max(0));
        spent.credit = spent.credit + Money(bill.paid.0.saturating_neg().max(0));
    }

    pub(super) fn node_metered(&mut self, node: &str, zone: &str, span: &NodeSpan) {
        for part in &span.parts {
            *self.node_energy.entry((node.to_owned(), part.component, part.source)).or_default() += part.energy;
            *self.gaps.entry((node.to_owned(), part.component)).or_default() += span.gap_ms;
        }
        for (uuid, used) in &span.gpus {
            let known = self.gpus.entry((node.to_owned(), uuid.clone())).or_default();
            *known = known.and(*used);
        }
        let counted: Joules = span.parts.iter().map(|p| p.energy).sum();
        let used: Joules = span.attributed.iter().map(|p| p.energy).sum();
        *self.idle_energy.entry((zone.to_owned(), node.to_owned())).or_default() += counted.saturating_sub(used);
    }

    /// The attempt that just ended saved nothing: what it used was for nothing.
    pub(super) fn lost(&mut self, job: &Job, reason: &'static str) {
        let energy = job.account.actual.energy.saturating_sub(job.accounted);
        *self.lost_work.entry((queue_of(job), reason)).or_default() += energy;
    }

    pub(super) fn paused(&mut self, job: &Job) {
        *self.pauses.entry(queue_of(job)).or_default() += 1;
    }

    /// It goes on after a pause of that length.
    pub(super) fn resumed(&mut self, job: &Job, rest: Seconds) {
        *self.waited.entry((queue_of(job), "grid")).or_default() += rest.0;
    }
}

/// Seconds a person held the job, from its history.
fn held_seconds(job: &Job, until: DateTime<Utc>) -> u64 {
    let mut since = job.spec.hold.then_some(job.submitted);
    let mut total = TimeDelta::zero();
    for entry in &job.history {
        match entry.event {
            JobEvent::Held { .. } => since = since.or(Some(entry.at)),
            JobEvent::Released { .. } | JobEvent::Overridden { .. } => {
                total += since.take().map_or(TimeDelta::zero(), |from| entry.at - from);
            }
            _ => {}
        }
    }
    total += since.map_or(TimeDelta::zero(), |from| until - from);
    u64::try_from(total.num_seconds()).unwrap_or(0)
}

impl Controller {
    /// Books an energy span: what it emitted, and what it would have emitted had the job started when it first could.
    pub(super) fn book(&mut self, now: DateTime<Utc>, attempt: AttemptId, span: EnergySpan, turn: &mut Turn) {
        let Some(job) = self.state.jobs.get(&attempt.job) else { return };
        let zone = job.place.as_ref().map_or("", |p| p.zone.as_str());
        let known = self.config.zones.iter().find(|known| known.name == zone);
        let energy = span.energy().at_facility(known.and_then(|zone| zone.pue).unwrap_or_default());
        // Had it not waited, it would not have paused either: this attempt would have followed on the work before it.
        let shift = match (job.first_possible_start(), job.leased) {
            (Some(first), Some(leased)) => (first + job.ran.delta() - leased).min(TimeDelta::zero()),
            _ => TimeDelta::zero(),
        };
        let over = [EnergyOver { from: span.from, until: span.until, energy }];
        let prices = self.grid.get(zone).and_then(|grid| grid.prices.as_ref());
        let bill = prices.map(|prices| Bill::of(&over[0], &prices.series, &prices.currency, shift));
        let any = self.config.zones.iter().any(|zone| zone.market.is_some());
        let market = any.then(|| Market::of(energy, known.and_then(|zone| zone.market)));
        let by_signal = self.grid.get(zone).map(|grid| by_feed(&over[0], &grid.curve)).unwrap_or_default();
        let signals: Vec<String> = by_signal.iter().map(|(feed, _)| feed.clone()).collect();
        let known = bill.is_some() || market.is_some() || !signals.is_empty();
        let beside = known.then(|| Box::new(Beside { bill, market, signals, by_signal }));
        let (actual, run_now) = match self.grid.get(zone) {
            Some(grid) => (footprint(&over, &grid.past, TimeDelta::zero()), footprint(&over, &grid.past, shift)),
            None => {
                let unknown = Footprint { energy, uncovered: energy, ..Footprint::default() };
                (unknown, unknown)
            }
        };
        self.record(now, Event::Metered { attempt, span, actual, run_now, beside }, turn);
    }
}
