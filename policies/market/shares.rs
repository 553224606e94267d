//! Work of tasks by pool and slot: as values to reckon with, and as few bytes to keep.
//!
//! Nothing is rounded: what is kept is given back to the last bit, in the same order.

/// Work of one task in one pool and slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Index of the pool.
    pub pool: usize,
    /// Index of the slot.
    pub slot: usize,
    /// Index of the class's point.
    pub point: usize,
    /// Hours at that point within the slot.
    pub hours: f64,
}

/// Equal shares in slots that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Share,
    length: usize,
}

impl Run {
    /// Whether the share is the next of this run.
    fn goes_on_with(&self, share: &Share) -> bool {
        self.first.slot + self.length == share.slot && self.first.pool == share.pool && self.first.is_like(share)
    }
}

impl Share {
    /// Whether point and hours are the same, to the last bit.
    fn is_like(&self, other: &Self) -> bool {
        self.point == other.point && self.hours.to_bits() == other.hours.to_bits()
    }
}

/// The shares of one task, in the order they were given: that of time in every solution.
///
/// A run of equal shares is kept as three small numbers: slots from the end of the run before it, slots that it lasts, and
/// the pool; point and hours follow where they are others than before. That is 3 bytes a run where hours are whole slots,
/// and 12 where every share has its own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shares(Box<[u8]>);

impl Shares {
    /// One after the other.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0, left: 0, share: NONE }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they take in memory, in bytes; what an allocator adds is left out.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Shares {
    type Item = Share;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<Share> for Shares {
    fn from_iter<I: IntoIterator<Item = Share>>(shares: I) -> Self {
        let mut tape = Tape::default();
        shares.into_iter().for_each(|share| tape.push(share));
        tape.take()
    }
}

/// What is before the first share: it is followed by slot 0, and no share is like it.
const NONE: Share = Share { pool: 0, slot: usize::MAX, point: usize::MAX, hours: 0.0 };

/// Shares of a task, one after the other.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    /// Of the run that the last share is of.
    left: usize,
    share: Share,
}

impl Iterator for Iter<'_> {
    type Item = Share;

    fn next(&mut self) -> Option<Share> {
        if self.left > 0 {
            self.left -= 1;
            self.share.slot += 1;
            return Some(self.share);
        }
        if self.rest.is_empty() {
            return None;
        }
        let head = self.number();
        let (other, step) = (head & 1 == 1, head >> 1);
        // An even step is forwards, an odd one backwards.
        let step = if step & 1 == 0 { step >> 1 } else { !(step >> 1) };
        self.share.slot = self.share.slot.wrapping_add(1).wrapping_add(step);
        self.left = self.number();
        self.share.pool = self.number();
        if other {
            self.share.point = self.number();
            let (hours, rest) = self.rest.split_first_chunk().expect("hours follow a point");
            self.share.hours = f64::from_le_bytes(*hours);
            self.rest = rest;
        }
        Some(self.share)
    }
}

impl Iter<'_> {
    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            value |= usize::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                break;
            }
            shift += 7;
        }
        value
    }
}

/// Shares while they are found: memory that is used again from task to task.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    bytes: Vec<u8>,
    /// The last share that is written.
    written: Share,
    run: Option<Run>,
}

impl Default for Tape {
    fn default() -> Self {
        Self { bytes: Vec::new(), written: NONE, run: None }
    }
}

impl Tape {
    /// One more behind the last.
    pub(super) fn push(&mut self, share: Share) {
        match &mut self.run {
            Some(run) if run.goes_on_with(&share) => run.length += 1,
            _ => {
                self.write();
                self.run = Some(Run { first: share, length: 1 });
            }
        }
    }

    /// What was pushed; nothing is left on it.
    pub(super) fn take(&mut self) -> Shares {
        self.write();
        let shares = Shares(self.bytes.as_slice().into());
        self.bytes.clear();
        self.written = NONE;
        shares
    }

    fn write(&mut self) {
        let Some(Run { first, length }) = self.run.take() else { return };
        let step = first.slot.wrapping_sub(self.written.slot.wrapping_add(1)) as isize;
        let step = if step < 0 { !step as usize * 2 + 1 } else { step as usize * 2 };
        let other = !first.is_like(&self.written);
        self.number(step * 2 + usize::from(other));
        self.number(length - 1);
        self.number(first.pool);
        if other {
            self.number(first.point);
            self.bytes.extend(first.hours.to_le_bytes());
        }
        self.written = Share { slot: first.slot + length - 1, ..first };
    }

    fn number(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::{Share, Shares, Tape};
    use proptest::prelude::*;

    fn check(shares: &[(usize, usize, usize, f64)], bytes: usize) {
        let shares: Vec<Share> =
            shares.iter().map(|&(pool, slot, point, hours)| Share { pool, slot, point, hours }).collect();
        let kept: Shares = shares.iter().copied().collect();
        assert_eq!(kept.0.len(), bytes, "{shares:?}");
        assert_eq!(kept.iter().collect::<Vec<_>>(), shares);
        assert_eq!(format!("{kept:?}"), format!("{shares:?}"));
    }

    #[test]
    fn what_is_equal_in_slots_that_follow_is_one_run() {
        check(&[], 0);
        check(&[(0, 3, 0, 0.25), (0, 4, 0, 0.25), (0, 5, 0, 0.25)], 12);
        check(&[(0, 3, 0, 0.25), (0, 5, 0, 0.25)], 15);
        check(&[(0, 3, 0, 0.25), (1, 4, 0, 0.25)], 15);
        check(&[(0, 3, 0, 0.25), (0, 4, 1, 0.25)], 24);
        check(&[(0, 3, 0, 0.25), (0, 4, 0, 0.25 - f64::EPSILON / 8.0)], 24);
        check(&[(0, 3, 0, 0.1), (1, 3, 0, 0.1)], 15);
        check(&[(0, 4, 0, 0.25), (0, 3, 0, 0.25)], 15);
        check(&[(300, 40_000, 0, 0.25), (300, 100, 0, 0.25)], 21);
        check(&[(usize::MAX, 1 << 60, 1 << 60, f64::INFINITY), (0, 0, usize::MAX, -0.0)], 66);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_given_back(
            shares in prop::collection::vec((0_usize..2, 0_usize..6, 0_usize..2, 0_u8..3), 0..40)
        ) {
            let share = |&(pool, slot, point, hours): &(usize, usize, usize, u8)| {
                Share { pool, slot, point, hours: f64::from(hours) / 3.0 }
            };
            let shares: Vec<Share> = shares.iter().map(share).collect();
            let kept: Shares = shares.iter().copied().collect();
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), shares.clone());
            let mut tape = Tape::default();
            tape.push(Share { pool: 9, slot: 9, point: 9, hours: 9.0 });
            tape.take();
            shares.iter().for_each(|share| tape.push(*share));
            prop_assert_eq!(tape.take(), kept);
        }
    }
}
