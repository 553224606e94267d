//! What could be in force on one GPU: orders that may yet be carried out, what was confirmed last, what is left without a lease.

use super::{AGAIN, Because, Board, Config, STALE, Seen, SetPoint, Stand};
use neap_model::units::Watts;
use std::time::Duration;

/// Orders that are kept apart; of more the oldest two count as one.
const APART: usize = 8;
/// A lowering that is not confirmed for so long may not come: until it is, the GPU counts as one whose limit is not ours.
pub(super) const STUCK: Duration = Duration::from_secs(5);
/// A sample is the mean of a second, and a board takes a while to come down.
const SETTLES: Duration = Duration::from_secs(2);
/// Power is remembered over twice as long.
const PEAK: Duration = Duration::from_secs(30);

/// How it stands, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing was heard of it yet.
    Never,
    /// As it was told.
    Told(Stand),
    /// It stands where nothing ordered put it: somebody's decision, or a driver that was just loaded.
    Strange,
    /// Its node cannot be reached; whether its limit was ours until then.
    Lost { ours: bool },
}

/// An order that may yet be carried out.
#[derive(Clone, Debug)]
struct Sent {
    order: u64,
    limit: Watts,
    first: Duration,
    last: Duration,
    because: Because,
}

/// A GPU.
#[derive(Clone, Debug)]
pub(super) struct Gpu {
    pub(super) board: Board,
    pub(super) known: Known,
    /// When what is known was read.
    told: Duration,
    /// When its node was heard or told last.
    contact: Duration,
    /// The last order that was confirmed, and its limit.
    carried: (u64, Watts),
    sent: Vec<Sent>,
    /// The last good sample.
    pub(super) sampled: Duration,
    pub(super) power: Option<Watts>,
    peaks: [Watts; 2],
    turned: Duration,
    /// Samples before that are of a higher limit.
    quiet: Duration,
    stuck: bool,
}

impl Gpu {
    pub(super) fn new(board: Board, now: Duration) -> Self {
        let carried = (0, board.most());
        Self {
            board,
            known: Known::Never,
            told: Duration::ZERO,
            contact: now,
            carried,
            sent: Vec::new(),
            sampled: now,
            power: None,
            peaks: [Watts::ZERO; 2],
            turned: now,
            quiet: now,
            stuck: false,
        }
    }

    /// Takes a read-back in. Older ones than what is known say nothing.
    pub(super) fn hear(&mut self, seen: &Seen, now: Duration) {
        if self.known != Known::Never && seen.at <= self.told {
            return;
        }
        (self.told, self.contact) = (seen.at, now);
        if now >= self.turned + PEAK {
            self.peaks = [Watts::ZERO, self.peaks[0]];
            self.turned = now;
        }
        if let Some(power) = seen.power {
            self.sampled = seen.at;
            if seen.at >= self.quiet {
                self.peaks[0] = self.peaks[0].max(power);
            }
        }
        self.power = seen.power;
        self.known = Known::Told(seen.stand);
        match seen.stand {
            Stand::Held { order } => {
                if order > self.carried.0 || self.carried.0 == 0 {
                    let limit = self.sent.iter().find(|sent| sent.order == order).map(|sent| sent.limit);
                    self.sent.retain(|sent| sent.order > order);
                    let limit = limit.unwrap_or(seen.limit);
                    if limit < self.carried.1 {
                        // What it drew under a higher limit says nothing about this one.
                        (self.peaks, self.quiet) = ([Watts::ZERO; 2], seen.at + SETTLES);
                    }
                    self.carried = (order, limit);
                }
                // Lower than ordered is somebody's too, who may raise it as well.
                if order < self.carried.0 || seen.limit != self.carried.1 {
                    self.known = Known::Strange;
                }
            }
            Stand::Free if seen.limit > self.board.left() => self.known = Known::Strange,
            Stand::Free | Stand::Foreign | Stand::Refused => {}
        }
    }

    /// Its node cannot be reached; once no lease can be left, it is where that leaves it, and no order can arrive any more.
    pub(super) fn lose(&mut self, heard: Duration, now: Duration, config: &Config) {
        self.contact = self.contact.max(heard);
        let ours = matches!(self.known, Known::Told(Stand::Held { .. } | Stand::Free) | Known::Lost { ours: true });
        self.known = Known::Lost { ours };
        if ours && now >= self.contact.saturating_add(config.lease).saturating_add(config.order_life) {
            self.settle();
        }
    }

    /// No order is left that could be carried out.
    pub(super) fn settle(&mut self) {
        self.sent.clear();
        self.carried.1 = self.board.left();
    }

    /// Whether nobody's lease is on it, as far as was told.
    pub(super) fn is_free(&self) -> bool {
        self.known == Known::Told(Stand::Free)
    }

    fn pending(&self) -> Watts {
        self.sent.iter().map(|sent| sent.limit).max().unwrap_or_default()
    }

    /// The highest limit that could be in force.
    pub(super) fn reserved(&self) -> Watts {
        let ours = self.carried.1.max(self.pending());
        match self.known {
            Known::Told(Stand::Held { .. }) => ours,
            Known::Told(Stand::Free) => ours.max(self.board.left()),
            // What it was told counts on: its node takes that again once it is back, before it can be told otherwise.
            Known::Lost { ours: true } => ours.max(self.board.left_unheard()),
            Known::Never
            | Known::Strange
            | Known::Lost { ours: false }
            | Known::Told(Stand::Foreign | Stand::Refused) => self.board.most().max(ours),
        }
    }

    /// The limit that will be in force once all is carried out; `None`: it stands at none of ours.
    pub(super) fn future(&self) -> Option<Watts> {
        let held = matches!(self.known, Known::Told(Stand::Held { .. })).then_some(self.carried.1);
        self.sent.last().map(|sent| sent.limit).or(held)
    }

    /// Whether its limit is ours to set now, and does what it is told.
    pub(super) fn is_ours(&self) -> bool {
        !self.stuck && self.answers()
    }

    /// Whether its node cannot be reached.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.known, Known::Lost { .. })
    }

    fn answers(&self) -> bool {
        matches!(self.known, Known::Told(Stand::Held { .. } | Stand::Free))
    }

    /// What it was seen to draw above its limit, where boards do not keep the lowest tenth of their range.
    pub(super) fn over(&self) -> Watts {
        let tenth = self.board.highest.saturating_sub(self.board.floor).0 / 10;
        match self.future() {
            Some(limit) if self.sent.is_empty() && limit.0 <= self.board.floor.0 + tenth => {
                self.peak().saturating_sub(self.reserved())
            }
            _ => Watts::ZERO,
        }
    }

    /// The most it was seen to draw in the last half to whole minute.
    pub(super) fn peak(&self) -> Watts {
        self.peaks[0].max(self.peaks[1])
    }

    /// The samples so far belong to another job.
    pub(super) fn forget_power(&mut self) {
        (self.peaks, self.power) = ([Watts::ZERO; 2], None);
    }

    pub(super) fn is_stale(&self, now: Duration) -> bool {
        now > self.sampled + STALE
    }

    /// Whether an order to go lower is on its way, for no longer than `patience`.
    pub(super) fn falls(&self, now: Duration, patience: Duration) -> bool {
        let young = |sent: &Sent| sent.limit < self.carried.1 && now < sent.first.saturating_add(patience);
        self.answers() && self.sent.iter().any(young)
    }

    /// Its node was in touch.
    pub(super) fn contact(&mut self, now: Duration) {
        self.contact = now;
        let late = |sent: &Sent| sent.limit < self.carried.1 && now >= sent.first + STUCK;
        self.stuck = self.answers() && self.sent.iter().any(late);
    }

    /// An order leaves.
    pub(super) fn order(&mut self, order: u64, limit: Watts, because: Because, now: Duration) -> SetPoint {
        if self.sent.len() >= APART {
            let oldest = self.sent.remove(0);
            self.sent[0].limit = self.sent[0].limit.max(oldest.limit);
        }
        self.sent.push(Sent { order, limit, first: now, last: now, because });
        self.contact = now;
        SetPoint { gpu: self.board.gpu.clone(), node: self.board.node.clone(), order, limit, because }
    }

    /// The last order once more, if it was not confirmed for a while.
    pub(super) fn again(&mut self, now: Duration) -> Option<SetPoint> {
        let reachable = !matches!(self.known, Known::Lost { .. } | Known::Told(Stand::Foreign | Stand::Refused));
        let sent = self.sent.last_mut().filter(|sent| reachable && now >= sent.last + AGAIN)?;
        (sent.last, self.contact) = (now, now);
        let (order, limit, because) = (sent.order, sent.limit, sent.because);
        Some(SetPoint { gpu: self.board.gpu.clone(), node: self.board.node.clone(), order, limit, because })
    }

    /// When it needs attention next.
    pub(super) fn due(&self) -> Option<Duration> {
        let again = self.sent.last().filter(|_| !self.is_lost()).map(|sent| sent.last + AGAIN);
        let stale = self.answers().then_some(self.sampled + STALE + Duration::from_millis(1));
        again.into_iter().chain(stale).min()
    }

    /// The last order that asked for this limit.
    pub(super) fn order_of(&self, limit: Watts) -> Option<u64> {
        let sent = self.sent.iter().rev().find(|sent| sent.limit == limit).map(|sent| sent.order);
        sent.or_else(|| (self.carried.1 == limit && self.carried.0 > 0).then_some(self.carried.0))
    }
}
