//! Polls one server of events, in a task of its own, by the schedule that all services are asked by. What came of each poll
//! goes out as [`News`]; it decides nothing.

use super::super::feed::{Ask, FeedError, Request, Signal};
use super::super::fetch::{Answer, Perform};
use super::super::rounds::Now;
use super::super::schedule::{Ended, Lane, Next, Schedule};
use super::client::{Client, Heard};
use super::event::Shown;
use chrono::{DateTime, TimeDelta, Utc};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest sleep, so that a host whose clock is set is noticed.
const NAP: TimeDelta = TimeDelta::seconds(60);

/// What one poll came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The site's name of the server.
    pub vtn: String,
    /// All events that it shows this site, or why there was no answer.
    pub shown: Result<Vec<Shown>, FeedError>,
    /// Whether it failed so often that it is only probed.
    pub circuit_open: bool,
}

/// Polls until nobody listens. `M` is what the listener takes news as.
pub async fn keep_polling<M: From<News> + Send>(
    client: Client,
    seed: u64,
    performer: Arc<dyn Perform>,
    now: Now,
    news: mpsc::Sender<M>,
) {
    // The only lane; a signal is part of every lane's name and says nothing here.
    let lane: Lane = (client.vtn().name.clone(), Signal::Intensity);
    let schedule = Schedule::new(client.manners().clone(), [lane.clone()], seed, now());
    let mut polls = Polls { client, lane, schedule };
    loop {
        let at = now();
        let told = match polls.schedule.next(at) {
            Next::Wait(until) => {
                let nap = (until.min(at + NAP) - at).to_std().unwrap_or(Duration::ZERO);
                tokio::select! {
                    () = tokio::time::sleep(nap) => continue,
                    () = news.closed() => return,
                }
            }
            Next::Ask(_) => {
                polls.schedule.sent(&polls.lane, at);
                match polls.client.ask(at) {
                    Ask::Send(request) => {
                        let answer = tokio::select! {
                            answer = performer.perform(request.clone()) => answer,
                            () = news.closed() => return,
                        };
                        polls.landed(&request, answer, now())
                    }
                    Ask::NotBefore(then) => {
                        polls.schedule.ended(&polls.lane, &Ended::NotBefore(then), at);
                        None
                    }
                    Ask::Never(error) => Some(polls.over(Err(error), at)),
                }
            }
        };
        if let Some(told) = told
            && news.send(told.into()).await.is_err()
        {
            return;
        }
    }
}

struct Polls {
    client: Client,
    lane: Lane,
    schedule: Schedule,
}

impl Polls {
    fn landed(&mut self, request: &Request, answer: Result<Answer, FeedError>, at: DateTime<Utc>) -> Option<News> {
        let client = &mut self.client;
        let heard = answer.and_then(|answer| {
            // A reader that falls over what a server sent ends nothing.
            catch_unwind(AssertUnwindSafe(|| client.hear(&answer.reply, at)))
                .unwrap_or_else(|_| Err(FeedError::Refused("its answer cannot be read".to_owned())))
        });
        match heard {
            Ok(Heard::Events(shown)) => Some(self.over(Ok(shown), at)),
            Ok(Heard::AskAgain) => {
                let endless = self.schedule.ended(&self.lane, &Ended::GoesOn, at)?;
                self.client.begin();
                Some(self.told(Err(endless)))
            }
            Err(error) => Some(self.over(Err(error.map(|text| request.scrub(text))), at)),
        }
    }

    fn over(&mut self, shown: Result<Vec<Shown>, FeedError>, at: DateTime<Utc>) -> News {
        let how = match &shown {
            Ok(_) => Ended::Values,
            Err(error) => {
                self.client.begin();
                Ended::Failed(error.clone())
            }
        };
        self.schedule.ended(&self.lane, &how, at);
        self.told(shown)
    }

    fn told(&self, shown: Result<Vec<Shown>, FeedError>) -> News {
        News { vtn: self.lane.0.clone(), shown, circuit_open: self.schedule.is_open() }
    }
}
