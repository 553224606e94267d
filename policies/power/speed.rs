//! The speed of least cost in closed form, for a curve `P(x) = a + b·xᵏ`: where the derivative of (constant + b·xᵏ)/x is zero.
//!
//! | goal | constant |
//! |---|---|
//! | energy of the GPU | a |
//! | with the host | a + host |
//! | carbon and delay | a + host + (τ + m)/(CI·PUE) |

use super::Fit;

/// A flat curve or one that grows no faster than speed gains nothing from going slower.
const FLAT: f64 = 1e-9;

/// What bounds a speed. Relative to the highest limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Speed at the lowest limit.
    pub lowest: f64,
    /// Share of time that may be added.
    pub slowdown: f64,
    /// Work that is left at full speed over time that is left; 0 without a finish-by.
    pub needed: f64,
}

/// The speed `x* = ((a + more) / (b·(k − 1)))^(1/k)`, between the bounds. `more` in watts: host, delay, embodied.
#[must_use]
pub fn least_energy(fit: &Fit, more: f64, bounds: &Bounds) -> f64 {
    let free = if fit.k <= 1.0 + FLAT || fit.b <= FLAT {
        1.0
    } else {
        ((fit.a + more) / (fit.b * (fit.k - 1.0))).powf(1.0 / fit.k)
    };
    let least = (1.0 / (1.0 + bounds.slowdown.max(0.0))).max(bounds.needed).max(bounds.lowest).min(1.0);
    free.clamp(least, 1.0)
}

/// Price of delay in watts: `delay` grams a second (τ and embodied m together) over the grid's intensity in g/kWh and the PUE.
#[must_use]
pub fn delay_watts(delay_grams_per_second: f64, grams_per_kwh: f64, pue: f64) -> f64 {
    let grams_per_joule = grams_per_kwh / 3.6e6 * pue;
    if grams_per_joule > 0.0 { delay_grams_per_second / grams_per_joule } else { f64::INFINITY }
}

/// The curve for energy against time with weight `eta`: 1 is energy alone, 0 time alone. `most` is the highest power in watts.
#[must_use]
pub fn weighted(fit: &Fit, eta: f64, most: f64) -> Fit {
    Fit { a: eta * fit.a + (1.0 - eta) * most, b: eta * fit.b, ..*fit }
}

/// Whether a power limit cannot slow the job and a clock ceiling is the lever: the limit bound for less than 2 % of a window in
/// which the memory was busy, as when a language model writes token by token.
#[must_use]
pub fn wants_clock_ceiling(bound_share: f64, memory_busy: f64) -> bool {
    bound_share < 0.02 && memory_busy >= 0.5
}
