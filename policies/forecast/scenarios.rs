//! How a forecast may err: whole paths, each the forecast moved by how it erred at one past issue, so that hours err
//! together as they do in truth; and bands that hold a stated share of outcomes.

use super::learned::{Outlook, outlook};
use super::{HORIZON, History};

/// Errors of the past year, as they are: with that the 80 % band holds 70 to 81 % of the outcomes of a volatile half-year and 81
/// to 89 % of a calm one (`tests/forecast.rs`). No factor that fits both was found.
const SCALE: f64 = 1.0;
/// Past issues that are drawn from, the latest first.
const ISSUES: usize = 365;
/// Fewer past errors than that make no band.
const LEAST: usize = 20;

/// A forecast with its possible errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenarios {
    outlook: Outlook,
}

/// By hour ahead, in g/kWh.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    /// Below lies half of what is left out.
    pub low: Vec<f64>,
    /// Above lies the other half.
    pub high: Vec<f64>,
}

impl Scenarios {
    /// `None` where the learned rule has too little history.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        let mut outlook = outlook(history)?;
        outlook.errors.truncate(ISSUES);
        Some(Self { outlook })
    }

    /// The forecast, in g/kWh by hour ahead.
    #[must_use]
    pub fn middle(&self) -> &[f64] {
        &self.outlook.values
    }

    /// So many paths in g/kWh by hour ahead, equal for equal seeds.
    #[must_use]
    pub fn paths(&self, count: usize, seed: u64) -> Vec<Vec<f64>> {
        let whole: Vec<&Vec<Option<f64>>> =
            self.outlook.errors.iter().filter(|row| row.iter().all(Option::is_some)).collect();
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let row = whole.get((mixed(state) % whole.len().max(1) as u64) as usize);
                let moved = |h: usize| row.and_then(|row| row[h]).unwrap_or(0.0) * SCALE * self.outlook.level;
                (0..HORIZON).map(|h| (self.outlook.values[h] + moved(h)).max(0.0)).collect()
            })
            .collect()
    }

    /// The band that holds the middle `share` of outcomes, 0.8 for four of five.
    #[must_use]
    pub fn bands(&self, share: f64) -> Bands {
        let tail = (1.0 - share.clamp(0.0, 1.0)) / 2.0;
        let (mut low, mut high) = (Vec::with_capacity(HORIZON), Vec::with_capacity(HORIZON));
        for h in 0..HORIZON {
            let mut errors: Vec<f64> = self.outlook.errors.iter().filter_map(|row| row[h]).collect();
            errors.sort_by(f64::total_cmp);
            let at = |share: f64| match errors.len() {
                0..LEAST => 0.0,
                count => errors[((count - 1) as f64 * share).round() as usize],
            };
            let moved = |error: f64| (self.outlook.values[h] + error * SCALE * self.outlook.level).max(0.0);
            low.push(moved(at(tail)));
            high.push(moved(at(1.0 - tail)));
        }
        Bands { low, high }
    }
}

/// The output step of `splitmix64`.
fn mixed(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
