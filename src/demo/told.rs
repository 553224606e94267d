//! What came of a demo: sums of the scheduler's own ledger, and answers it gave on the way.

use super::Options;
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::job::{JobId, Objective};
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::plan::Certificate;
use neap_model::protocol::{JobReport, StatusReport, WhyReport};
use neap_model::seconds::Seconds;
use neap_model::units::{GramsCo2e, Joules};
use neap_scheduler::controller::Controller;
use std::collections::BTreeMap;

/// What was seen on the way.
#[derive(Debug, Default)]
pub struct Watched {
    /// What was answered about each job right after it was submitted.
    first: BTreeMap<JobId, WhyReport>,
    /// The certificate that spoke of the most jobs, and when.
    fullest: Option<(DateTime<Utc>, Certificate)>,
    /// The widest gap of all.
    widest: Option<f64>,
}

impl Watched {
    /// A job was submitted, and `why` asked.
    pub fn submitted(&mut self, id: JobId, report: WhyReport) {
        self.first.insert(id, report);
    }

    /// The status was asked for.
    pub fn looked(&mut self, now: DateTime<Utc>, status: StatusReport) {
        let Some(certificate) = status.certificate else { return };
        if self.fullest.is_none_or(|(_, known)| certificate.jobs > known.jobs) {
            self.fullest = Some((now, certificate));
        }
        if let Some(gap) = certificate.gap() {
            self.widest = Some(self.widest.map_or(gap, |known| known.max(gap)));
        }
    }
}

/// One zone, or all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneSum {
    /// Its name; `all` of the sum.
    pub zone: String,
    /// Jobs that ran there, last.
    pub jobs: u32,
    /// Energy that its jobs used.
    pub energy: Joules,
    /// Energy of GPUs that nobody had.
    pub idle: Joules,
    /// What the jobs' energy emitted.
    pub emits: GramsCo2e,
    /// What it had emitted had every job started when it first could.
    pub run_now: GramsCo2e,
}

impl ZoneSum {
    /// Both emissions as a pair.
    #[must_use]
    pub const fn savings(&self) -> Savings {
        Savings { emits: self.emits, instead_of: self.run_now }
    }
}

/// How many did something, of those that consented to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Did.
    pub did: u32,
    /// Might have.
    pub of: u32,
}

impl Share {
    fn count<'a>(jobs: impl Iterator<Item = &'a JobReport>, did: impl Fn(&JobReport) -> bool) -> Self {
        jobs.fold(Self::default(), |share, job| Self { did: share.did + u32::from(did(job)), of: share.of + 1 })
    }
}

/// The whole answer.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was asked for.
    pub options: Options,
    /// When it began,
    pub from: DateTime<Utc>,
    /// and ended.
    pub until: DateTime<Utc>,
    /// GPUs by model.
    pub gpus: BTreeMap<&'static str, usize>,
    /// Nodes.
    pub nodes: usize,
    /// By zone, in the order of the site's file: the home zone first.
    pub zones: Vec<ZoneSum>,
    /// All together.
    pub all: ZoneSum,
    /// Energy that the nodes' own books say, whoever used it.
    pub node_energy: Joules,
    /// Jobs in all.
    pub submitted: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Ended in another way.
    pub failed: u32,
    /// Not over at the end.
    pub live: u32,
    /// Waited for cleaner hours, of those that consented.
    pub waited: Share,
    /// How long, all together.
    pub waited_for: Seconds,
    /// Paused.
    pub paused: Share,
    /// Ran wider than the fewest GPUs.
    pub wide: Share,
    /// Ran outside of the home zone.
    pub moved: Share,
    /// Had their GPUs held below the limit that was found.
    pub capped: Share,
    /// Missed their finish-by, of those that had one.
    pub missed: Share,
    /// Of those that missed it: could not have kept it by the plan they were told at once.
    pub hopeless: u32,
    /// The plan that spoke of the most jobs: when, and how good it can be at best.
    pub certificate: Option<(DateTime<Utc>, Certificate)>,
    /// The widest gap of all plans, looked at once an hour.
    pub widest: Option<f64>,
    /// Plans in full,
    pub plans: u64,
    /// of which the audit refused so many.
    pub refused_plans: u64,
    /// A job that waited, as `why` told it when it was submitted.
    pub waiting: Option<WhyReport>,
    /// Jobs that are over, the same one first.
    pub over: Vec<WhyReport>,
    /// All jobs, for programs.
    pub jobs: Vec<JobReport>,
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn is_wide(job: &JobReport) -> bool {
    job.gpus.len() > job.spec.resources.gpus as usize
}

fn missed(job: &JobReport) -> bool {
    let by = job.spec.time.finish_by;
    by.zip(job.ended).is_some_and(|(by, ended)| ended > by)
}

impl Told {
    /// From the scheduler at the end, and what was seen before.
    #[must_use]
    pub fn of(
        options: Options,
        controller: &Controller,
        reports: Vec<WhyReport>,
        watched: Watched,
        boards: Vec<(usize, &'static str)>,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
    ) -> Self {
        let totals = &controller.state().totals;
        let jobs: Vec<JobReport> = reports.iter().map(|report| report.job.clone()).collect();
        let zones: Vec<ZoneSum> =
            controller.config().zones.iter().map(|zone| sum(controller, &zone.name, &jobs)).collect();
        let all = zones.iter().fold(ZoneSum { zone: "all".to_owned(), ..ZoneSum::default() }, |all, zone| ZoneSum {
            jobs: all.jobs + zone.jobs,
            energy: all.energy + zone.energy,
            idle: all.idle + zone.idle,
            emits: all.emits + zone.emits,
            run_now: all.run_now + zone.run_now,
            ..all
        });
        let home = &controller.config().home().name;
        let ended = |outcome: fn(&Outcome) -> bool| {
            number(
                jobs.iter()
                    .filter(|job| matches!(&job.phase, Phase::Ended { outcome: how, .. } if outcome(how)))
                    .count(),
            )
        };
        let succeeded = ended(|outcome| *outcome == Outcome::Succeeded);
        let over = ended(|_| true);
        let waits = |job: &&JobReport| job.spec.flex.delay.is_some_and(|delay| delay != Objective::None);
        let late = |job: &&JobReport| missed(job);
        let hopeless = |job: &&JobReport| watched.first.get(&job.id).is_some_and(|first| !is_feasible(&first.job));
        let mut gpus = BTreeMap::new();
        boards.iter().for_each(|(count, model)| *gpus.entry(*model).or_default() += count);
        let (waiting, shown) = examples(&watched, &reports);
        Self {
            options,
            from,
            until,
            gpus,
            nodes: boards.len(),
            node_energy: totals.node_energy.values().copied().sum(),
            submitted: number(jobs.len()),
            succeeded,
            failed: over - succeeded,
            live: number(jobs.len()) - over,
            waited: Share::count(jobs.iter().filter(waits), |job| job.waited_for_grid > Seconds::ZERO),
            waited_for: jobs.iter().fold(Seconds::ZERO, |all, job| all + job.waited_for_grid),
            paused: Share::count(jobs.iter().filter(|job| job.spec.flex.pause.is_some()), |job| {
                controller.state().jobs.get(&job.id).is_some_and(|job| job.pauses > 0)
            }),
            wide: Share::count(jobs.iter().filter(|job| job.spec.resources.gpus_up_to.is_some()), is_wide),
            moved: Share::count(jobs.iter().filter(|job| !job.spec.flex.zones.is_empty()), |job| {
                job.place.as_ref().is_some_and(|place| place.zone != *home)
            }),
            capped: Share::count(jobs.iter().filter(|job| job.spec.flex.slowdown.0 > 0), |job| {
                job.account.cap.capped_ms > 0
            }),
            missed: Share::count(jobs.iter().filter(|job| job.spec.time.finish_by.is_some()), missed),
            hopeless: number(jobs.iter().filter(late).filter(hopeless).count()),
            certificate: watched.fullest,
            widest: watched.widest,
            plans: controller.planning().plans,
            refused_plans: controller.planning().refused_plans,
            waiting,
            over: shown,
            zones,
            all,
            jobs,
        }
    }
}

/// Whether the plan that it was told first keeps its promise.
fn is_feasible(job: &JobReport) -> bool {
    let expected = job.decision.as_ref().or(job.first_told.as_ref()).and_then(|decision| decision.expected);
    match (job.spec.time.finish_by, expected) {
        (Some(by), Some(run)) => run.end <= by,
        _ => true,
    }
}

fn sum(controller: &Controller, zone: &str, jobs: &[JobReport]) -> ZoneSum {
    let totals = &controller.state().totals;
    let here = jobs.iter().filter(|job| job.place.as_ref().is_some_and(|place| place.zone == zone)).count();
    let mut sum = ZoneSum { zone: zone.to_owned(), jobs: number(here), ..ZoneSum::default() };
    for spent in totals.spent.iter().filter(|((of, ..), _)| of == zone).map(|(_, spent)| spent) {
        sum.energy += spent.energy;
        sum.emits += spent.carbon;
        sum.run_now += spent.run_now;
    }
    sum.idle = totals.idle_energy.iter().filter(|((of, _), _)| of == zone).map(|(_, energy)| *energy).sum();
    sum
}

/// The job that waited and saved the most of its emissions, as it was told and as it ended; then of those that paused the one
/// that did so most; then the one that came out worst against running at once, whatever that is.
fn examples(watched: &Watched, reports: &[WhyReport]) -> (Option<WhyReport>, Vec<WhyReport>) {
    let succeeded = |report: &&WhyReport| matches!(&report.job.phase, Phase::Ended { outcome: Outcome::Succeeded, .. });
    let grams = |report: &WhyReport| report.job.account.savings().grams();
    let attempts = |report: &WhyReport| report.job.attempts;
    let told = |report: &&WhyReport| {
        let first = watched.first.get(&report.job.id).and_then(|first| first.job.decision.as_ref());
        first.is_some_and(|decision| decision.is_planned() && decision.runs.is_empty())
    };
    let best = reports.iter().filter(succeeded).filter(told).filter(|report| attempts(report) == 1);
    let best = best.max_by(|a, b| grams(a).total_cmp(&grams(b)));
    let paused =
        reports.iter().filter(succeeded).filter(|report| attempts(report) > 1).max_by_key(|r| (attempts(r), r.job.id));
    let worst = reports.iter().filter(succeeded).min_by(|a, b| grams(a).total_cmp(&grams(b)));
    let waiting = best.and_then(|report| watched.first.get(&report.job.id).cloned());
    let mut over: Vec<WhyReport> = Vec::new();
    for report in [best, paused, worst].into_iter().flatten() {
        if over.iter().all(|known| known.job.id != report.job.id) {
            over.push(report.clone());
        }
    }
    (waiting, over)
}
