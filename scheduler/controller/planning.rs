//! Between the queue and the planner: makes the problem, acts on the plan, keeps what was promised.

mod acting;
pub(super) mod arrivals;
mod holding;
mod learning;
mod site;
mod unlike;

use chrono::{DateTime, TimeDelta, Utc};
pub(super) use learning::still_likely;
use neap_model::job::JobId;
use neap_model::plan::{Blocker, Certificate, Decision, Verdict};
use neap_model::reason::Reason;
use neap_model::units::Watts;
use neap_policies::Plan;
use neap_policies::problem::{Arrival, Effort, Job as Ask, Policy, Problem, Site};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Waiting jobs that may be planned in full for each second between two full plans. Inserting is done at once, always.
const PLANNED_PER_SECOND: i64 = 20_000;

/// Up to so many waiting jobs are always placed anew; of more, when a share of them is new (one in …), the nodes or curves
/// changed, or this time has passed, but not more often than the time for each of them allows.
const ALWAYS_ANEW: usize = 64;
const NEW_SHARE: usize = 16;
const ANEW_EVERY: TimeDelta = TimeDelta::minutes(15);
const ANEW_PER_JOB: TimeDelta = TimeDelta::milliseconds(10);
const ANEW_AT_MOST: TimeDelta = TimeDelta::seconds(60);

/// Up to so many waiting jobs that are planned, times nodes, are searched at once; more are searched beside the loop, and
/// what was found is kept to with the next plan as far as it still can be had.
const AT_ONCE: usize = 256;

/// Plans are audited before they are acted on while no more jobs than that wait; the audit is naive on purpose.
const AUDITED: usize = 2_000;

/// Earlier runs of the same project and name that a length is learned from.
const REMEMBERED: usize = 20;

/// Fewer than that teach nothing.
const ENOUGH: usize = 3;

/// Equally likely lengths that stand for them. Where lengths spread widely five save up to 1.1 % less carbon than ten, and
/// twenty no more (the example `learned_lengths` of the policies, South Australia 2022); each more costs time.
const LIKELY: usize = 10;

/// Whoever waits for the starts of a minute to be over is looked at again after so long.
const RAMPS_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// What the planner is told and what it answered.
#[derive(Debug)]
pub struct Planning {
    /// The places; `now` is the time of the present step.
    pub site: Site,
    offered: learning::Offered,
    policy: Policy,
    plan: Plan,
    asks: BTreeMap<JobId, Arc<Ask>>,
    /// Who comes after whom.
    followers: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Attempts by node.
    pub(super) placed: BTreeMap<String, BTreeSet<JobId>>,
    /// What earlier runs showed, by project and name.
    known: BTreeMap<(String, String), learning::Known>,
    /// Of whom something was learned that those who wait were not asked about yet.
    lessons: BTreeSet<(String, String)>,
    /// Who is expected to come, and the hour since 1970 in which that was reckoned.
    expected: (Option<i64>, Arc<[Arrival]>),
    /// What the last full plan was made for, and how good that plan can be at best once somebody asked.
    solved: Option<(Problem, OnceCell<Certificate>)>,
    due: bool,
    /// Announcements in force when the jobs were looked at last.
    calls: Vec<(String, u64)>,
    site_stale: bool,
    anew: Anew,
    holding: holding::Holding,
    last: DateTime<Utc>,
    /// When the first planned start or latest start falls due.
    next: Option<DateTime<Utc>>,
    /// Power domains in which somebody was told since the last full plan to wait, because enough was started within a minute.
    ramping: BTreeSet<String>,
    /// Full plans made.
    pub plans: u64,
    /// Plans that the audit refused.
    pub refused_plans: u64,
    /// Decisions by kind and reason, for metrics.
    pub decisions: BTreeMap<(&'static str, &'static str), u64>,
}

/// When all that waits for the grid was placed anew, and what happened since.
#[derive(Debug)]
struct Anew {
    last: DateTime<Utc>,
    site_changed: bool,
    jobs: usize,
    /// Planned jobs times nodes that are searched within the step.
    at_once: usize,
    /// A search is under way beside the loop.
    searching: bool,
    /// What it found, for the next plan.
    found: Option<BTreeMap<JobId, Decision>>,
}

impl Anew {
    /// How hard to look for a plan of so many jobs.
    fn effort(&mut self, now: DateTime<Utc>, waiting: usize) -> Effort {
        let per_job = ANEW_PER_JOB * i32::try_from(waiting).unwrap_or(i32::MAX);
        let since = now - self.last;
        let news = self.site_changed || self.jobs * NEW_SHARE >= waiting || since >= ANEW_EVERY;
        if self.searching || waiting > ALWAYS_ANEW && !(news && since >= per_job.min(ANEW_AT_MOST)) {
            return Effort::Keep;
        }
        (self.last, self.site_changed, self.jobs) = (now, false, 0);
        Effort::Search
    }
}

impl Planning {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            site: Site { now, zones: Vec::new(), nodes: Vec::new(), shared: Vec::new() },
            offered: learning::Offered::new(),
            policy: Policy::default(),
            plan: Plan::default(),
            asks: BTreeMap::new(),
            followers: BTreeMap::new(),
            placed: BTreeMap::new(),
            known: BTreeMap::new(),
            lessons: BTreeSet::new(),
            expected: (None, Arc::default()),
            solved: None,
            due: true,
            calls: Vec::new(),
            site_stale: true,
            anew: Anew {
                last: now - TimeDelta::days(1),
                site_changed: true,
                jobs: 0,
                at_once: AT_ONCE,
                searching: false,
                found: None,
            },
            holding: holding::Holding::default(),
            last: now - TimeDelta::days(1),
            next: None,
            ramping: BTreeSet::new(),
            plans: 0,
            refused_plans: 0,
            decisions: BTreeMap::new(),
        }
    }

    /// Something changed that a plan depends on.
    pub(super) fn news(&mut self) {
        self.due = true;
    }

    /// Every search is done beside the loop.
    #[cfg(test)]
    pub(super) const fn search_beside(&mut self) {
        self.anew.at_once = 0;
    }

    /// Nodes or curves changed.
    pub(super) fn stale_site(&mut self) {
        (self.site_stale, self.due) = (true, true);
    }

    /// Takes the jobs that come after `job`, which just ended.
    pub(super) fn take_followers(&mut self, job: JobId) -> BTreeSet<JobId> {
        self.followers.remove(&job).unwrap_or_default()
    }

    /// Jobs with an attempt on the node.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = JobId> + use<> {
        self.placed.get(node).cloned().unwrap_or_default().into_iter()
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.asks.len()
    }

    /// The most that a planned job could add to what its node draws idle.
    pub(super) fn draws_of(&self, job: JobId) -> Watts {
        self.plan.booking(job).map_or(Watts::ZERO, |booking| booking.draws)
    }

    /// Whether something changed that the plan does not know.
    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// The least of the power that a node shares which nobody is promised within that time; all of it where there is no limit.
    pub(super) fn spare_power(&self, node: &str, span: (DateTime<Utc>, DateTime<Utc>)) -> Watts {
        self.plan.spare_power(node, span).unwrap_or(Watts(u64::MAX))
    }

    /// The decision on a job that waits.
    #[must_use]
    pub fn decision(&self, job: JobId) -> Option<&Decision> {
        self.plan.decisions.get(&job)
    }

    /// How good the last full plan can be at best, of the jobs that still wait; `None` where nothing is planned around the
    /// grid.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        let (problem, known) = self.solved.as_ref()?;
        let certificate = known.get_or_init(|| neap_policies::certified(problem, &self.plan));
        Some(*certificate).filter(|certificate| certificate.jobs > 0)
    }

    /// Whether somebody was told to wait there for a minute's starts since the last full plan.
    pub(super) fn is_ramping(&self, domain: &str) -> bool {
        self.ramping.contains(domain)
    }

    fn note_due(&mut self, decision: &Decision) {
        if let Verdict::Hold { place: Some(_), until: Some(until), .. } = &decision.verdict {
            self.next = Some(self.next.map_or(*until, |next| next.min(*until)));
        }
    }

    /// The plan would start it, and nothing may: it waits where it stands. Whatever gives power back makes a new plan, and so does
    /// the time after which more may be started.
    fn wait_for_power(&mut self, now: DateTime<Utc>, decision: &Decision, because: Reason) {
        if let Reason::Ramp { domain, .. } = &because {
            self.ramping.insert(domain.clone());
            let again = now + RAMPS_AGAIN;
            self.next = Some(self.next.map_or(again, |next| next.min(again)));
        }
        let blockers = vec![Blocker { reason: because.clone(), clears: None }];
        let verdict = Verdict::Hold { until: None, place: None, because };
        // What it would be now it will not be; what it will be then is planned then.
        let expected = None;
        self.plan.decisions.insert(decision.job, Decision { verdict, blockers, expected, ..decision.clone() });
    }

    /// It waits no more: its room is given back.
    fn forget(&mut self, id: JobId) {
        if let Some(ask) = self.asks.remove(&id) {
            self.plan.forget(&ask);
        }
    }
}
