//! The loop around the controller: wait → step → append → perform. It has no opinions.
//!
//! One thread owns controller, journal and the handle of the store. Everybody else holds a sender. While one batch is
//! synced the next one gathers; a reply leaves only after the sync of its batch returned.

mod begin;
mod grid;
mod vitals;

pub use begin::{Scheduler, StartError, start};
pub use vitals::{FeedNews, FeedVitals, SYNC_BOUNDS, Vitals};

use crate::clock::Clock;
use crate::controller::{Answer, ArchiveQuery, Caller, Controller, Effect, Footer, Input, Request, Turn};
use crate::journal::{Journal, JournalError, Record, Space};
use crate::record;
use crate::store::Store;
use chrono::{DateTime, Utc};
use neap_model::job::{JobId, Person};
use neap_model::lifecycle::Event;
use neap_model::plan::Decision;
use neap_model::protocol::{Beat, Degraded, JobReport};
use neap_model::refusal::{Code, Refusal};
use neap_policies::problem::{Policy, Problem};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the loop. When it is full, callers wait; nothing is dropped.
const WAITING: usize = 8_192;

/// Turns in one batch.
const BATCH: usize = 1_024;

/// Events in one frame: a turn that starts or moves many jobs is written as several, each whole in itself.
const EVENTS_A_FRAME: usize = 200;

/// Bytes of one batch, as far as further messages are taken into it.
const BATCH_BYTES: usize = 1 << 20;

type Answered = Result<Answer, Vec<Refusal>>;
type Inspect = Box<dyn FnOnce(&Controller, &Vitals, DateTime<Utc>) + Send>;

/// What the loop is told.
enum Message {
    Request {
        by: Person,
        request: Request,
        reply: oneshot::Sender<Answered>,
    },
    Beat {
        beat: Box<Beat>,
        reply: oneshot::Sender<Answered>,
    },
    Input(Input),
    Inspect(Inspect),
    Feeds(FeedNews),
    /// A search beside the loop took so long and found that, or failed.
    Found(std::time::Duration, Option<BTreeMap<JobId, Decision>>),
    Stop,
}

/// A way to speak to the scheduler. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
    footer: Footer,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

fn gone() -> Vec<Refusal> {
    vec![Refusal::new(Code::NotReached, "the scheduler is stopping")]
}

impl Handle {
    /// Asks for something in a person's name.
    ///
    /// # Errors
    /// What the controller refuses, each with its hint.
    pub async fn ask(&self, by: Person, request: Request) -> Answered {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Request { by, request, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Passes an executor's beat on.
    ///
    /// # Errors
    /// What the controller refuses.
    pub async fn beat(&self, beat: Beat) -> Answered {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Beat { beat: Box::new(beat), reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The metrics page.
    ///
    /// # Errors
    /// If the scheduler is stopping.
    pub async fn metrics(&self) -> Result<Vec<u8>, Vec<Refusal>> {
        let (reply, text) = oneshot::channel();
        let look: Inspect = Box::new(move |controller, vitals, now| {
            drop(reply.send(crate::metrics::exposition(controller, vitals, now)));
        });
        self.sender.send(Message::Inspect(look)).await.map_err(|_| gone())?;
        match text.await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(vec![Refusal::new(Code::Internal, error.to_string())]),
            Err(_) => Err(gone()),
        }
    }

    /// The closing lines of a job's log.
    #[must_use]
    pub fn footer(&self, job: &JobReport) -> String {
        (self.footer)(job)
    }
}

/// Why the loop ended other than by request.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The journal failed: nothing more may be acknowledged.
    #[error("the journal can no longer be written; nothing more is acknowledged")]
    Journal(#[source] JournalError),
}

struct Loop {
    controller: Controller,
    journal: Journal,
    store: Store,
    clock: Clock,
    callers: HashMap<Caller, oneshot::Sender<Answered>>,
    next_caller: u64,
    vitals: Vitals,
    /// Something was written since the last idle mark.
    unmarked: bool,
    /// What the controller was told last about the shell.
    modes: (Vec<Degraded>, bool),
    /// The way back for what is done beside the loop.
    back: mpsc::WeakSender<Message>,
}

impl Loop {
    fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), LoopError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let came = messages.blocking_recv_many(&mut batch, BATCH);
            if came == 0 {
                return Ok(());
            }
            if self.turn(&mut batch)? {
                return Ok(());
            }
        }
    }

    /// One batch. Says whether it was the last.
    fn turn(&mut self, batch: &mut Vec<Message>) -> Result<bool, LoopError> {
        let now = self.clock.now();
        let (mut records, mut effects, mut last) = (Vec::new(), Vec::new(), false);
        let only_ticks = batch.iter().all(|message| matches!(message, Message::Input(Input::Tick)));
        let (mut messages, mut size) = (batch.drain(..), 0);
        let mut looks = Vec::new();
        for message in messages.by_ref() {
            let turn = match message {
                Message::Request { by, request, reply } => {
                    let caller = keep(&mut self.callers, &mut self.next_caller, reply);
                    self.controller.step(now, Input::Request { by, request, caller })
                }
                Message::Beat { beat, reply } => {
                    let caller = keep(&mut self.callers, &mut self.next_caller, reply);
                    self.controller.step(now, Input::Beat { beat, caller })
                }
                Message::Input(input) => self.controller.step(now, input),
                Message::Inspect(look) => {
                    looks.push(look);
                    continue;
                }
                Message::Found(took, decisions) => {
                    self.vitals.plans.observe(took);
                    self.controller.step(now, Input::Found(decisions))
                }
                Message::Feeds(feeds) => {
                    self.vitals.heard(feeds);
                    continue;
                }
                Message::Stop => {
                    last = true;
                    continue;
                }
            };
            size += take(turn, &mut records, &mut effects);
            if size > BATCH_BYTES {
                self.write(now, &mut records, &mut effects)?;
                size = 0;
            }
        }
        drop(messages);
        let plans = self.controller.planning().plans;
        let began = std::time::Instant::now();
        let settled = self.controller.step(now, Input::Settle);
        if self.controller.planning().plans > plans {
            self.vitals.plans.observe(began.elapsed());
        }
        take(settled, &mut records, &mut effects);
        self.write(now, &mut records, &mut effects)?;
        for look in looks {
            self.refresh_vitals();
            look(&self.controller, &self.vitals, now);
        }
        if only_ticks {
            self.idle(now)?;
        }
        Ok(last)
    }

    /// First the record, then the deed.
    fn write(
        &mut self,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), LoopError> {
        if !records.is_empty() {
            let began = std::time::Instant::now();
            self.journal.append_batch(now.timestamp_micros(), records).map_err(LoopError::Journal)?;
            self.vitals.syncs.observe(began.elapsed());
            records.clear();
            self.unmarked = true;
            self.hand_over();
        }
        for effect in effects.drain(..) {
            self.perform(effect);
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        let changed = self.controller.take_changed();
        let jobs = changed.iter().filter_map(|id| self.controller.state().jobs.get(id)).cloned();
        self.store.push(jobs.collect::<Vec<_>>(), self.journal.head());
        self.controller.trim();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(caller, mut answer) => {
                if let Ok(Answer::Status(status)) = &mut answer {
                    status.journal_seq = self.journal.head().0;
                    status.store_lag = status.journal_seq.saturating_sub(self.store.health().0);
                }
                if let Some(reply) = self.callers.remove(&caller) {
                    // A caller that went away does not want it any more.
                    drop(reply.send(answer));
                }
            }
            Effect::Archive(caller, query) => self.ask_archive(caller, query),
            Effect::Search(problem, policy) => self.search(problem, policy),
        }
    }

    /// Looks for a better plan on a thread of its own, so that nobody waits for it.
    fn search(&mut self, problem: Box<Problem>, policy: Policy) {
        let back = self.back.clone();
        let look = move || {
            let began = std::time::Instant::now();
            // A search that fails is a plan less, not a scheduler less.
            let plan = || neap_policies::plan(&problem, &policy).decisions;
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(plan)).ok();
            if let Some(sender) = back.upgrade() {
                // A loop that is gone does not want it any more.
                drop(sender.blocking_send(Message::Found(began.elapsed(), found)));
            }
        };
        if std::thread::Builder::new().name("neap-search".to_owned()).spawn(look).is_err() {
            self.controller.step(self.clock.now(), Input::Found(None));
        }
    }

    fn ask_archive(&mut self, caller: Caller, query: ArchiveQuery) {
        let Some(reply) = self.callers.remove(&caller) else { return };
        let zones = self.controller.config().zones.clone();
        self.store.ask(query, move |mut answer| {
            let pue = |job: &mut JobReport| {
                let zone = job.place.as_ref().map(|place| place.zone.clone());
                job.pue = zones.iter().find(|z| Some(&z.name) == zone.as_ref()).and_then(|z| z.pue);
            };
            match &mut answer {
                Ok(Answer::Job(job)) => pue(job),
                Ok(Answer::Why(why)) => pue(&mut why.job),
                Ok(Answer::Page(page)) => page.jobs.iter_mut().for_each(pue),
                _ => {}
            }
            drop(reply.send(answer));
        });
    }

    /// Nothing waits: the last batch is covered by a mark, and the shell's own state is looked at.
    fn idle(&mut self, now: DateTime<Utc>) -> Result<(), LoopError> {
        if std::mem::take(&mut self.unmarked) {
            self.journal.mark(now.timestamp_micros()).map_err(LoopError::Journal)?;
        }
        self.callers.retain(|_, reply| !reply.is_closed());
        let mut degraded = Vec::new();
        if let (_, Some(trouble)) = self.store.health() {
            let detail = format!("the archive is out of use until the next start: {trouble}");
            degraded.push(Degraded { mode: "store".to_owned(), detail });
        }
        if let (1.., by) = self.clock.jumps {
            let detail = format!("the host's clock was set; the last jump was {by} s");
            degraded.push(Degraded { mode: "clock".to_owned(), detail });
        }
        let modes = (degraded, self.journal.space() == Space::Full);
        if modes != self.modes {
            self.modes = modes.clone();
            let turn = self.controller.step(now, Input::Modes { degraded: modes.0, read_only: modes.1 });
            let (mut records, mut effects) = (Vec::new(), Vec::new());
            take(turn, &mut records, &mut effects);
            self.write(now, &mut records, &mut effects)?;
        }
        Ok(())
    }

    fn refresh_vitals(&mut self) {
        self.vitals.store_lag = self.journal.head().0.saturating_sub(self.store.health().0);
    }
}

fn keep(
    callers: &mut HashMap<Caller, oneshot::Sender<Answered>>,
    next: &mut u64,
    reply: oneshot::Sender<Answered>,
) -> Caller {
    *next += 1;
    callers.insert(Caller(*next), reply);
    Caller(*next)
}

/// Takes a turn apart: its events as frames, its effects behind the others. Says how many bytes the frames have.
fn take(turn: Turn, records: &mut Vec<Record>, effects: &mut Vec<Effect>) -> usize {
    let mut size = 0;
    let mut events = turn.events;
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(EVENTS_A_FRAME));
        let bytes = record::encode(std::mem::replace(&mut events, rest));
        size += bytes.public.len() + bytes.private.len();
        records.push(Record { public: bytes.public, private: bytes.private });
    }
    effects.extend(turn.effects);
    size
}

/// Lets replayed events take effect, one frame after the other.
fn replay(
    state: &mut crate::controller::state::State,
    at: DateTime<Utc>,
    events: &[Event],
) -> Result<(), neap_model::lifecycle::Illegal> {
    events.iter().try_for_each(|event| state.apply(at, event))
}

/// The jobs that a replay changed, for the store.
fn changed(state: &mut crate::controller::state::State) -> Vec<Arc<crate::controller::state::Job>> {
    let ids: Vec<JobId> = std::mem::take(&mut state.changed).into_iter().collect();
    let jobs = ids.iter().filter_map(|id| state.jobs.get(id)).cloned().collect();
    state.trim();
    jobs
}
