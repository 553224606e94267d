//! An attempt's limit and ceiling: wanted by the scheduler, held by the helper, and how fast the job goes under it.

use super::{Attempt, Executor};
use crate::cap::{Caps, Socket, Sought, UNHEARD, Wanted};
use crate::clock::{Boot, Clock, millis};
use crate::domains::Cap;
use crate::pace;
use crate::powerd::{Held, TERM};
use neap_model::cap::{CapHeld, CapOrder, CapUse, Uncapped};
use neap_model::fleet::Gpu;
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
    /// Looks for the helper, and says in the inventory what may be asked of it; asks it again from time to time, for it may be
    /// started anew with another file. Waits at most so long for an answer. Says whether the scheduler should hear of it.
    pub(super) fn find_helper(&mut self, at_most: Duration) -> bool {
        if self.node.inventory.gpus.is_empty() {
            return false;
        }
        let Some(sought) = self.seeker.seek(&Socket(self.config.power_socket.clone()), at_most) else { return false };
        let at = self.config.power_socket.display();
        let now = Boot.now();
        let said = match sought {
            Sought::Found(answer) => {
                let anew = self.helper.is_some_and(|(_, epoch)| epoch != answer.epoch);
                let back = self.node.inventory.gpus.iter().any(|gpu| gpu.uncapped == Some(Uncapped::NoHelper));
                if anew || back {
                    (self.notice)(&format!("the helper at {at} answers: limits of GPUs are what it allows"));
                }
                self.helper = Some((now, answer.epoch));
                Some((answer.gpus, anew))
            }
            // Within the term of a lease it may be on its way back, and nothing that it holds has ended.
            Sought::Away if self.helper.is_some_and(|(heard, _)| now < heard + TERM) => return false,
            Sought::Away => {
                let first = self.helper.take().is_some() || self.node.inventory.gpus.iter().all(is_unsaid);
                if first {
                    (self.notice)(&format!("no power limits: nobody answers at {at}; jobs run uncapped"));
                }
                None
            }
        };
        let said = said.as_ref().map(|(gpus, anew)| (gpus.as_slice(), *anew));
        let mut news = false;
        for gpu in &mut self.node.inventory.gpus {
            news |= take_word(gpu, said);
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

/// The helper was never heard of it.
fn is_unsaid(gpu: &Gpu) -> bool {
    gpu.settable.is_none() && gpu.uncapped.is_none()
}

/// What the helper says of a board, and whether it was started anew since; `None`: it does not answer. Says whether that is news.
fn take_word(gpu: &mut Gpu, said: Option<(&[Held], bool)>) -> bool {
    let before = (gpu.settable, gpu.uncapped);
    let (held, anew) = match said {
        Some((gpus, anew)) => (gpus.iter().find(|held| held.gpu == gpu.uuid), anew),
        None => (None, false),
    };
    // Without permission nobody asks again and again: it is asked once more when the helper was started anew.
    if before.1 == Some(Uncapped::NoPermission) && !anew {
        return false;
    }
    let settable = held.and_then(Held::settable);
    (gpu.settable, gpu.uncapped) = match (said, settable) {
        (None, _) => (None, Some(Uncapped::NoHelper)),
        (Some(_), None) => (None, Some(Uncapped::NotSupported)),
        (Some(_), Some(_)) => (settable, None),
    };
    // Held for an earlier life of this executor: what was found is what it stands at without us.
    let found = held.filter(|held| held.state == "leased").and_then(|held| held.found_milliwatts);
    if let Some(found) = found.filter(|_| before.0.is_none()) {
        gpu.limit = Watts(found);
    }
    before != (gpu.settable, gpu.uncapped)
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

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Watts = Watts::whole(500);
    const SAFE: u64 = 350_000;

    fn board() -> Gpu {
        let (uuid, model) = ("GPU-a".to_owned(), "A40".to_owned());
        Gpu { uuid, index: 0, model, limit: FOUND, settable: None, uncapped: None }
    }

    fn held(state: &str, requested: u64, safe: Option<u64>) -> Held {
        Held {
            gpu: "GPU-a".into(),
            state: state.into(),
            found_milliwatts: (state != "free").then_some(FOUND.0),
            requested_milliwatts: Some(requested),
            attempt: None,
            settable_milliwatts: Some((100_000, 600_000)),
            safe_milliwatts: safe,
            clock_ceiling_megahertz: None,
            settable_megahertz: None,
        }
    }

    fn safe(gpu: &Gpu) -> Option<u64> {
        gpu.settable.and_then(|range| range.safe).map(|safe| safe.0)
    }

    #[test]
    fn a_helper_that_comes_back_with_another_file_is_believed() {
        let mut gpu = board();
        assert!(take_word(&mut gpu, None) && gpu.uncapped == Some(Uncapped::NoHelper));
        assert!(!take_word(&mut gpu, None), "that is no news");
        let plain = [held("free", FOUND.0, None)];
        assert!(take_word(&mut gpu, Some((&plain, false))));
        assert_eq!((safe(&gpu), gpu.uncapped, gpu.settable.map(|range| range.found)), (None, None, Some(None)));
        assert!(!take_word(&mut gpu, Some((&plain, false))));
        let feeder = [held("safe_cap", SAFE, Some(SAFE))];
        assert!(take_word(&mut gpu, Some((&feeder, true))));
        assert_eq!((safe(&gpu), gpu.settable.and_then(|range| range.found)), (Some(SAFE), Some(FOUND)));
        assert_eq!(gpu.limit, FOUND, "what this executor found stays what it found");
        // And one that is gone for good promises nothing any more.
        assert!(take_word(&mut gpu, None) && gpu.settable.is_none());
    }

    #[test]
    fn a_board_that_stands_above_its_safe_cap_and_is_not_ours_is_promised_nothing() {
        for (state, requested, safe_at) in [
            ("leased", 500_000, Some(SAFE)),
            ("safe_cap", SAFE, Some(SAFE)),
            ("free", 300_000, Some(SAFE)),
            ("free", 500_000, None),
            ("foreign", 444_000, None),
            ("inconclusive", 444_000, None),
        ] {
            let mut gpu = board();
            take_word(&mut gpu, Some((&[held(state, requested, Some(SAFE))], false)));
            assert_eq!(safe(&gpu), safe_at, "{state} at {requested} mW");
        }
    }

    #[test]
    fn without_permission_it_is_asked_again_when_the_helper_was_started_anew() {
        let mut gpu = board();
        gpu.uncapped = Some(Uncapped::NoPermission);
        let said = [held("free", FOUND.0, None)];
        assert!(!take_word(&mut gpu, Some((&said, false))) && !take_word(&mut gpu, None));
        assert!(take_word(&mut gpu, Some((&said, true))) && gpu.settable.is_some());
    }
}
