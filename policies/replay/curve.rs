//! A step curve of carbon intensity with exact integrals.

/// Intensity in g/kWh, constant within each step. Before its beginning and behind its end the nearest value holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    start: f64,
    step: f64,
    values: Vec<f64>,
    /// Integral from `start` to the beginning of each step, in g/kWh × h.
    before: Vec<f64>,
}

impl Curve {
    /// Values that begin at `start` seconds, one every `step` seconds. `None` if there is no value or no length.
    #[must_use]
    pub fn new(start: f64, step: f64, values: Vec<f64>) -> Option<Self> {
        if values.is_empty() || step.is_nan() || step <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let mut before = Vec::with_capacity(values.len());
        for value in &values {
            before.push(sum);
            sum += value * step / 3600.0;
        }
        Some(Self { start, step, values, before })
    }

    /// First instant, in seconds.
    #[must_use]
    pub const fn start(&self) -> f64 {
        self.start
    }

    /// Length of a step, in seconds.
    #[must_use]
    pub const fn step(&self) -> f64 {
        self.step
    }

    /// The values, one a step.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The value at that second.
    #[must_use]
    pub fn at(&self, second: f64) -> f64 {
        self.values[self.index(second)]
    }

    /// The integral over `[from, until)` in g/kWh × h.
    #[must_use]
    pub fn integral(&self, from: f64, until: f64) -> f64 {
        self.up_to(until) - self.up_to(from)
    }

    fn index(&self, second: f64) -> usize {
        let steps = ((second - self.start) / self.step).floor();
        (steps.max(0.0) as usize).min(self.values.len() - 1)
    }

    fn up_to(&self, second: f64) -> f64 {
        let index = self.index(second);
        self.before[index] + self.values[index] * (second - self.start - index as f64 * self.step) / 3600.0
    }
}

#[cfg(test)]
mod tests {
    use super::Curve;

    #[test]
    fn integrals_add_up_and_the_ends_go_on() {
        let curve = Curve::new(0.0, 3600.0, vec![100.0, 300.0]).expect("two values");
        assert_eq!(curve.integral(0.0, 7200.0), 400.0);
        assert_eq!(curve.integral(1800.0, 5400.0), 200.0);
        assert_eq!(curve.integral(7200.0, 10800.0), 300.0);
        assert_eq!(curve.integral(-3600.0, 0.0), 100.0);
        assert_eq!((curve.at(3599.0), curve.at(3600.0), curve.at(1e9)), (100.0, 300.0, 300.0));
        assert_eq!(Curve::new(0.0, 3600.0, vec![]), None);
    }
}
