//! The cleanest way to run a job that may be paused: an exact choice of time slots, each pause paid for.
//!
//! It knows a curve and which slots have room. Where the job runs, and whether all this is worth it, is decided elsewhere.

use crate::integral::Integral;
use crate::stamp::Stamp;

/// Slots times slots of work that are looked at for one job; longer windows get coarser slots.
const EFFORT: i64 = 40_000;

/// What a pause costs, and how often there may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Run time that each pause costs: saving, loading, warming up; in milliseconds.
    pub cost: i64,
    /// It runs at least so long between two pauses; in milliseconds. Positive.
    pub least: i64,
}

/// What the job does when the choice begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// It waits; its first start costs no pause.
    Waiting,
    /// It runs, or has to start now: the first slot is run in if `must`, otherwise it may pause at once.
    Running { must: bool },
}

/// When it may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// From then,
    pub from: Stamp,
    /// until then.
    pub until: Stamp,
    /// Length of the window it had when it came, in milliseconds.
    pub whole: i64,
}

/// When it runs, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// In the order of time, with a gap between any two.
    pub runs: Vec<(Stamp, Stamp)>,
    /// mg CO2e per kWh × milliseconds, pauses included.
    pub integral: u128,
    /// Climatology took part.
    pub poor: bool,
}

impl Broken {
    /// Prices given runs: their hours, and for each that begins with a pause what that costs at its own first moment. The
    /// first one does so only if the job runs already and stops at `from`.
    pub fn of(
        integral: &Integral,
        runs: Vec<(Stamp, Stamp)>,
        terms: Terms,
        begins: Begins,
        from: Stamp,
    ) -> Option<Self> {
        let (mut sum, mut poor) = (0u128, false);
        for (index, (begin, until)) in runs.iter().enumerate() {
            let cost = integral.cost(*begin, until - begin)?;
            sum += cost.integral;
            poor |= cost.poor;
            let paused = index > 0 || begins != Begins::Waiting && *begin > from;
            if paused && terms.cost > 0 {
                sum += share(integral.cost(*begin, terms.least.min(until - begin))?.integral, terms, until - begin);
            }
        }
        Some(Self { runs, integral: sum, poor })
    }
}

/// What a pause costs at the mean intensity of the first part of a run.
fn share(integral: u128, terms: Terms, run: i64) -> u128 {
    let over = terms.least.min(run).max(1).unsigned_abs();
    integral * u128::from(terms.cost.unsigned_abs()) / u128::from(over)
}

/// The cheapest runs that add up to `length` within `[from, until)`, of equal ones the earliest. `free` says whether there
/// is room between two instants.
///
/// Slots are `terms.least` long, or a multiple of it where `whole`, the window the job had when it came, is long. They lie
/// on a lattice that does not move with time; within them the choice is exact (a dynamic programme over slot, work left
/// and whether the job runs). A run that begins with the first slot begins at `from` if that costs no more. `None`: no
/// slack for a pause, or too little room or knowledge of the curve.
pub(crate) fn cheapest(
    integral: &Integral,
    free: impl Fn(Stamp, Stamp) -> bool,
    Window { from, until, whole }: Window,
    length: i64,
    terms: Terms,
    begins: Begins,
) -> Option<Broken> {
    let mut slot = terms.least.max(1);
    let in_slots = |slot: i64| length / slot + i64::from(length % slot > 0);
    while (whole / slot).saturating_mul(in_slots(slot)) > EFFORT {
        slot = slot.checked_mul(2)?;
    }
    let first = from.checked_add(slot - 1)?.div_euclid(slot) * slot;
    let lattice = Lattice { first, slot, slots: usize::try_from(until.checked_sub(first)? / slot).ok()? };
    let costs: Vec<Option<u128>> = (0..lattice.slots)
        .map(|index| {
            let (from, until) = (lattice.at(index), lattice.at(index + 1));
            Some(integral.cost(from, slot).filter(|_| free(from, until))?.integral)
        })
        .collect();
    let must = begins == Begins::Running { must: true };
    let on_the_lattice = (!must || from == first)
        .then(|| Broken::of(integral, lattice.runs(&costs, length, terms, begins)?, terms, begins, from))
        .flatten()
        // Where nothing is known of the first slot, or it is taken, nothing can be made to begin with it.
        .filter(|broken| !must || broken.runs[0].0 == from);
    if from == first || !free(from, first.min(from.saturating_add(length))) {
        return on_the_lattice;
    }
    let now = lattice.runs_from(&costs, from, length, terms).filter(|runs| {
        // A job that waits does not begin for less than it has to run.
        begins != Begins::Waiting || runs.len() == 1 || runs[0].1 - runs[0].0 >= terms.least
    });
    let now = now.and_then(|runs| Broken::of(integral, runs, terms, begins, from));
    [now, on_the_lattice].into_iter().flatten().min_by_key(|broken| broken.integral)
}

/// Slots of one length, side by side.
struct Lattice {
    first: Stamp,
    slot: i64,
    slots: usize,
}

impl Lattice {
    fn at(&self, index: usize) -> Stamp {
        self.first + self.slot * i64::try_from(index).unwrap_or(i64::MAX / self.slot)
    }

    /// The cheapest runs within the slots; the last slot is used only as far as it is needed.
    fn runs(&self, costs: &[Option<u128>], length: i64, terms: Terms, begins: Begins) -> Option<Vec<(Stamp, Stamp)>> {
        let work = length / self.slot + i64::from(length % self.slot > 0);
        let spare = self.slot * work - length;
        let work = usize::try_from(work).ok().filter(|work| *work > 0 && *work < self.slots)?;
        let pause = |cost| cost * u128::from(terms.cost.unsigned_abs()) / u128::from(self.slot.unsigned_abs());
        let mut runs: Vec<(Stamp, Stamp)> = Vec::new();
        for index in programme(costs, work, begins, pause)? {
            match runs.last_mut() {
                Some((_, end)) if *end == self.at(index) => *end = self.at(index + 1),
                _ => runs.push((self.at(index), self.at(index + 1))),
            }
        }
        runs.last_mut()?.1 -= spare;
        Some(runs)
    }

    /// The same, if the job runs from `from` on to the first slot's edge.
    fn runs_from(&self, costs: &[Option<u128>], from: Stamp, length: i64, terms: Terms) -> Option<Vec<(Stamp, Stamp)>> {
        let left = length - (self.first - from);
        if left <= 0 {
            return Some(vec![(from, from + length)]);
        }
        let mut runs = self.runs(costs, left, terms, Begins::Running { must: false })?;
        if runs[0].0 == self.first {
            runs[0].0 = from;
        } else {
            runs.insert(0, (from, self.first));
        }
        Some(runs)
    }
}

/// Rows of the table: not begun, resting, running.
const STATES: usize = 3;

/// The slots to run in. Goes backwards in time; a state's value is the least that completes the work from there.
fn programme(costs: &[Option<u128>], work: usize, begins: Begins, pause: impl Fn(u128) -> u128) -> Option<Vec<usize>> {
    const NEVER: u128 = u128::MAX / 4;
    let width = (work + 1) * STATES;
    let mut next = vec![NEVER; width];
    next[..STATES].fill(0);
    let mut now = next.clone();
    let mut runs = vec![false; costs.len() * width];
    for (index, cost) in costs.iter().enumerate().rev() {
        now[..STATES].fill(0);
        for left in 1..=work {
            let after = cost.map(|cost| (cost, next[(left - 1) * STATES + 2]));
            for state in 0..STATES {
                let rest = next[left * STATES + state.min(1)];
                let run = after.map_or(NEVER, |(cost, then)| {
                    then.saturating_add(cost).saturating_add(if state == 1 { pause(cost) } else { 0 })
                });
                let must = index == 0 && begins == Begins::Running { must: true };
                let takes = run < NEVER && (run <= rest || must);
                now[left * STATES + state] = if takes { run } else { rest };
                runs[index * width + left * STATES + state] = takes;
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    let mut state = match begins {
        Begins::Waiting => 0,
        Begins::Running { .. } => 2,
    };
    if next[work * STATES + state] >= NEVER {
        return None;
    }
    let (mut left, mut chosen) = (work, Vec::with_capacity(work));
    for index in 0..costs.len() {
        if left == 0 {
            break;
        }
        if runs[index * width + left * STATES + state] {
            chosen.push(index);
            (left, state) = (left - 1, 2);
        } else {
            state = state.min(1);
        }
    }
    Some(chosen)
}

#[cfg(test)]
mod tests;
