//! A GPU that is arithmetic alone: watts, speed and energy by load, limit and model. `neap demo` and simulations of many
//! GPUs inside one process use it; nothing that meters a real board knows of it.
//!
//! Busy power is `idle + memory + dynamic · φ · v(φ)²` at the relative clock φ and the relative voltage v. The governor
//! takes the highest clock at which that is within the limit, and the lowest one where even that is above: then the board
//! overshoots, as real ones do. A step of a load takes `busy · (clocked / φ + 1 − clocked) + 1 − busy` of its time at full
//! clock. Figures of boards and loads are fitted to the public traces `zeus_nsdi23` (You, Chung and Chowdhury, NSDI 2023):
//! V100 to 1.2 % in speed and 1.3 % in power, A40 to 2.0 % and 1.1 % (median RMS).

use super::{Cap, CapRange, CapState, DomainError, PowerDomain, Reading, Uncapped};
use neap_model::fleet::Source;
use neap_model::units::{Joules, Watts};
use std::time::Duration;

/// A board's power and clock behaviour. Watts are whole, clocks in MHz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// As a job names it.
    pub model: &'static str,
    /// Watts with nothing to do.
    pub idle: u32,
    /// Lowest core voltage, relative to that at the highest clock.
    pub v_min: f64,
    /// How much the voltage falls with the clock.
    pub slope: f64,
    /// Lowest clock, relative to the highest.
    pub phi_min: f64,
    /// Lowest and highest power limit in watts; it is found at the highest.
    pub limits: (u32, u32),
    /// Highest core clock.
    pub mhz: u32,
}

/// Tesla V100, of 32 GB.
pub const V100: Board =
    Board { model: "V100-SXM2-32GB", idle: 32, v_min: 0.61, slope: 0.33, phi_min: 0.13, limits: (100, 250), mhz: 1530 };

/// NVIDIA A40.
pub const A40: Board =
    Board { model: "A40", idle: 80, v_min: 0.83, slope: 0.85, phi_min: 0.145, limits: (100, 300), mhz: 1740 };

/// Clocks are set in steps of so many MHz.
const STEP: u32 = 15;

/// What runs on a board. Watts are for the whole board at full clock and above its idle power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Watts that follow clock and voltage, while it is busy.
    pub dynamic: f64,
    /// Watts of memory, while it is busy.
    pub memory: f64,
    /// Share of the time that the GPU is busy at full clock.
    pub busy: f64,
    /// Share of busy time that scales with the clock.
    pub clocked: f64,
}

impl Load {
    const fn new(dynamic: f64, memory: f64, busy: f64, clocked: f64) -> Self {
        Self { dynamic, memory, busy, clocked }
    }

    /// ResNet-50 training, batch 128, on V100.
    pub const RESNET50_V100: Self = Self::new(162.0, 45.0, 0.92, 0.33);
    /// The same on A40.
    pub const RESNET50_A40: Self = Self::new(172.0, 29.0, 0.80, 0.37);
    /// BERT on SQuAD, batch 24, on V100.
    pub const BERT_V100: Self = Self::new(165.0, 40.0, 0.95, 0.43);
    /// BERT on SQuAD, batch 32, on A40.
    pub const BERT_A40: Self = Self::new(193.0, 12.0, 0.89, 0.59);
    /// DeepSpeech2 training, batch 48, on V100.
    pub const DEEPSPEECH_V100: Self = Self::new(188.0, 27.0, 0.76, 0.35);
    /// DeepSpeech2 training, batch 64, on A40.
    pub const DEEPSPEECH_A40: Self = Self::new(157.0, 18.0, 0.52, 0.67);
    /// ShuffleNetV2 training, batch 256, on V100.
    pub const SHUFFLENET_V100: Self = Self::new(185.0, 0.0, 0.76, 0.26);
    /// The same on A40.
    pub const SHUFFLENET_A40: Self = Self::new(122.0, 11.0, 0.82, 0.30);

    /// Length of a step at a relative clock, against that at full clock.
    fn step(&self, phi: f64) -> f64 {
        self.busy * (self.clocked / phi + 1.0 - self.clocked) + 1.0 - self.busy
    }
}

/// How a board stands under a load and a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Core clock in MHz.
    pub mhz: u32,
    /// The limit holds the clock down.
    pub bound: bool,
    /// Mean power, idle power included.
    pub watts: Watts,
    /// Work done in a second, against full clock.
    pub speed: f64,
}

/// How a board stands under a load, if there is one, and a limit in watts.
#[must_use]
pub fn stand(board: &Board, load: Option<&Load>, limit: f64) -> Standing {
    let idle = f64::from(board.idle);
    let Some(load) = load else {
        return Standing { mhz: board.mhz, bound: false, watts: milliwatts(idle), speed: 0.0 };
    };
    let phi = |mhz: u32| f64::from(mhz) / f64::from(board.mhz);
    let busy = |phi: f64| {
        let volts = (1.0 - board.slope * (1.0 - phi)).max(board.v_min);
        load.memory + load.dynamic * phi * volts * volts
    };
    let lowest = (f64::from(board.mhz) * board.phi_min).ceil() as u32;
    let clocks = (0..).map(|n| board.mhz.saturating_sub(STEP * n)).take_while(|mhz| *mhz >= lowest && *mhz > 0);
    let mut mhz = board.mhz;
    for clock in clocks {
        mhz = clock;
        if idle + busy(phi(mhz)) <= limit {
            break;
        }
    }
    let at = phi(mhz);
    let bound = mhz != board.mhz || idle + busy(at) > limit;
    let share = (load.step(at) + load.busy - 1.0) / load.step(at);
    Standing { mhz, bound, watts: milliwatts(idle + share * busy(at)), speed: load.step(1.0) / load.step(at) }
}

fn milliwatts(watts: f64) -> Watts {
    Watts::from_base(watts).unwrap_or_default()
}

/// One simulated GPU. Its time is moved by whoever holds it; between two moves nothing happens.
#[derive(Clone, Debug)]
pub struct Simulated {
    board: &'static Board,
    load: Option<Load>,
    limit: Watts,
    standing: Standing,
    at: Duration,
    /// Milliwatts times milliseconds, so that nothing is lost between moves of any length.
    microjoules: u64,
    bound_for: Duration,
}

impl Simulated {
    /// An idle board at its highest limit.
    #[must_use]
    pub fn new(board: &'static Board) -> Self {
        let limit = Watts::whole(u64::from(board.limits.1));
        let standing = stand(board, None, limit.in_base());
        let (at, bound_for) = (Duration::ZERO, Duration::ZERO);
        Self { board, load: None, limit, standing, at, microjoules: 0, bound_for }
    }

    /// Which board it is.
    #[must_use]
    pub const fn board(&self) -> &'static Board {
        self.board
    }

    /// From now on it runs that, or nothing.
    pub fn run(&mut self, load: Option<Load>) {
        self.load = load;
        self.settle();
    }

    /// How it stands now.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Lets time pass, in whole milliseconds.
    pub fn pass(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.at += time;
        self.microjoules = self.microjoules.saturating_add(self.standing.watts.0.saturating_mul(millis));
        if self.standing.bound {
            self.bound_for += time;
        }
    }

    fn settle(&mut self) {
        self.standing = stand(self.board, self.load.as_ref(), self.limit.in_base());
    }

    fn range(&self) -> (Watts, Watts) {
        (Watts::whole(u64::from(self.board.limits.0)), Watts::whole(u64::from(self.board.limits.1)))
    }

    fn state(&self) -> CapState {
        CapState { requested: self.limit, enforced: self.limit, clock_ceiling: None, bound_for: self.bound_for }
    }
}

impl PowerDomain for Simulated {
    /// No meter reads it, so its energy counts as an estimate.
    fn energy(&mut self) -> Result<Reading, DomainError> {
        let (energy, watts_now) = (Joules(self.microjoules / 1_000), Some(self.standing.watts));
        Ok(Reading { energy, at: self.at, source: Source::Estimated, watts_now, segment: 0 })
    }

    fn cap(&mut self) -> Result<CapState, DomainError> {
        Ok(self.state())
    }

    fn cap_range(&self) -> CapRange {
        let (least, most) = self.range();
        CapRange { limit: Some(least..=most), clocks: None, because: None }
    }

    fn set_cap(&mut self, cap: Cap) -> Result<CapState, DomainError> {
        let what = || format!("the simulated {}", self.board.model);
        if cap.clock_ceiling.is_some() {
            return Err(DomainError::Uncapped { what: what(), why: Uncapped::NotSupported });
        }
        let (least, most) = self.range();
        let asked = cap.limit.unwrap_or(most);
        if !(least..=most).contains(&asked) {
            return Err(DomainError::OutOfRange { what: what(), asked, least, most });
        }
        self.limit = asked;
        self.settle();
        Ok(self.state())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simgpu::{Board as Known, Load as KnownLoad, physics};

    #[test]
    fn it_reckons_as_the_simulated_driver_does() {
        let pairs = [
            (&V100, Known::V100, Load::RESNET50_V100, KnownLoad::RESNET50_V100),
            (&A40, Known::A40, Load::RESNET50_A40, KnownLoad::RESNET50_A40),
            (&V100, Known::V100, Load::BERT_V100, KnownLoad::BERT_V100),
            (&A40, Known::A40, Load::BERT_A40, KnownLoad::BERT_A40),
            (&V100, Known::V100, Load::DEEPSPEECH_V100, KnownLoad::DEEPSPEECH_V100),
            (&A40, Known::A40, Load::DEEPSPEECH_A40, KnownLoad::DEEPSPEECH_A40),
            (&V100, Known::V100, Load::SHUFFLENET_V100, KnownLoad::SHUFFLENET_V100),
            (&A40, Known::A40, Load::SHUFFLENET_A40, KnownLoad::SHUFFLENET_A40),
        ];
        for (board, known, load, known_load) in pairs {
            let profile = known.profile();
            assert_eq!((board.limits, board.mhz), (profile.limits, profile.clocks.0));
            for limit in (board.limits.0..=board.limits.1).step_by(10) {
                let ours = stand(board, Some(&load), f64::from(limit));
                let theirs = physics::stand(profile, &[known_load], false, f64::from(limit), None);
                assert_eq!((ours.mhz, ours.bound), (theirs.mhz, theirs.bound), "{} at {limit} W", board.model);
                let (mean, pace) =
                    (physics::mean(profile, &[known_load], theirs), physics::pace(&known_load, profile, theirs));
                assert!((ours.watts.in_base() - mean).abs() < 1e-3, "{} W, not {mean}", ours.watts.in_base());
                assert!((ours.speed - pace).abs() < 1e-9, "{}, not {pace}", ours.speed);
            }
        }
    }

    #[test]
    fn energy_is_the_same_however_time_is_cut() {
        let (mut once, mut often) = (Simulated::new(&V100), Simulated::new(&V100));
        for gpu in [&mut once, &mut often] {
            gpu.run(Some(Load::BERT_V100));
            gpu.set_cap(Cap { limit: Some(Watts::whole(150)), clock_ceiling: None }).expect("within its range");
        }
        once.pass(Duration::from_secs(7));
        (0..1_000).for_each(|_| often.pass(Duration::from_millis(7)));
        let (one, many) = (once.energy().expect("it says"), often.energy().expect("it says"));
        assert_eq!((one.energy, one.at), (many.energy, many.at));
        assert_eq!(once.cap().expect("it says").bound_for, Duration::from_secs(7), "150 W bind this load");
        assert!(once.set_cap(Cap { limit: Some(Watts::whole(99)), clock_ceiling: None }).is_err());
    }
}
