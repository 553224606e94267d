//! What the grid or a site's operators announce: power limits and hours of plenty. An announcement is never taken back by
//! an error: it holds until its end or until somebody cancels it.

pub mod program;
mod source;
pub mod wire;

pub use program::{Polled, Program};
pub use source::Source;
pub use wire::Announcement;

use crate::units::{Percent, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Call {
    /// Power must stay under a limit.
    Cap {
        /// IT power.
        limit: Watts,
    },
    /// Power must stay under a share of the limit that holds otherwise.
    DemandResponse {
        /// The share.
        share: Percent,
    },
    /// Every GPU of a node must stay under a limit.
    GpuCap {
        /// Of each.
        limit: Watts,
    },
    /// Electricity is plentiful: run as much as fits, nothing waits for cleaner hours.
    Plenty,
    /// The grid is in trouble. Shown; a cap is announced apart.
    Alert,
    /// A queue whose holding went badly holds jobs for the grid again: how its held jobs ended before counts no more.
    HoldAgain,
}

impl Call {
    /// The word used in every output.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Cap { .. } => "cap",
            Self::DemandResponse { .. } => "demand_response",
            Self::GpuCap { .. } => "gpu_cap",
            Self::Plenty => "plenty",
            Self::Alert => "alert",
            Self::HoldAgain => "hold_again",
        }
    }
}

/// An announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who announces names it; the same name again is the same announcement.
    pub id: String,
    /// Higher replaces lower.
    pub revision: u64,
    /// A power domain, a zone, for GPUs a node or, where it is about holding, a queue; `None`: the whole site.
    pub place: Option<String>,
    /// What.
    pub call: Call,
    /// First instant.
    pub from: DateTime<Utc>,
    /// End, excluded; `None`: until it is cancelled.
    pub until: Option<DateTime<Utc>>,
    /// 0 is the highest; `None` the lowest. On overlap the higher one holds.
    pub priority: Option<u32>,
    /// For people.
    pub reason: String,
    /// Where it came in, as [`Source`] says it: `operator NAME`, `webhook`, `openadr NAME`.
    pub source: String,
    /// Somebody took it back.
    pub cancelled: bool,
}

impl Notice {
    /// Whether it holds at that time.
    #[must_use]
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        !self.cancelled && self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// Whether it can never hold again.
    #[must_use]
    pub fn is_past(&self, at: DateTime<Utc>) -> bool {
        self.cancelled || self.until.is_some_and(|until| until <= at)
    }

    fn rank(&self) -> u32 {
        self.priority.unwrap_or(u32::MAX)
    }
}

/// What became of an announcement that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// It is new, or replaces an older revision.
    New,
    /// It was known already.
    Known,
    /// A later revision is known.
    Older,
}

/// All announcements that are not long past, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(BTreeMap<String, Notice>);

impl Notices {
    /// What `notice` would be. Changes nothing.
    #[must_use]
    pub fn heard(&self, notice: &Notice) -> Heard {
        match self.0.get(&notice.id) {
            Some(known) if known.revision > notice.revision => Heard::Older,
            Some(known) if known.revision == notice.revision => Heard::Known,
            _ => Heard::New,
        }
    }

    /// Takes one in, if it is [`Heard::New`]. Those whose end lies more than a week before `now` are dropped: that long
    /// an announcement is recognised when it comes again.
    pub fn take(&mut self, notice: Notice, now: DateTime<Utc>) {
        if self.heard(&notice) == Heard::New {
            self.0.insert(notice.id.clone(), notice);
        }
        let long_ago = now - chrono::TimeDelta::days(7);
        self.0.retain(|_, known| known.until.is_none_or(|until| until >= long_ago));
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Notice> {
        self.0.get(id)
    }

    /// All whose id begins so.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Notice> {
        let from = self.0.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(move |(id, _)| id.starts_with(prefix)).map(|(_, notice)| notice)
    }

    /// Those that hold or will hold, soonest first.
    #[must_use]
    pub fn ahead(&self, now: DateTime<Utc>) -> Vec<&Notice> {
        let mut all: Vec<&Notice> = self.0.values().filter(|notice| !notice.is_past(now)).collect();
        all.sort_by_key(|notice| (notice.from, notice.id.clone()));
        all
    }

    /// The power limit announced for exactly that place (`None`: the whole site) at `at`, with the announcement that sets it.
    ///
    /// Of those that overlap the highest priority holds; of equals the lowest limit.
    #[must_use]
    pub fn cap(&self, at: DateTime<Utc>, place: Option<&str>) -> Option<(Watts, &Notice)> {
        let here = self.0.values().filter(|notice| notice.holds(at) && notice.place.as_deref() == place);
        let limits = here.filter_map(|notice| match notice.call {
            Call::Cap { limit } => Some((limit, notice)),
            _ => None,
        });
        limits.min_by_key(|(limit, notice)| (notice.rank(), *limit, notice.id.clone()))
    }

    /// The limit announced for every GPU of a node at `at`, with the announcement that sets it; likewise.
    #[must_use]
    pub fn gpu_cap(&self, at: DateTime<Utc>, node: &str) -> Option<(Watts, &Notice)> {
        let here = self.0.values().filter(|notice| notice.holds(at) && notice.place.as_deref() == Some(node));
        let limits = here.filter_map(|notice| match notice.call {
            Call::GpuCap { limit } => Some((limit, notice)),
            _ => None,
        });
        limits.min_by_key(|(limit, notice)| (notice.rank(), *limit, notice.id.clone()))
    }

    /// The share of its usual limit that a power domain is left with at `at`, likewise. `places` are the names it answers to:
    /// its own and its zone's; what is announced for the whole site always counts.
    #[must_use]
    pub fn share(&self, at: DateTime<Utc>, places: &[&str]) -> Option<(Percent, &Notice)> {
        let here = |notice: &&Notice| notice.place.as_deref().is_none_or(|place| places.contains(&place));
        let shares =
            self.0.values().filter(|notice| notice.holds(at)).filter(here).filter_map(|notice| match notice.call {
                Call::DemandResponse { share } => Some((share, notice)),
                _ => None,
            });
        shares.min_by_key(|(share, notice)| (notice.rank(), *share, notice.id.clone()))
    }

    /// The announcement of plenty that holds at one of the places, if one does.
    #[must_use]
    pub fn plenty(&self, at: DateTime<Utc>, places: &[&str]) -> Option<&Notice> {
        let here = |notice: &&Notice| notice.place.as_deref().is_none_or(|place| places.contains(&place));
        self.0.values().filter(|notice| notice.holds(at) && notice.call == Call::Plenty).find(here)
    }

    /// When the queue was last told to hold again.
    #[must_use]
    pub fn holds_again(&self, queue: &str) -> Option<DateTime<Utc>> {
        let told = |notice: &&Notice| notice.call == Call::HoldAgain && notice.place.as_deref() == Some(queue);
        self.0.values().filter(told).map(|notice| notice.from).max()
    }

    /// When the next announcement begins or ends after `now`.
    #[must_use]
    pub fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let open = self.0.values().filter(|notice| !notice.cancelled);
        open.flat_map(|notice| [Some(notice.from), notice.until]).flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_392_000 + hour * 3600, 0).expect("in range")
    }

    fn cap(id: &str, place: Option<&str>, watts: u64, from: i64, until: i64, priority: Option<u32>) -> Notice {
        Notice {
            id: id.to_owned(),
            revision: 1,
            place: place.map(str::to_owned),
            call: Call::Cap { limit: Watts::whole(watts) },
            from: at(from),
            until: Some(at(until)),
            priority,
            reason: String::new(),
            source: "webhook".to_owned(),
            cancelled: false,
        }
    }

    fn all(notices: &[Notice]) -> Notices {
        let mut known = Notices::default();
        notices.iter().for_each(|notice| known.take(notice.clone(), at(0)));
        known
    }

    #[test]
    fn the_higher_priority_holds_and_splits_the_lower() {
        let known = all(&[cap("low", None, 100, 0, 10, Some(5)), cap("high", None, 300, 4, 6, Some(0))]);
        let limit = |hour| known.cap(at(hour), None).map(|(limit, _)| limit);
        assert_eq!(limit(3), Some(Watts::whole(100)));
        assert_eq!(limit(4), Some(Watts::whole(300)));
        assert_eq!(limit(6), Some(Watts::whole(100)));
        assert_eq!(limit(10), None);
        assert_eq!(known.next_change(at(4)), Some(at(6)));
    }

    #[test]
    fn of_equal_priorities_the_lower_limit_holds_and_a_limit_is_for_its_place_alone() {
        let known = all(&[cap("a", Some("row-a"), 500, 0, 10, None), cap("b", Some("row-a"), 200, 0, 10, None)]);
        assert_eq!(known.cap(at(1), Some("row-a")).map(|(l, n)| (l, n.id.as_str())), Some((Watts::whole(200), "b")));
        assert_eq!((known.cap(at(1), Some("row-b")), known.cap(at(1), None)), (None, None));
    }

    #[test]
    fn a_share_reaches_every_domain_of_its_place() {
        let mut notice = cap("dr", Some("DE"), 0, 0, 2, None);
        notice.call = Call::DemandResponse { share: Percent(70_000) };
        let known = all(&[notice]);
        let share = |places: &[&str]| known.share(at(1), places).map(|(share, _)| share);
        assert_eq!(share(&["row-a", "DE"]), Some(Percent::whole(70)));
        assert_eq!(share(&["row-b", "SE3"]), None);
    }

    #[test]
    fn the_same_revision_is_known_a_lower_one_older_and_a_cancelled_one_holds_no_more() {
        let first = cap("x", None, 100, 0, 10, None);
        let mut known = all(std::slice::from_ref(&first));
        assert_eq!(known.heard(&first), Heard::Known);
        let off = Notice { revision: 3, cancelled: true, ..first.clone() };
        assert_eq!(known.heard(&off), Heard::New);
        known.take(off, at(1));
        assert_eq!(known.heard(&Notice { revision: 2, ..first }), Heard::Older);
        assert_eq!(known.cap(at(1), None), None);
        assert_eq!(known.ahead(at(1)), Vec::<&Notice>::new());
    }
}
