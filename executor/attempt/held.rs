//! Starts for which there are watts at a limit and for no more: the job's process starts once every GPU of it is held there, and
//! else not at all.
//!
//! An executor that dies meanwhile leaves a directory that no guard claimed: its next life drops it, gives the limits back, and
//! is offered the lease again.

use super::Executor;
use crate::clock::{Boot, Clock};
use neap_model::cap::{CapHeld, Uncapped};
use neap_model::job::AttemptId;
use neap_model::lifecycle::AttemptEnd;
use neap_model::units::Watts;
use std::time::Duration;

/// A start waits so long for its limit. What may pass is tried again until then.
const AT_MOST: Duration = Duration::from_secs(10);

/// Whether a job may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    /// All its GPUs are held.
    Start,
    /// Not yet.
    Wait,
    /// They cannot be.
    Never(Uncapped),
}

/// How a start stands that has waited so long for its GPUs to be held at that limit.
fn ready(gpus: &[String], limit: Option<Watts>, held: &[CapHeld], waited: Duration) -> Ready {
    let Some(limit) = limit else { return Ready::Never(Uncapped::OutOfRange) };
    let stands = |uuid: &String| held.iter().find(|held| held.gpu == *uuid && held.wanted == Some(limit));
    let holds = |held: &CapHeld| held.because.is_none() && held.requested.is_some_and(|at| at <= limit);
    if gpus.iter().all(|uuid| stands(uuid).is_some_and(holds)) {
        return Ready::Start;
    }
    let refused = || gpus.iter().filter_map(stands).filter_map(|held| held.because);
    match refused().find(|because| !because.passes()) {
        Some(because) => Ready::Never(because),
        None if waited < AT_MOST => Ready::Wait,
        None => Ready::Never(refused().next().unwrap_or(Uncapped::NoHelper)),
    }
}

impl Executor {
    /// Starts who waited for a limit that is held now, and lets go of who waited in vain or is not wanted any more. Says whether
    /// the scheduler should hear of it.
    pub(super) fn start_held(&mut self) -> bool {
        let now = Boot.now();
        let mut news = false;
        let waiting: Vec<(AttemptId, Duration)> =
            self.attempts.iter().filter_map(|(id, attempt)| Some((*id, attempt.waits?))).collect();
        for (id, since) in waiting {
            let Some(attempt) = self.attempts.get_mut(&id) else { continue };
            let lease = &attempt.work.lease;
            let waited = if attempt.stopping.is_some() { AT_MOST } else { now.saturating_sub(since) };
            let stands = ready(&lease.gpus, lease.cap, &attempt.capping.held, waited);
            if stands == Ready::Wait {
                continue;
            }
            (attempt.waits, news) = (None, true);
            match stands {
                Ready::Never(because) => {
                    (self.notice)(&format!(
                        "attempt {id} was to start at a limit, and does not: {}",
                        because.sentence()
                    ));
                    self.not_started(id, AttemptEnd::NotHeld { because });
                }
                Ready::Start | Ready::Wait => self.launch(id),
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Watts = Watts::whole(200);

    fn at(gpu: &str, requested: Option<u64>, because: Option<Uncapped>) -> CapHeld {
        let requested = requested.map(Watts::whole);
        CapHeld { gpu: gpu.into(), wanted: Some(LIMIT), requested, because, ..CapHeld::default() }
    }

    fn check(held: &[CapHeld], waited: u64, expected: Ready) {
        let gpus = ["a".to_owned(), "b".to_owned()];
        assert_eq!(ready(&gpus, Some(LIMIT), held, Duration::from_secs(waited)), expected, "{held:?} after {waited} s");
    }

    #[test]
    fn nothing_starts_before_every_gpu_is_held_at_its_limit() {
        check(&[], 0, Ready::Wait);
        check(&[at("a", Some(200), None)], 9, Ready::Wait);
        check(&[at("a", Some(200), None), at("b", None, None)], 9, Ready::Wait);
        check(&[at("a", Some(200), None), at("b", Some(201), None)], 9, Ready::Wait);
        check(&[at("a", Some(200), None), at("b", Some(150), None)], 9, Ready::Start);
        // What was held for an earlier job says nothing.
        let other = CapHeld { wanted: Some(Watts::whole(150)), ..at("b", Some(150), None) };
        check(&[at("a", Some(200), None), other], 9, Ready::Wait);
    }

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_ends_it_at_once() {
        let held = |because| [at("a", Some(200), None), at("b", None, Some(because))];
        for because in [Uncapped::Device, Uncapped::NoHelper, Uncapped::NoScheduler] {
            check(&held(because), 9, Ready::Wait);
            check(&held(because), 10, Ready::Never(because));
        }
        for because in [Uncapped::NoPermission, Uncapped::Foreign, Uncapped::OutOfRange, Uncapped::Inconclusive] {
            check(&held(because), 0, Ready::Never(because));
        }
        // At its old limit with a renewal that was refused: it may be raised any time.
        check(
            &[at("a", Some(150), Some(Uncapped::Foreign)), at("b", Some(200), None)],
            0,
            Ready::Never(Uncapped::Foreign),
        );
        check(&[], 10, Ready::Never(Uncapped::NoHelper));
        assert_eq!(ready(&[], None, &[], Duration::ZERO), Ready::Never(Uncapped::OutOfRange));
    }
}
