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
    let (slots, work) =
        (usize::try_from(until.checked_sub(first)? / slot).ok()?, usize::try_from(in_slots(slot)).ok()?);
    if work == 0 || slots <= work {
        return None;
    }
    let at = |index: usize| first + slot * i64::try_from(index).unwrap_or(i64::MAX / slot);
    let costs: Vec<Option<u128>> = (0..slots)
        .map(|index| {
            let cost = integral.cost(at(index), slot).filter(|_| free(at(index), at(index + 1)))?;
            Some(cost.integral)
        })
        .collect();
    let chosen = programme(&costs, work, begins, |cost| {
        cost * u128::from(terms.cost.unsigned_abs()) / u128::from(slot.unsigned_abs())
    })?;
    let mut runs: Vec<(Stamp, Stamp)> = Vec::new();
    for index in chosen {
        match runs.last_mut() {
            Some((_, end)) if *end == at(index) => *end = at(index + 1),
            _ => runs.push((at(index), at(index + 1))),
        }
    }
    // The last slot is needed only in part.
    let spare = slot * i64::try_from(work).ok()? - length;
    if let Some((_, end)) = runs.last_mut() {
        *end -= spare;
    }
    let must = begins == Begins::Running { must: true };
    let on_the_lattice = Broken::of(integral, runs, terms, begins, from)?;
    let at_once = at_once(&on_the_lattice.runs, (from, first), begins)
        .filter(|_| free(from, first))
        .and_then(|runs| Broken::of(integral, runs, terms, begins, from));
    match at_once {
        Some(earlier) if must || earlier.integral <= on_the_lattice.integral => Some(earlier),
        _ if must && from < first => None,
        _ => Some(on_the_lattice),
    }
}

/// The same runs, but for the time before the first slot's edge, in which the job runs too, and the last ones, which end
/// sooner for it. A job that waits does not begin for that time alone.
fn at_once(runs: &[(Stamp, Stamp)], (from, first): (Stamp, Stamp), begins: Begins) -> Option<Vec<(Stamp, Stamp)>> {
    let mut runs = runs.to_vec();
    if from == first {
        return None;
    }
    match runs.first_mut()? {
        (begin, _) if *begin == first => *begin = from,
        _ if begins == Begins::Waiting => return None,
        _ => runs.insert(0, (from, first)),
    }
    let mut spare = first - from;
    while let Some((begin, end)) = runs.last_mut() {
        let cut = spare.min(*end - *begin);
        *end -= cut;
        spare -= cut;
        if end > begin {
            break;
        }
        runs.pop();
    }
    (!runs.is_empty()).then_some(runs)
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
