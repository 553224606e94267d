//! Online pause and resume: falling thresholds that know what switching costs.

use super::{Threshold, root_above_one};

/// `k-min` with a price for each switch on and off: a job that runs goes on up to Φᵢ, one that does not starts at Φᵢ
/// − 2b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opr {
    units: f64,
    high: f64,
    switching: f64,
    alpha: f64,
}

impl Opr {
    /// For so many units, these bounds of the intensity and this price of a switch (in the unit of a slot's intensity).
    #[must_use]
    pub fn new(units: usize, low: f64, high: f64, switching: f64) -> Self {
        let (k, b) = (units.max(1) as f64, switching.max(0.0));
        let low = low.clamp(0.0, high.max(0.0));
        let excess = |a: f64| high * (1.0 - 1.0 / a) - 2.0 * b * (1.0 - 1.0 / k - 1.0 / (k * a));
        let alpha = root_above_one(|a| excess(a) * (1.0 + 1.0 / (k * a)).powf(k) - (high - low - 2.0 * b));
        Self { units: k, high, switching: b, alpha }
    }

    /// The ratio to the optimum that it keeps: the root of
    /// `(high − low − 2b)/(high·(1 − 1/α) − 2b·(1 − 1/k − 1/(kα))) = (1 + 1/(kα))^k`.
    #[must_use]
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }
}

impl Threshold for Opr {
    fn at(&self, unit: usize, running: bool) -> f64 {
        let (k, a, b) = (self.units, self.alpha, self.switching);
        let growth = (1.0 + 1.0 / (a * k)).powf(unit as f64 - 1.0);
        let stay = self.high * (1.0 - (1.0 - 1.0 / a) * growth) + 2.0 * b * (1.0 / (k * a) - 1.0 / k + 1.0) * growth;
        if running { stay } else { stay - 2.0 * b }
    }
}
