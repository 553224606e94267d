//! What people ask for: the door, where everything that cannot be is refused, and the verbs on jobs.

use super::state::Job;
use super::{Answer, Controller, Turn};
use crate::config::Applies;
use chrono::{DateTime, Utc};
use neap_model::job::{JobId, JobSpec, Objective, Person, is_name};
use neap_model::lifecycle::{Event, JobEvent, Phase, StopCause};
use neap_model::protocol::{Accepted, Ask, PlanReport, Submit};
use neap_model::refusal::{Code, Fact, Refusal};
use neap_model::seconds::Seconds;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Longest script, in bytes.
const SCRIPT: usize = 512 << 10;
/// Longest program with its arguments, in bytes.
const ARGV: usize = 128 << 10;
/// Longest environment, in bytes.
const ENVIRONMENT: usize = 64 << 10;
/// Most variables.
const VARIABLES: usize = 1_024;
/// Most jobs that may wait: at about 4 KB each they then fill 8 GB.
const QUEUED: usize = 2_000_000;

impl Controller {
    pub(super) fn submit(
        &mut self,
        now: DateTime<Utc>,
        by: &Person,
        submit: Submit,
        turn: &mut Turn,
    ) -> Result<Answer, Vec<Refusal>> {
        let digest = digest_of(&submit.spec);
        if let Some((id, same)) = self.state.keyed(by.uid, &submit.key, &digest) {
            return self.again(now, id, same, &submit.key);
        }
        if self.read_only {
            return Err(vec![
                Refusal::new(Code::ReadOnly, "the disk is full: no new job can be written down")
                    .note("cancel, hold and everything that runs go on; Neap tries again every 5 s"),
            ]);
        }
        let spec = self.admit(now, by, submit.spec)?;
        let id = self.state.next_id();
        let event = JobEvent::Submitted { owner: by.clone(), spec: Box::new(spec), key: submit.key, digest };
        self.record(now, Event::Job { job: id, happened: event }, turn);
        self.place_new(now, id, turn);
        let job = self.state.jobs.get(&id).expect("it was just recorded");
        let report = self.report_of(job, now);
        Ok(Answer::Accepted(Box::new(Accepted { job: report, deduplicated: false })))
    }

    /// The same key again: the first job, or a refusal if it was another one.
    fn again(&self, now: DateTime<Utc>, id: JobId, same: bool, key: &str) -> Result<Answer, Vec<Refusal>> {
        if !same {
            return Err(vec![
                Refusal::new(Code::KeyReused, format!("key `{key}` was used for job {id}, which is a different job"))
                    .about("key", key)
                    .fact("job", Fact::Number(i64::try_from(id.0).unwrap_or(i64::MAX)))
                    .hint("use another key for another job", &[]),
            ]);
        }
        match self.state.jobs.get(&id) {
            Some(job) => {
                let job = self.report_of(job, now);
                Ok(Answer::Accepted(Box::new(Accepted { job, deduplicated: true })))
            }
            None => Err(vec![
                Refusal::new(Code::KeyReused, format!("key `{key}` belongs to job {id}, which ended long ago"))
                    .hint("show it", &["show", &id.to_string()]),
            ]),
        }
    }

    pub(super) fn what_if(&mut self, now: DateTime<Utc>, by: &Person, submit: Submit) -> Result<Answer, Vec<Refusal>> {
        let spec = self.admit(now, by, submit.spec)?;
        let (decision, alternatives) = self.would_be(now, self.state.next_id(), &spec);
        let grid = self.zone_grids(now);
        Ok(Answer::Plan(Box::new(PlanReport {
            spec,
            decision,
            alternatives,
            grid,
            certificate: self.planning.certificate(),
            now,
        })))
    }

    /// Fills in what the queue decides and refuses what can never be; all mistakes at once.
    fn admit(&self, now: DateTime<Utc>, by: &Person, spec: JobSpec) -> Result<JobSpec, Vec<Refusal>> {
        let mut wrong = limits(&spec);
        let spec = match self.with_defaults(spec, &mut wrong) {
            Some(spec) if wrong.is_empty() => spec,
            _ => return Err(wrong),
        };
        for after in &spec.after {
            let known = self.state.jobs.get(&after.job).is_some_and(|job| self.viewer(by).sees(&job.owner))
                || self.state.outcome(after.job).is_some();
            if !known {
                wrong.push(no_such_job(after.job).about("after", after.job.to_string()));
            }
        }
        let queued = self.state.live.len();
        if queued >= QUEUED {
            wrong.push(Refusal::new(Code::Rule, format!("{queued} jobs are queued, which is the limit")));
        }
        wrong.extend(self.never_runs(now, &spec));
        if wrong.is_empty() { Ok(spec) } else { Err(wrong) }
    }

    fn with_defaults(&self, mut spec: JobSpec, wrong: &mut Vec<Refusal>) -> Option<JobSpec> {
        let names: Vec<&str> = self.config.queues.keys().map(String::as_str).collect();
        let (queue_name, queue) = match &spec.queue {
            None => self.config.default_queue(),
            Some(name) => match self.config.queues.get_key_value(name) {
                Some((name, queue)) => (name.as_str(), queue),
                None => {
                    wrong.push(
                        Refusal::new(Code::NoSuchPlace, format!("no queue `{name}`"))
                            .about("queue", name)
                            .note(format!("queues here: {}", names.join(", "))),
                    );
                    return None;
                }
            },
        };
        spec.queue = Some(queue_name.to_owned());
        let zones: Vec<&str> = self.config.zones.iter().map(|z| z.name.as_str()).collect();
        for zone in &spec.flex.zones {
            if !zones.contains(&zone.as_str()) {
                wrong.push(
                    Refusal::new(Code::NoSuchPlace, format!("no zone `{zone}`"))
                        .about("flex.zones", zone)
                        .note(format!("zones here: {}", zones.join(", "))),
                );
            } else if !queue.zones.is_empty() && !queue.zones.contains(zone) {
                wrong.push(
                    Refusal::new(Code::ZoneNotAllowed, format!("queue {queue_name} does not allow zone `{zone}`"))
                        .about("flex.zones", zone)
                        .note(format!("it allows {}", queue.zones.join(", "))),
                );
            }
        }
        let limit = spec.time.limit.unwrap_or(queue.time_limit.default.min(queue.time_limit.max));
        if limit > queue.time_limit.max {
            wrong.push(
                Refusal::new(
                    Code::Rule,
                    format!("queue {queue_name} allows {} at most, {limit} asked", queue.time_limit.max),
                )
                .about("time.limit", limit.0.to_string()),
            );
        }
        spec.time.limit = Some(limit);
        if spec.time.expect.is_some_and(|expect| expect > limit) {
            wrong.push(
                Refusal::new(Code::Contradiction, "the expected time is longer than the limit".to_owned())
                    .about("time.expect", spec.time.expect.unwrap_or_default().to_string())
                    .note(format!("the limit is {limit}")),
            );
        }
        if let Some(unit) = spec.functional_unit.as_ref().filter(|unit| !unit.is_sound()) {
            wrong.push(
                Refusal::new(Code::BadValue, "a functional unit is a count and a name".to_owned())
                    .about("functional_unit", format!("{} {}", unit.count, unit.name)),
            );
        }
        if limit == Seconds::ZERO {
            wrong.push(Refusal::new(Code::BadValue, "a limit of no time at all").about("time.limit", "0"));
        }
        let asks_by_promise = spec.time.finish_by.is_some();
        let all = queue.delay.applies == Applies::All;
        let usual = if asks_by_promise || all { queue.delay.objective } else { Objective::None };
        spec.flex.delay = Some(spec.flex.delay.unwrap_or(match (asks_by_promise, usual) {
            (true, Objective::None) if all => Objective::None,
            (true, Objective::None) => Objective::Carbon,
            (_, usual) => usual,
        }));
        // May only be stricter than the queue.
        let longest = spec.flex.max_delay.map_or(queue.delay.max, |asked| asked.min(queue.delay.max));
        spec.flex.max_delay = Some(longest);
        let least = spec.flex.min_saving.map_or(queue.delay.min_saving, |asked| asked.max(queue.delay.min_saving));
        spec.flex.min_saving = Some(least);
        Some(spec)
    }

    pub(super) fn ask(
        &mut self,
        now: DateTime<Utc>,
        by: &Person,
        id: JobId,
        ask: Ask,
        turn: &mut Turn,
    ) -> Result<Answer, Vec<Refusal>> {
        let viewer = self.viewer(by);
        let Some(job) = self.visible(&viewer, id) else { return Err(vec![no_such_job(id)]) };
        let verb = ask.verb();
        let phase = job.phase.clone();
        let name = by.name.clone();
        if let (Phase::Ended { outcome, .. }, false) = (&phase, matches!(ask, Ask::Cancel { .. })) {
            return Err(vec![wrong_state(id, verb, &format!("it is over ({})", outcome.word()))]);
        }
        match (ask, &phase) {
            // Asking for what is already so is no error: retries after a lost answer end well.
            (Ask::Cancel { .. }, Phase::Ended { .. }) | (Ask::Hold, Phase::Held { .. }) => {}
            (Ask::Cancel { .. }, Phase::Stopping { cause, .. }) if !matches!(cause, StopCause::Pause { .. }) => {}
            (Ask::Cancel { reason }, Phase::Queued | Phase::Paused { .. } | Phase::Held { .. }) => {
                self.happens(now, id, JobEvent::Cancelled { by: name, reason }, turn);
                self.leave_queue(id);
                self.dependants(now, id, turn);
            }
            (Ask::Cancel { reason }, _) => {
                let (epoch, _) = phase.attempt().expect("a job that is neither waiting nor over has an attempt");
                let cause = StopCause::Cancelled { by: name, reason };
                self.happens(now, id, JobEvent::StopAsked { epoch, cause }, turn);
                self.wake_node_of(now, id, turn);
            }
            (Ask::Hold, Phase::Queued | Phase::Paused { .. }) => {
                self.happens(now, id, JobEvent::Held { by: name }, turn);
                self.requeue(now, id);
            }
            (Ask::Release, Phase::Held { .. }) => {
                self.happens(now, id, JobEvent::Released { by: name }, turn);
                self.requeue(now, id);
            }
            (Ask::Release, Phase::Queued | Phase::Paused { .. }) => {}
            (Ask::Now { reason }, Phase::Queued | Phase::Paused { .. } | Phase::Held { .. }) => {
                self.happens(now, id, JobEvent::Overridden { by: name, reason }, turn);
                self.requeue(now, id);
                self.settle_now(now, turn);
            }
            (Ask::Edit { spec }, Phase::Queued | Phase::Paused { .. } | Phase::Held { .. }) => {
                let spec = self.admit(now, by, *spec)?;
                self.happens(now, id, JobEvent::Edited { by: name, spec: Box::new(spec) }, turn);
                self.requeue(now, id);
                self.settle_now(now, turn);
            }
            (ask, phase) => return Err(vec![wrong_state(id, ask.verb(), &format!("it is {}", phase.word()))]),
        }
        let job = self.state.jobs.get(&id).expect("jobs do not vanish within a turn");
        Ok(Answer::Job(Box::new(self.report_of(job, now))))
    }

    pub(super) fn happens(&mut self, now: DateTime<Utc>, job: JobId, happened: JobEvent, turn: &mut Turn) {
        self.record(now, Event::Job { job, happened }, turn);
    }

    /// Jobs that came after one that ended: they go on, or can never run.
    pub(super) fn dependants(&mut self, now: DateTime<Utc>, ended: JobId, turn: &mut Turn) {
        let mut next = vec![ended];
        while let Some(ended) = next.pop() {
            let succeeded = self.state.outcome(ended);
            let followers = self.planning.take_followers(ended);
            let waiting: Vec<(JobId, bool)> = followers
                .into_iter()
                .filter_map(|id| {
                    let job: &Job = self.state.jobs.get(&id).filter(|job| !job.phase.is_final())?;
                    let after = job.spec.after.iter().find(|after| after.job == ended)?;
                    Some((id, after.any || succeeded == Some(true)))
                })
                .collect();
            for (id, may_go_on) in waiting {
                if may_go_on {
                    self.requeue(now, id);
                } else {
                    let reason = Some(format!("job {ended} did not succeed"));
                    self.happens(now, id, JobEvent::Cancelled { by: "neap".to_owned(), reason }, turn);
                    self.leave_queue(id);
                    next.push(id);
                }
            }
        }
    }
}

/// SHA-256 of what was submitted, in hexadecimal.
fn digest_of(spec: &JobSpec) -> String {
    let json = serde_json::to_vec(spec).expect("a specification is plain data");
    Sha256::digest(&json).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

pub(super) fn no_such_job(id: JobId) -> Refusal {
    Refusal::new(Code::NoSuchJob, format!("no job {id} of yours")).hint("list your jobs", &["ls", "--all"])
}

fn wrong_state(id: JobId, verb: &str, why: &str) -> Refusal {
    let message = match verb {
        "now" => format!("cannot start job {id} now: {why}"),
        verb => format!("cannot {verb} job {id}: {why}"),
    };
    Refusal::new(Code::WrongState, message)
}

/// Sizes and names, before anything else looks at them.
fn limits(spec: &JobSpec) -> Vec<Refusal> {
    let mut wrong = Vec::new();
    for (field, name) in [("name", &spec.name), ("project", &spec.project)] {
        if !is_name(name) {
            wrong.push(
                Refusal::new(Code::BadValue, format!("`{name}` cannot be a {field}"))
                    .about(field, name)
                    .note("letters, digits, `.`, `_` and `-`, at most 128, not starting with `.` or `-`"),
            );
        }
    }
    let task = &spec.task;
    let argv: usize = task.command.iter().map(String::len).sum();
    let environment: usize = task.env.iter().map(|(k, v)| k.len() + v.len()).sum();
    let script = task.script.as_ref().map_or(0, String::len);
    for (field, size, most) in [("command", argv, ARGV), ("env", environment, ENVIRONMENT), ("script", script, SCRIPT)]
    {
        if size > most {
            let message = format!("{field} is {size} bytes long, {most} are the limit");
            wrong.push(Refusal::new(Code::BadValue, message).about(field, size.to_string()));
        }
    }
    if task.env.len() > VARIABLES {
        let message = format!("{} variables, {VARIABLES} are the limit", task.env.len());
        wrong.push(Refusal::new(Code::BadValue, message).about("env", task.env.len().to_string()));
    }
    if task.command.is_empty() && task.script.is_none() {
        wrong.push(Refusal::new(Code::BadValue, "nothing to run").about("command", ""));
    }
    let zero = |text: &str| text.contains('\0');
    if task.command.iter().any(|a| zero(a)) || task.env.iter().any(|(k, v)| zero(k) || zero(v) || k.contains('=')) {
        wrong.push(Refusal::new(Code::BadValue, "a zero byte, or `=` in a variable's name").about("command", ""));
    }
    if !task.workdir.starts_with('/') || zero(&task.workdir) {
        wrong.push(Refusal::new(Code::BadValue, "the work directory must be absolute").about("workdir", &task.workdir));
    }
    if spec.resources.nodes == 0 {
        wrong.push(Refusal::new(Code::BadValue, "no node at all").about("resources.nodes", "0"));
    }
    if spec.resources.cpus == Some(0) {
        wrong.push(Refusal::new(Code::BadValue, "no core at all").about("resources.cpus", "0"));
    }
    wrong
}
