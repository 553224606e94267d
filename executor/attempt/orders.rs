//! Carrying out what the scheduler wants. Every order is harmless twice.

use super::capping::Capping;
use super::{Attempt, Executor, edges_off};
use crate::clock::{Boot, Clock};
use crate::domains::Cap;
use crate::meter::AttemptMeter;
use crate::process::kill_known;
use crate::rundir::{AttemptDir, ExitRecord, StopOrder, Work};
use chrono::Utc;
use neap_model::job::AttemptId;
use neap_model::lifecycle::AttemptEnd;
use neap_model::protocol::{BeatReply, Lease};
use rand::Rng;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

impl Executor {
    /// Takes in an answer, which was given at that time since boot.
    pub(super) fn obey(&mut self, reply: BeatReply, at: Duration) -> bool {
        let speaker = (reply.incarnation, reply.nonce);
        match self.scheduler {
            Some((incarnation, nonce))
                if speaker.0 < incarnation || (speaker.0 == incarnation && speaker.1 != nonce) =>
            {
                (self.notice)(&format!(
                    "orders of another scheduler (start {}, ours is {incarnation}) are refused",
                    speaker.0
                ));
                return false;
            }
            _ => self.scheduler = Some(speaker),
        }
        self.hear(at);
        let mut news = false;
        for (id, upto) in &reply.booked {
            if let Some(attempt) = self.attempts.get_mut(id) {
                attempt.meter.booked(*upto);
                let _ = attempt.dir.write("meter.json", &attempt.meter);
            }
        }
        if let Some(upto) = reply.node_booked {
            self.node_meter.booked(upto);
        }
        for lease in reply.leases {
            news |= self.take_up(lease);
        }
        for order in reply.caps {
            if let Some(attempt) = self.attempts.get_mut(&order.attempt)
                && attempt.capping.is_new(&order)
            {
                let wanted = Cap { limit: order.limit, clock_ceiling: order.clock_ceiling };
                (attempt.capping.wanted, attempt.capping.order) = (wanted, order.order);
                // Not kept: a later life asks for what the lease said, until it hears of this again.
                let _ = attempt.dir.write("cap.json", &order.limit);
                let _ = attempt.dir.write("clock.json", &order.clock_ceiling);
                news = true;
            }
        }
        for stop in reply.stops {
            if let Some(attempt) = self.attempts.get_mut(&stop.attempt)
                && attempt.stopping.as_ref() != Some(&stop.cause)
            {
                let order = StopOrder { cause: stop.cause, grace: stop.grace };
                if attempt.dir.write("stop.json", &order).is_ok() {
                    attempt.stopping = Some(order.cause);
                    news = true;
                }
            }
        }
        for (id, text) in &reply.footers {
            self.append_footer(*id, text);
        }
        for id in reply.settled {
            if self.attempts.get(&id).is_some_and(|attempt| attempt.exit.is_some())
                && let Some(attempt) = self.let_go(id)
            {
                self.drop_dir(&attempt.dir);
                news = true;
            }
        }
        for id in reply.stale {
            news |= self.discard(id);
        }
        news
    }

    pub(super) fn append_footer(&self, id: AttemptId, text: &str) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let done = attempt.dir.0.join("footer");
        if done.exists() || std::fs::write(&done, b"").is_err() {
            return;
        }
        let log = std::fs::OpenOptions::new().append(true).create(true).open(&attempt.work.log);
        if let Err(error) = log.and_then(|mut log| log.write_all(text.as_bytes())) {
            (self.notice)(&format!("cannot end the log {}: {error}", attempt.work.log.display()));
        }
    }

    pub(super) fn discard(&mut self, id: AttemptId) -> bool {
        let Some(mut attempt) = self.let_go(id) else { return false };
        if attempt.exit.is_none() {
            (self.notice)(&format!("attempt {id} is not wanted any more: it is ended"));
            // Either we claim it and no guard will start it any more, or there is a guard, known by name or not yet.
            if !attempt.dir.claim().unwrap_or(false) {
                if let Some(child) = &mut attempt.child {
                    let _ = child.kill().and_then(|()| child.wait());
                } else if let Some(guard) = attempt.guard.clone().or_else(|| attempt.dir.read("guard.json")) {
                    kill_known(&guard);
                }
            }
            self.sweep(&attempt);
        }
        self.drop_dir(&attempt.dir);
        true
    }

    pub(super) fn take_up(&mut self, lease: Lease) -> bool {
        let id = lease.attempt;
        let dir = self.run.attempt(id);
        if self.attempts.contains_key(&id) || self.let_go.contains_key(&id) || dir.make().is_err() {
            return false;
        }
        let indices =
            |uuid: &String| self.node.inventory.gpus.iter().find(|gpu| gpu.uuid == *uuid).map(|gpu| gpu.index);
        let gpu_indices: Vec<u32> = lease.gpus.iter().filter_map(indices).collect();
        let mut work = Work {
            mark: format!("{id}-{:016x}", rand::rng().random::<u64>()),
            node: self.config.node.clone(),
            gpu_indices,
            log: self.run.log(id),
            log_limit: self.config.log_limit,
            program: self.config.program.clone(),
            lease,
        };
        if let Some(pattern) = &work.lease.spec.task.output {
            let path = crate::environment::output_path(pattern, &work);
            work.log = std::path::Path::new(&work.lease.spec.task.workdir).join(path);
        }
        let refused = self.refuses(&work);
        let mut meter = AttemptMeter::new(Utc::now());
        if refused.is_none() && !work.lease.gpus.is_empty() {
            // The job's process starts behind the edge; what came before is not its own.
            meter.note(&edges_off(&work.lease.gpus, &self.node.edges(&work.lease.gpus)));
            self.read_meters();
        }
        // A job that is refused holds nothing.
        let lease = Some(&work.lease).filter(|_| refused.is_none());
        let first = lease.map(|lease| Cap { limit: lease.cap, clock_ceiling: lease.clock_ceiling });
        let attempt = Attempt {
            guard: None,
            child: None,
            taken_up: Instant::now(),
            waits: None,
            started: None,
            exit: None,
            stopping: None,
            seen: BTreeMap::new(),
            meter,
            capping: Capping::new(first.unwrap_or_default(), self.config.pace_window),
            work,
            dir,
        };
        let written = match refused {
            Some(why) => Err(why),
            None => attempt.dir.write("work.json", &attempt.work).map_err(|error| error.to_string()),
        };
        let held_first = attempt.work.lease.held_first;
        self.attempts.insert(id, attempt);
        match written {
            Err(error) => self.not_started(id, AttemptEnd::NotStarted { error }),
            Ok(()) if held_first => {
                self.attempts.entry(id).and_modify(|attempt| attempt.waits = Some(Boot.now()));
                self.tend_caps();
            }
            Ok(()) => {
                self.cap_first(id);
                self.launch(id);
            }
        }
        true
    }

    /// Starts the guard of an attempt that was taken up.
    pub(super) fn launch(&mut self, id: AttemptId) {
        let Some(dir) = self.attempts.get(&id).map(|attempt| attempt.dir.clone()) else { return };
        match (self.spawn_guard(&dir), self.attempts.get_mut(&id)) {
            (Ok(child), Some(attempt)) => (attempt.child, attempt.taken_up) = (Some(child), Instant::now()),
            (Err(error), _) => self.not_started(id, AttemptEnd::NotStarted { error: error.to_string() }),
            (Ok(_), None) => {}
        }
    }

    /// An attempt is over before anything of it ran.
    pub(super) fn not_started(&mut self, id: AttemptId, end: AttemptEnd) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let record = ExitRecord { end, at: Utc::now(), cpu_ms: 0, containment: "none".to_owned(), output_dropped: 0 };
        // Known here at least; a later life would offer it again.
        let _ = attempt.dir.write("exit.json", &record);
        attempt.exit = Some(record);
    }

    pub(super) fn refuses(&self, work: &Work) -> Option<String> {
        let us = rustix::process::geteuid().as_raw();
        if work.lease.owner.uid != us {
            let owner = &work.lease.owner.name;
            return Some(format!("this executor runs jobs of user {us} only, and the job belongs to {owner}"));
        }
        if work.gpu_indices.len() != work.lease.gpus.len() {
            return Some("a GPU of the lease is not on this node".to_owned());
        }
        None
    }

    pub(super) fn spawn_guard(&self, dir: &AttemptDir) -> std::io::Result<Child> {
        Command::new(&self.config.program)
            .arg("guard")
            .arg(&dir.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
    }
}
