//! Faults that a test scripts: what goes wrong, from when, how often, for how long.

use bytemuck::{Pod, Zeroable};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Setters answer "no permission".
    NoPermission = 1,
    /// Every call answers "GPU is lost".
    Lost,
    /// The driver is loaded again: counter zero, limit default, lock gone; `value` = milliseconds without answer.
    Reload,
    /// A management controller holds `value` milliwatts; 0 ends it.
    Controller,
    /// A set answers ok and does nothing.
    SetIgnored,
    /// Somebody else sets `value` milliwatts.
    ForeignSet,
    /// The call takes `value` milliseconds of real time, holding no lock.
    Hang,
    /// Power readings stay where they are.
    Freeze,
    /// Power readings and counter stay where they are.
    FreezeAll,
    /// Power readings say `value` milliwatts: 0, or 10 kW.
    Reads,
    /// The counter reads `value` millijoules less than it should.
    CounterBehind,
    /// Field `value` is not supported.
    FieldUnsupported,
    /// There is no energy counter, as before Volta.
    CounterUnsupported,
    /// No power readings at all.
    PowerUnsupported,
    /// Setting power limits or clocks is not supported.
    SetUnsupported,
    /// The caller gets SIGKILL just before a set takes effect.
    KillBeforeSet,
    /// The caller gets SIGKILL just after a set took effect.
    KillAfterSet,
    /// The call answers return code `value`.
    Returns,
}

/// A scripted fault. Both windows, time and calls, must be open; calls are counted among those it could touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// A figure whose meaning depends on the kind.
    pub value: u64,
    /// From that instant of the node's clock, in microseconds.
    pub from: u64,
    /// Until then.
    pub until: u64,
    /// So many calls pass before.
    pub skip: u64,
    /// So many calls are touched.
    pub times: u64,
}

impl Fault {
    /// From now on, every time.
    #[must_use]
    pub const fn new(kind: Kind, value: u64) -> Self {
        Self { kind, value, from: 0, until: u64::MAX, skip: 0, times: u64::MAX }
    }

    /// Between two instants of the node's clock.
    #[must_use]
    pub const fn between(self, from: std::time::Duration, until: std::time::Duration) -> Self {
        Self { from: from.as_micros() as u64, until: until.as_micros() as u64, ..self }
    }

    /// From an instant of the node's clock on.
    #[must_use]
    pub const fn from(self, from: std::time::Duration) -> Self {
        Self { from: from.as_micros() as u64, ..self }
    }

    /// After so many calls.
    #[must_use]
    pub const fn after(self, calls: u64) -> Self {
        Self { skip: calls, ..self }
    }

    /// For so many calls.
    #[must_use]
    pub const fn times(self, calls: u64) -> Self {
        Self { times: calls, ..self }
    }
}

/// A fault as it lies in the file.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Scripted {
    pub kind: u64,
    pub value: u64,
    pub from: u64,
    pub until: u64,
    pub skip: u64,
    pub times: u64,
}

impl From<Fault> for Scripted {
    fn from(fault: Fault) -> Self {
        let Fault { kind, value, from, until, skip, times } = fault;
        Self { kind: kind as u64, value, from, until, skip, times }
    }
}

impl Scripted {
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u64
    }

    pub(crate) fn open(&self, now: u64) -> bool {
        self.kind != 0 && self.from <= now && now < self.until
    }

    /// Counts a call that this fault could touch; says whether it does.
    pub(crate) fn touches(&mut self, now: u64) -> bool {
        if !self.open(now) || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.times != u64::MAX {
            self.times -= 1;
            if self.times == 0 {
                self.kind = 0;
            }
        }
        true
    }
}
