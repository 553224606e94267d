//! Reads the feeds on threads of their own and tells the loop what changed. A slow disk, a dead network or a service that
//! hangs delays nobody: one thread reads files and composes, another one asks services.

use super::{FeedNews, FeedVitals, Message};
use crate::config::Config;
use crate::controller::{Input, ZoneCurve};
use crate::feeds::fetch::{Fetcher, Patience, Perform};
use crate::feeds::rounds::{News, Now, Source, keep_asking};
use crate::feeds::schedule::hashed_text;
use crate::feeds::{Grid, troubles};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often files are looked at and curves are composed anew.
const EVERY: Duration = Duration::from_secs(15);
/// How often news of services are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// News that may wait. When it is full, services wait to be asked again.
const WAITING: usize = 64;

/// What spreads the sites of this world over the minute.
pub(super) fn seed(config: &Config) -> u64 {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    hashed_text(&format!("{host} {}", config.state_dir.display()))
}

pub(super) struct Reader {
    grid: Grid,
    sources: Vec<(usize, Source)>,
    seed: u64,
    /// Files are counted as read when they are looked at, services when they answer.
    counted: Vec<(String, &'static str)>,
    /// The network cannot be used at all.
    trouble: Option<String>,
}

impl Reader {
    /// Over what is configured, with what was known before.
    pub(super) fn new(config: &Config, now: DateTime<Utc>) -> Self {
        let (mut grid, sources) = Grid::new(config);
        grid.load(now);
        Self { grid, sources, seed: seed(config), counted: Vec::new(), trouble: None }
    }

    /// Looks at all feeds and composes the curves anew.
    pub(super) fn read(&mut self, now: DateTime<Utc>) -> (Input, FeedNews) {
        let health = self.grid.refresh(now);
        let mut prices: BTreeMap<_, _> = self.grid.prices(now).into_iter().collect();
        let curves = self.grid.curves(now).into_iter().map(|(zone, curve)| {
            let (past, prices) = (curve.series.clone(), prices.remove(&zone));
            (zone, ZoneCurve { curve, past, prices })
        });
        let curves = curves.collect();
        let troubles = troubles(&health).into_iter().chain(self.trouble.clone()).collect();
        let mut outcomes = std::mem::take(&mut self.counted);
        let files = health.iter().filter(|h| h.circuit_open.is_none());
        outcomes.extend(files.map(|h| (h.feed.clone(), h.outcome)));
        let feeds = health.into_iter().filter(|h| !h.zone.is_empty()).map(|h| FeedVitals {
            feed: h.feed,
            zone: h.zone,
            age_seconds: h.age_seconds,
            outcome: h.outcome,
            circuit_open: h.circuit_open,
        });
        let news = FeedNews { feeds: feeds.collect(), outcomes, errors: self.grid.errors() };
        (Input::Grid { curves, troubles }, news)
    }

    fn heard(&mut self, news: &News) {
        self.counted.extend(self.grid.heard(news));
    }
}

/// Reads until told to stop, or until nobody listens.
pub(super) fn keep_reading(mut reader: Reader, loop_: &mpsc::Sender<Message>, stop: &Arc<AtomicBool>) {
    let (sender, mut news) = mpsc::channel(WAITING);
    let sources = std::mem::take(&mut reader.sources);
    let (mut soon, asked) = (false, !sources.is_empty());
    let mut more = true;
    if asked {
        let sources = sources.into_iter().map(|(place, source)| (place, source, reader.grid.known(place))).collect();
        let (seed, stopping) = (reader.seed, Arc::clone(stop));
        let asking = std::thread::Builder::new().name("neap-feeds".to_owned());
        if let Err(error) = asking.spawn(move || ask(sources, seed, sender, &stopping)) {
            reader.trouble = Some(format!("no service is asked: cannot start a thread ({error})"));
        }
    }
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        if more {
            // Zone by zone, so that no news waits for the whole archive.
            more = reader.grid.load_more(Utc::now());
            soon |= !more;
        }
        loop {
            match news.try_recv() {
                Ok(news) => reader.heard(&news),
                Err(mpsc::error::TryRecvError::Disconnected) if asked && reader.trouble.is_none() => {
                    reader.trouble = Some("no service is asked any more: a client for them cannot be made".to_owned());
                }
                Err(_) => break,
            }
            soon = true;
        }
        if !soon && last.elapsed() < EVERY {
            continue;
        }
        (last, soon) = (Instant::now(), false);
        let (input, vitals) = reader.read(Utc::now());
        if loop_.blocking_send(Message::Input(input)).is_err() || loop_.blocking_send(Message::Feeds(vitals)).is_err() {
            return;
        }
    }
}

type Asked = (usize, Source, BTreeMap<crate::feeds::schedule::Lane, DateTime<Utc>>);

/// Asks services until told to stop. Each is asked by a task of its own.
fn ask(sources: Vec<Asked>, seed: u64, news: mpsc::Sender<News>, stop: &AtomicBool) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let _inside = runtime.enter();
    // Without a client there is nobody to ask; the files and the table go on.
    let Ok(fetcher) = Fetcher::new(Patience::default()) else { return };
    let performer: Arc<dyn Perform> = Arc::new(fetcher);
    let now: Now = Arc::new(Utc::now);
    for (place, source, known) in sources {
        let (performer, now) = (Arc::clone(&performer), Arc::clone(&now));
        runtime.spawn(keep_asking(place, source, known, seed, performer, now, news.clone()));
    }
    runtime.block_on(async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    });
    // A name that is being looked up cannot be called back; nobody waits for it.
    runtime.shutdown_background();
}
