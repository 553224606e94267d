//! What earlier lives left, and what guards leave that are gone: taken up again, or swept away.

use super::capping::Capping;
use super::{Attempt, Executor, ExecutorError, REMEMBERED, SWEEP};
use crate::domains::Cap;
use crate::meter::AttemptMeter;
use crate::process::{Members, bury, end_all, strays};
use crate::rundir::{AttemptDir, ExitRecord, Started, StopOrder, Work};
use chrono::Utc;
use neap_model::job::AttemptId;
use neap_model::lifecycle::AttemptEnd;
use std::collections::BTreeMap;
use std::time::Instant;

impl Executor {
    pub(super) fn adopt(&mut self) -> Result<(), ExecutorError> {
        for id in self.run.attempts().map_err(ExecutorError::Scan)? {
            let dir = self.run.attempt(id);
            let work = dir.read::<Work>("work.json");
            if dir.claim().unwrap_or(false) || work.is_none() {
                // No guard will ever start it: the scheduler may offer it again.
                self.drop_dir(&dir);
                continue;
            }
            let Some(work) = work else { continue };
            let started = dir.read::<Started>("started.json");
            let from = started.as_ref().map_or_else(Utc::now, |s| s.at);
            let meter = dir.read::<AttemptMeter>("meter.json").unwrap_or_else(|| AttemptMeter::new(from));
            if !dir.0.join("metered").exists() {
                self.node.resume(&meter.counters);
            }
            let attempt = Attempt {
                guard: dir.read("guard.json"),
                exit: None,
                stopping: dir.read::<StopOrder>("stop.json").map(|order| order.cause),
                seen: BTreeMap::new(),
                child: None,
                taken_up: Instant::now(),
                waits: None,
                capping: Capping::new(
                    Cap {
                        limit: dir.read("cap.json").unwrap_or(work.lease.cap),
                        clock_ceiling: dir.read("clock.json").unwrap_or(work.lease.clock_ceiling),
                    },
                    self.config.pace_window,
                ),
                started,
                meter,
                work,
                dir,
            };
            self.attempts.insert(id, attempt);
        }
        self.look();
        Ok(())
    }

    pub(super) fn let_go(&mut self, id: AttemptId) -> Option<Attempt> {
        let attempt = self.attempts.remove(&id)?;
        self.let_go.retain(|_, at| at.elapsed() < REMEMBERED);
        self.let_go.insert(id, Instant::now());
        Some(attempt)
    }

    pub(super) fn drop_dir(&self, dir: &AttemptDir) {
        if let Err(error) = dir.remove() {
            (self.notice)(&format!("cannot remove {}: {error}", dir.0.display()));
        }
    }

    pub(super) fn lose(&mut self, id: AttemptId) {
        (self.notice)(&format!("the guard of attempt {id} is gone without a word: what it left is ended"));
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        let swept = self.sweep(&attempt);
        if !swept {
            (self.notice)(&format!("some processes of attempt {id} do not end"));
        }
        let containment = if swept { "swept" } else { "unkillable" }.to_owned();
        let cpu_ms = attempt.meter.cpu_ms;
        let record = ExitRecord { end: AttemptEnd::Vanished, at: Utc::now(), cpu_ms, containment, output_dropped: 0 };
        // Known here at least: a later life would find no guard and come to the same end.
        let _ = attempt.dir.write("exit.json", &record);
        attempt.exit = Some(record);
        self.attempts.insert(id, attempt);
    }

    pub(super) fn sweep(&self, attempt: &Attempt) -> bool {
        let children = self.attempts.values().filter_map(|other| other.child.as_ref());
        let children = children.chain(attempt.child.as_ref()).filter_map(|child| i32::try_from(child.id()).ok());
        let strays = strays(&children.collect());
        let mut seen = attempt.seen.clone();
        seen.extend(strays.clone());
        let members = Members { guard: None, seen, mark: &attempt.work.mark };
        end_all(&members, SWEEP, || bury(&strays))
    }
}
