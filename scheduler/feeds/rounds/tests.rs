//! Rounds without a network and without waiting: time is moved.

mod steps;

use super::super::feed::{Manners, Reply, Request, Signal, Values};
use super::super::fetch::Exchange;
use super::*;
use neap_model::grid::{Basis, Grade, Series, Span};
use neap_model::units::Intensity;
use std::sync::Mutex;
use tokio::time::Instant;

/// A feed whose answer is a number of grams, valid for the next half hour; `more` asks for a second part.
struct Plain {
    manners: Manners,
    more: bool,
}

fn plain(name_of_gap: i64) -> Plain {
    let manners = Manners {
        poll: TimeDelta::minutes(5),
        delay: TimeDelta::zero(),
        gap: TimeDelta::seconds(name_of_gap),
        after_429: TimeDelta::seconds(60),
        settled: TimeDelta::hours(24),
        terms: Terms::Internal,
    };
    Plain { manners, more: false }
}

impl Feed for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        Ask::Send(Request::get(format!("http://plain/{}", want.theirs)))
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        match reply.status {
            200 => {}
            429 => return Err(FeedError::TooMany(None)),
            _ => panic!("a reader that falls over"),
        }
        if std::mem::take(&mut self.more) {
            return Ok(Heard::AskAgain);
        }
        assert!(want.from < now && want.until > now);
        let grams = String::from_utf8_lossy(&reply.body).parse().expect("a number");
        let span = Span {
            from: now,
            until: now + TimeDelta::minutes(30),
            value: Intensity::grams(grams),
            grade: Grade::Measured,
        };
        let values = Values::Intensity(Series::new([span]));
        Ok(Heard::Series(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

/// Answers by address: a delay, a status, a body. What has no answer hangs for ever.
#[derive(Default)]
struct Script {
    answers: BTreeMap<String, (u64, u16, &'static str)>,
    sent: Mutex<Vec<(u64, String)>>,
    began: Option<Instant>,
}

impl Perform for Script {
    fn perform(&self, request: Request) -> Exchange<'_> {
        let began = self.began.expect("a beginning");
        self.sent.lock().expect("not poisoned").push((began.elapsed().as_secs(), request.address.clone()));
        let answer = self.answers.get(&request.address).copied();
        Box::pin(async move {
            let Some((delay, status, body)) = answer else {
                // As the fetcher does: what hangs is cut off after 20 s.
                tokio::time::sleep(Duration::from_secs(20)).await;
                return Err(FeedError::Down("no answer within 20 s".to_owned()));
            };
            tokio::time::sleep(Duration::from_secs(delay)).await;
            let reply = Reply { status, content_type: String::new(), retry_after: None, body: body.into() };
            Ok(Answer {
                reply,
                date: Some(start() + TimeDelta::seconds(90) + TimeDelta::from_std(began.elapsed()).expect("short")),
            })
        })
    }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
}

/// Runs feeds for so long and gives what they told, with the second of each.
async fn run(sources: Vec<Source>, mut script: Script, seconds: u64) -> (Vec<(i64, News)>, Vec<(u64, String)>) {
    let began = Instant::now();
    script.began = Some(began);
    let script = Arc::new(script);
    let now: Now = Arc::new(move || start() + TimeDelta::from_std(began.elapsed()).expect("short"));
    let (sender, mut receiver) = mpsc::channel(4);
    for (place, source) in sources.into_iter().enumerate() {
        let performer: Arc<dyn Perform> = Arc::<Script>::clone(&script);
        tokio::spawn(keep_asking(place, source, BTreeMap::new(), 1, performer, Arc::clone(&now), sender.clone()));
    }
    drop(sender);
    let mut all = Vec::new();
    let over = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(over);
    loop {
        tokio::select! {
            news = receiver.recv() => match news {
                Some(news) => all.push(((news.at - start()).num_seconds(), news)),
                None => break,
            },
            () = &mut over => break,
        }
    }
    let sent = script.sent.lock().expect("not poisoned").clone();
    (all, sent)
}

fn source(feed: Plain, zones: &[&str]) -> Source {
    let lane = |zone: &&str| (((*zone).to_owned(), Signal::Intensity), (*zone).to_owned());
    Source { feed: Box::new(feed), lanes: zones.iter().map(lane).collect() }
}

fn script(answers: &[(&str, u64, u16, &'static str)]) -> Script {
    let answers =
        answers.iter().map(|(zone, delay, status, body)| (format!("http://plain/{zone}"), (*delay, *status, *body)));
    Script { answers: answers.collect(), ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn c6_a_zone_that_hangs_delays_no_other_zone_of_the_same_feed_nor_of_another() {
    let sources = vec![source(plain(1), &["A", "H-hangs", "Z"]), source(plain(1), &["other"])];
    let answers = script(&[("A", 0, 200, "1"), ("Z", 0, 200, "2"), ("other", 0, 200, "3")]);
    let (all, _) = run(sources, answers, 3_600).await;
    let seconds = |zone: &str| -> Vec<i64> {
        all.iter().filter(|(_, n)| n.lane.0 == zone && n.told.is_ok()).map(|(s, _)| *s).collect()
    };
    assert_eq!((seconds("A")[0], seconds("Z")[0], seconds("other")[0]), (0, 2, 0), "nobody waited for 20 s");
    for zone in ["A", "Z", "other"] {
        let late = seconds(zone).windows(2).map(|pair| pair[1] - pair[0]).max().expect("several");
        assert!(seconds(zone).len() >= 12 && late <= 302, "{zone}: {:?}", seconds(zone));
    }
    assert!(seconds("H-hangs").is_empty());
}

#[tokio::test(start_paused = true)]
async fn c6_a_feed_that_is_busy_all_day_is_asked_ever_more_rarely_and_delays_no_other() {
    let sources = vec![source(plain(1), &["busy"]), source(plain(1), &["other"])];
    let (all, sent) = run(sources, script(&[("busy", 0, 429, ""), ("other", 0, 200, "3")]), 86_400).await;
    let busy = sent.iter().filter(|(_, address)| address.ends_with("busy")).count();
    assert!((20..45).contains(&busy), "one request a back-off: {busy}");
    let other = all.iter().filter(|(_, news)| news.lane.0 == "other" && news.told.is_ok()).count();
    assert!((288..=290).contains(&other), "{other}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_over_costs_its_own_answer_only() {
    let (all, _) =
        run(vec![source(plain(1), &["A", "odd"])], script(&[("A", 0, 200, "1"), ("odd", 0, 500, "")]), 700).await;
    let told =
        |zone: &str| all.iter().filter(|(_, n)| n.lane.0 == zone).map(|(_, n)| n.told.is_ok()).collect::<Vec<_>>();
    assert!(told("A").len() >= 3 && told("A").iter().all(|ok| *ok), "{:?}", told("A"));
    assert!(told("odd").len() >= 3 && told("odd").iter().all(|ok| !ok), "{:?}", told("odd"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_parts_is_asked_for_part_by_part_and_the_services_clock_is_looked_at() {
    let feed = Plain { more: true, ..plain(7) };
    let (all, sent) = run(vec![source(feed, &["A"])], script(&[("A", 0, 200, "1")]), 20).await;
    assert_eq!(sent.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [0, 7]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1.ahead, Some(TimeDelta::seconds(90)));
}

/// The same over a real socket: a service that takes the connection and says nothing.
#[test]
fn c6_a_real_server_that_stalls_delays_no_other() {
    use super::super::fetch::{Fetcher, Patience};
    use std::io::{Read, Write};
    let serve = |stalls: bool| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if !stalls {
                    let _ = stream.read(&mut [0; 1_024]);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n7");
                } else {
                    open.push(stream);
                }
            }
        });
        address
    };
    struct At(String, Plain);
    impl Feed for At {
        fn name(&self) -> &str {
            "at"
        }
        fn ask(&mut self, _: &Want, _: DateTime<Utc>) -> Ask {
            Ask::Send(Request::get(format!("http://{}/", self.0)))
        }
        fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
            self.1.hear(want, reply, now)
        }
        fn manners(&self) -> &Manners {
            &self.1.manners
        }
    }
    let of = |stalls, zone: &str| Source {
        feed: Box::new(At(serve(stalls), plain(1))),
        lanes: BTreeMap::from([((zone.to_owned(), Signal::Intensity), zone.to_owned())]),
    };
    let sources = [of(true, "stalls"), of(false, "answers")];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut receiver) = mpsc::channel(4);
        let performer: Arc<dyn Perform> = Arc::new(Fetcher::new(Patience::default()).expect("a client"));
        let began = std::time::Instant::now();
        for (place, source) in sources.into_iter().enumerate() {
            let now: Now = Arc::new(Utc::now);
            tokio::spawn(keep_asking(place, source, BTreeMap::new(), 1, Arc::clone(&performer), now, sender.clone()));
        }
        let first = receiver.recv().await.expect("news");
        assert!(first.lane.0 == "answers" && first.told.is_ok(), "{first:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
}
