//! PCAPS and CAP: how clean the grid must be for a task of some importance, and how many units may run at once.

use super::thresholds::{KMin, Threshold};
use std::f64::consts::E;

/// The highest intensity at which a task of relative importance 0 to 1 runs:
/// `Φ(r) = c0 + (U − c0)(e^{γr} − 1)/(e^γ − 1)` with `c0 = γL + (1 − γ)U`. At γ = 0 all tasks run always.
#[must_use]
pub fn importance_threshold(importance: f64, low: f64, high: f64, gamma: f64) -> f64 {
    let base = gamma * low + (1.0 - gamma) * high;
    if gamma == 0.0 { high } else { base + (high - base) * (gamma * importance).exp_m1() / gamma.exp_m1() }
}

/// The ratio CAP promises: `α = 1/(1 + W((L/U − 1)/e))` with Lambert's W on its principal branch. Without end at L = 0.
#[must_use]
pub fn ratio(low: f64, high: f64) -> f64 {
    let part = if high > 0.0 { (low / high).clamp(0.0, 1.0) } else { 1.0 };
    1.0 / (1.0 + lambert_w((part - 1.0) / E))
}

/// CAP's thresholds for so many units: those of k-min with its own ratio.
#[must_use]
pub fn unit_thresholds(units: usize, low: f64, high: f64) -> Vec<f64> {
    let rule = KMin::with_alpha(units, high, ratio(low, high));
    (1..=units).map(|unit| rule.at(unit, false)).collect()
}

/// How many of `all` units CAP lets run: `least`, and one more for each threshold the intensity does not exceed.
#[must_use]
pub fn admitted(least: usize, all: usize, intensity: f64, low: f64, high: f64) -> usize {
    let free = all.saturating_sub(least);
    let more = unit_thresholds(free, low, high).into_iter().filter(|threshold| *threshold >= intensity).count();
    least.min(all) + more
}

/// The w of −1 to 0 with `w·eʷ = x`, for x of −1/e to 0.
fn lambert_w(x: f64) -> f64 {
    let (mut low, mut high) = (-1.0, 0.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if middle * f64::exp(middle) < x {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::{admitted, importance_threshold, ratio, unit_thresholds};

    fn near(got: f64, known: f64) {
        assert!((got - known).abs() <= 5.1e-4, "{got}, known {known}");
    }

    #[test]
    fn the_published_check() {
        for (importance, known) in [(0.0, 250.0), (0.5, 315.674), (1.0, 400.0)] {
            near(importance_threshold(importance, 100.0, 400.0, 0.5), known);
        }
        near(ratio(100.0, 400.0) / 100.0, 0.0172375);
        for (got, known) in unit_thresholds(4, 100.0, 400.0).into_iter().zip([232.053, 207.695, 179.804, 147.868]) {
            near(got, known);
        }
    }

    #[test]
    fn a_cleaner_grid_admits_more_and_the_least_always_runs() {
        let at = |intensity| admitted(2, 6, intensity, 100.0, 400.0);
        assert_eq!([500.0, 240.0, 220.0, 200.0, 150.0, 147.0].map(at), [2, 2, 3, 4, 5, 6]);
        assert_eq!(admitted(9, 6, 100.0, 100.0, 400.0), 6);
    }

    #[test]
    fn the_ends() {
        assert_eq!(importance_threshold(0.3, 100.0, 400.0, 0.0), 400.0);
        assert_eq!((ratio(400.0, 400.0), ratio(0.0, 400.0)), (1.0, f64::INFINITY));
        assert_eq!(unit_thresholds(3, 400.0, 400.0), vec![400.0; 3]);
        assert_eq!(unit_thresholds(3, 0.0, 400.0), vec![0.0; 3]);
    }
}
