//! The controller's steps beside exchanges that never come to an end: feeds and controller in one moved time, on one thread.

use super::*;
use crate::controller::tests::world::{World, config, hours, job, phase_word};
use crate::controller::{Input, ZoneCurve};
use neap_model::grid::{Curve, Origin};
use neap_model::job::JobId;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Zones that hang for ever or are busy for ever, and the others, which answer at once.
#[derive(Default)]
struct Troubled {
    /// Exchanges that hang.
    pending: AtomicUsize,
    /// Answers with 429.
    busy: AtomicUsize,
}

impl Perform for Troubled {
    fn perform(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let status = match request.address.rsplit('/').next() {
                Some("hangs") => {
                    self.pending.fetch_add(1, Ordering::Relaxed);
                    std::future::pending().await
                }
                Some("busy") => {
                    self.busy.fetch_add(1, Ordering::Relaxed);
                    429
                }
                _ => 200,
            };
            let reply = Reply { status, content_type: String::new(), retry_after: None, body: b"400".to_vec() };
            Ok(Answer { reply, date: None })
        })
    }
}

/// What the healthy zone says: dirty for ten minutes from the beginning on, then clean for two hours.
fn curve(told: &Told) -> ZoneCurve {
    let Values::Intensity(series) = &told.values else { panic!("prices") };
    let span = |from: i64, until: i64, grams| Span {
        from: start() + TimeDelta::minutes(from),
        until: start() + TimeDelta::minutes(until),
        value: Intensity::grams(grams),
        grade: Grade::Forecast,
    };
    // What came is on top, cut to its own minute: it is really heard.
    let came = series.trim(DateTime::UNIX_EPOCH, series.spans()[0].from + TimeDelta::minutes(1));
    let series = came.over(&Series::new([span(-60, 10, 400), span(10, 130, 100)]));
    let origin = Origin {
        feed: "plain".into(),
        zone: "DE".into(),
        basis: told.basis.clone(),
        issued: None,
        fetched: series.spans()[0].from,
        credit: None,
        note: None,
        private: false,
        usual_error: None,
    };
    ZoneCurve {
        curve: Curve { series: series.clone(), origins: vec![origin], whose: Vec::new() },
        past: series,
        prices: None,
    }
}

fn started(world: &World, id: JobId) -> Option<i64> {
    world.started.get(&id).and_then(|times| times.first()).map(|at| (*at - start()).num_seconds())
}

#[tokio::test(start_paused = true)]
async fn c6_exchanges_that_hang_or_are_refused_delay_neither_another_zone_nor_a_step_of_the_scheduler() {
    // Whose zone is healthy shares a feed with one that hangs; another feed is busy all the time.
    let sources = [source(plain(1), &["DE", "hangs"]), source(plain(1), &["busy"])];
    let troubled = Arc::new(Troubled::default());
    let began = Instant::now();
    let now: Now = Arc::new(move || start() + TimeDelta::from_std(began.elapsed()).expect("short"));
    let (sender, mut news) = mpsc::channel(4);
    for (place, source) in sources.into_iter().enumerate() {
        let performer: Arc<dyn Perform> = Arc::<Troubled>::clone(&troubled);
        tokio::spawn(keep_asking(place, source, BTreeMap::new(), 1, performer, Arc::clone(&now), sender.clone()));
    }
    let mut world = World::of(config(), 4);
    world.now = start();
    world.beat();
    let mut flexible = job("flexible", TimeDelta::minutes(10));
    flexible.time.finish_by = Some(start() + hours(1));
    let (mut waits, mut at_once) = (None, None);
    let (mut heard, mut pending) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    // Twenty minutes, a step a second.
    for second in 0..1_200u64 {
        loop {
            tokio::select! {
                biased;
                Some(News { lane, at, told, .. }) = news.recv() => if let (Ok(told), "DE") = (told, lane.0.as_str()) {
                    heard.push((at - start()).num_seconds());
                    world.now = now();
                    world.grid(&curve(&told));
                },
                _ = ticks.tick() => break,
            }
        }
        assert_eq!(began.elapsed(), Duration::from_secs(second), "a step is late");
        world.now = now();
        world.step(Input::Tick);
        world.beat();
        pending += u64::from(troubled.pending.load(Ordering::Relaxed) > 0);
        if second == 60 {
            waits = Some(world.submit(flexible.clone()).expect("accepted").id);
        }
        if second == 333 {
            at_once = Some(world.submit(job("plain", TimeDelta::minutes(5))).expect("accepted").id);
        }
    }
    // The exchange that hangs was under way at every step but the first few, and it is the only one of its zone.
    assert!(pending >= 1_195 && troubled.pending.load(Ordering::Relaxed) == 1, "{pending}");
    let busy = troubled.busy.load(Ordering::Relaxed);
    assert!((3..=6).contains(&busy), "one request a back-off: {busy}");
    // The healthy zone of the same feed is heard at once and then every five minutes.
    let late = heard.windows(2).map(|pair| pair[1] - pair[0]).max().expect("several");
    assert!(heard[0] <= 1 && heard.len() >= 4 && late <= 302, "{heard:?}");
    // Each job starts in the second in which it is due: one at the clean hour, one when it came.
    let (waits, at_once) = (waits.expect("submitted"), at_once.expect("submitted"));
    assert_eq!((started(&world, waits), started(&world, at_once)), (Some(600), Some(334)));
    assert_eq!([waits, at_once].map(|id| phase_word(&world.show(id))), ["running", "succeeded"]);
    world.check_replay();
}
