//! One threshold for all work.

use super::Threshold;

/// Runs at or below the geometric mean of the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneMin(f64);

impl OneMin {
    /// For these bounds of the intensity.
    #[must_use]
    pub fn new(low: f64, high: f64) -> Self {
        Self((low.max(0.0) * high.max(0.0)).sqrt())
    }
}

impl Threshold for OneMin {
    fn at(&self, _: usize, _: bool) -> f64 {
        self.0
    }
}
