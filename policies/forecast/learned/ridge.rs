//! A ridge regression: sums over issues, and the coefficients that follow from them.

use super::issue::{FEATURES, Vector};

/// Fewer issues than that teach nothing.
const LEAST: u32 = 30;
/// Numbers that are added at a time.
const LANES: usize = 4;

/// Normal equations of one hour ahead.
pub(super) struct Ridge {
    /// On and below the diagonal.
    square: [Vector; FEATURES],
    cross: Vector,
    count: u32,
}

impl Ridge {
    pub const fn new() -> Self {
        Self { square: [[0.0; FEATURES]; FEATURES], cross: [0.0; FEATURES], count: 0 }
    }

    /// One issue more, at which `missed` had to be added.
    pub fn add(&mut self, features: &Vector, missed: f64, weight: f64) {
        self.count += 1;
        for (row, &feature) in features.iter().enumerate() {
            let weighted = weight * feature;
            // Up to the diagonal, and on to the next whole number of lanes.
            let until = ((row / LANES + 1) * LANES).min(FEATURES);
            for (sum, other) in self.square[row][..until].iter_mut().zip(&features[..until]) {
                *sum += weighted * other;
            }
            self.cross[row] += weighted * missed;
        }
    }

    /// What another zone's issues teach, scaled so that they weigh as the root of their number, however much happens there.
    #[cfg(test)]
    pub fn join(&mut self, other: &Self) {
        let trace: f64 = (0..FEATURES).map(|n| other.square[n][n]).sum();
        let scale = f64::from(other.count).sqrt() / trace.max(1e-9);
        for row in 0..FEATURES {
            for column in 0..FEATURES {
                self.square[row][column] += scale * other.square[row][column];
            }
            self.cross[row] += scale * other.cross[row];
        }
        self.count += other.count;
    }

    /// The coefficients, drawn to those that are `usual` as by a share `ridge` of further issues at which just those were right.
    /// By Cholesky's decomposition.
    pub fn solve(&self, ridge: f64, usual: &Vector) -> Vector {
        if self.count < LEAST {
            return *usual;
        }
        // What the usual ones leave to be corrected.
        let left: Vector = std::array::from_fn(|row| {
            let at = |column: usize| self.square[row.max(column)][row.min(column)];
            self.cross[row] - (0..FEATURES).map(|column| at(column) * usual[column]).sum::<f64>()
        });
        let mut lower = [[0.0; FEATURES]; FEATURES];
        for row in 0..FEATURES {
            for column in 0..=row {
                let sum: f64 = (0..column).map(|n| lower[row][n] * lower[column][n]).sum();
                if row == column {
                    let rest = self.square[row][row] * (1.0 + ridge) + 1e-9 - sum;
                    lower[row][row] = rest.max(1e-12).sqrt();
                } else {
                    lower[row][column] = (self.square[row][column] - sum) / lower[column][column];
                }
            }
        }
        let mut half = [0.0; FEATURES];
        for row in 0..FEATURES {
            let sum: f64 = (0..row).map(|n| lower[row][n] * half[n]).sum();
            half[row] = (left[row] - sum) / lower[row][row];
        }
        let mut all = [0.0; FEATURES];
        for row in (0..FEATURES).rev() {
            let sum: f64 = (row + 1..FEATURES).map(|n| lower[n][row] * all[n]).sum();
            all[row] = (half[row] - sum) / lower[row][row];
        }
        std::array::from_fn(|n| usual[n] + all[n])
    }
}
