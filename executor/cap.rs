//! The limits of this node's GPUs as leases of the privileged helper: asked for, renewed, given back however a job ends.
//!
//! What is wanted stands here; what is held is the helper's word. A refusal is told and leaves the job as it is. Tokens are
//! kept on disk, so that an executor that was killed goes on with what it held, and gives back what nobody wants any more.

mod door;
mod seek;
#[cfg(test)]
mod tests;

pub use door::{Caps, Socket};
pub use seek::{Seeker, Sought};

use crate::powerd::{Answer, Refusal, Request, TERM};
use neap_model::cap::{CapHeld, Uncapped};
use neap_model::units::Watts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A lease is renewed so often: three times within its term.
pub const RENEW: Duration = Duration::from_secs(20);
/// What may pass is tried again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// A board that is held by a lease whose token was lost comes free when that ends.
const HELD: Duration = Duration::from_secs(5);

/// Somebody to ask for limits.
pub trait Helper {
    /// One request, one answer; `None`: it does not answer.
    fn ask(&mut self, request: &Request) -> Option<Answer>;
}

/// A lease as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// As given by the helper.
    pub lease: String,
    /// The limit it was asked for.
    pub limit: Watts,
}

#[derive(Clone, Debug, Default)]
struct Gpu {
    wanted: Option<(Watts, String)>,
    token: Option<Token>,
    /// When the token was last answered for, counted from when that was asked.
    sent: Duration,
    /// Not asked again before.
    not_before: Duration,
    /// A refusal that stands until something else is wanted.
    refused: bool,
    /// An earlier life's lease whose token was lost, by limit and attempt: it is taken over to be given back.
    orphan: Option<(Watts, String)>,
    held: CapHeld,
}

impl Gpu {
    /// Whether its lease has to go to another limit.
    fn moves(&self, token: &Token, wanted: Watts) -> bool {
        token.limit != wanted && !self.refused
    }
}

/// The limits of a node, apart from how the helper is reached and when.
#[derive(Debug)]
pub struct Holder<H> {
    helper: H,
    gpus: BTreeMap<String, Gpu>,
    changed: bool,
}

impl<H: Helper> Holder<H> {
    /// With the tokens that an earlier life left.
    pub fn new(helper: H, tokens: BTreeMap<String, Token>) -> Self {
        let gpu = |(uuid, token): (String, Token)| {
            let held = CapHeld { gpu: uuid.clone(), requested: Some(token.limit), ..CapHeld::default() };
            (uuid, Gpu { token: Some(token), held, ..Gpu::default() })
        };
        Self { helper, gpus: tokens.into_iter().map(gpu).collect(), changed: false }
    }

    /// The helper holds this for an attempt of ours, and there is no token of it.
    pub fn orphaned(&mut self, gpu: &str, limit: Watts, attempt: &str) {
        let entry = self.gpus.entry(gpu.to_owned()).or_default();
        if entry.token.is_none() {
            gpu.clone_into(&mut entry.held.gpu);
            entry.orphan = Some((limit, attempt.to_owned()));
        }
    }

    /// From now on this limit is wanted, for that attempt; `None`: as it was found.
    pub fn want(&mut self, gpu: &str, wanted: Option<(Watts, String)>) {
        if wanted.is_none() && !self.gpus.contains_key(gpu) {
            return;
        }
        let entry = self.gpus.entry(gpu.to_owned()).or_default();
        if entry.wanted == wanted {
            return;
        }
        entry.held.gpu = gpu.to_owned();
        entry.held.wanted = wanted.as_ref().map(|(limit, _)| *limit);
        entry.wanted = wanted;
        (entry.refused, entry.not_before) = (false, Duration::ZERO);
        entry.held.because = None;
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
        for uuid in self.gpus.keys().cloned().collect::<Vec<_>>() {
            let gpu = &self.gpus[&uuid];
            if now < gpu.not_before {
                continue;
            }
            match (gpu.wanted.clone(), gpu.token.clone()) {
                (Some((limit, attempt)), None) if !gpu.refused => self.acquire(&uuid, limit, attempt, now),
                (Some((limit, _)), Some(token)) if gpu.moves(&token, limit) || now >= gpu.sent + RENEW => {
                    let to = gpu.moves(&token, limit).then_some(limit);
                    self.renew(&uuid, &token, to, now);
                }
                (None, Some(token)) => self.release(&uuid, token, now),
                (None, None) => match gpu.orphan.clone() {
                    Some((limit, attempt)) => self.acquire(&uuid, limit, attempt, now),
                    None => {
                        self.gpus.remove(&uuid);
                    }
                },
                _ => {}
            }
        }
        let due = |gpu: &Gpu| match (&gpu.wanted, &gpu.token) {
            (Some((limit, _)), Some(token)) if !gpu.moves(token, *limit) => (gpu.sent + RENEW).max(gpu.not_before),
            (Some(_), None) if gpu.refused => Duration::MAX,
            _ => gpu.not_before,
        };
        self.gpus.values().map(due).min().unwrap_or(Duration::MAX)
    }

    fn acquire(&mut self, uuid: &str, limit: Watts, attempt: String, now: Duration) {
        let request = Request::Acquire {
            gpu: uuid.to_owned(),
            limit_watts: Some(limit.0 / 1_000),
            clock_ceiling_megahertz: None,
            ttl_seconds: TERM.as_secs(),
            attempt,
        };
        let answer = self.helper.ask(&request);
        self.heard(uuid, answer, limit, now);
    }

    fn renew(&mut self, uuid: &str, token: &Token, to: Option<Watts>, now: Duration) {
        let request = Request::Renew {
            lease: token.lease.clone(),
            limit_watts: to.map(|limit| limit.0 / 1_000),
            clock_ceiling_megahertz: None,
        };
        let answer = self.helper.ask(&request);
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        match answer.as_ref().and_then(|answer| answer.error) {
            // It ended, or the helper was started anew: from the beginning, and at once.
            Some(Refusal::StaleEpoch) => {
                self.forget(uuid, None);
                if let Some((limit, attempt)) = self.gpus[uuid].wanted.clone() {
                    self.acquire(uuid, limit, attempt, now);
                }
            }
            // Its limit is somebody else's, or undone: the lease holds nothing any more.
            Some(Refusal::ForeignLimit | Refusal::Device | Refusal::GpuLost) => {
                let request = Request::Release { lease: token.lease.clone(), to_found: false };
                drop(self.helper.ask(&request));
                self.forget(uuid, None);
                self.heard(uuid, answer, token.limit, now);
            }
            Some(Refusal::RateLimited) => gpu.not_before = now + AGAIN,
            // The helper is away. Its lease runs out by itself, and then nobody holds the limit.
            None if answer.is_none() => {
                gpu.not_before = now + AGAIN;
                if now >= gpu.sent + TERM {
                    self.forget(uuid, Some(Uncapped::NoHelper));
                }
            }
            _ => self.heard(uuid, answer, to.unwrap_or(token.limit), now),
        }
    }

    fn release(&mut self, uuid: &str, token: Token, now: Duration) {
        let request = Request::Release { lease: token.lease, to_found: false };
        match self.helper.ask(&request) {
            Some(answer) if answer.ok || answer.error == Some(Refusal::StaleEpoch) => {
                self.forget(uuid, None);
                self.gpus.remove(uuid);
            }
            _ => self.gpus.get_mut(uuid).expect("it is listed").not_before = now + AGAIN,
        }
    }

    /// Takes an answer in that was asked at `now` for `limit`.
    fn heard(&mut self, uuid: &str, answer: Option<Answer>, limit: Watts, now: Duration) {
        let gpu = self.gpus.get_mut(uuid).expect("it is listed");
        let Some(answer) = answer else {
            (gpu.not_before, gpu.held.because) = (now + AGAIN, Some(Uncapped::NoHelper));
            return;
        };
        if let (true, Some(lease)) = (answer.ok, &answer.lease) {
            let token = Token { lease: lease.clone(), limit };
            self.changed |= gpu.token.as_ref() != Some(&token);
            (gpu.token, gpu.sent, gpu.orphan) = (Some(token), now, None);
            gpu.held.found = answer.found_milliwatts.map(Watts);
            gpu.held.requested = answer.requested_milliwatts.map(Watts);
            gpu.held.enforced = answer.enforced_milliwatts.map(Watts);
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
        gpu.held.because = because;
    }
}
