//! What was measured, by project, name and board: what one run learned the next one starts with. A [`Curve`] of limits, or what
//! is known by ceiling.

use super::Curve;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A curve older than that is measured again: drivers and code change.
const GOOD_FOR: TimeDelta = TimeDelta::days(90);
/// Curves that are kept; the oldest go first.
const MOST: usize = 10_000;

/// Whose curve it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Project.
    pub project: String,
    /// Name of the job.
    pub name: String,
    /// Model of the board.
    pub board: String,
}

/// All that was learned of one lever.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned<T = Curve> {
    curves: BTreeMap<Key, (DateTime<Utc>, T)>,
}

impl<T> Default for Learned<T> {
    fn default() -> Self {
        Self { curves: BTreeMap::new() }
    }
}

impl<T> Learned<T> {
    /// Keeps a curve in place of an older one.
    pub fn keep(&mut self, key: Key, at: DateTime<Utc>, curve: T) {
        self.curves.insert(key, (at, curve));
        if self.curves.len() > MOST {
            let oldest = self.curves.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone());
            oldest.map(|key| self.curves.remove(&key));
        }
    }

    /// The curve of a job does not hold any more.
    pub fn drop_curve(&mut self, key: &Key) {
        self.curves.remove(key);
    }

    /// The curve of a job, while it is good.
    #[must_use]
    pub fn of(&self, key: &Key, now: DateTime<Utc>) -> Option<&T> {
        self.curves.get(key).filter(|(at, _)| now - *at <= GOOD_FOR).map(|(_, curve)| curve)
    }

    /// How many are known by board.
    #[must_use]
    pub fn by_board(&self) -> BTreeMap<&str, usize> {
        let mut boards = BTreeMap::new();
        self.curves.keys().for_each(|key| *boards.entry(key.board.as_str()).or_default() += 1);
        boards
    }
}
