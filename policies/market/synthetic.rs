//! Makes up markets of any size, the same ones from the same seed: what speed is measured on.

use super::{Class, Market, Mode, Point, Pool, Task};

/// Knuth's linear congruential generator (MMIX), its upper half.
struct Dice(u64);

impl Dice {
    /// In `[0, 1)`.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

const SLOTS: usize = 672;
const SLOT_HOURS: f64 = 0.25;
const ARRIVALS: f64 = 100.0;
const KW_PER_GPU: f64 = 0.7;

/// So many jobs and zones over seven days of quarter hours. Lengths are log-uniform from 0.25 to 48 h and arrivals within
/// 100 h, both on the quarter hour; widths 1, 2, 4, 8; 6 h of slack below 2 h of length, else 24 h; any zone in any slot.
/// All zones have the same whole GPUs: together `capacity_multiple` times the work divided by the hours of arrivals.
#[must_use]
pub fn synthetic(jobs: usize, zones: usize, seed: u64, capacity_multiple: f64) -> Market {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D);
    for _ in 0..8 {
        dice.part();
    }
    let quarter = |hours: f64| (hours / SLOT_HOURS).round() * SLOT_HOURS;
    let widths = [1.0, 2.0, 4.0, 8.0];
    let task = |dice: &mut Dice| {
        let hours = quarter(0.25 * 192.0_f64.powf(dice.part())).max(SLOT_HOURS);
        let release = quarter(ARRIVALS * dice.part());
        let slack = if hours < 2.0 { 6.0 } else { 24.0 };
        let class = ((dice.part() * 4.0) as usize).min(3);
        Task { class, hours, release, due: release + hours + slack, waiting: 0.0 }
    };
    let tasks: Vec<Task> = (0..jobs).map(|_| task(&mut dice)).collect();
    let gpu_hours: f64 = tasks.iter().map(|task| task.hours * widths[task.class]).sum();
    let capacity = (capacity_multiple * gpu_hours / ARRIVALS / zones.max(1) as f64).ceil().max(8.0);
    let pools: Vec<Pool> = (0..zones).map(|_| zone(&mut dice, capacity)).collect();
    let highest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b));
    let class = |gpus: f64| Class {
        pools: (0..zones).collect(),
        points: vec![Point { gpus, speed: 1.0, kw: gpus * KW_PER_GPU }],
        mode: Mode::Interruptible,
        stays: false,
    };
    let late = 10.0 * highest * KW_PER_GPU;
    Market { slot_hours: SLOT_HOURS, pools, classes: widths.into_iter().map(class).collect(), tasks, late }
}

/// A grid with a level, sun at noon of its own time, an evening peak, and wind that comes and goes over days.
fn zone(dice: &mut Dice, capacity: f64) -> Pool {
    let (level, sun, evening) = (100.0 + 600.0 * dice.part(), 0.5 * dice.part(), 0.3 * dice.part());
    let (noon, storms) = (24.0 * dice.part(), 0.4 * dice.part());
    let mut wind = 0.0;
    let grams = |slot: usize| {
        let hour = (slot as f64 * SLOT_HOURS - noon).rem_euclid(24.0);
        let bell = |at: f64, width: f64| {
            let off = (hour - at + 12.0).rem_euclid(24.0) - 12.0;
            (-(off / width).powi(2)).exp()
        };
        // A walk that forgets within about a day.
        wind = 0.99 * wind + 0.24 * (dice.part() - 0.5);
        level * (1.0 - sun * bell(12.0, 4.0) + evening * bell(19.0, 2.5) - storms * wind.clamp(-1.0, 1.0)).max(0.05)
    };
    Pool { capacity: vec![capacity; SLOTS], grams_per_kwh: (0..SLOTS).map(grams).collect() }
}

#[cfg(test)]
mod tests {
    use super::synthetic;

    #[test]
    fn it_is_what_it_says_and_the_same_again() {
        let market = synthetic(2000, 5, 1, 1.5);
        assert_eq!(market, synthetic(2000, 5, 1, 1.5));
        assert_ne!(market, synthetic(2000, 5, 2, 1.5));
        let on_grid = |hours: f64| (hours * 4.0).fract() == 0.0;
        for task in &market.tasks {
            assert!(on_grid(task.hours) && on_grid(task.release) && (0.25..=48.0).contains(&task.hours), "{task:?}");
            assert!(task.release <= 100.0 && task.due <= 168.0 + 6.0, "{task:?}");
        }
        let short = market.tasks.iter().filter(|task| task.hours < 2.0).count();
        assert!((700..900).contains(&short), "{short} of 2000, log-uniform makes 0.395 of them");
        assert!(market.pools.iter().flat_map(|pool| &pool.grams_per_kwh).all(|grams| *grams > 0.0));
    }
}
