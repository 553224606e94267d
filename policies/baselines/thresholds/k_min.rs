//! A threshold for each unit of work, lower and lower: the best ratio that can be promised without a forecast.

use super::{Threshold, root_above_one};

/// `Φᵢ = high·(1 − (1 − 1/α)(1 + 1/(αk))^{i−1})`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMin {
    units: f64,
    high: f64,
    alpha: f64,
}

impl KMin {
    /// For so many units and these bounds of the intensity.
    #[must_use]
    pub fn new(units: usize, low: f64, high: f64) -> Self {
        let units = units.max(1) as f64;
        let spread = if high > 0.0 { 1.0 - (low / high).clamp(0.0, 1.0) } else { 0.0 };
        let alpha = root_above_one(|a| (1.0 - 1.0 / a) * (1.0 + 1.0 / (a * units)).powf(units) - spread);
        Self { units, high, alpha }
    }

    /// With a ratio from elsewhere.
    #[must_use]
    pub fn with_alpha(units: usize, high: f64, alpha: f64) -> Self {
        Self { units: units.max(1) as f64, high, alpha }
    }

    /// The ratio to the optimum that it keeps: the root of `(1 − low/high)/(1 − 1/α) = (1 + 1/(αk))^k`.
    #[must_use]
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }
}

impl Threshold for KMin {
    fn at(&self, unit: usize, _: bool) -> f64 {
        let growth = (1.0 + 1.0 / (self.alpha * self.units)).powf(unit as f64 - 1.0);
        self.high * (1.0 - (1.0 - 1.0 / self.alpha) * growth)
    }
}
