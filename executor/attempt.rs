//! The executor's loop: takes leases up, watches guards, meters, reports until it is heard. Ending it ends no job.

mod adopt;
mod capping;
mod held;
mod orders;

use crate::cap::{Caps, Seeker};
use crate::clock::{Boot, Clock};
use crate::config::Config;
use crate::link::{Link, LinkError};
use crate::meter::{AttemptMeter, Holders, NodeMeter};
use crate::node::{Node, NodeError};
use crate::process::{descendants, lives, table, tree_cpu_ms};
use crate::rundir::{AttemptDir, ExitRecord, Identity, RunDir, RunDirError, Started, Work};
use capping::{AT_START, Capping};
use chrono::Utc;
use neap_model::fleet::Component;
use neap_model::job::AttemptId;
use neap_model::ledger::Metering;
use neap_model::outcome::StopCause;
use neap_model::protocol::{AttemptReport, Beat, PROTOCOL};
use neap_model::units::Joules;
use rand::Rng;
use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often guards are looked at while there are any.
const LOOK: Duration = Duration::from_millis(20);
/// How often meters are read.
const READ: Duration = Duration::from_secs(1);
/// Keeps the node's books, in the run directory.
const NODE: &str = "node.json";
/// How long the scheduler may hold an answer back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what a dead guard left behind may take to die.
const SWEEP: Duration = Duration::from_secs(10);
/// A guard that does not say who it is by then never started.
const SETTING_UP: Duration = Duration::from_secs(5);
/// How long an attempt is remembered after it was let go of: longer than any answer is on its way.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Pauses between attempts to reach the scheduler.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why the executor ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The node cannot be looked at.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The run directory cannot be read.
    #[error("cannot read the run directory")]
    Scan(#[source] std::io::Error),
}

/// What is told to whoever runs the executor: one line each.
pub type Notice = Box<dyn Fn(&str) + Send>;

struct Attempt {
    dir: AttemptDir,
    work: Work,
    guard: Option<Identity>,
    /// Our own child, to be reaped; an adopted guard is nobody's.
    child: Option<Child>,
    taken_up: Instant,
    /// Since when, from boot, its start waits for its limit; `None`: it does not.
    waits: Option<Duration>,
    started: Option<Started>,
    exit: Option<ExitRecord>,
    /// Why it was told to end.
    stopping: Option<StopCause>,
    /// Processes that were seen below its guard, with their start times.
    seen: BTreeMap<i32, u64>,
    meter: AttemptMeter,
    capping: Capping,
}

/// An executor at work.
struct Executor {
    config: Config,
    run: RunDir,
    node: Node,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// Attempts that were let go of: an answer that was overtaken on the way may still offer their leases.
    let_go: BTreeMap<AttemptId, Instant>,
    node_meter: NodeMeter,
    /// Started with the first limit that is wanted.
    caps: Option<Caps>,
    seeker: Seeker,
    /// When the helper answered last, since boot, and the number of its start.
    helper: Option<(Duration, u64)>,
    session: u64,
    beats: u64,
    /// The scheduler we believe: its incarnation and nonce.
    scheduler: Option<(u64, u64)>,
    /// When it answered last, since boot.
    heard: Option<Duration>,
    /// It was told that limits are let go of because it is not heard.
    unheard: bool,
    notice: Notice,
}

/// Runs until the future is dropped. Jobs and guards live on.
///
/// # Errors
/// [`ExecutorError`] if the run directory cannot be used.
pub async fn run(config: Config, link: Arc<dyn Link>, notice: Notice) -> Result<(), ExecutorError> {
    let run = RunDir::take(&config.run_dir)?;
    // What a killed guard leaves behind comes to us, however it tried to get away.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let node = Node::look(&config)?;
    for line in node.notes() {
        notice(&line);
    }
    let mut executor = Executor {
        node_meter: NodeMeter::resume(run.read(NODE), Utc::now(), rand::rng().random()),
        caps: None,
        seeker: Seeker::default(),
        helper: None,
        session: rand::rng().random(),
        beats: 0,
        scheduler: None,
        heard: None,
        unheard: false,
        attempts: BTreeMap::new(),
        let_go: BTreeMap::new(),
        config,
        run,
        node,
        notice,
    };
    executor.find_helper(AT_START);
    executor.adopt()?;
    executor.resume_caps();
    let (replies, mut heard) = mpsc::channel(8);
    let (mut flying, mut last_read) = (0u32, Instant::now());
    let mut news = true;
    let mut retry = RETRY.0;
    let mut not_before = Instant::now();
    let mut told = false;
    loop {
        // One patient beat is always on its way; news do not wait for its answer.
        if Instant::now() >= not_before && (flying == 0 || (news && flying < 4)) {
            let patience = if flying == 0 && !news { PATIENCE } else { Duration::ZERO };
            let (beat, sent) = (executor.make_beat(patience), Boot.now());
            let (link, replies) = (Arc::clone(&link), replies.clone());
            flying += 1;
            tokio::spawn(async move {
                let answer = link.beat(beat).await;
                // The loop may be gone; then so is what the answer was about.
                // It was there when it answered, which was no later than it may hold an answer back, however late that comes.
                drop(replies.send((Boot.now().min(sent + patience), answer)).await);
            });
            news = false;
        }
        let look = if executor.attempts.values().any(|a| a.exit.is_none()) { LOOK } else { READ / 4 };
        tokio::select! {
            answer = heard.recv() => {
                flying = flying.saturating_sub(1);
                match answer {
                    Some((at, Ok(reply))) => {
                        (retry, told) = (RETRY.0, false);
                        news |= executor.obey(reply, at);
                    }
                    Some((_, Err(error))) => {
                        if !told {
                            (executor.notice)(&format!("{error}; jobs go on, trying again"));
                            told = true;
                        }
                        not_before = Instant::now() + retry.mul_f64(rand::rng().random_range(0.8..1.2));
                        retry = (retry * 2).min(if matches!(error, LinkError::Refused(_)) { RETRY.1 * 4 } else { RETRY.1 });
                        news = true;
                    }
                    None => return Ok(()),
                }
            }
            () = tokio::time::sleep(look) => {}
        }
        news |= executor.look();
        news |= executor.tend_caps();
        news |= executor.start_held();
        if last_read.elapsed() >= READ {
            last_read = Instant::now();
            news |= executor.read_meters();
            news |= executor.find_helper(Duration::ZERO);
            for line in executor.node.news() {
                (executor.notice)(&line);
                // A board less is told at once: until the scheduler knows, it may lease it.
                news = true;
            }
        }
    }
}

impl Executor {
    fn look(&mut self) -> bool {
        let mut news = false;
        let mut lost = Vec::new();
        for (id, attempt) in &mut self.attempts {
            if let Some(child) = &mut attempt.child {
                // Reaps it; what it was about stands in its record.
                let _ = child.try_wait();
            }
            if attempt.exit.is_some() || attempt.waits.is_some() {
                continue;
            }
            if attempt.guard.is_none() {
                attempt.guard = attempt.dir.read("guard.json");
            }
            if attempt.started.is_none() {
                attempt.started = attempt.dir.read("started.json");
                if let Some(started) = &attempt.started {
                    attempt.meter.begins(started.at);
                    news = true;
                }
            }
            // Alive is asked first: a guard writes its record before it goes.
            let alive = match &attempt.guard {
                Some(guard) => lives(guard),
                None => {
                    let gone = attempt.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
                    let waited = attempt.taken_up.elapsed();
                    // Whoever claims the directory first decides: if we do, no guard will start it any more.
                    let claimed = || !attempt.dir.claim().unwrap_or(false);
                    !gone && (waited < SETTING_UP || waited < SETTING_UP * 12 && claimed())
                }
            };
            if attempt.dir.0.join("exit.json").exists() {
                attempt.exit = attempt.dir.read("exit.json");
                news = true;
            } else if !alive {
                lost.push(*id);
            }
        }
        for id in lost {
            news = true;
            self.lose(id);
        }
        news |= self.close_ended();
        news
    }

    fn close_ended(&mut self) -> bool {
        let ended: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, a)| a.exit.is_some() && a.started.is_some() && !a.dir.0.join("metered").exists())
            .map(|(id, _)| *id)
            .collect();
        let mut off = BTreeMap::new();
        if !ended.is_empty() {
            // All at once: a driver that is stuck is waited for once.
            let held = ended.iter().flat_map(|id| self.attempts[id].work.lease.gpus.clone()).collect::<Vec<_>>();
            off = self.node.edges(&held);
            self.read_meters();
            self.node_meter.job_ended();
        }
        for id in &ended {
            if let Some(attempt) = self.attempts.get_mut(id) {
                attempt.meter.note(&edges_off(&attempt.work.lease.gpus, &off));
                let until = attempt.exit.as_ref().map_or_else(Utc::now, |exit| exit.at);
                let cpu_ms = attempt.meter.cpu_ms;
                if !attempt.work.lease.gpus.is_empty() {
                    attempt.meter.hold_cap(&attempt.capping.used(self.node.bound(&attempt.work.lease.gpus)));
                }
                attempt.meter.take(&[], cpu_ms, until, true);
                // A meter that cannot be kept costs this attempt's last figures after a restart, and nothing else.
                let _ = attempt.dir.write("meter.json", &attempt.meter);
                let _ = std::fs::write(attempt.dir.0.join("metered"), b"");
            }
        }
        !ended.is_empty()
    }

    fn read_meters(&mut self) -> bool {
        let now = Utc::now();
        let table = table();
        let mut used = BTreeMap::new();
        for (id, attempt) in &mut self.attempts {
            if let (None, Some(guard)) = (&attempt.exit, &attempt.guard) {
                let below = descendants(&table, guard.pid);
                attempt.seen = below.iter().filter_map(|pid| Some((*pid, table.get(pid)?.started))).collect();
            }
            let total = match (&attempt.exit, &attempt.guard) {
                (Some(exit), _) => Some(exit.cpu_ms),
                (None, Some(guard)) => tree_cpu_ms(&table, guard.pid),
                (None, None) => None,
            };
            if let (Some(total), Some(_)) = (total, &attempt.started) {
                used.insert(*id, total);
            }
        }
        let new = |id: &AttemptId, total: u64| total.saturating_sub(self.attempts[id].meter.cpu_ms);
        let deltas: BTreeMap<AttemptId, u64> = used.iter().map(|(id, total)| (*id, new(id, *total))).collect();
        let holders = self.attempts.iter().filter(|(_, a)| a.exit.is_none() || !a.dir.0.join("metered").exists());
        let mut held = Holders::new();
        for (id, attempt) in holders {
            for uuid in &attempt.work.lease.gpus {
                held.entry(uuid.clone()).or_default().push(*id);
            }
        }
        let running = self.attempts.iter().filter(|(_, a)| a.exit.is_none() && a.started.is_some());
        let reserved = running.map(|(id, a)| (*id, a.work.lease.cpus)).collect();
        let whose = self.attempts.iter().flat_map(|(id, a)| a.seen.keys().map(|pid| (*pid, *id))).collect();
        let shares = self.node.read(deltas, &held, &whose, &reserved);
        self.node_meter.take(&shares, now);
        for (id, parts) in &shares.attempts {
            if let Some(attempt) = self.attempts.get_mut(id) {
                let gpus = parts.iter().filter(|part| part.component == Component::Gpu);
                attempt.capping.energy += gpus.map(|part| part.energy).sum();
            }
        }
        let window = self.read_caps();
        for (id, parts) in shares.attempts.iter().filter(|(id, _)| !used.contains_key(id)) {
            if let Some(attempt) = self.attempts.get_mut(id).filter(|attempt| attempt.started.is_none()) {
                attempt.meter.hold(parts);
                attempt.meter.note(shares.metering.get(id).unwrap_or(&Metering::default()));
            }
        }
        let mut closed = window || !self.node_meter.closed.is_empty();
        for (id, total) in used {
            let Some(attempt) = self.attempts.get_mut(&id) else { continue };
            let at = attempt.exit.as_ref().map_or(now, |exit| exit.at.min(now));
            if attempt.dir.0.join("metered").exists() {
                continue;
            }
            let parts = shares.attempts.get(&id).map_or(&[][..], Vec::as_slice);
            if let Some(metering) = shares.metering.get(&id) {
                attempt.meter.note(metering);
            }
            if attempt.exit.is_none() {
                attempt.meter.drew(shares.draws.of(id), shares.draws.time);
            }
            let span = attempt.meter.take(parts, total, at, false);
            if !attempt.work.lease.gpus.is_empty() {
                attempt.meter.counters = self.node.counters(&attempt.work.lease.gpus);
            }
            closed |= span;
            // Every reading is kept: an executor that is killed does not make energy appear twice.
            let _ = attempt.dir.write("meter.json", &attempt.meter);
        }
        // Between these files an executor can be killed: then the node's books lack one reading that a job's have.
        let _ = self.run.write(NODE, &self.node_meter);
        closed
    }

    fn make_beat(&mut self, patience: Duration) -> Beat {
        self.beats += 1;
        let holds = self
            .attempts
            .iter()
            .map(|(id, attempt)| AttemptReport {
                attempt: *id,
                started: attempt.started.as_ref().map(|s| s.at),
                ended: attempt.exit.as_ref().map(|exit| (exit.end.clone(), exit.at)),
                stopping: attempt.stopping.is_some(),
                spans: attempt.meter.closed.clone(),
                log: attempt.work.log.display().to_string(),
                cap: attempt.capping.wanted.limit,
                clock_ceiling: attempt.capping.wanted.clock_ceiling,
                cap_order: attempt.capping.order,
                caps: attempt.capping.held.clone(),
                pace: attempt.capping.windows.last,
            })
            .collect();
        Beat {
            protocol: PROTOCOL,
            node: self.config.node.clone(),
            zone: self.config.zone.clone(),
            session: self.session,
            number: self.beats,
            inventory: self.node.inventory.clone(),
            holds,
            node_books: Some(self.node_meter.books),
            node_spans: self.node_meter.closed.clone(),
            gpu_power: self.node.take_draws(),
            patience_ms: u32::try_from(patience.as_millis()).unwrap_or(0),
        }
    }
}

/// What an attempt's beginning or end on its GPUs adds to its uncertainty.
fn edges_off(gpus: &[String], off: &BTreeMap<String, Joules>) -> Metering {
    let uncertain = gpus.iter().filter_map(|uuid| off.get(uuid)).copied().sum();
    Metering { uncertain, ..Metering::default() }
}
