//! Reads the feeds on a thread of its own and tells the loop what changed. A slow disk delays nobody but itself.

use super::{FeedVitals, Message};
use crate::config::Config;
use crate::controller::{Input, ZoneCurve};
use crate::feeds::{Grid, troubles};
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often feeds are looked at.
const EVERY: Duration = Duration::from_secs(15);

pub(super) struct Reader(Grid);

impl Reader {
    pub(super) fn new(config: &Config) -> Self {
        Self(Grid::new(config))
    }

    /// Looks at all feeds and composes the curves anew.
    pub(super) fn read(&mut self, now: DateTime<Utc>) -> (Input, Vec<FeedVitals>) {
        let health = self.0.refresh(now);
        let curves = self.0.curves(now).into_iter().map(|(zone, curve)| {
            let past = curve.series.clone();
            (zone, ZoneCurve { curve, past })
        });
        let input = Input::Grid { curves: curves.collect(), troubles: troubles(&health) };
        let vitals = health.into_iter().map(|h| FeedVitals {
            feed: h.feed,
            zone: h.zone,
            age_seconds: h.age_seconds,
            outcome: h.outcome,
        });
        (input, vitals.collect())
    }
}

/// Reads until told to stop, or until nobody listens.
pub(super) fn keep_reading(reader: &mut Reader, loop_: &mpsc::Sender<Message>, stop: &AtomicBool) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        if last.elapsed() < EVERY {
            continue;
        }
        last = Instant::now();
        let (input, vitals) = reader.read(Utc::now());
        if loop_.blocking_send(Message::Input(input)).is_err() || loop_.blocking_send(Message::Feeds(vitals)).is_err() {
            return;
        }
    }
}
