//! An attempt on a simulated node: how far its work is, what it used, and what is said about it.

use super::{bound_for, energy};
use crate::demo::jobs::Work;
use chrono::{DateTime, Utc};
use neap_executor::domains::simulated::{A40, Simulated};
use neap_executor::domains::{Cap, PowerDomain};
use neap_model::cap::{CapHeld, CapUse, Pace};
use neap_model::fleet::{Component, Gpu, Source};
use neap_model::job::AttemptId;
use neap_model::ledger::{EnergySpan, Metering, Part, Power};
use neap_model::lifecycle::{AttemptEnd, Exit, StopCause};
use neap_model::protocol::{AttemptReport, Lease};
use neap_model::seconds::Seconds;
use neap_model::units::{Joules, Percent, Watts};
use std::time::Duration;

/// Steps that a job counts in a second of its work; assumed.
const STEPS: f64 = 100.0;
/// What a job that goes on after a pause needs to load its work; assumed.
const LOADING: Duration = Duration::from_secs(60);

/// The attempt.
#[derive(Debug)]
pub struct Held {
    /// Places of its GPUs on the node.
    pub gpus: Vec<usize>,
    /// The limit of each; `None`: as it was found.
    pub cap: Option<Watts>,
    /// The order that asked for it.
    pub order: u64,
    /// How it ended.
    pub end: Option<(AttemptEnd, DateTime<Utc>)>,
    /// Spans that were not told yet.
    pub spans: Vec<EnergySpan>,
    cpus: u32,
    fewest: u32,
    work: Option<Work>,
    /// Seconds of its work that are done.
    done: f64,
    loading: Duration,
    started: DateTime<Utc>,
    limit: Seconds,
    /// It counts its steps, and its GPUs may be slowed down for it.
    counts: bool,
    pace: Option<Pace>,
    seq: u32,
    from: DateTime<Utc>,
    /// What each of its GPUs had used when the last span was closed, and what all of them when the last step was counted.
    marks: Vec<(Joules, Duration)>,
    counted: Joules,
    /// Time of the open span under a limit of ours.
    capped: Duration,
}

impl Held {
    /// It starts; `done` seconds of its work were saved before.
    pub fn new(lease: Lease, gpus: Vec<usize>, done: f64, boards: &mut [Simulated], now: DateTime<Utc>) -> Self {
        let work = Work::of(&lease.spec.task);
        let loading = if done > 0.0 { LOADING } else { Duration::ZERO };
        let marks: Vec<_> = gpus.iter().map(|at| (energy(&mut boards[*at]), bound_for(&mut boards[*at]))).collect();
        let mut held = Self {
            cap: None,
            order: 0,
            end: None,
            spans: Vec::new(),
            cpus: lease.cpus,
            fewest: lease.spec.resources.gpus,
            work,
            done,
            loading,
            started: now,
            limit: lease.limit,
            counts: lease.spec.flex.slowdown > Percent(0),
            pace: None,
            seq: 0,
            from: now,
            counted: marks.iter().map(|mark| mark.0).sum(),
            marks,
            capped: Duration::ZERO,
            gpus,
        };
        held.load(boards);
        held
    }

    /// Its GPUs get what it does now.
    fn load(&mut self, boards: &mut [Simulated]) {
        let works = self.end.is_none() && self.loading.is_zero();
        for at in &self.gpus {
            let load = self.work.filter(|_| works).map(|work| work.load.load(boards[*at].board() == &A40));
            boards[*at].run(load);
        }
    }

    /// A step passed: so much more of its work is done, unless it was still loading.
    pub fn worked(&mut self, step: Duration, boards: &mut [Simulated], now: DateTime<Utc>) {
        if self.cap.is_some() {
            self.capped += step;
        }
        let used: Joules = self.gpus.iter().map(|at| energy(&mut boards[*at])).sum();
        let taken = used.saturating_sub(std::mem::replace(&mut self.counted, used));
        let ran = Seconds::between(self.started, now);
        if !self.loading.is_zero() {
            self.loading = self.loading.saturating_sub(step);
            self.load(boards);
        } else {
            // All of its GPUs go in step: the slowest sets the pace.
            let slowest = self.gpus.iter().map(|at| boards[*at].standing().speed).fold(1.0, f64::min);
            let speed = slowest * Work::speed_up(self.gpus.len(), self.fewest);
            self.done += speed * step.as_secs_f64();
            if self.counts {
                self.pace = Some(self.counted_steps(speed, step, taken, boards));
            }
        }
        // A program that the demo does not know ends at once, as one that is not there would.
        if self.work.is_none_or(|work| self.done >= work.seconds) {
            let code = u8::from(self.work.is_none());
            self.end = Some((AttemptEnd::Exited { exit: Exit::Code(code) }, now));
        } else if ran >= self.limit {
            self.end = Some((AttemptEnd::Stopped { exit: Exit::Signal(15), cause: StopCause::Limit }, now));
        }
    }

    /// The step as a window over the job's own steps: the limit was one and the same in all of it.
    fn counted_steps(&self, speed: f64, step: Duration, taken: Joules, boards: &[Simulated]) -> Pace {
        let ms = u64::try_from(step.as_millis()).unwrap_or(0);
        let bound = self.gpus.iter().any(|at| boards[*at].standing().bound);
        Pace {
            number: self.pace.map_or(0, |pace| pace.number + 1),
            limit: self.cap,
            clock_ceiling: None,
            steps: (speed * STEPS * step.as_secs_f64()).round() as u64,
            steps_ms: ms,
            energy: taken,
            energy_ms: ms,
            bound_ms: if bound { ms } else { 0 },
            memory_busy: None,
        }
    }

    /// Whether it is over and its last span is still open.
    pub fn is_due(&self) -> bool {
        self.end.as_ref().is_some_and(|(_, at)| *at > self.from)
    }

    /// It is told to stop, and does. Gives what it saved, in seconds of its work.
    pub fn stop(&mut self, cause: StopCause, now: DateTime<Utc>) -> Option<f64> {
        if self.end.is_some() {
            return None;
        }
        let (exit, saved) = match &cause {
            StopCause::Pause { saved, .. } => (Exit::Code(*saved), Some(self.done)),
            _ => (Exit::Signal(15), None),
        };
        self.end = Some((AttemptEnd::Stopped { exit, cause }, now));
        saved
    }

    /// What it used since the last span was closed; of one that is over its GPUs are given back as they were found. `None`: no
    /// time passed.
    pub fn close(&mut self, boards: &mut [Simulated], per_core: Watts, now: DateTime<Utc>) -> Option<EnergySpan> {
        let over = self.end.is_some();
        let (from, until) = (self.from, self.end.as_ref().map_or(now, |(_, at)| *at));
        if over && until == now {
            self.load(boards);
        }
        let found = self.gpus.first().map(|at| Watts::whole(u64::from(boards[*at].board().limits.1)));
        let span = (from < until).then(|| {
            let (mut used, mut bound) = (Joules::ZERO, Duration::ZERO);
            for (at, mark) in self.gpus.iter().zip(&mut self.marks) {
                let present = (energy(&mut boards[*at]), bound_for(&mut boards[*at]));
                used += present.0.saturating_sub(mark.0);
                bound = bound.max(present.1.saturating_sub(mark.1));
                *mark = present;
            }
            let seconds = u64::try_from((until - from).num_milliseconds()).unwrap_or(0);
            let part = |component, source, energy| Part { component, source, energy };
            let cores = Joules(per_core.0 * u64::from(self.cpus) * seconds / 1_000);
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(0);
            let cap = CapUse {
                requested: self.cap,
                enforced: self.cap,
                found: found.filter(|_| self.cap.is_some()),
                capped_ms: millis(self.capped),
                bound_ms: millis(bound),
                ..CapUse::default()
            };
            let parts =
                vec![part(Component::Gpu, Source::Estimated, used), part(Component::Cpu, Source::CpuTime, cores)];
            (self.seq, self.from, self.capped) = (self.seq + 1, until, Duration::ZERO);
            EnergySpan {
                seq: self.seq - 1,
                from,
                until,
                parts,
                gap_ms: 0,
                metering: Metering::default(),
                cap,
                // Nothing is read second by second here.
                power: Power::default(),
            }
        });
        if over && until == now {
            for at in &self.gpus {
                let _as_found = boards[*at].set_cap(Cap::default()).is_ok();
            }
        }
        span
    }

    /// What the executor says of it; spans are told once, since nothing is lost on the way.
    pub fn report(&mut self, id: AttemptId, boards: &mut [Simulated], known: &[Gpu]) -> AttemptReport {
        let capped = self.cap.is_some() && self.end.is_none();
        let caps = self.gpus.iter().filter(|_| capped).map(|at| {
            let state = boards[*at].cap().ok();
            CapHeld {
                gpu: known[*at].uuid.clone(),
                wanted: self.cap,
                found: Some(known[*at].limit),
                requested: state.map(|state| state.requested),
                enforced: state.map(|state| state.enforced),
                ..CapHeld::default()
            }
        });
        AttemptReport {
            attempt: id,
            caps: caps.collect(),
            started: Some(self.started),
            ended: self.end.clone(),
            stopping: false,
            spans: std::mem::take(&mut self.spans),
            log: String::new(),
            cap: self.cap,
            clock_ceiling: None,
            cap_order: self.order,
            pace: self.pace.filter(|_| self.end.is_none()),
        }
    }
}
