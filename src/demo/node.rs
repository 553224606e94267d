//! A simulated node: what an executor says and does, with arithmetic in the place of processes and boards.
//!
//! It speaks the executor's protocol and nothing else: the scheduler cannot tell the difference. What every job does to a
//! GPU, and so every joule, comes from `neap_executor::domains::simulated`.

mod held;

use super::STEP;
use chrono::{DateTime, Utc};
use held::Held;
use neap_executor::domains::simulated::{A40, Board, Simulated, V100};
use neap_executor::domains::{Cap, PowerDomain};
use neap_model::cap::Settable;
use neap_model::fleet::{Component, Gpu, Inventory, Meter, Source};
use neap_model::job::{AttemptId, JobId};
use neap_model::ledger::{GpuSpan, NodeSpan, Part, Unattributed};
use neap_model::protocol::{Beat, BeatReply, PROTOCOL};
use neap_model::units::{Bytes, Joules, Watts};
use std::collections::BTreeMap;
use std::time::Duration;

/// GPUs of a node.
pub const GPUS: usize = 8;
/// Cores of a node.
const CORES: u32 = 64;
/// One busy core, the executor's own assumption for nodes without a counter.
const WATTS_PER_CORE: Watts = Watts::whole(5);

/// Work that was saved at pauses, in seconds of a job's work: on storage that all nodes of a zone share.
pub type Saved = BTreeMap<JobId, f64>;

/// The node.
#[derive(Debug)]
pub struct Node {
    /// Its name, as in the site's file.
    pub name: String,
    inventory: Inventory,
    gpus: Vec<Simulated>,
    held: BTreeMap<AttemptId, Held>,
    beats: u64,
    books: Books,
}

/// Energy of the node since its last span was closed.
#[derive(Debug)]
struct Books {
    seq: u32,
    from: DateTime<Utc>,
    /// What each GPU had used then, and for how long its limit had bound it.
    gpus: Vec<(Joules, Duration)>,
    /// What went to attempts since.
    attributed: BTreeMap<Component, Joules>,
}

/// Reads a GPU that always answers.
fn energy(gpu: &mut Simulated) -> Joules {
    gpu.energy().map_or(Joules::ZERO, |reading| reading.energy)
}

fn bound_for(gpu: &mut Simulated) -> Duration {
    gpu.cap().map_or(Duration::ZERO, |state| state.bound_for)
}

impl Node {
    /// An idle node, with A40s or with V100s.
    #[must_use]
    pub fn new(name: &str, a40: bool, now: DateTime<Utc>) -> Self {
        let board: &'static Board = if a40 { &A40 } else { &V100 };
        let found = Watts::whole(u64::from(board.limits.1));
        let settable = Settable {
            least: Watts::whole(u64::from(board.limits.0)),
            most: found,
            clocks: None,
            safe: None,
            found: None,
        };
        let gpu = |index: usize| Gpu {
            uuid: format!("GPU-{name}-{index}"),
            index: u32::try_from(index).unwrap_or(0),
            model: board.model.to_owned(),
            limit: found,
            settable: Some(settable),
            uncapped: None,
        };
        let meter = |component, source| Meter { component, source };
        let inventory = Inventory {
            cpus: CORES,
            memory: Bytes(512 << 30),
            gpus: (0..GPUS).map(gpu).collect(),
            watts_per_cpu: WATTS_PER_CORE,
            meters: vec![meter(Component::Gpu, Source::Estimated), meter(Component::Cpu, Source::CpuTime)],
            boot: "simulated".to_owned(),
            driver: None,
            sensor_windows: BTreeMap::new(),
        };
        let gpus = vec![Simulated::new(board); GPUS];
        let books =
            Books { seq: 0, from: now, gpus: vec![(Joules::ZERO, Duration::ZERO); GPUS], attributed: BTreeMap::new() };
        Self { name: name.to_owned(), inventory, gpus, held: BTreeMap::new(), beats: 0, books }
    }

    /// How many GPUs of which model it has.
    #[must_use]
    pub fn boards(&self) -> (usize, &'static str) {
        (self.gpus.len(), self.gpus[0].board().model)
    }

    /// Lets one step pass, at the end of which it is `now`: work is done, energy used, and jobs end.
    pub fn pass(&mut self, now: DateTime<Utc>) {
        let step = Duration::from_secs(STEP);
        for gpu in &mut self.gpus {
            gpu.pass(step);
        }
        for held in self.held.values_mut().filter(|held| held.end.is_none()) {
            held.worked(step, &mut self.gpus, now);
        }
        let over: Vec<AttemptId> = self.held.iter().filter(|(_, held)| held.is_due()).map(|(id, _)| *id).collect();
        for id in over {
            self.close(id, now);
        }
    }

    /// What an attempt used since its last span was closed becomes a span; of one that is over the last.
    fn close(&mut self, id: AttemptId, now: DateTime<Utc>) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let Some(span) = held.close(&mut self.gpus, WATTS_PER_CORE, now) else { return };
        for part in &span.parts {
            *self.books.attributed.entry(part.component).or_default() += part.energy;
        }
        held.spans.push(span);
    }

    /// Every span is closed: those of attempts, and that of the node.
    fn close_all(&mut self, now: DateTime<Utc>) -> Option<NodeSpan> {
        let all: Vec<AttemptId> = self.held.keys().copied().collect();
        for id in all {
            self.close(id, now);
        }
        if self.books.from == now {
            return None;
        }
        let mut spans = BTreeMap::new();
        for ((gpu, known), board) in self.gpus.iter_mut().zip(&mut self.books.gpus).zip(&self.inventory.gpus) {
            let (used, bound) = (energy(gpu), bound_for(gpu));
            let bound_ms = u64::try_from((bound - known.1).as_millis()).unwrap_or(0);
            spans.insert(board.uuid.clone(), GpuSpan { energy: used.saturating_sub(known.0), bound_ms });
            *known = (used, bound);
        }
        let gpus: Joules = spans.values().map(|span| span.energy).sum();
        let of = |component| self.books.attributed.get(&component).copied().unwrap_or_default();
        let part = |component, source, energy| Part { component, source, energy };
        // Cores that nobody uses draw nothing here, as on real nodes where no figure is stated for them.
        let cores = part(Component::Cpu, Source::CpuTime, of(Component::Cpu));
        let span = NodeSpan {
            seq: self.books.seq,
            from: self.books.from,
            until: now,
            parts: vec![part(Component::Gpu, Source::Estimated, gpus), cores],
            attributed: vec![part(Component::Gpu, Source::Estimated, of(Component::Gpu)), cores],
            gap_ms: 0,
            unattributed: Unattributed { idle: gpus.saturating_sub(of(Component::Gpu)), ..Unattributed::default() },
            gpus: spans,
        };
        self.books.attributed.clear();
        (self.books.seq, self.books.from) = (self.books.seq + 1, now);
        Some(span)
    }

    /// What the executor says. With `books`, every span is closed first and told.
    pub fn beat(&mut self, now: DateTime<Utc>, books: bool) -> Beat {
        let node_spans = if books { self.close_all(now).into_iter().collect() } else { Vec::new() };
        self.beats += 1;
        let inventory = &self.inventory;
        let gpus = &mut self.gpus;
        let holds = self.held.iter_mut().map(|(id, held)| held.report(*id, gpus, &inventory.gpus)).collect();
        Beat {
            protocol: PROTOCOL,
            node: self.name.clone(),
            zone: None,
            session: 1,
            number: self.beats,
            node_books: None,
            inventory: self.inventory.clone(),
            holds,
            node_spans,
            gpu_power: BTreeMap::new(),
            // Till the next beat: what is decided meanwhile is heard at once.
            patience_ms: u32::try_from(STEP * 1_000).unwrap_or(0),
        }
    }

    /// Does what it was told.
    pub fn obey(&mut self, reply: BeatReply, saved: &mut Saved, now: DateTime<Utc>) {
        for id in reply.settled.iter().chain(&reply.stale) {
            self.held.remove(id);
        }
        for lease in reply.leases {
            if self.held.contains_key(&lease.attempt) {
                continue;
            }
            let taken = |uuid: &String| {
                self.held
                    .values()
                    .any(|held| held.end.is_none() && held.gpus.iter().any(|at| self.inventory.gpus[*at].uuid == *uuid))
            };
            debug_assert!(!lease.gpus.iter().any(taken), "two attempts were given one GPU");
            let places = (0..GPUS).filter(|at| lease.gpus.contains(&self.inventory.gpus[*at].uuid)).collect();
            let done = saved.get(&lease.attempt.job).copied().unwrap_or_default();
            let (id, cap) = (lease.attempt, lease.cap);
            self.held.insert(id, Held::new(lease, places, done, &mut self.gpus, now));
            self.limit(id, cap, 0);
        }
        for order in reply.caps {
            self.limit(order.attempt, order.limit, order.order);
        }
        for stop in reply.stops {
            let Some(held) = self.held.get_mut(&stop.attempt) else { continue };
            if let Some(done) = held.stop(stop.cause, now) {
                saved.insert(stop.attempt.job, done);
            }
            self.close(stop.attempt, now);
        }
    }

    /// Every GPU of an attempt is held at that limit; `None`: as it was found.
    fn limit(&mut self, id: AttemptId, limit: Option<Watts>, order: u64) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.order = order;
        if held.cap == limit || held.end.is_some() {
            return;
        }
        held.cap = limit;
        for at in &held.gpus {
            // A limit outside of the board's range is not taken; the report then says what is in force.
            let _refused = self.gpus[*at].set_cap(Cap { limit, clock_ceiling: None }).is_err();
        }
    }
}
