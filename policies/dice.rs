//! Chance for searches that have to come out the same every time.

/// A fixed sequence of numbers that look like chance (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    /// A number below `sides`, 0 if there are none.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * sides as u128) >> 64) as usize
    }

    /// A number in [0, 1).
    pub fn share(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}
