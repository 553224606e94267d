//! Which clock the governor picks, and what the board then draws and gets done. Pure.
//!
//! Busy power is `base + memory + dynamic · φ · v(φ)²`; the governor takes the highest clock whose busy power is within
//! the limit, and stays at the lowest clock when even that is above: then the board overshoots, as real ones do.

use crate::board::Profile;
use crate::load::Load;

/// How a board stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Core clock in MHz.
    pub mhz: u32,
    /// The limit, not the lock or the board, is what holds the clock down.
    pub bound: bool,
    /// How much each load's speed is thinned because they take turns.
    pub thin: f64,
}

/// The clock for these loads under a limit in watts and a lock in MHz (`None`: unlocked). Loads run side by side where
/// `together` (MPS, MIG), else they take turns.
#[must_use]
pub fn stand(board: &Profile, loads: &[Load], together: bool, limit: f64, lock: Option<u32>) -> Standing {
    let ceiling = lock.unwrap_or(board.clocks.0);
    let mut top = None;
    let mut at = None;
    for mhz in board.steps().filter(|mhz| *mhz <= ceiling) {
        top = top.or(Some(mhz));
        at = Some(mhz);
        if peak(board, loads, together, phi(board, mhz)) <= limit {
            break;
        }
    }
    let lowest = board.steps().last().unwrap_or(board.clocks.0);
    let mhz = at.unwrap_or(lowest);
    let wanted: f64 = loads.iter().map(|load| load.busy_share(phi(board, mhz))).sum();
    let thin = if together || wanted <= 1.0 { 1.0 } else { 1.0 / wanted };
    let bound = !loads.is_empty() && (top != Some(mhz) || peak(board, loads, together, phi(board, mhz)) > limit);
    Standing { mhz, bound, thin }
}

/// Relative clock.
#[must_use]
pub fn phi(board: &Profile, mhz: u32) -> f64 {
    f64::from(mhz) / f64::from(board.clocks.0)
}

fn peak(board: &Profile, loads: &[Load], together: bool, phi: f64) -> f64 {
    let volts = board.voltage(phi);
    let each = loads.iter().map(|load| load.share * load.watts(phi, volts));
    board.base + if together { each.sum() } else { each.fold(0.0, f64::max) }
}

/// Joules above the base that a load takes between two instants (seconds), evenly mixed or in turns.
#[must_use]
pub fn taken(load: &Load, board: &Profile, standing: Standing, from: f64, until: f64) -> f64 {
    let phi = phi(board, standing.mhz);
    let watts = load.share * load.watts(phi, board.voltage(phi));
    let duty = load.busy_share(phi) * standing.thin;
    if load.period <= 0.0 {
        return watts * duty * (until - from);
    }
    let busy_until = |t: f64| {
        let turns = (t / load.period).floor();
        turns * duty * load.period + (t - turns * load.period).min(duty * load.period)
    };
    watts * (busy_until(until) - busy_until(from))
}

/// Share of the board's multiprocessors that a load keeps busy.
#[must_use]
pub fn activity(load: &Load, board: &Profile, standing: Standing) -> f64 {
    load.share * load.busy_share(phi(board, standing.mhz)) * standing.thin
}

/// Seconds of work that a load gets done in a second.
#[must_use]
pub fn pace(load: &Load, board: &Profile, standing: Standing) -> f64 {
    load.speed(phi(board, standing.mhz)) * standing.thin
}

/// Mean watts in the long run.
#[must_use]
pub fn mean(board: &Profile, loads: &[Load], standing: Standing) -> f64 {
    board.base + loads.iter().map(|load| taken(&Load { period: 0.0, ..*load }, board, standing, 0.0, 1.0)).sum::<f64>()
}
