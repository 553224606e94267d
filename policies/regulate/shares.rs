//! Who gets which limit of a budget: what each job consented to first, the least tolerant before the others, then each further
//! watt where it does most.

use crate::budget::{Claim, divide, rising, speed};
use neap_model::units::Watts;

/// Limits are divided in steps of so much.
const STEP: Watts = Watts::whole(5);
/// One watt: what limits are whole numbers of.
const WHOLE: u64 = 1_000;

/// A job as far as watts go.
#[derive(Clone, Debug)]
pub(super) struct Stake {
    /// GPUs that can be set.
    pub(super) gpus: u32,
    pub(super) weight: f64,
    pub(super) least_speed: f64,
    /// It gets its floor and no more.
    pub(super) leaves: bool,
    pub(super) floor: Watts,
    /// No more than that now.
    pub(super) top: Watts,
    /// Limit and speed relative to the highest, rising, from the floor to the highest.
    pub(super) points: Vec<(Watts, f64)>,
    /// The lowest limit at which it goes as fast as it consented to.
    pub(super) consent: Watts,
}

/// What a division came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shares {
    /// A limit for each.
    pub(super) limits: Vec<Watts>,
    /// Watts that nobody had a use for.
    pub(super) left: u64,
    /// By how much the floors are above the budget.
    pub(super) short: u64,
}

/// Speed by limit from `floor` to `highest`, 1 at the highest. Below what was measured in proportion to the limit, above it flat;
/// with nothing measured in proportion all the way.
pub(super) fn relative(points: &[(Watts, f64)], floor: Watts, highest: Watts) -> Vec<(Watts, f64)> {
    let known = rising(&points.iter().copied().filter(|(_, speed)| *speed > 0.0).collect::<Vec<_>>());
    let Some((first, last)) = known.first().copied().zip(known.last().copied()) else {
        let lowest = floor.in_base() / highest.in_base().max(f64::MIN_POSITIVE);
        return rising(&[(floor, lowest.min(1.0)), (highest, 1.0)]);
    };
    let full = speed(&known, highest);
    let at = |limit: Watts| {
        let share = if limit < first.0 { limit.in_base() / first.0.in_base() } else { 1.0 };
        (limit, speed(&known, limit) * share / full)
    };
    let inside = known.iter().map(|point| point.0).filter(|limit| *limit > floor && *limit < highest);
    let above = (last.0 < highest).then_some(highest);
    let limits = inside.chain([floor, highest.max(floor)]).chain(above);
    rising(&limits.map(at).collect::<Vec<_>>())
}

/// The lowest whole limit from which on the speed is at least `least`.
pub(super) fn consent(points: &[(Watts, f64)], least: f64) -> Watts {
    let Some(at) = points.iter().position(|(_, speed)| *speed >= least - 1e-9) else {
        return points.last().map_or(Watts::ZERO, |point| point.0);
    };
    let (limit, reached) = points[at];
    let up = |exact: f64| Watts((exact / WHOLE as f64).ceil() as u64 * WHOLE);
    match at.checked_sub(1).map(|before| points[before]) {
        Some((low, slow)) if reached > slow => {
            let share = ((least - slow) / (reached - slow)).clamp(0.0, 1.0);
            let exact = low.0 as f64 + (limit.0 - low.0) as f64 * share;
            up(exact).min(up(limit.0 as f64))
        }
        _ => up(limit.0 as f64),
    }
}

impl Stake {
    /// The speed at a limit.
    pub(super) fn speed(&self, limit: Watts) -> f64 {
        speed(&self.points, limit)
    }

    /// What it consented to, as far as it may have that now.
    pub(super) fn due(&self) -> Watts {
        self.consent.min(self.top).max(self.floor)
    }

    fn gpus(&self) -> u64 {
        u64::from(self.gpus.max(1))
    }

    /// Its claim between two limits.
    fn claim(&self, low: Watts, high: Watts) -> Claim {
        let inside = self.points.iter().filter(|point| point.0 > low && point.0 < high).copied();
        let ends = [(low, self.speed(low)), (high, self.speed(high))];
        let points = inside.chain(ends).collect();
        Claim { weight: self.weight, gpus: self.gpus, points }
    }
}

/// Divides a budget.
pub(super) fn share(budget: u64, stakes: &[Stake]) -> Shares {
    let mut limits: Vec<Watts> = stakes.iter().map(|stake| stake.floor).collect();
    let floors: u64 = stakes.iter().map(|stake| stake.floor.0 * stake.gpus()).sum();
    let Some(mut left) = budget.checked_sub(floors) else {
        return Shares { limits, left: 0, short: floors - budget };
    };
    let mut tiers: Vec<f64> = stakes.iter().filter(|stake| !stake.leaves).map(|stake| stake.least_speed).collect();
    tiers.sort_by(|a, b| b.total_cmp(a));
    tiers.dedup();
    for tier in tiers {
        let of = |stake: &Stake| !stake.leaves && stake.least_speed == tier;
        let members: Vec<usize> = (0..stakes.len()).filter(|n| of(&stakes[*n])).collect();
        let wanted: u64 =
            members.iter().map(|n| stakes[*n].due().saturating_sub(limits[*n]).0 * stakes[*n].gpus()).sum();
        if wanted > left {
            fill(&mut limits, &mut left, stakes, &members, Stake::due);
            return Shares { limits, left: 0, short: 0 };
        }
        members.iter().for_each(|n| limits[*n] = stakes[*n].due());
        left -= wanted;
    }
    let all: Vec<usize> = (0..stakes.len()).filter(|n| !stakes[*n].leaves).collect();
    fill(&mut limits, &mut left, stakes, &all, |stake| stake.top.max(stake.floor));
    Shares { limits, left, short: 0 }
}

/// Spends what is left on some, up to a limit of each.
fn fill(limits: &mut [Watts], left: &mut u64, stakes: &[Stake], some: &[usize], to: impl Fn(&Stake) -> Watts) {
    let claims: Vec<Claim> = some.iter().map(|n| stakes[*n].claim(limits[*n], to(&stakes[*n]))).collect();
    let held: u64 = some.iter().map(|n| limits[*n].0 * stakes[*n].gpus()).sum();
    let Some(found) = divide(Watts(held + *left), &claims, STEP) else { return };
    for (n, limit) in some.iter().zip(found) {
        // Whole watts, and never above what was asked for.
        let limit = Watts(limit.0 / WHOLE * WHOLE).clamp(limits[*n], to(&stakes[*n]).max(limits[*n]));
        *left = left.saturating_sub((limit.0 - limits[*n].0) * stakes[*n].gpus());
        limits[*n] = limit;
    }
}
