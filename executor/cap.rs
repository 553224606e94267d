//! The limits of this node's GPUs and the ceilings of their clocks as leases of the privileged helper: asked for, renewed, given
//! back however a job ends.
//!
//! What is wanted stands here; what is held is the helper's word. A refusal is told and leaves the job as it is; one of a ceiling
//! leaves the limit. Tokens are kept on disk, so that an executor that was killed goes on with what it held, and gives back what
//! nobody wants any more. Nothing is held for a scheduler that is not heard: its leases run out, and are taken again once it is.

mod door;
mod gpu;
mod seek;
#[cfg(test)]
mod tests;

pub use door::{Caps, Socket};
pub use seek::{Seeker, Sought};

use crate::domains::Cap;
use crate::powerd::{Answer, Refusal, Request, TERM};
use gpu::Gpu;
use neap_model::cap::{CapHeld, Uncapped};
use neap_model::units::{Megahertz, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A lease is renewed so often: three times within its term.
pub const RENEW: Duration = Duration::from_secs(20);
/// Nothing is taken or renewed once the scheduler was not heard for so long: twice as long as it may hold an answer back. A lease that was renewed just before has ended
/// [`TERM`] later, and one that was to be renewed just then lasts for 50 s of silence.
pub const UNHEARD: Duration = Duration::from_secs(10);
/// What may pass is tried again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// A board that is held by a lease whose token was lost comes free when that ends.
const HELD: Duration = Duration::from_secs(5);

/// Somebody to ask for limits.
pub trait Helper {
    /// One request, one answer; `None`: it does not answer.
    fn ask(&mut self, request: &Request) -> Option<Answer>;
}

/// What is wanted of a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Limit and ceiling.
    pub cap: Cap,
    /// For whom.
    pub attempt: String,
}

/// A lease as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// As given by the helper.
    pub lease: String,
    /// The limit it was asked for; `None`: none.
    pub limit: Option<Watts>,
    /// The ceiling of the core clock it was asked for, in megahertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
}

impl Token {
    const fn cap(&self) -> Cap {
        Cap { limit: self.limit, clock_ceiling: self.clock_ceiling }
    }
}

/// The limits of a node, apart from how the helper is reached and when.
#[derive(Debug)]
pub struct Holder<H> {
    helper: H,
    gpus: BTreeMap<String, Gpu>,
    changed: bool,
    /// When the scheduler answered last; `None`: never in this life.
    heard: Option<Duration>,
}

impl<H: Helper> Holder<H> {
    /// With the tokens that an earlier life left.
    pub fn new(helper: H, tokens: BTreeMap<String, Token>) -> Self {
        let gpu = |(uuid, token): (String, Token)| {
            let (requested, clock_ceiling) = (token.limit, token.clock_ceiling);
            let held = CapHeld { gpu: uuid.clone(), requested, clock_ceiling, ..CapHeld::default() };
            (uuid, Gpu { token: Some(token), held, ..Gpu::default() })
        };
        Self { helper, gpus: tokens.into_iter().map(gpu).collect(), changed: false, heard: None }
    }

    /// The helper holds this for an attempt of ours, and there is no token of it.
    pub fn orphaned(&mut self, gpu: &str, held: Wanted) {
        let entry = self.gpus.entry(gpu.to_owned()).or_default();
        if entry.token.is_none() {
            gpu.clone_into(&mut entry.held.gpu);
            entry.orphan = Some(held);
        }
    }

    /// The scheduler answered at that time.
    pub fn hear(&mut self, at: Duration) {
        self.heard = self.heard.max(Some(at));
    }

    /// Whether there is a scheduler for whom anything may be held.
    #[must_use]
    pub fn hears(&self, now: Duration) -> bool {
        self.heard.is_some_and(|heard| now < heard + UNHEARD)
    }

    /// From now on this is wanted; `None`: as it was found.
    pub fn want(&mut self, gpu: &str, wanted: Option<Wanted>) {
        if wanted.is_none() && !self.gpus.contains_key(gpu) {
            return;
        }
        let entry = self.gpus.entry(gpu.to_owned()).or_default();
        if entry.wanted == wanted {
            return;
        }
        entry.held.gpu = gpu.to_owned();
        let cap = wanted.as_ref().map(|wanted| wanted.cap).unwrap_or_default();
        (entry.held.wanted, entry.held.clock_ceiling_wanted) = (cap.limit, cap.clock_ceiling);
        entry.wanted = wanted;
        (entry.refused, entry.not_before) = (false, Duration::ZERO);
        (entry.held.because, entry.held.no_clock_ceiling) = (None, None);
    }

    /// How every GPU stands for which anything was ever wanted.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, CapHeld> {
        self.gpus.iter().map(|(uuid, gpu)| (uuid.clone(), gpu.held.clone())).collect()
    }

    /// The leases, if they changed since this was asked last: to be written down.
    pub fn changed_tokens(&mut self) -> Option<BTreeMap<String, Token>> {
        let tokens = || self.gpus.iter().filter_map(|(uuid, gpu)| Some((uuid.clone(), gpu.token.clone()?)));
        std::mem::take(&mut self.changed).then(|| tokens().collect())
    }

    /// Does what is due, and says when to come again at the latest.
    pub fn tend(&mut self, now: Duration) -> Duration {
        let hears = self.hears(now);
        for uuid in self.gpus.keys().cloned().collect::<Vec<_>>() {
            let gpu = self.gpus.get_mut(&uuid).expect("it is listed");
            gpu.sent.get_or_insert(now.saturating_sub(RENEW));
            if now < gpu.not_before {
                continue;
            }
            match (gpu.target(), gpu.token.clone()) {
                (Some(_), token) if !hears => self.run_out(&uuid, token.is_some(), now),
                (Some(target), None) if !gpu.refused => self.acquire(&uuid, target, now),
                // A lease keeps a limit until it ends: without one it begins anew.
                (Some(target), Some(token))
                    if gpu.moves(&token, target.cap) && token.limit.is_some() && target.cap.limit.is_none() =>
                {
                    self.begin_anew(&uuid, token, target, now);
                }
                (Some(target), Some(token)) if gpu.moves(&token, target.cap) || now >= gpu.sent() + RENEW => {
                    let to = if gpu.moves(&token, target.cap) { target.cap } else { token.cap() };
                    self.renew(&uuid, &token, to, now);
                }
                (None, Some(token)) => self.end(&uuid, token, now),
                (None, None) if gpu.wanted.is_none() => match gpu.orphan.clone() {
                    Some(orphan) => self.acquire(&uuid, orphan, now),
                    None => {
                        self.gpus.remove(&uuid);
                    }
                },
                _ => {}
            }
        }
        let due = |gpu: &Gpu| match (gpu.target(), &gpu.token) {
            (Some(_), Some(_)) if !hears => (gpu.sent() + TERM).max(gpu.not_before),
            (Some(_), None) if !hears => Duration::MAX,
            (Some(target), Some(token)) if !gpu.moves(token, target.cap) => (gpu.sent() + RENEW).max(gpu.not_before),
            (Some(_), None) if gpu.refused => Duration::MAX,
            (None, None) if gpu.wanted.is_some() => Duration::MAX,
            _ => gpu.not_before,
        };
        self.gpus.values().map(due).min().unwrap_or(Duration::MAX)
    }

    /// Nobody is heard for whom it is held: its lease ends by itself, and until somebody is none is asked for.
    fn run_out(&mut self, uuid: &str, has_lease: bool, now: Duration) {
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        if !has_lease {
            gpu.held.because = gpu.held.because.or(Some(Uncapped::NoScheduler));
        } else if now >= gpu.sent() + TERM {
            self.forget(uuid, Some(Uncapped::NoScheduler));
        }
    }

    fn acquire(&mut self, uuid: &str, Wanted { cap, attempt }: Wanted, now: Duration) {
        let request = Request::Acquire {
            gpu: uuid.to_owned(),
            limit_watts: cap.limit.map(whole_watts),
            clock_ceiling_megahertz: cap.clock_ceiling.map(|ceiling| ceiling.0),
            ttl_seconds: TERM.as_secs(),
            attempt,
        };
        let answer = self.helper.ask(&request);
        self.heard(uuid, answer, cap, now);
    }

    fn renew(&mut self, uuid: &str, token: &Token, to: Cap, now: Duration) {
        // An earlier version of the helper knows nothing of ceilings: they are spoken of only where they change.
        let request = Request::Renew {
            lease: token.lease.clone(),
            limit_watts: to.limit.filter(|_| to.limit != token.limit).map(whole_watts),
            clock_ceiling_megahertz: (to.clock_ceiling != token.clock_ceiling)
                .then(|| to.clock_ceiling.map_or(0, |ceiling| ceiling.0)),
        };
        let answer = self.helper.ask(&request);
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        match answer.as_ref().and_then(|answer| answer.error) {
            // It ended, or the helper was started anew: from the beginning, and at once.
            Some(Refusal::StaleEpoch) => {
                self.forget(uuid, None);
                if let Some(target) = self.gpus[uuid].target() {
                    self.acquire(uuid, target, now);
                }
            }
            // Its limit is somebody else's, or undone: the lease holds nothing any more.
            Some(Refusal::ForeignLimit | Refusal::Device | Refusal::GpuLost) => {
                let request = Request::Release { lease: token.lease.clone(), to_found: false };
                drop(self.helper.ask(&request));
                self.forget(uuid, None);
                self.heard(uuid, answer, token.cap(), now);
            }
            Some(Refusal::RateLimited) => gpu.not_before = now + AGAIN,
            // The helper is away. Its lease runs out by itself, and then nobody holds the limit.
            None if answer.is_none() => {
                gpu.not_before = now + AGAIN;
                if now >= gpu.sent() + TERM {
                    self.forget(uuid, Some(Uncapped::NoHelper));
                }
            }
            _ => {
                let really = answer.as_ref().filter(|answer| answer.ok).map(|answer| in_force(answer, token, to));
                self.heard(uuid, answer, really.unwrap_or(to), now);
            }
        }
    }

    fn begin_anew(&mut self, uuid: &str, token: Token, target: Wanted, now: Duration) {
        if self.release(uuid, token, now) {
            self.acquire(uuid, target, now);
        }
    }

    /// Gives it back. What is wanted and was refused is told on.
    fn end(&mut self, uuid: &str, token: Token, now: Duration) {
        if self.release(uuid, token, now) && self.gpus[uuid].wanted.is_none() {
            self.gpus.remove(uuid);
        }
    }

    /// Says whether it is given back.
    fn release(&mut self, uuid: &str, token: Token, now: Duration) -> bool {
        let request = Request::Release { lease: token.lease, to_found: false };
        let done =
            self.helper.ask(&request).is_some_and(|answer| answer.ok || answer.error == Some(Refusal::StaleEpoch));
        if done {
            self.forget(uuid, None);
        } else {
            self.gpus.get_mut(uuid).expect("it is listed").not_before = now + AGAIN;
        }
        done
    }

    /// Takes an answer in that was asked at `now` for `cap`.
    fn heard(&mut self, uuid: &str, answer: Option<Answer>, cap: Cap, now: Duration) {
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        let Some(answer) = answer else {
            (gpu.not_before, gpu.held.because) = (now + AGAIN, Some(Uncapped::NoHelper));
            return;
        };
        if let (true, Some(lease)) = (answer.ok, &answer.lease) {
            let token = Token { lease: lease.clone(), limit: cap.limit, clock_ceiling: cap.clock_ceiling };
            self.changed |= gpu.token.as_ref() != Some(&token);
            (gpu.token, gpu.sent, gpu.orphan) = (Some(token), Some(now), None);
            gpu.held.found = answer.found_milliwatts.map(Watts);
            gpu.held.requested = answer.requested_milliwatts.map(Watts).filter(|_| cap.limit.is_some());
            gpu.held.enforced = answer.enforced_milliwatts.map(Watts);
            gpu.held.clock_ceiling = answer.clock_ceiling_megahertz;
            if !gpu.refused {
                gpu.held.because = None;
            }
            return;
        }
        let (because, again) = match answer.error {
            Some(Refusal::Held) => (Uncapped::Device, Some(HELD)),
            Some(Refusal::RateLimited | Refusal::Device | Refusal::GpuLost) | None => (Uncapped::Device, Some(AGAIN)),
            Some(Refusal::StaleEpoch) => (Uncapped::Device, Some(Duration::ZERO)),
            Some(Refusal::NoPermission | Refusal::NotAllowed) => (Uncapped::NoPermission, None),
            Some(Refusal::NotSupported | Refusal::UnknownGpu | Refusal::BadRequest) => (Uncapped::NotSupported, None),
            Some(Refusal::OutOfRange) => (Uncapped::OutOfRange, None),
            Some(Refusal::ForeignLimit) => (Uncapped::Foreign, None),
            Some(Refusal::Inconclusive) => (Uncapped::Inconclusive, None),
        };
        let ceiling = matches!(answer.error, Some(Refusal::NotSupported | Refusal::BadRequest | Refusal::NoPermission));
        if ceiling && cap.clock_ceiling.is_some() && gpu.orphan.is_none() {
            // It may be for the ceiling alone: the limit is asked for without. A lease that ended over it is found out at once.
            (gpu.held.no_clock_ceiling, gpu.not_before) = (Some(because), now);
            gpu.sent = Some(now.saturating_sub(RENEW));
            return;
        }
        gpu.held.because = Some(because);
        if again.is_none_or(|pause| pause == HELD) {
            // It is not ours, or nothing can be done about it.
            gpu.orphan = None;
        }
        match again {
            Some(pause) => gpu.not_before = now + pause,
            // With a lease it goes on at the limit it has.
            None => gpu.refused = true,
        }
    }

    fn forget(&mut self, uuid: &str, because: Option<Uncapped>) {
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        self.changed |= gpu.token.take().is_some();
        (gpu.held.requested, gpu.held.enforced, gpu.held.found) = (None, None, None);
        gpu.held.clock_ceiling = None;
        gpu.held.because = because;
    }
}

/// What a lease holds after a renewal, by its answer: an earlier life may have changed it and died before it wrote that down.
/// What this renewal asked for is what was asked for.
fn in_force(answer: &Answer, token: &Token, to: Cap) -> Cap {
    let limit = match answer.requested_milliwatts.map(Watts) {
        Some(there) if to.limit == token.limit => {
            let as_found = token.limit.is_none() && answer.found_milliwatts == Some(there.0);
            if as_found { None } else { Some(there) }
        }
        _ => to.limit,
    };
    let there = answer.clock_ceiling_megahertz;
    let clock_ceiling = if to.clock_ceiling == token.clock_ceiling { there } else { to.clock_ceiling };
    Cap { limit, clock_ceiling }
}

const fn whole_watts(limit: Watts) -> u64 {
    limit.0 / 1_000
}
