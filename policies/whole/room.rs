//! Whole GPUs in use over time in one place, exact to the millisecond.

/// A step function of time: how many GPUs are in use from each instant to the next.
#[derive(Clone, Debug)]
pub(super) struct Room {
    limit: i64,
    /// Instants at which the use changes, rising, in milliseconds.
    at: Vec<i64>,
    /// Use from that instant on.
    used: Vec<i64>,
}

impl Room {
    /// An empty place with so many GPUs.
    pub(super) fn new(limit: i64) -> Self {
        Self { limit, at: vec![i64::MIN], used: vec![0] }
    }

    /// Takes GPUs for a time, or gives them back if `gpus` is negative.
    pub(super) fn take(&mut self, from: i64, until: i64, gpus: i64) {
        if until <= from {
            return;
        }
        let first = self.split(from);
        let last = self.split(until);
        for used in &mut self.used[first..last] {
            *used += gpus;
        }
        self.join(last);
        self.join(first);
    }

    /// The index of the piece that begins there, made if there is none.
    fn split(&mut self, at: i64) -> usize {
        let index = self.at.partition_point(|&edge| edge < at);
        if self.at.get(index) != Some(&at) {
            self.at.insert(index, at);
            self.used.insert(index, self.used[index - 1]);
        }
        index
    }

    /// Makes one piece of two that have the same use.
    fn join(&mut self, index: usize) {
        if self.used[index] == self.used[index - 1] {
            self.at.remove(index);
            self.used.remove(index);
        }
    }

    /// The first instant of a time at which fewer than so many GPUs are free.
    pub(super) fn first_full(&self, from: i64, until: i64, gpus: i64) -> Option<i64> {
        let first = self.at.partition_point(|&edge| edge <= from) - 1;
        let pieces = self.at[first..].iter().zip(&self.used[first..]).take_while(|(at, _)| **at < until);
        pieces.into_iter().find(|(_, used)| **used > self.limit.saturating_sub(gpus)).map(|(at, _)| from.max(*at))
    }

    /// Calls `found` with every interval `[first, last]` of starts within `[earliest, latest]` at which so many GPUs are free
    /// for all of `length`, in the order of time, until it answers `false`.
    pub(super) fn starts(
        &self,
        (earliest, latest): (i64, i64),
        length: i64,
        gpus: i64,
        mut found: impl FnMut(i64, i64) -> bool,
    ) {
        let most = self.limit.saturating_sub(gpus);
        if most < 0 {
            return;
        }
        let mut open = earliest;
        let first = self.at.partition_point(|&edge| edge <= earliest) - 1;
        for index in first..self.at.len() {
            let begin = self.at[index];
            if begin >= latest.saturating_add(length) {
                break;
            }
            if self.used[index] <= most {
                continue;
            }
            if begin.saturating_sub(length) >= open && !found(open, begin - length) {
                return;
            }
            let Some(&end) = self.at.get(index + 1) else { return };
            open = open.max(end);
            if open > latest {
                return;
            }
        }
        if open <= latest {
            found(open, latest);
        }
    }
}
