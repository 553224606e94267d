//! The boards that can be simulated. V100 and A40 are fitted to public traces; Hopper is assumed and says so.

/// A GPU board's power and clock behaviour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// As the driver names it.
    pub name: &'static str,
    /// Watts with nothing to do.
    pub base: f64,
    /// Lowest core voltage, relative to that at the highest clock.
    pub v_min: f64,
    /// How much the voltage falls with the clock.
    pub slope: f64,
    /// Lowest clock, relative to the highest.
    pub phi_min: f64,
    /// Lowest and highest power limit in watts.
    pub limits: (u32, u32),
    /// Highest core clock and memory clock in MHz.
    pub clocks: (u32, u32),
    /// Streaming multiprocessors.
    pub sms: u32,
    /// CUDA compute capability.
    pub capability: (i32, i32),
    /// NVML's number of the architecture.
    pub architecture: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// `power_usage` and field 185 are a mean of 1 s (Ampere and later but GA100), else the latest reading.
    pub averaged: bool,
    /// Has GPM and MIG.
    pub hopper: bool,
}

/// Which board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Board {
    /// Tesla V100, fitted to `zeus_nsdi23` (68 configurations: 1.2 % in speed, 1.3 % in power, median RMS).
    V100 = 0,
    /// A40, fitted to `zeus_nsdi23` (53 configurations: 2.0 % and 1.1 %).
    A40 = 1,
    /// A Hopper board. Assumed: no licensed trace under caps is known.
    Hopper = 2,
}

const PROFILES: [Profile; 3] = [
    Profile {
        name: "Tesla V100-SXM2-32GB",
        base: 32.0,
        v_min: 0.61,
        slope: 0.33,
        phi_min: 0.13,
        limits: (100, 250),
        clocks: (1530, 877),
        sms: 80,
        capability: (7, 0),
        architecture: 5,
        memory: 32 << 30,
        averaged: false,
        hopper: false,
    },
    Profile {
        name: "NVIDIA A40",
        base: 80.0,
        v_min: 0.83,
        slope: 0.85,
        phi_min: 0.145,
        limits: (100, 300),
        clocks: (1740, 7251),
        sms: 84,
        capability: (8, 6),
        architecture: 7,
        memory: 48 << 30,
        averaged: true,
        hopper: false,
    },
    Profile {
        name: "NVIDIA H100 80GB HBM3",
        base: 70.0,
        v_min: 0.70,
        slope: 0.45,
        phi_min: 0.17,
        limits: (200, 700),
        clocks: (1980, 2619),
        sms: 132,
        capability: (9, 0),
        architecture: 9,
        memory: 80 << 30,
        averaged: true,
        hopper: true,
    },
];

impl Board {
    /// Its figures.
    #[must_use]
    pub const fn profile(self) -> &'static Profile {
        &PROFILES[self as usize]
    }

    pub(crate) const fn of(number: u64) -> Self {
        match number {
            1 => Self::A40,
            2 => Self::Hopper,
            _ => Self::V100,
        }
    }
}

impl Profile {
    /// Core voltage at a relative clock, relative to the highest.
    #[must_use]
    pub fn voltage(&self, phi: f64) -> f64 {
        (1.0 - self.slope * (1.0 - phi)).max(self.v_min)
    }

    /// Clocks that can be set, highest first, in steps of 15 MHz.
    pub fn steps(&self) -> impl Iterator<Item = u32> {
        let (top, lowest) = (self.clocks.0, (f64::from(self.clocks.0) * self.phi_min).ceil() as u32);
        (0..).map(move |n| top.saturating_sub(15 * n)).take_while(move |mhz| *mhz >= lowest && *mhz > 0)
    }
}
