//! One GPU's readings → energy that never falls, never jumps and is never invented, with how well it is known. Pure: it is
//! told what was read and when.
//!
//! The counter leads and the integral of instantaneous power runs beside it. Where the counter starts anew, the integral
//! bridges the hole; where power is missing too, the mean around the hole does, and that part is `estimated`.

mod plausible;
mod tally;

use neap_model::units::{Joules, Watts};
use plausible::Plausible;
use std::time::Duration;
pub use tally::{Sample, Tally};

/// Readings further apart than that leave a hole.
pub const COVERED: Duration = Duration::from_millis(300);
/// Energy may come so late at a counter tick.
const TICK: Duration = Duration::from_millis(200);
/// A counter that stands still for so long is stuck: the slowest known ticks every 100 ms.
const STUCK: Duration = Duration::from_secs(1);
/// A counter that fell is believed to have started anew after so many readings in a row.
const BELIEVED: u32 = 3;

/// Exact sums behind whole millijoules: milliwatts times microseconds are nanojoules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Nano(u128);

impl Nano {
    fn of(power: Watts, time: Duration) -> Self {
        Self(u128::from(power.0) * time.as_micros())
    }

    /// Takes the whole millijoules out.
    fn whole(&mut self) -> Joules {
        let millijoules = self.0 / 1_000_000;
        self.0 %= 1_000_000;
        Joules(u64::try_from(millijoules).unwrap_or(u64::MAX))
    }
}

/// What the integral says since the counter last moved.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    measured: Nano,
    filled: Nano,
    hole: Duration,
}

/// A counter reading that does not follow from the one before: a glitch, or a new life.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    first: (Duration, u64),
    last: (Duration, u64),
    seen: u32,
    /// The integral up to the first such reading.
    until: Pending,
}

/// One GPU's readings, in order.
#[derive(Clone, Debug)]
pub struct Track {
    most: Watts,
    plausible: Plausible,
    last: Option<Duration>,
    power: Option<(Duration, Watts)>,
    /// The counter when it last moved.
    base: Option<(Duration, u64)>,
    /// The counter when it was first read.
    zero: Option<(Duration, u64)>,
    /// There was a counter once.
    counts: bool,
    stuck: bool,
    /// The driver was away: the counter starts anew, whatever it says.
    away: bool,
    suspect: Option<Suspect>,
    pending: Pending,
    /// Up to where the integral was extended without a reading.
    reached: Duration,
    rest: (Nano, Nano, Nano),
    tally: Tally,
}

impl Track {
    /// For a GPU whose highest limit is `most`.
    #[must_use]
    pub fn new(most: Watts) -> Self {
        Self {
            most,
            plausible: Plausible::new(most),
            last: None,
            power: None,
            base: None,
            zero: None,
            counts: false,
            stuck: false,
            away: false,
            suspect: None,
            pending: Pending::default(),
            reached: Duration::ZERO,
            rest: <_>::default(),
            tally: Tally::default(),
        }
    }

    /// Sums so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether there is an energy counter.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.counts
    }

    /// When it was last read.
    #[must_use]
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// The last power that can be true.
    #[must_use]
    pub fn watts(&self) -> Option<Watts> {
        self.power.map(|(_, watts)| watts)
    }

    /// Takes a reading. One from before the last is dropped.
    pub fn take(&mut self, sample: Sample) {
        let Sample { at, .. } = sample;
        if self.last.is_some_and(|last| at < last) {
            return;
        }
        // A counter that is itself in doubt, or silent, convicts nobody.
        let sure = self.suspect.is_none() && self.base.is_some_and(|(moved, _)| at.saturating_sub(moved) <= STUCK);
        let counted = sure.then(|| self.tally.energy());
        let power = sample.power.filter(|power| self.plausible.power(*power, counted, at));
        self.tally.implausible += u32::from(sample.power.is_some() && power.is_none());
        if let Some(last) = self.last.replace(at) {
            let step = at - last;
            self.tally.window += step;
            if step <= COVERED && (power.is_some() || sample.counter.is_some()) && !self.stuck {
                self.tally.covered += step;
            }
        }
        if let Some(power) = power {
            self.integrate(at, power);
        }
        match sample.counter {
            Some(counter) => self.count(at, counter.0),
            None if !self.counts => self.commit(self.pending),
            // It will span the time in between, or start anew.
            None => {}
        }
    }

    /// A boundary at which energy must be booked: what the counter owes since it last moved is filled in, and when it
    /// moves again it starts anew. Nothing is owed within the length of a tick.
    pub fn settle(&mut self, at: Duration) {
        let owed_since = match (self.base, self.counts) {
            (Some((moved, _)), true) => moved,
            (None, true) => return,
            _ => self.power.map_or(at, |(last, _)| last),
        };
        if at.saturating_sub(owed_since) <= COVERED {
            return;
        }
        self.reach(at);
        if let Some(last) = self.last
            && at > last
        {
            self.tally.window += at - last;
            self.last = Some(at);
        }
        self.commit(self.pending);
        (self.base, self.suspect) = (None, None);
    }

    /// The counter when it last moved, to be kept where a restart finds it.
    #[must_use]
    pub fn counter(&self) -> Option<(Duration, Joules)> {
        self.base.map(|(moved, value)| (moved, Joules(value)))
    }

    /// The driver was away.
    pub const fn away(&mut self) {
        self.away = true;
    }

    /// Takes up, once, what a reader before this one saw last: the counter spans the time between, unless it started anew. Then
    /// the power of now fills the hole, as a gap.
    pub fn resume(&mut self, seen: Duration, counter: Joules) {
        let Some((moved, value)) = self.zero.take().filter(|(moved, _)| *moved > seen) else { return };
        let hole = moved - seen;
        self.tally.window += hole;
        if let Some(spanned) = value.checked_sub(counter.0).filter(|spanned| self.can_be(*spanned, hole)) {
            self.tally.counted += Joules(spanned);
            return;
        }
        self.tally.segments += 1;
        let power = self.watts().unwrap_or_default();
        self.tally.estimated += power * hole;
        self.tally.gap += hole;
        self.tally.spread += Watts(self.most.0.saturating_sub(power.0)) * hole;
    }

    fn integrate(&mut self, at: Duration, power: Watts) {
        if let Some((before, earlier)) = self.power.replace((at, power)) {
            let mean = Watts(u64::midpoint(power.0, earlier.0));
            if at - before <= COVERED {
                self.pending.measured.0 += Nano::of(mean, at - before).0;
            } else {
                self.fill(mean, at - before);
            }
        }
    }

    /// Extends the integral to an instant without a reading: by the last power known, else by the mean so far.
    fn reach(&mut self, at: Duration) {
        let from = self.power.or(self.base.map(|(moved, _)| (moved, Watts::ZERO))).map_or(at, |(last, _)| last);
        let from = from.max(self.reached);
        let missing = at.saturating_sub(from);
        let mean = || self.tally.energy().0 as u128 * 1_000_000 / self.tally.window.as_micros().max(1);
        let power = self.power.map_or_else(|| Watts(u64::try_from(mean()).unwrap_or(0)), |(_, power)| power);
        if missing > COVERED {
            self.fill(power, missing);
        } else {
            self.pending.measured.0 += Nano::of(power, missing).0;
        }
        (self.power, self.reached) = (self.power.map(|(_, power)| (at, power)), at);
    }

    fn fill(&mut self, mean: Watts, hole: Duration) {
        self.pending.filled.0 += Nano::of(mean, hole).0;
        self.pending.hole += hole;
    }

    fn count(&mut self, at: Duration, value: u64) {
        let Some((moved, base)) = self.base else {
            // The first reading, or the first after a boundary that was filled in: up to here the integral counts.
            self.commit(self.pending);
            self.tally.segments += u32::from(self.counts);
            self.zero = self.zero.or((!self.counts).then_some((at, value)));
            (self.base, self.counts, self.away) = (Some((at, value)), true, false);
            return;
        };
        if std::mem::take(&mut self.away) {
            self.reach(at);
            self.renew(Suspect { first: (at, value), last: (at, value), seen: 1, until: self.pending }, moved);
            return;
        }
        if value >= base && self.can_be(value - base, at - moved) {
            if self.suspect.take().is_some() || value > base {
                self.advance(at, value - base);
                (self.base, self.stuck) = (Some((at, value)), false);
            } else if at - moved > STUCK && !self.stuck && self.watts().is_some_and(|watts| watts.0 > 0) {
                self.stuck = true;
                self.tally.implausible += 1;
            }
            return;
        }
        let suspect = match self.suspect {
            Some(known) if value >= known.last.1 && self.can_be(value - known.last.1, at - known.last.0) => {
                Suspect { last: (at, value), seen: known.seen + 1, ..known }
            }
            _ => {
                self.tally.implausible += 1;
                self.reach(at);
                Suspect { first: (at, value), last: (at, value), seen: 1, until: self.pending }
            }
        };
        if suspect.seen < BELIEVED {
            self.suspect = Some(suspect);
            return;
        }
        self.renew(suspect, moved);
    }

    /// A new life of the counter since `moved`: the integral bridges up to its first reading, and from there on it counts.
    fn renew(&mut self, suspect: Suspect, moved: Duration) {
        let (at, value) = suspect.last;
        let bridge = suspect.until;
        let after = self.pending;
        let (first, born) = suspect.first;
        let floor = if self.can_be(born, first - moved) { born } else { 0 };
        let said = self.tally.integrated + self.tally.estimated;
        self.commit(bridge);
        // What the new life had counted when it was first seen was used since then, whatever the integral knows.
        let bridged = (self.tally.integrated + self.tally.estimated).saturating_sub(said);
        self.tally.counted += Joules(floor).saturating_sub(bridged);
        self.tally.segments += 1;
        self.pending = Pending {
            measured: Nano(after.measured.0 - bridge.measured.0),
            filled: Nano(after.filled.0 - bridge.filled.0),
            hole: after.hole - bridge.hole,
        };
        self.advance(at, value - born);
        (self.base, self.suspect, self.stuck) = (Some((at, value)), None, false);
    }

    /// Whether so much energy can have been used in that time: at most 1.5 times the highest limit, and one tick late.
    fn can_be(&self, energy: u64, time: Duration) -> bool {
        let most = Watts(self.most.0 + self.most.0 / 2) * (time + TICK);
        energy <= most.0
    }

    /// The counter moved on: it is believed, and compared with the integral where that has no hole. What the integral
    /// missed up to here is not owed any more.
    fn advance(&mut self, at: Duration, energy: u64) {
        self.tally.counted += Joules(energy);
        let pending = std::mem::take(&mut self.pending);
        if pending.hole.is_zero() && self.power.is_some_and(|(last, _)| last == at) {
            self.rest.2.0 += pending.measured.0;
            self.tally.compared.0 += Joules(energy);
            self.tally.compared.1 += self.rest.2.whole();
        }
        self.power = self.power.map(|(_, power)| (at, power));
    }

    /// Books what the integral says, as nothing better does.
    fn commit(&mut self, pending: Pending) {
        self.rest.0.0 += pending.measured.0;
        self.rest.1.0 += pending.filled.0;
        self.tally.integrated += self.rest.0.whole();
        self.tally.estimated += self.rest.1.whole();
        self.tally.gap += pending.hole;
        let most = Nano::of(self.most, pending.hole).0;
        self.tally.spread += Nano(most.saturating_sub(pending.filled.0)).whole();
        self.pending = Pending::default();
    }
}

#[cfg(test)]
mod tests;
