//! All that a simulated GPU is, as plain bytes of fixed layout: what the mapped file holds.

use crate::board::{Board, Profile};
use crate::fault::Scripted;
use crate::load::Load;
use bytemuck::{Pod, Zeroable};

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"simgpu-1");
pub(crate) const LOADS: usize = 16;
pub(crate) const FAULTS: usize = 16;
pub(crate) const INSTANCES: usize = 8;
/// Sensor readings kept: 12 s.
pub(crate) const RING: usize = 120;

/// A MIG instance.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Instance {
    pub id: u64,
    pub sms: u64,
    /// Time-weighted multiprocessor activity since the start, in seconds of its own multiprocessors.
    pub active: f64,
    pub present: u64,
}

/// One GPU. Times are microseconds, limits and readings milliwatts, energy millijoules.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct State {
    pub magic: u64,
    pub board: u64,
    pub slot: u64,
    pub uuid: [u8; 48],
    /// Gain error of sensor and counter.
    pub gain: f64,
    /// A further gain of the counter alone.
    pub counter_gain: f64,
    /// Length of a counter tick; 0: 20 to 100 ms, drawn anew each time.
    pub tick: u64,
    /// Where in the 100 ms its sensor updates.
    pub phase: u64,
    pub together: u64,
    pub mig: u64,
    pub persistence: u64,
    pub requested: u64,
    /// A management controller's own limit; 0: none.
    pub controller: u64,
    pub default: u64,
    /// What of the limit has come into force.
    pub effective: f64,
    /// Highest clock allowed in MHz; 0: not locked.
    pub lock: u64,
    pub at: u64,
    /// The driver answers nothing until then.
    pub down_until: u64,
    /// Rises when the driver is loaded again.
    pub generation: u64,
    pub truth: f64,
    pub bound_ns: f64,
    pub active: f64,
    pub window: f64,
    pub ring: [u64; RING],
    pub seen: u64,
    pub counter_zero: f64,
    pub counter: u64,
    pub next_tick: u64,
    pub random: u64,
    pub frozen: u64,
    pub frozen_now: u64,
    pub frozen_mean: u64,
    pub frozen_counter: u64,
    /// A load ended since the events were last looked at.
    pub changed: u64,
    /// Calls that set something and were carried out.
    pub sets: u64,
    pub loads: [Load; LOADS],
    pub faults: [Scripted; FAULTS],
    pub instances: [Instance; INSTANCES],
}

impl State {
    pub(crate) fn profile(&self) -> &'static Profile {
        Board::of(self.board).profile()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Load> {
        self.loads.iter().filter(|load| load.present == 1)
    }

    /// What the governor is to keep: the tighter of what was asked and what a controller holds.
    pub(crate) fn enforced(&self) -> u64 {
        if self.controller == 0 { self.requested } else { self.requested.min(self.controller) }
    }

    pub(crate) fn uuid(&self) -> &str {
        let end = self.uuid.iter().position(|byte| *byte == 0).unwrap_or(self.uuid.len());
        std::str::from_utf8(&self.uuid[..end]).unwrap_or("GPU-unreadable")
    }

    /// The sensor's last reading.
    pub(crate) fn latest(&self) -> u64 {
        if self.seen == 0 { (self.profile().base * 1e3) as u64 } else { self.ring[(self.seen as usize - 1) % RING] }
    }

    /// Mean of the last ten readings.
    pub(crate) fn average(&self) -> u64 {
        let n = (self.seen as usize).min(10);
        let sum: u64 = (1..=n).map(|back| self.ring[(self.seen as usize - back) % RING]).sum();
        sum.checked_div(n as u64).unwrap_or_else(|| self.latest())
    }

    /// The next of a fixed sequence of random numbers (splitmix64).
    pub(crate) fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
