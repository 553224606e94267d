//! What a server of grid events showed at the polls that it answered: since when each event is known, and for how many polls
//! it was missing. A poll that failed is no poll here: it ends nothing and starts nothing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An event is over once it was missing in so many answered polls, one after the other. `OpenADR` 3 deletes events without a
/// word, and a page that shifts while it is read hides one for a moment.
pub const MISSED: u32 = 2;

/// What is kept of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// When it was seen first: what an event that starts "now" starts at.
    pub first: DateTime<Utc>,
    /// Answered polls since it was seen last.
    pub missed: u32,
}

/// What one answered poll changed. Events that are in neither list were known and seen again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polled {
    /// Events seen for the first time, by the server's ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new: Vec<String>,
    /// Known events that were not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// The events of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The last poll that was answered and written down.
    pub last: Option<DateTime<Utc>>,
    events: BTreeMap<String, Sight>,
}

impl Program {
    /// What a poll that shows these events changes. Changes nothing itself.
    #[must_use]
    pub fn compare(&self, present: &BTreeSet<String>) -> Polled {
        Polled {
            new: present.iter().filter(|id| !self.events.contains_key(*id)).cloned().collect(),
            missing: self.events.keys().filter(|id| !present.contains(*id)).cloned().collect(),
        }
    }

    /// The events that are over with that poll.
    pub fn ending<'a>(&'a self, polled: &'a Polled) -> impl Iterator<Item = &'a str> {
        let over = |id: &&String| self.events.get(*id).is_some_and(|sight| sight.missed + 1 >= MISSED);
        polled.missing.iter().filter(over).map(String::as_str)
    }

    /// Takes in what an answered poll at `at` changed.
    pub fn take(&mut self, polled: &Polled, at: DateTime<Utc>) {
        self.last = Some(at);
        let missing: BTreeSet<&String> = polled.missing.iter().collect();
        self.events.retain(|id, sight| {
            sight.missed = if missing.contains(id) { sight.missed + 1 } else { 0 };
            sight.missed < MISSED
        });
        for id in &polled.new {
            self.events.entry(id.clone()).or_insert(Sight { first: at, missed: 0 });
        }
    }

    /// What is kept of an event.
    #[must_use]
    pub fn sight(&self, id: &str) -> Option<&Sight> {
        self.events.get(id)
    }

    /// How many events are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_392_000 + minute * 60, 0).expect("in range")
    }

    /// Polls that show these events, a minute apart; a dash is a poll that failed. Gives what was over at which minute.
    fn over(polls: &str) -> Vec<(i64, String)> {
        let (mut program, mut all) = (Program::default(), Vec::new());
        for (minute, shown) in (0..).zip(polls.split('|')).filter(|(_, shown)| *shown != "-") {
            let present: BTreeSet<String> = shown.split_whitespace().map(str::to_owned).collect();
            let polled = program.compare(&present);
            all.extend(program.ending(&polled).map(|id| (minute, id.to_owned())));
            program.take(&polled, at(minute));
        }
        all
    }

    #[test]
    fn an_event_is_over_when_two_answered_polls_in_a_row_miss_it_and_a_failed_one_counts_for_nothing() {
        let check = |polls, expected: &[(i64, &str)]| {
            let expected: Vec<(i64, String)> = expected.iter().map(|(m, id)| (*m, (*id).to_owned())).collect();
            assert_eq!(over(polls), expected, "{polls}");
        };
        check("a|a|a", &[]);
        check("a||a||a", &[]);
        check("a|||", &[(2, "a")]);
        check("a||-|-|-|", &[(5, "a")]);
        check("a|-|-|-|-|a", &[]);
        check("a b|b|b|b", &[(2, "a")]);
        check("a|||a||", &[(2, "a"), (5, "a")]);
    }

    #[test]
    fn the_first_sight_stays_until_the_event_is_over() {
        let mut program = Program::default();
        let present = BTreeSet::from(["a".to_owned()]);
        let poll = |program: &mut Program, present: &BTreeSet<String>, minute| {
            let polled = program.compare(present);
            program.take(&polled, at(minute));
        };
        poll(&mut program, &present, 0);
        poll(&mut program, &BTreeSet::new(), 1);
        poll(&mut program, &present, 2);
        assert_eq!(program.sight("a"), Some(&Sight { first: at(0), missed: 0 }));
        poll(&mut program, &BTreeSet::new(), 3);
        poll(&mut program, &BTreeSet::new(), 4);
        assert_eq!((program.sight("a"), program.is_empty(), program.last), (None, true, Some(at(4))));
        poll(&mut program, &present, 5);
        assert_eq!(program.sight("a").map(|sight| sight.first), Some(at(5)));
    }
}
