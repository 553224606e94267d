//! The cleanest way to run a job that may be paused: an exact choice of time slots, each pause paid for.
//!
//! It knows a curve and which slots have room. Where the job runs, and whether all this is worth it, is decided elsewhere.

use crate::integral::Integral;
use crate::likely::Lengths;
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
    /// mg CO2e per kWh × milliseconds, pauses included; the mean over the likely lengths.
    pub integral: u128,
    /// Climatology took part.
    pub poor: bool,
}

impl Broken {
    /// Prices given runs, which add up to the planning length: their hours, and for each that begins with a pause what that costs
    /// at its own first moment. The first one does so only if the job runs already and stops at `from`. A job that may be over
    /// sooner pays for what comes after only as often as it comes to that; one that takes longer goes on at the end of the last.
    pub fn of(
        integral: &Integral,
        runs: Vec<(Stamp, Stamp)>,
        terms: Terms,
        begins: Begins,
        from: Stamp,
        lengths: &Lengths,
    ) -> Option<Self> {
        let poor = runs
            .iter()
            .try_fold(false, |poor, (begin, until)| Some(poor | integral.cost(*begin, until - begin)?.poor))?;
        let mut sum = 0u128;
        for length in lengths.likely() {
            for (index, (begin, until)) in cut(&runs, *length).enumerate() {
                sum += integral.cost(begin, until - begin)?.integral;
                let paused = index > 0 || begins != Begins::Waiting && begin > from;
                if paused && terms.cost > 0 {
                    let planned = runs[index].1 - begin;
                    sum += share(integral.cost(begin, terms.least.min(planned))?.integral, terms, planned);
                }
            }
        }
        Some(Self { runs, integral: sum / lengths.likely().len().max(1) as u128, poor })
    }
}

/// The runs as far as a job comes that takes so long: it ends early, or goes on at the end of the last one.
pub(super) fn cut(runs: &[(Stamp, Stamp)], length: i64) -> impl Iterator<Item = (Stamp, Stamp)> + '_ {
    let mut left = length;
    runs.iter().enumerate().map_while(move |(index, (begin, until))| {
        let takes = if index + 1 == runs.len() { left } else { left.min(until - begin) };
        left -= takes;
        (takes > 0).then(|| (*begin, begin.saturating_add(takes)))
    })
}

/// What a pause costs at the mean intensity of the first part of a run.
fn share(integral: u128, terms: Terms, run: i64) -> u128 {
    let over = terms.least.min(run).max(1).unsigned_abs();
    integral * u128::from(terms.cost.unsigned_abs()) / u128::from(over)
}

/// The runs that can be expected to be cheapest of those that add up to the planning length within `[from, until)`, of equal
/// ones the earliest. `free` says whether there is room between two instants.
///
/// Slots are `terms.least` long, or a multiple of it where `whole`, the window the job had when it came, is long. They lie
/// on a lattice that does not move with time; within them the choice is exact (a dynamic programme over slot, work left
/// and whether the job runs). A run that begins with the first slot begins at `from` if that costs no more. `None`: no
/// slack for a pause, or too little room or knowledge of the curve.
pub(crate) fn cheapest(
    integral: &Integral,
    free: impl Fn(Stamp, Stamp) -> bool,
    Window { from, until, whole }: Window,
    lengths: &Lengths,
    terms: Terms,
    begins: Begins,
) -> Option<Broken> {
    let length = lengths.planned;
    let mut slot = terms.least.max(1);
    let in_slots = |slot: i64| length / slot + i64::from(length % slot > 0);
    while (whole / slot).saturating_mul(in_slots(slot)) > EFFORT {
        slot = slot.checked_mul(2)?;
    }
    let first = from.checked_add(slot - 1)?.div_euclid(slot) * slot;
    let slots = usize::try_from(until.checked_sub(first)? / slot).ok()?;
    let mut lattice = Lattice { integral, lengths, terms, first, slot, costs: Vec::with_capacity(slots) };
    for index in 0..slots {
        let (from, until) = (lattice.at(index), lattice.at(index + 1));
        lattice.costs.push(integral.cost(from, slot).filter(|_| free(from, until)).map(|cost| cost.integral));
    }
    let must = begins == Begins::Running { must: true };
    let on_the_lattice = (!must || from == first)
        .then(|| Broken::of(integral, lattice.runs(0, begins)?, terms, begins, from, lengths))
        .flatten()
        // Where nothing is known of the first slot, or it is taken, nothing can be made to begin with it.
        .filter(|broken| !must || broken.runs[0].0 == from);
    if from == first || !free(from, first.min(from.saturating_add(length))) {
        return on_the_lattice;
    }
    let now = lattice.runs_from(from).filter(|runs| {
        // A job that waits does not begin for less than it has to run.
        begins != Begins::Waiting || runs.len() == 1 || runs[0].1 - runs[0].0 >= terms.least
    });
    let now = now.and_then(|runs| Broken::of(integral, runs, terms, begins, from, lengths));
    [now, on_the_lattice].into_iter().flatten().min_by_key(|broken| broken.integral)
}

/// Slots of one length, side by side.
struct Lattice<'a> {
    integral: &'a Integral,
    lengths: &'a Lengths,
    terms: Terms,
    first: Stamp,
    slot: i64,
    /// What each slot costs; `None`: there is no room, or nothing is known.
    costs: Vec<Option<u128>>,
}

impl Lattice<'_> {
    fn at(&self, index: usize) -> Stamp {
        self.first + self.slot * i64::try_from(index).unwrap_or(i64::MAX / self.slot)
    }

    /// The cheapest runs within the slots for what is left after `done`; the last slot is used only as far as it is needed.
    fn runs(&self, done: i64, begins: Begins) -> Option<Vec<(Stamp, Stamp)>> {
        let length = self.lengths.planned - done;
        let work = length / self.slot + i64::from(length % self.slot > 0);
        let spare = self.slot * work - length;
        let work = usize::try_from(work).ok().filter(|work| *work > 0 && *work < self.costs.len())?;
        let mut runs: Vec<(Stamp, Stamp)> = Vec::new();
        for index in programme(&self.costs, work, &self.chances(done, work, spare), begins, |cost| self.pause(cost))? {
            match runs.last_mut() {
                Some((_, end)) if *end == self.at(index) => *end = self.at(index + 1),
                _ => runs.push((self.at(index), self.at(index + 1))),
            }
        }
        runs.last_mut()?.1 -= spare;
        Some(runs)
    }

    /// What a pause costs before a slot of that cost.
    fn pause(&self, cost: u128) -> u128 {
        cost * u128::from(self.terms.cost.unsigned_abs()) / u128::from(self.slot.unsigned_abs())
    }

    fn chances(&self, done: i64, work: usize, spare: i64) -> Chances {
        if self.lengths.is_known() {
            return Chances::default();
        }
        let still = |slot: usize| {
            let from = done + self.slot * i64::try_from(slot).unwrap_or(i64::MAX / self.slot);
            let comes = self.lengths.likely().iter().filter(|length| **length > from).count() as u128;
            let runs = self.lengths.runs_within(from, from.saturating_add(self.slot));
            (comes * u128::from(self.slot.unsigned_abs()), runs.unsigned_abs().into())
        };
        let after = |index: usize| {
            let end = self.at(index + 1) - spare;
            let over =
                self.lengths.likely().iter().map(|length| length - self.lengths.planned).filter(|over| *over > 0);
            over.map(|over| Some(self.integral.cost(end, over)?.integral)).sum::<Option<u128>>()
        };
        // A slot of work that all come to counts as often as its milliseconds times the likely lengths.
        let scale = |cost: u128| cost.saturating_mul(self.slot.unsigned_abs().into());
        let beyond = (0..self.costs.len()).map(|index| after(index).map(scale)).collect();
        Chances { survival: (0..work).map(still).collect(), beyond }
    }

    /// The same, if the job runs from `from` on to the first slot's edge.
    fn runs_from(&self, from: Stamp) -> Option<Vec<(Stamp, Stamp)>> {
        let done = self.first - from;
        if self.lengths.planned <= done {
            return Some(vec![(from, from + self.lengths.planned)]);
        }
        let mut runs = self.runs(done, Begins::Running { must: false })?;
        if runs[0].0 == self.first {
            runs[0].0 = from;
        } else {
            runs.insert(0, (from, self.first));
        }
        Some(runs)
    }
}

/// How often a job whose length is not known comes to what is planned. Empty: always, and to no more.
#[derive(Debug, Default)]
struct Chances {
    /// By slot of work: how often it is begun, in its milliseconds, and how many of these are run.
    survival: Vec<(u128, u128)>,
    /// What those cost that take longer, if the last slot of work is that one; in the same unit.
    beyond: Vec<Option<u128>>,
}

impl Chances {
    /// What a slot of work costs there, with a pause before it; `None` where it is the last and nothing is known of what comes
    /// after.
    fn cost(&self, (cost, pause): (u128, u128), (index, slot): (usize, usize), last: bool) -> Option<u128> {
        let Some((begun, run)) = self.survival.get(slot) else { return Some(cost.saturating_add(pause)) };
        let beyond = if last { self.beyond[index]? } else { 0 };
        Some(cost.saturating_mul(*run).saturating_add(pause.saturating_mul(*begun)).saturating_add(beyond))
    }
}

/// Rows of the table: not begun, resting, running.
const STATES: usize = 3;

/// The slots to run in. Goes backwards in time; a state's value is the least that completes the work from there.
fn programme(
    costs: &[Option<u128>],
    work: usize,
    chances: &Chances,
    begins: Begins,
    pause: impl Fn(u128) -> u128,
) -> Option<Vec<usize>> {
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
                let run = after.and_then(|(cost, then)| {
                    let pause = if state == 1 { pause(cost) } else { 0 };
                    Some(then.saturating_add(chances.cost((cost, pause), (index, work - left), left == 1)?))
                });
                let run = run.unwrap_or(NEVER);
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
