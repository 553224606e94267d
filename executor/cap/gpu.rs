//! What is wanted of one GPU, and what the helper said of it last.

use super::{Token, Wanted};
use crate::domains::Cap;
use neap_model::cap::CapHeld;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(super) struct Gpu {
    pub(super) wanted: Option<Wanted>,
    pub(super) token: Option<Token>,
    /// When the token was last answered for, counted from when that was asked; an earlier life's counts as due when it is seen.
    pub(super) sent: Option<Duration>,
    /// Not asked again before.
    pub(super) not_before: Duration,
    /// A refusal that stands until something else is wanted.
    pub(super) refused: bool,
    /// An earlier life's lease whose token was lost: it is taken over to be given back.
    pub(super) orphan: Option<Wanted>,
    pub(super) held: CapHeld,
}

impl Gpu {
    /// What is asked for of what is wanted: a ceiling that was refused is left out. `None`: nothing.
    pub(super) fn target(&self) -> Option<Wanted> {
        let Wanted { mut cap, attempt } = self.wanted.clone()?;
        cap.clock_ceiling = cap.clock_ceiling.filter(|_| self.held.no_clock_ceiling.is_none());
        (cap != Cap::default()).then_some(Wanted { cap, attempt })
    }

    /// Whether its lease has to go to another limit or ceiling.
    pub(super) fn moves(&self, token: &Token, target: Cap) -> bool {
        token.cap() != target && !self.refused
    }

    /// When its lease was asked for.
    pub(super) fn sent(&self) -> Duration {
        self.sent.unwrap_or_default()
    }
}
