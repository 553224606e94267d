//! An attempt's limit and ceiling: wanted by the scheduler, held by the helper, and how fast the job goes under it.

use super::{Attempt, Executor};
use crate::cap::{Caps, Socket, Sought, UNHEARD, Wanted};
use crate::clock::{Boot, Clock, millis};
use crate::domains::Cap;
use crate::pace;
use crate::powerd::TERM;
use neap_model::cap::{CapHeld, CapOrder, CapUse, Uncapped};
use neap_model::job::AttemptId;
use neap_model::units::{Joules, Watts};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A job's start waits so long for its limit; then it starts as it is, and the limit comes when it comes.
const BEFORE_START: Duration = Duration::from_secs(2);
/// The first word to the scheduler waits so long for what the helper says.
pub(super) const AT_START: Duration = Duration::from_secs(1);

/// Keeps the tokens of leases, in the run directory.
const TOKENS: &str = "caps.json";

/// What is known about one attempt's limit.
#[derive(Debug)]
pub(super) struct Capping {
    /// What the scheduler wants of each of its GPUs.
    pub(super) wanted: Cap,
    /// The order that asked for it; 0: none with a number since this executor began.
    pub(super) order: u64,
    /// How each of its GPUs stands, if any limit was ever wanted.
    pub(super) held: Vec<CapHeld>,
    pub(super) windows: pace::Windows,
    /// Energy of its GPUs.
    pub(super) energy: Joules,
    read: Instant,
    bound: Duration,
}

impl Capping {
    pub(super) fn new(wanted: Cap, least: Duration) -> Self {
        Self {
            wanted,
            order: 0,
            held: Vec::new(),
            windows: pace::Windows::new(least, Boot.now()),
            energy: Joules::ZERO,
            read: Instant::now(),
            bound: Duration::ZERO,
        }
    }

    /// Whether an order is not carried out yet, nor behind one that was.
    pub(super) fn is_new(&self, order: &CapOrder) -> bool {
        let wanted = Cap { limit: order.limit, clock_ceiling: order.clock_ceiling };
        let news = (wanted, order.order) != (self.wanted, self.order);
        news && (order.order == 0 || order.order >= self.order)
    }

    /// How its GPUs were held since this was asked last. `bound` is how long limits have held down the slowest of them in all.
    pub(super) fn used(&mut self, bound: Duration) -> CapUse {
        let time = std::mem::replace(&mut self.read, Instant::now()).elapsed();
        let held_down = bound.saturating_sub(std::mem::replace(&mut self.bound, bound));
        let tightest = self.held.iter().filter(|held| held.requested.is_some()).min_by_key(|held| held.enforced);
        let because = self.held.iter().find_map(|held| held.because);
        let clock_ceiling = self.held.iter().filter_map(|held| held.clock_ceiling).min();
        let clock = CapUse {
            because,
            clock_ceiling,
            ceiling_ms: if clock_ceiling.is_some() { millis(time) } else { 0 },
            no_clock_ceiling: self.held.iter().find_map(|held| held.no_clock_ceiling),
            ..CapUse::default()
        };
        let Some(held) = tightest else { return clock };
        let capped = held.requested < held.found;
        CapUse {
            requested: held.requested,
            enforced: held.enforced,
            found: held.found,
            capped_ms: if capped { millis(time) } else { 0 },
            bound_ms: if capped { millis(held_down.min(time)) } else { 0 },
            ..clock
        }
    }
}

impl Executor {
    /// Looks for the helper, and says in the inventory what may be asked of it. Waits at most so long for an answer.
    pub(super) fn find_helper(&mut self, at_most: Duration) -> bool {
        let open = self.node.inventory.gpus.iter().any(|gpu| matches!(gpu.uncapped, None | Some(Uncapped::NoHelper)));
        let known = self.node.inventory.gpus.iter().any(|gpu| gpu.settable.is_some());
        if !open || known {
            return false;
        }
        let Some(sought) = self.seeker.seek(&Socket(self.config.power_socket.clone()), at_most) else { return false };
        let status = match sought {
            Sought::Found(gpus) => Some(gpus),
            Sought::Away => None,
        };
        let first = self.node.inventory.gpus.iter().any(|gpu| gpu.uncapped.is_none());
        let mut news = false;
        for gpu in &mut self.node.inventory.gpus {
            let said = status.as_ref().and_then(|gpus| gpus.iter().find(|held| held.gpu == gpu.uuid));
            let settable = said.and_then(crate::powerd::Held::settable);
            let uncapped = match (&status, settable) {
                (None, _) => Some(Uncapped::NoHelper),
                (Some(_), None) => Some(Uncapped::NotSupported),
                (Some(_), Some(_)) => None,
            };
            news |= (gpu.settable, gpu.uncapped) != (settable, uncapped);
            (gpu.settable, gpu.uncapped) = (settable, uncapped);
            // Held for an earlier life of this executor: what was found is what it stands at without us.
            if let Some(found) = said.filter(|held| held.state == "leased").and_then(|held| held.found_milliwatts) {
                gpu.limit = Watts(found);
            }
        }
        if first && status.is_none() {
            let at = self.config.power_socket.display();
            (self.notice)(&format!("no power limits: nobody answers at {at}; jobs run uncapped"));
        }
        news
    }

    /// What an earlier life held is gone on with, or given back.
    pub(super) fn resume_caps(&mut self) {
        let gpus = self.attempts.values().any(|attempt| !attempt.work.lease.gpus.is_empty());
        if gpus || self.config.run_dir.join(TOKENS).exists() {
            self.start_caps();
        }
    }

    /// Starts what holds limits, once there is anything to hold or to give back.
    fn start_caps(&mut self) {
        if self.caps.is_none() {
            let socket = Socket(self.config.power_socket.clone());
            let attempts = self.attempts.keys().map(ToString::to_string).collect();
            self.caps = Caps::start(socket, self.config.run_dir.join(TOKENS), attempts).ok();
            if let (Some(caps), Some(at)) = (&self.caps, self.heard) {
                caps.hear(at);
            }
        }
    }

    /// The scheduler answered at that time: limits are held for it.
    pub(super) fn hear(&mut self, at: Duration) {
        self.heard = self.heard.max(Some(at));
        if let Some(caps) = &self.caps {
            caps.hear(at);
        }
        if std::mem::take(&mut self.unheard) {
            (self.notice)("the scheduler is heard again: limits of GPUs are held for it again");
        }
    }

    /// Tells once that limits are let go of, when the scheduler was not heard for too long.
    fn tell_unheard(&mut self, held: &BTreeMap<String, CapHeld>) {
        let hears = self.heard.is_some_and(|heard| Boot.now() < heard + UNHEARD);
        let holds = |held: &CapHeld| held.requested.is_some() || held.clock_ceiling.is_some();
        if hears || self.unheard || self.heard.is_none() || !held.values().any(holds) {
            return;
        }
        self.unheard = true;
        (self.notice)(&format!(
            "the scheduler was not heard for {} s: limits of GPUs are not renewed, and go within {} s to what was found or to their safe cap",
            UNHEARD.as_secs(),
            TERM.as_secs()
        ));
    }

    /// Tells the helper's thread what is wanted, and takes in how things stand. Says whether the scheduler should hear of it.
    pub(super) fn tend_caps(&mut self) -> bool {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for (id, attempt) in self.attempts.iter().filter(|(_, attempt)| attempt.exit.is_none()) {
            let cap = attempt.capping.wanted;
            if cap == Cap::default() {
                continue;
            }
            for uuid in &attempt.work.lease.gpus {
                wanted.insert(uuid.clone(), Wanted { cap, attempt: id.to_string() });
            }
        }
        if !wanted.is_empty() {
            self.start_caps();
        }
        let Some(caps) = &mut self.caps else { return false };
        caps.want(&wanted);
        let held = caps.held();
        self.tell_unheard(&held);
        let mut news = false;
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.exit.is_none()) {
            let stand: Vec<CapHeld> =
                attempt.work.lease.gpus.iter().filter_map(|uuid| held.get(uuid)).cloned().collect();
            if attempt.capping.held != stand {
                settle(attempt, stand);
                news = true;
            }
        }
        let refused = held.values().filter(|held| held.because == Some(Uncapped::NoPermission));
        for held in refused {
            for gpu in self.node.inventory.gpus.iter_mut().filter(|gpu| gpu.uuid == held.gpu && gpu.uncapped.is_none())
            {
                (self.notice)(&format!("{}: {}", gpu.uuid, Uncapped::NoPermission.sentence()));
                (gpu.settable, gpu.uncapped) = (None, Some(Uncapped::NoPermission));
                news = true;
            }
        }
        news
    }

    /// Before a job starts: its limit is in force, or it is known why not, or it took too long.
    pub(super) fn cap_first(&mut self, id: AttemptId) {
        self.tend_caps();
        let attempt = self.attempts.get(&id).filter(|attempt| attempt.capping.wanted != Cap::default());
        let Some(attempt) = attempt else { return };
        if let Some(caps) = &self.caps {
            caps.settle(&attempt.work.lease.gpus, BEFORE_START);
        }
        self.tend_caps();
    }

    /// With every reading of the meters: how GPUs were held, and how many steps were done. Says whether a window is whole.
    pub(super) fn read_caps(&mut self) -> bool {
        let mut news = false;
        let now = Boot.now();
        for attempt in self.attempts.values_mut().filter(|attempt| attempt.exit.is_none() && attempt.started.is_some())
        {
            if attempt.work.lease.gpus.is_empty() {
                continue;
            }
            let used = attempt.capping.used(self.node.bound(&attempt.work.lease.gpus));
            attempt.meter.hold_cap(&used);
            if let Some(progress) = pace::read(&attempt.dir.0.join("progress")) {
                let strain = self.node.strain(&attempt.work.lease.gpus);
                let metered = pace::Metered { energy: attempt.capping.energy, strain };
                news |= attempt.capping.windows.take(progress, metered, now);
            }
        }
        news
    }
}

/// What is held changed: the job's steps are counted anew.
fn settle(attempt: &mut Attempt, stand: Vec<CapHeld>) {
    let cap = |held: &CapHeld| Cap { limit: held.requested, clock_ceiling: held.clock_ceiling };
    let caps = |held: &[CapHeld]| held.iter().map(cap).collect::<Vec<_>>();
    let (before, after) = (caps(&attempt.capping.held), caps(&stand));
    attempt.capping.held = stand;
    if before != after {
        let one = after.first().copied().unwrap_or_default();
        let equal = after.iter().all(|cap| *cap == one);
        attempt.capping.windows.held(if equal { one } else { Cap::default() }, equal, Boot.now());
    }
}
