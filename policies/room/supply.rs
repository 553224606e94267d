//! What there is of something over time, once promises are taken out: of a node, or of what several nodes share.

use crate::machine::Amount;
use crate::stamp::Stamp;
use neap_model::job::JobId;

/// Something that is taken and given back.
pub(crate) trait Goods: Copy + PartialEq {
    /// Whether there is at least `need` of it.
    fn covers(&self, need: &Self) -> bool;
    /// Takes `need` out.
    fn take(&mut self, need: &Self);
    /// Puts `need` back.
    fn give(&mut self, need: &Self);
}

impl Goods for Amount {
    fn covers(&self, need: &Self) -> bool {
        self.covers(need)
    }

    fn take(&mut self, need: &Self) {
        self.take(need);
    }

    fn give(&mut self, need: &Self) {
        self.give(need);
    }
}

/// Milliwatts, or GPUs.
impl Goods for u64 {
    fn covers(&self, need: &Self) -> bool {
        self >= need
    }

    fn take(&mut self, need: &Self) {
        *self = self.saturating_sub(*need);
    }

    fn give(&mut self, need: &Self) {
        *self = self.saturating_add(*need);
    }
}

/// Who is promised how much of it when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Supply<T> {
    /// What is free from an instant to the next step's; the last one lasts for ever.
    steps: Vec<(Stamp, T)>,
    /// Starts of planned jobs, sorted.
    starts: Vec<(Stamp, JobId)>,
}

impl<T: Goods> Supply<T> {
    /// All of it is free, always.
    pub fn new(total: T) -> Self {
        Self { steps: vec![(Stamp::MIN, total)], starts: Vec::new() }
    }

    /// A job is promised so much of it.
    pub fn promise(&mut self, job: JobId, (from, until): (Stamp, Stamp), need: &T) {
        self.change(from, until, |free| free.take(need));
        let at = self.starts.partition_point(|start| *start < (from, job));
        self.starts.insert(at, (from, job));
    }

    /// The promise is taken back.
    pub fn release(&mut self, job: JobId, (from, until): (Stamp, Stamp), need: &T) {
        self.change(from, until, |free| free.give(need));
        self.mend(from);
        self.mend(until);
        self.starts.retain(|start| *start != (from, job));
    }

    /// Index of the step that covers `at`.
    fn step(&self, at: Stamp) -> usize {
        self.steps.partition_point(|(from, _)| *from <= at).saturating_sub(1)
    }

    /// What is free at that instant.
    pub fn at(&self, at: Stamp) -> T {
        self.steps[self.step(at)].1
    }

    /// The end of a step.
    fn end(&self, step: usize) -> Stamp {
        self.steps.get(step + 1).map_or(Stamp::MAX, |(from, _)| *from)
    }

    /// Makes `at` an edge and gives the index of the step that begins there.
    fn cut(&mut self, at: Stamp) -> usize {
        let step = self.step(at);
        if self.steps[step].0 == at {
            return step;
        }
        self.steps.insert(step + 1, (at, self.steps[step].1));
        step + 1
    }

    /// Forgets an edge on both sides of which the same is free.
    fn mend(&mut self, at: Stamp) {
        let step = self.step(at);
        if step > 0 && self.steps[step].0 == at && self.steps[step].1 == self.steps[step - 1].1 {
            self.steps.remove(step);
        }
    }

    /// Changes what is free in `[from, until)`.
    pub fn change(&mut self, from: Stamp, until: Stamp, how: impl Fn(&mut T)) {
        if from >= until {
            return;
        }
        let first = self.cut(from);
        let last = if until == Stamp::MAX { self.steps.len() } else { self.cut(until) };
        self.steps[first..last].iter_mut().for_each(|(_, free)| how(free));
    }

    /// The first start from `from` on, not after `limit`, at which `need` is free for `length`.
    pub fn earliest(&self, need: &T, from: Stamp, length: i64, limit: Stamp) -> Option<Stamp> {
        let mut start = from;
        for step in self.step(from)..self.steps.len() {
            if start > limit {
                return None;
            }
            let end = self.end(step);
            if !self.steps[step].1.covers(need) {
                start = end;
            } else if end.saturating_sub(start) >= length {
                return Some(start);
            }
        }
        None
    }

    /// Calls `each` for every interval of starts within `[from, until]` at which `need` is free for `length`.
    pub fn gaps(&self, need: &T, from: Stamp, until: Stamp, length: i64, mut each: impl FnMut(Stamp, Stamp)) {
        let (mut start, mut step) = (from, self.step(from));
        let reach = until.saturating_add(length);
        while start <= until && step < self.steps.len() {
            if !self.steps[step].1.covers(need) {
                start = self.end(step);
                step += 1;
                continue;
            }
            while step + 1 < self.steps.len() && self.steps[step + 1].1.covers(need) && self.steps[step].0 <= reach {
                step += 1;
            }
            let last = self.end(step).saturating_sub(length).min(until);
            if start <= last {
                each(start, last);
            }
            start = self.end(step);
            step += 1;
        }
    }

    /// Whether `need` is free for the whole of `[from, from + length)`.
    pub fn fits(&self, need: &T, from: Stamp, length: i64) -> bool {
        self.earliest(need, from, length, from) == Some(from)
    }

    /// Calls `each` with what is free in every stretch of `[from, until)`.
    pub fn each_step(&self, from: Stamp, until: Stamp, mut each: impl FnMut(Stamp, Stamp, &T)) {
        for step in self.step(from)..self.steps.len() {
            let (begins, free) = self.steps[step];
            if begins >= until {
                return;
            }
            each(begins.max(from), self.end(step).min(until), &free);
        }
    }

    /// Whether `need` is free for the whole of `[from, until)` once `held`, which someone has until then, is given back.
    pub fn fits_beside(&self, need: &T, (from, until): (Stamp, Stamp), held: &T, held_until: Stamp) -> bool {
        (self.step(from)..self.steps.len()).take_while(|step| self.steps[*step].0 < until).all(|step| {
            let (begins, mut free) = self.steps[step];
            if begins < held_until {
                free.give(held);
            }
            free.covers(need)
        })
    }

    /// The planned job whose start ends what there is of `need` at `from`.
    pub fn promised_to(&self, need: &T, from: Stamp) -> Option<JobId> {
        self.first_short(need, from).and_then(|at| self.promised_at(at))
    }

    /// The first instant from `from` on at which there is less than `need`.
    pub fn first_short(&self, need: &T, from: Stamp) -> Option<Stamp> {
        let short = (self.step(from)..self.steps.len()).find(|step| !self.steps[*step].1.covers(need))?;
        Some(self.steps[short].0.max(from))
    }

    /// A job that is planned to start at that instant.
    pub fn promised_at(&self, at: Stamp) -> Option<JobId> {
        let first = self.starts.partition_point(|(start, _)| *start < at);
        self.starts.get(first).filter(|(start, _)| *start == at).map(|(_, job)| *job)
    }
}
