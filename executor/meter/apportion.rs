//! Splits whole millijoules so that the parts are the whole, and a device's energy among those who hold and use it. Pure.

use neap_model::units::Joules;
use std::cmp::Reverse;

/// Splits `total` by `weights`, largest remainder first. The parts add up to `total`, unless all weights are 0: then all
/// parts are 0 and the caller books the whole elsewhere.
#[must_use]
pub fn apportion(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |n: usize| u128::from(total) * u128::from(weights[n]);
    let mut parts: Vec<u64> = (0..weights.len()).map(|n| (exact(n) / sum) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&n| (Reverse(exact(n) % sum), n));
    let missing = total - parts.iter().sum::<u64>();
    for &n in order.iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        parts[n] += 1;
    }
    parts
}

/// What one holder of a device has of it: of the device itself, and of what was done there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Its part of the device: 1 each where it is shared in time, multiprocessors under MIG.
    pub holds: u64,
    /// Its part of the activity.
    pub uses: u64,
}

/// The energy of a device in an interval, and who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice<'a> {
    /// All of it.
    pub energy: u64,
    /// What it would have used with nothing to do.
    pub idle: u64,
    /// The holders, none where nobody holds it.
    pub holders: &'a [Hold],
    /// The part of the device that nobody holds (MIG slices without a job).
    pub free: u64,
    /// Activity of processes of no job of ours.
    pub foreign: u64,
}

/// A device's energy, divided. All parts together are the device's energy exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divided {
    /// Of each holder, in their order, in millijoules.
    pub holders: Vec<u64>,
    /// What of that is idle energy, in the same order.
    pub held: Vec<u64>,
    /// Idle energy that nobody held.
    pub idle: u64,
    /// Of processes of no job of ours.
    pub foreign: u64,
    /// Above idle, with no activity seen.
    pub unknown: u64,
}

impl Divided {
    /// What no job gets.
    #[must_use]
    pub const fn unattributed(&self) -> Joules {
        Joules(self.idle + self.foreign + self.unknown)
    }
}

/// Idle energy by what each holds, what is above it by what each uses. One holder of a whole device who shares it with
/// nobody gets everything: it held the device, and no process list is needed to say so.
#[must_use]
pub fn divide(slice: &Slice<'_>) -> Divided {
    if let ([_], 0, 0) = (slice.holders, slice.free, slice.foreign) {
        let held = vec![slice.idle.min(slice.energy)];
        return Divided { holders: vec![slice.energy], held, ..Divided::default() };
    }
    let idle = slice.idle.min(slice.energy);
    let active = slice.energy - idle;
    let mut weights: Vec<u64> = slice.holders.iter().map(|hold| hold.holds).collect();
    weights.push(slice.free);
    let mut held = apportion(idle, &weights);
    let mut unheld = held.pop().unwrap_or(0);
    // Nobody holds any of it.
    if weights.iter().all(|weight| *weight == 0) {
        unheld = idle;
    }
    let mut weights: Vec<u64> = slice.holders.iter().map(|hold| hold.uses).collect();
    weights.push(slice.foreign);
    let mut used = apportion(active, &weights);
    let foreign = used.pop().unwrap_or(0);
    let unknown = if weights.iter().all(|weight| *weight == 0) { active } else { 0 };
    let holders = held.iter().zip(&used).map(|(held, used)| held + used).collect();
    Divided { holders, held, idle: unheld, foreign, unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_odd_millijoule_goes_to_the_largest_remainder() {
        assert_eq!(apportion(10_000, &[1, 1, 1]), [3_334, 3_333, 3_333]);
        assert_eq!(apportion(7, &[]), [0; 0]);
        assert_eq!(apportion(7, &[0, 0]), [0, 0]);
        assert_eq!(apportion(u64::MAX, &[u64::MAX, u64::MAX]), [u64::MAX / 2 + 1, u64::MAX / 2]);
    }

    #[test]
    fn a_single_holder_has_it_all_and_a_stranger_has_his_own() {
        let alone = [Hold { holds: 1, uses: 0 }];
        let slice = Slice { energy: 100, idle: 30, holders: &alone, ..Slice::default() };
        assert_eq!(divide(&slice).holders, [100]);
        let shared = Slice { foreign: 50, holders: &[Hold { holds: 1, uses: 50 }], ..slice.clone() };
        assert_eq!(divide(&shared), Divided { holders: vec![65], held: vec![30], foreign: 35, ..Divided::default() });
        let nobody = Slice { holders: &[], ..slice };
        assert_eq!(divide(&nobody), Divided { idle: 30, unknown: 70, ..Divided::default() });
    }

    /// Jobs and what is unattributed are the device, in whole millijoules: 10⁵ random schedules, in time, MPS and MIG.
    #[test]
    fn shares_and_unattributed_are_the_device_exactly() {
        let mut random = StdRng::seed_from_u64(20_261_125);
        for case in 0..100_000 {
            let count = random.random_range(0..9);
            let mig = random.random_bool(0.3);
            let hold = |random: &mut StdRng| Hold {
                holds: if mig { [16, 26, 32, 60][random.random_range(0..4)] } else { 1 },
                uses: if random.random_bool(0.3) { 0 } else { random.random_range(0..10_001) },
            };
            let holders: Vec<Hold> = (0..count).map(|_| hold(&mut random)).collect();
            let energy = if random.random_bool(0.1) { random.random() } else { random.random_range(0..2_000_000) };
            let slice = Slice {
                energy,
                idle: random.random_range(0..200_000),
                holders: &holders,
                free: if mig { random.random_range(0..133) } else { 0 },
                foreign: if random.random_bool(0.5) { 0 } else { random.random_range(0..10_001) },
            };
            let divided = divide(&slice);
            let jobs: u128 = divided.holders.iter().map(|&part| u128::from(part)).sum();
            assert_eq!(jobs + u128::from(divided.unattributed().0), u128::from(energy), "case {case}: {slice:?}");
            assert_eq!(divided.holders.len(), holders.len());
        }
    }
}
