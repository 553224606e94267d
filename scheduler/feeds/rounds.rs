//! Asks one feed, round after round, in a task of its own: what hangs here delays nothing elsewhere.
//!
//! The schedule says when, the provider says what, a performer sends it. What came of it goes out as [`News`].

use super::feed::{Ask, Feed, FeedError, Heard, Request, Terms, Told, Want};
use super::fetch::{Answer, Perform};
use super::schedule::{Ended, Lane, Next, Schedule};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How far back the first question goes: what our own forecaster looks at.
const FIRST: TimeDelta = TimeDelta::days(28);
/// How far back later questions go: values are revised for about a day.
const LATER: TimeDelta = TimeDelta::hours(26);
/// How far ahead is asked.
const AHEAD: TimeDelta = TimeDelta::hours(96);
/// Longest sleep, so that a host whose clock is set is noticed.
const NAP: TimeDelta = TimeDelta::seconds(60);

/// The present time, as whoever runs the round sees it.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A feed with the zones it is asked about.
pub struct Source {
    /// The provider.
    pub feed: Box<dyn Feed>,
    /// What is asked of it: our zone and the signal, with the provider's name of the zone.
    pub lanes: BTreeMap<Lane, String>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {:?}", self.feed.name(), self.lanes)
    }
}

/// What one exchange came to.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Place of the feed among the site's sources.
    pub source: usize,
    /// Zone and signal.
    pub lane: Lane,
    /// When.
    pub at: DateTime<Utc>,
    /// The values, or why there are none.
    pub told: Result<Told, FeedError>,
    /// Until when values that came now count as fresh.
    pub fresh: DateTime<Utc>,
    /// Whether the feed is only probed now.
    pub circuit_open: bool,
    /// By how much the service's clock is ahead of ours.
    pub ahead: Option<TimeDelta>,
    /// What its terms allow.
    pub terms: Terms,
}

struct Round {
    place: usize,
    source: Source,
    schedule: Schedule,
    wants: BTreeMap<Lane, Want>,
    /// The last request of each lane, for what must not be repeated of it.
    sent: BTreeMap<Lane, Request>,
    /// Zones that answered with values before.
    known: BTreeMap<Lane, DateTime<Utc>>,
    now: Now,
    news: mpsc::Sender<News>,
}

/// Asks `source` until nobody listens. `known` says up to when values are there already, by zone and signal.
pub async fn keep_asking(
    place: usize,
    source: Source,
    known: BTreeMap<Lane, DateTime<Utc>>,
    seed: u64,
    performer: Arc<dyn Perform>,
    now: Now,
    news: mpsc::Sender<News>,
) {
    let schedule = Schedule::new(source.feed.manners().clone(), source.lanes.keys().cloned(), seed, now());
    let mut round = Round { place, source, schedule, wants: BTreeMap::new(), sent: BTreeMap::new(), known, now, news };
    let mut flights: JoinSet<(Lane, Result<Answer, FeedError>)> = JoinSet::new();
    loop {
        let at = (round.now)();
        let until = match round.schedule.next(at) {
            Next::Wait(until) => until.min(at + NAP),
            Next::Ask(lane) => {
                let want = round.want(&lane, at);
                round.schedule.sent(&lane, at);
                match round.source.feed.ask(&want, at) {
                    Ask::Send(request) => {
                        let performer = Arc::clone(&performer);
                        round.sent.insert(lane.clone(), request.clone());
                        flights.spawn(async move { (lane, performer.perform(request).await) });
                    }
                    Ask::NotBefore(then) => {
                        round.schedule.ended(&lane, &Ended::NotBefore(then), at);
                    }
                    Ask::Never(error) => {
                        if round.over(lane, Err(error), None).await.is_err() {
                            return;
                        }
                    }
                }
                continue;
            }
        };
        let nap = tokio::time::sleep((until - at).to_std().unwrap_or(Duration::ZERO));
        tokio::select! {
            // A performer that fell over took its flight along; nothing else is amiss then.
            Some(Ok((lane, answer))) = flights.join_next(), if !flights.is_empty() => {
                if round.landed(lane, answer).await.is_err() {
                    return;
                }
            }
            () = nap => {}
            () = round.news.closed() => return,
        }
    }
}

impl Round {
    /// The question of a lane; the same until it is answered whole.
    fn want(&mut self, lane: &Lane, at: DateTime<Utc>) -> Want {
        let since = self.known.get(lane).map_or(at - FIRST, |until| (*until - LATER).min(at - LATER).max(at - FIRST));
        let theirs = self.source.lanes.get(lane).unwrap_or(&lane.0);
        let fresh =
            || Want { zone: lane.0.clone(), theirs: theirs.clone(), signal: lane.1, from: since, until: at + AHEAD };
        self.wants.entry(lane.clone()).or_insert_with(fresh).clone()
    }

    async fn landed(&mut self, lane: Lane, answer: Result<Answer, FeedError>) -> Result<(), ()> {
        let at = (self.now)();
        let Some(want) = self.wants.get(&lane).cloned() else { return Ok(()) };
        let (reply, date) = match answer {
            Ok(Answer { reply, date }) => (reply, date),
            Err(error) => return self.over(lane, Err(error), None).await,
        };
        let ahead = date.map(|date| date - at);
        let feed = &mut self.source.feed;
        // A reader that falls over what a service sent must not take the others along.
        let heard = catch_unwind(AssertUnwindSafe(|| feed.hear(&want, &reply, at)))
            .unwrap_or_else(|_| Err(FeedError::Refused("its answer cannot be read".to_owned())));
        match heard {
            Ok(Heard::Series(told)) => self.over(lane, Ok(told), ahead).await,
            Ok(Heard::AskAgain) => match self.schedule.ended(&lane, &Ended::GoesOn, at) {
                Some(error) => self.over(lane, Err(error), ahead).await,
                None => Ok(()),
            },
            Err(error) => self.over(lane, Err(error), ahead).await,
        }
    }

    /// The exchange is over: the schedule goes on, and whoever listens is told.
    async fn over(&mut self, lane: Lane, told: Result<Told, FeedError>, ahead: Option<TimeDelta>) -> Result<(), ()> {
        let at = (self.now)();
        self.wants.remove(&lane);
        // A service may repeat the key that it was given.
        let told = match self.sent.remove(&lane) {
            Some(request) => told.map_err(|error| error.map(|text| request.scrub(text))),
            None => told,
        };
        let how = match &told {
            Ok(_) => Ended::Values,
            Err(error) => Ended::Failed(error.clone()),
        };
        self.schedule.ended(&lane, &how, at);
        if told.is_ok() {
            self.known.insert(lane.clone(), at);
        }
        let news = News {
            source: self.place,
            lane,
            at,
            told,
            fresh: self.schedule.fresh(at),
            circuit_open: self.schedule.is_open(),
            ahead,
            terms: self.source.feed.manners().terms.clone(),
        };
        self.news.send(news).await.map_err(|_| ())
    }
}

#[cfg(test)]
mod tests;
