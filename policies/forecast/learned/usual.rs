//! How much each thing that was known usually counts: what `damp_long` gets wrong in most zones, as a table by hour ahead.
//!
//! Taught by `usual/tests.rs` from nine public histories, each of which weighs about the same: CISO and PJM from 2019 and DE from
//! 2020 up to their test spans (US EIA form 930 and ENTSO-E, as collected by EnsembleCI), and GB, AU-NSW, PL, AU-SA, CA-ON and FR
//! of 2022 (Electricity Maps, as published in umassos/decarbonization-potential). It knows no zone and no hour of the day, and nothing of the time of the
//! year, which is another one on the other half of the earth.

mod table;
#[cfg(test)]
mod tests;

use super::issue::Vector;
pub(super) use table::TAUGHT;

/// Hours ahead that the table has a row for.
const ROWS: [usize; 15] = [1, 2, 4, 8, 12, 18, 24, 30, 36, 42, 48, 60, 72, 84, 96];

/// A row of coefficients for each of [`ROWS`], in the order of the features.
pub(super) struct Usual([Vector; ROWS.len()]);

impl Usual {
    /// Of the hour `h` ahead: on the straight line between the rows around it.
    pub fn at(&self, h: usize) -> Vector {
        let after = ROWS.iter().position(|row| *row >= h).unwrap_or(ROWS.len() - 1);
        let before = if ROWS[after] <= h { after } else { after.saturating_sub(1) };
        let width = (ROWS[after] - ROWS[before]).max(1);
        let share = (h.clamp(ROWS[before], ROWS[after]) - ROWS[before]) as f64 / width as f64;
        std::array::from_fn(|n| self.0[before][n] + share * (self.0[after][n] - self.0[before][n]))
    }
}
