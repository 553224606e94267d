//! What could have been had: the cheapest way to run k units in T slots when all is known.

/// Part of a cost below which two plans cost the same; sums of the same numbers in another order differ by less.
const SAME: f64 = 1e-12;

/// The slots of the cheapest run, switches counted, by dynamic programming over (slot, units done, on or off); of equal
/// ones the one that runs earlier. As many units as there are slots at most.
#[must_use]
pub fn optimum(intensity: &[f64], units: usize, switching: f64) -> Vec<bool> {
    let (slots, units) = (intensity.len(), units.min(intensity.len()));
    // least[slot][left][on]: cost from that slot to the end with so many units left, on or off before it.
    let mut least = vec![vec![[f64::INFINITY; 2]; units + 1]; slots + 1];
    least[slots][0] = [0.0, switching];
    let change = |before: usize, after: usize| if before == after { 0.0 } else { switching };
    for slot in (0..slots).rev() {
        for left in 0..=units {
            for before in 0..2 {
                let on = if left > 0 {
                    change(before, 1) + intensity[slot] + least[slot + 1][left - 1][1]
                } else {
                    f64::INFINITY
                };
                least[slot][left][before] = on.min(change(before, 0) + least[slot + 1][left][0]);
            }
        }
    }
    let (mut left, mut before) = (units, 0);
    let decide = |slot: usize| {
        let off = change(before, 0) + least[slot + 1][left][0];
        let on =
            left > 0 && change(before, 1) + intensity[slot] + least[slot + 1][left - 1][1] <= off + SAME * (1.0 + off);
        left -= usize::from(on);
        before = usize::from(on);
        on
    };
    (0..slots).map(decide).collect()
}
