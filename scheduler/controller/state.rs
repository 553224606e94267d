//! What is known: the result of all events so far, and nothing else. Live operation and replay go through `apply`.

use chrono::{DateTime, Utc};
use neap_model::cap::{CapPoint, CapReason};
use neap_model::fleet::{Board, Inventory};
use neap_model::job::{Epoch, JobId, JobSpec, Person};
use neap_model::ledger::Account;
use neap_model::lifecycle::{AttemptEnd, Event, Illegal, JobEvent, Outcome, Phase};
use neap_model::plan::{Decision, Place, Width};
use neap_model::protocol::Happened;
use neap_model::seconds::Seconds;
use neap_model::units::{Joules, Megahertz, Watts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::ledger::Totals;

/// Jobs that ended and are still in memory. Older ones are read from the archive.
const RECENT: usize = 1_000;

/// A job and all that happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Who submitted it.
    pub owner: Person,
    /// Its terms, defaults filled in.
    pub spec: JobSpec,
    /// Where it stands.
    pub phase: Phase,
    /// When it was accepted.
    pub submitted: DateTime<Utc>,
    /// When its present or last attempt started.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// The plan as it was told first, and last.
    pub first_told: Option<Decision>,
    /// The decision with which the present or last attempt was started.
    pub starting: Option<Decision>,
    /// The plan as it was told last; promises survive a restart through it.
    pub told: Option<Decision>,
    /// Where its present or last attempt is.
    pub place: Option<Place>,
    /// When that attempt was leased.
    pub leased: Option<DateTime<Utc>>,
    /// When the first attempt was leased.
    pub first_leased: Option<DateTime<Utc>>,
    /// Run time of earlier attempts whose work was saved at a pause.
    pub ran: Seconds,
    /// The same in time of its slowest way, where it ran on others; never less.
    #[serde(default)]
    pub worked: Seconds,
    /// Pauses so far.
    pub pauses: u32,
    /// Pauses before which it did not save its work; it is not paused again.
    pub unsaved: u32,
    /// Facility energy up to the last end of an attempt.
    pub accounted: Joules,
    /// The limit decided last for its GPUs, and why; of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped: Option<(Option<Watts>, CapReason)>,
    /// The ceiling of their core clocks that was decided with it, in megahertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// The most that each GPU of the present or last attempt was let draw when it started, where there were watts for no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<Watts>,
    /// The most that each was let draw since, where that was decided after it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Watts>,
    /// What was seen of it at which limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_points: Vec<CapPoint>,
    /// Cores of that attempt.
    pub cpus: u32,
    /// GPUs of that attempt.
    pub gpus: Vec<String>,
    /// What was known of them when it was leased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boards: Vec<Board>,
    /// File its output goes to.
    pub log: Option<String>,
    /// Highest epoch given out.
    pub epoch: Epoch,
    /// Attempts that were lost after they had started.
    pub losses: u32,
    /// Highest energy span booked for the present epoch.
    pub booked: Option<u32>,
    /// Who forced its start, if somebody did.
    pub forced_by: Option<String>,
    /// How long it waited for the grid.
    pub waited_for_grid: Seconds,
    /// Energy and emissions.
    pub account: Account,
    /// What happened, but for the submission itself.
    pub history: Vec<Happened>,
    /// Idempotency key.
    pub key: String,
    /// Digest of what was submitted under it.
    pub digest: String,
    /// Rises with every change.
    pub revision: u64,
}

impl Job {
    /// When it could have started had nobody waited for the grid: what run-now is reckoned from.
    #[must_use]
    pub fn first_possible_start(&self) -> Option<DateTime<Utc>> {
        let told = self.first_told.as_ref().and_then(|d| d.run_now).map(|o| o.start);
        match (told, self.first_leased) {
            (Some(told), Some(leased)) => Some(told.min(leased)),
            (None, leased) => leased,
            (told, None) => told,
        }
    }

    /// Whether an attempt before the present one may have run: one whose GPUs could not be held did not.
    #[must_use]
    pub fn began_before(&self) -> bool {
        let unheld =
            |entry: &&Happened| matches!(entry.event, JobEvent::AttemptEnded { end: AttemptEnd::NotHeld { .. }, .. });
        usize::try_from(self.epoch.0).is_ok_and(|epoch| epoch > 1 + self.history.iter().filter(unheld).count())
    }

    /// The GPUs that were chosen with the present attempt, where there was a choice.
    #[must_use]
    pub fn width(&self) -> Option<&Width> {
        self.starting.as_ref()?.width.as_ref()
    }

    /// What a run of that long in the present attempt is, in time of the slowest way that it had.
    #[must_use]
    pub fn on_width(&self, ran: Seconds) -> Seconds {
        self.width().map_or(ran, |width| width.work_of(ran))
    }

    /// Books the time that an attempt which just ended held GPUs and cores.
    fn hold(&mut self, before: &Phase, until: DateTime<Utc>) {
        let since = match before {
            Phase::Running { .. } | Phase::Stopping { since: Some(_), .. } => self.started,
            _ => None,
        };
        let held = since.map_or(Seconds::ZERO, |since| Seconds::between(since, until));
        self.account.gpu_seconds.0 += held.0 * self.gpus.len() as u64;
        self.account.core_seconds += held.0 * u64::from(self.cpus);
    }

    /// Whether it missed its finish-by. A job that a person cancelled missed nothing.
    #[must_use]
    pub fn missed_finish_by(&self) -> bool {
        match (&self.phase, self.spec.time.finish_by, self.ended) {
            (Phase::Ended { outcome: Outcome::Cancelled { .. }, .. }, ..) => false,
            (Phase::Ended { .. }, Some(by), Some(ended)) => ended > by,
            _ => false,
        }
    }
}

/// A node as its executor described it, and when it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its zone.
    pub zone: String,
    /// What it has.
    pub inventory: Inventory,
    /// When it was heard of last, in this life of the scheduler.
    pub heard: Option<DateTime<Utc>>,
    /// Its executor's session, and the highest beat of it.
    pub session: Option<(u64, u64)>,
    /// Highest node span booked of the latest books.
    pub booked: Option<(u64, u32)>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct State {
    /// Rises with every start.
    pub incarnation: u64,
    /// Of this start.
    pub nonce: u64,
    /// When this start was.
    pub started: Option<DateTime<Utc>>,
    /// Live jobs, and those that ended lately.
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// Jobs that are not over.
    pub live: BTreeSet<JobId>,
    /// Ended jobs in memory, oldest first.
    recent: VecDeque<JobId>,
    /// The next number.
    next: u64,
    /// Every job that ended, and whether it succeeded: for jobs that come after it.
    outcomes: BTreeMap<JobId, bool>,
    /// Key and person (hashed) → digest (hashed) and job.
    keys: HashMap<[u8; 16], ([u8; 16], JobId)>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// What the grid and the operators announced.
    pub notices: neap_model::notice::Notices,
    /// What servers of grid events showed, by the site's names of them.
    pub programs: BTreeMap<String, neap_model::notice::Program>,
    /// Jobs of the last weeks that waited for the grid.
    pub(in crate::controller) record: super::planning::arrivals::Record,
    /// Sums for metrics.
    pub totals: Totals,
    /// Jobs that changed since the store took them.
    pub changed: BTreeSet<JobId>,
    revision: u64,
}

fn short_hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].try_into().expect("SHA-256 has 32 bytes")
}

impl State {
    /// The number the next job gets.
    #[must_use]
    pub fn next_id(&self) -> JobId {
        JobId(self.next.max(1))
    }

    /// The job that this person submitted under this key, and whether it was the same.
    #[must_use]
    pub fn keyed(&self, uid: u32, key: &str, digest: &str) -> Option<(JobId, bool)> {
        let (known, job) = self.keys.get(&short_hash(&[&uid.to_le_bytes(), key.as_bytes()]))?;
        Some((*job, *known == short_hash(&[digest.as_bytes()])))
    }

    /// Whether a job ended, and if so whether it succeeded.
    #[must_use]
    pub fn outcome(&self, id: JobId) -> Option<bool> {
        self.outcomes.get(&id).copied()
    }

    /// Lets an event take effect.
    ///
    /// # Errors
    /// [`Illegal`] if the table does not allow it; a journal that says so is damaged.
    pub fn apply(&mut self, at: DateTime<Utc>, event: &Event) -> Result<(), Illegal> {
        self.revision += 1;
        match event {
            Event::Started { incarnation, nonce, .. } => {
                (self.incarnation, self.nonce, self.started) = (*incarnation, *nonce, Some(at));
            }
            Event::Job { job, happened: JobEvent::Submitted { owner, spec, key, digest } } => {
                self.submitted(*job, at, owner, spec, key, digest);
            }
            Event::Job { job, happened } => self.happened(*job, at, happened)?,
            Event::Metered { attempt, span, actual, run_now, beside } => {
                let Some(job) = self.jobs.get_mut(&attempt.job) else { return Ok(()) };
                let job = Arc::make_mut(job);
                job.account.add_parts(span);
                job.account.actual = job.account.actual.and(*actual);
                job.account.run_now = job.account.run_now.and(*run_now);
                if let Some(beside) = beside {
                    job.account.add_beside(beside);
                }
                if attempt.epoch == job.epoch {
                    job.booked = Some(span.seq);
                }
                job.revision = self.revision;
                self.totals.metered(job, span, *actual, *run_now);
                self.totals.billed(job, beside.as_ref().and_then(|beside| beside.bill.as_ref()));
                self.changed.insert(attempt.job);
            }
            Event::NodeMetered { node, session, span } => {
                if let Some(known) = self.nodes.get_mut(node) {
                    known.booked = Some((*session, span.seq));
                    self.totals.node_metered(node, &known.zone, span);
                }
            }
            Event::NodeSeen { node, zone, inventory } => {
                let known = self.nodes.entry(node.clone()).or_insert_with(|| Node {
                    zone: zone.clone(),
                    inventory: (**inventory).clone(),
                    heard: None,
                    session: None,
                    booked: None,
                });
                known.zone.clone_from(zone);
                known.inventory = (**inventory).clone();
            }
            Event::Noticed { notice } => self.notices.take((**notice).clone(), at),
            Event::Polled { vtn, polled } => self.programs.entry(vtn.clone()).or_default().take(polled, at),
            Event::Refused { verb, code, count, .. } => self.totals.refused(verb, code, *count),
        }
        Ok(())
    }

    fn submitted(&mut self, id: JobId, at: DateTime<Utc>, owner: &Person, spec: &JobSpec, key: &str, digest: &str) {
        let phase = if spec.hold { Phase::Held { by: owner.name.clone() } } else { Phase::Queued };
        let job = Job {
            id,
            owner: owner.clone(),
            spec: spec.clone(),
            phase,
            submitted: at,
            started: None,
            ended: None,
            first_told: None,
            starting: None,
            told: None,
            place: None,
            leased: None,
            first_leased: None,
            ran: Seconds::ZERO,
            worked: Seconds::ZERO,
            pauses: 0,
            unsaved: 0,
            accounted: Joules::ZERO,
            capped: None,
            slowed: None,
            raised: None,
            clock_ceiling: None,
            cap_points: Vec::new(),
            cpus: 0,
            gpus: Vec::new(),
            boards: Vec::new(),
            log: None,
            epoch: Epoch(0),
            losses: 0,
            booked: None,
            forced_by: None,
            waited_for_grid: Seconds::ZERO,
            account: Account::default(),
            history: Vec::new(),
            key: key.to_owned(),
            digest: digest.to_owned(),
            revision: self.revision,
        };
        self.totals.submitted(&job);
        self.next = self.next.max(id.0 + 1);
        let key = short_hash(&[&owner.uid.to_le_bytes(), key.as_bytes()]);
        self.keys.insert(key, (short_hash(&[digest.as_bytes()]), id));
        self.jobs.insert(id, Arc::new(job));
        self.live.insert(id);
        self.changed.insert(id);
    }

    fn happened(&mut self, id: JobId, at: DateTime<Utc>, event: &JobEvent) -> Result<(), Illegal> {
        let Some(job) = self.jobs.get_mut(&id) else {
            return Err(Illegal { phase: "unknown", event: event.word() });
        };
        let job = Arc::make_mut(job);
        let after = job.phase.after(event, at)?;
        let before = std::mem::replace(&mut job.phase, after);
        match event {
            JobEvent::Planned { decision } => {
                job.first_told.get_or_insert_with(|| (**decision).clone());
                job.told = Some((**decision).clone());
                // After a pause what it emitted before is part of what the whole run is to emit.
                job.account.planned = decision.expected.map(|o| o.emits + job.account.actual.emits);
            }
            JobEvent::Edited { spec, .. } => job.spec = (**spec).clone(),
            JobEvent::Overridden { by, .. } => {
                job.forced_by = Some(by.clone());
                self.totals.overridden(job);
            }
            JobEvent::Leased { epoch, node, zone, cpus, gpus, decision, slowed } => {
                job.starting = Some((**decision).clone());
                if job.account.planned.is_none() {
                    job.account.planned = decision.expected.map(|o| o.emits);
                }
                job.epoch = *epoch;
                job.booked = None;
                job.leased = Some(at);
                job.place = Some(Place { zone: zone.clone(), node: node.clone() });
                (job.capped, job.clock_ceiling) = (None, None);
                (job.slowed, job.raised) = (*slowed, None);
                (job.cpus, job.gpus, job.log) = (*cpus, gpus.clone(), None);
                let known = self.nodes.get(node).map(|node| &node.inventory);
                job.boards = known.map_or_else(Vec::new, |node| gpus.iter().map(|uuid| node.board(uuid)).collect());
                match (before, job.first_leased) {
                    (Phase::Paused { since }, Some(_)) => {
                        let rest = Seconds::between(since, at);
                        job.waited_for_grid = Seconds(job.waited_for_grid.0 + rest.0);
                        self.totals.resumed(job, rest);
                    }
                    (_, Some(_)) => {}
                    (_, None) => {
                        job.first_leased = Some(at);
                        let first = job.first_possible_start().unwrap_or(at);
                        job.waited_for_grid = Seconds::between(first, at);
                        self.totals.leased(job, at);
                    }
                }
            }
            JobEvent::Started { log, .. } => {
                job.started = Some(at);
                job.log = Some(log.clone());
            }
            JobEvent::Capped { limit, clock_ceiling, because, points, .. } => {
                (job.capped, job.clock_ceiling) = (Some((*limit, because.clone())), *clock_ceiling);
                job.cap_points.clone_from(points);
                if job.slowed.is_some() && !matches!(before, Phase::Leased { .. }) {
                    job.raised = job.raised.max(Some(limit.unwrap_or(Watts(u64::MAX))));
                }
            }
            JobEvent::AttemptLost { .. } => {
                job.losses += 1;
                self.totals.lost(job, "end.node_lost");
                job.accounted = job.account.actual.energy;
                job.hold(&before, at);
            }
            JobEvent::AttemptEnded { end, at: ended, .. } => {
                if matches!(end, AttemptEnd::NotStarted { .. } | AttemptEnd::NotHeld { .. }) {
                    job.started = None;
                }
                match end.paused() {
                    Some(true) => {
                        job.pauses += 1;
                        let ran = job.started.map_or(Seconds::ZERO, |from| Seconds::between(from, *ended));
                        job.worked = job.worked.max(job.ran) + job.on_width(ran);
                        job.ran = job.ran + ran;
                    }
                    Some(false) => {
                        (job.pauses, job.unsaved) = (job.pauses + 1, job.unsaved + 1);
                        self.totals.lost(job, "grid.cleaner_later");
                    }
                    None => {}
                }
                if end.paused().is_some() {
                    self.totals.paused(job);
                    // What is planned from here on is a new promise.
                    job.told = None;
                }
                job.accounted = job.account.actual.energy;
                job.hold(&before, *ended);
            }
            _ => {}
        }
        job.history.push(Happened { at, event: event.clone() });
        job.revision = self.revision;
        if let Phase::Ended { at: ended, .. } = job.phase {
            job.ended = Some(ended);
            self.totals.ended(job);
            self.record.note(job);
            self.live.remove(&id);
            self.outcomes.insert(id, matches!(job.phase, Phase::Ended { outcome: Outcome::Succeeded, .. }));
            self.recent.push_back(id);
        }
        self.changed.insert(id);
        Ok(())
    }

    /// After the store took what changed: ended jobs beyond the limit leave memory, the oldest first.
    pub fn trim(&mut self) {
        while self.recent.len() > RECENT {
            if let Some(oldest) = self.recent.pop_front() {
                self.jobs.remove(&oldest);
            }
        }
    }
}
