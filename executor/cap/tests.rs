//! Both sides of a lease: the executor's and the helper's own rules, each killed at random, over made-up boards.

mod ceilings;
mod lives;
mod unheard;

use super::*;
use crate::powerd::OnLoss;
use crate::powerd::keeper::{Keeper, LOOK};
use crate::powerd::tests::{Disk, FACTORY, Fake, Shared, start, world};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::rc::Rc;

const GPU: &str = "GPU-a";

struct Server {
    /// An earlier version of the helper knows nothing of ceilings.
    earlier: bool,
    keeper: Option<Keeper<Fake, Disk>>,
    now: Duration,
    asked: u32,
}

#[derive(Clone)]
struct Wire(Rc<RefCell<Server>>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Helper for Wire {
    fn ask(&mut self, request: &Request) -> Option<Answer> {
        let mut server = self.0.borrow_mut();
        server.asked += 1;
        let now = server.now;
        let text = serde_json::to_string(request).expect("it serializes");
        let limited = text.contains("limit_watts") || !text.contains("acquire");
        if server.earlier && (text.contains("clock_ceiling_megahertz") || !limited) {
            return Some(Answer::no(1, Refusal::BadRequest, "unknown field"));
        }
        server.keeper.as_mut().map(|keeper| keeper.ask(7, request, now))
    }
}

struct Site {
    world: Shared,
    wire: Wire,
    epoch: u64,
    tokens: BTreeMap<String, Token>,
    holder: Holder<Wire>,
    /// The scheduler answers.
    heard: bool,
}

fn watts(watts: u64) -> Option<Wanted> {
    cap(Some(watts), None)
}

fn cap(watts: Option<u64>, ceiling: Option<u32>) -> Option<Wanted> {
    let cap = Cap { limit: watts.map(Watts::whole), clock_ceiling: ceiling.map(Megahertz) };
    Some(Wanted { cap, attempt: "7-1".to_owned() })
}

impl Site {
    fn new(found: u64) -> Self {
        Self::with(found, OnLoss::Restore)
    }

    fn with(found: u64, on_loss: OnLoss) -> Self {
        let world = world(&[]);
        world.borrow_mut().limits.insert(GPU.to_owned(), found);
        world.borrow_mut().counters.insert(GPU.to_owned(), 1_000);
        let keeper = start(&world, on_loss, 1, Duration::ZERO).expect("it starts");
        let wire =
            Wire(Rc::new(RefCell::new(Server { earlier: false, keeper: Some(keeper), now: Duration::ZERO, asked: 0 })));
        let holder = Holder::new(wire.clone(), BTreeMap::new());
        Self { world, wire, epoch: 1, tokens: BTreeMap::new(), holder, heard: true }
    }

    fn now(&self) -> Duration {
        self.wire.0.borrow().now
    }

    /// Time passes for the helper, and then for the executor, which writes its tokens down if it lives to do so.
    fn pass(&mut self, time: Duration, writes: bool) {
        {
            let mut server = self.wire.0.borrow_mut();
            server.now += time;
            let now = server.now;
            server.keeper.iter_mut().for_each(|keeper| keeper.tick(now));
        }
        if self.heard {
            self.holder.hear(self.now());
        }
        self.holder.tend(self.now());
        if let Some(tokens) = self.holder.changed_tokens().filter(|_| writes) {
            self.tokens = tokens;
        }
    }

    fn passes(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1), true);
        }
    }

    fn kill_executor(&mut self) {
        self.holder = Holder::new(self.wire.clone(), self.tokens.clone());
    }

    fn restart_helper(&mut self) {
        self.epoch += 1;
        let keeper = start(&self.world, OnLoss::Restore, self.epoch, self.now()).expect("it starts");
        self.wire.0.borrow_mut().keeper = Some(keeper);
    }

    fn limit(&self) -> u64 {
        self.world.borrow().limits[GPU]
    }

    fn lock(&self) -> Option<u32> {
        self.world.borrow().locks.get(GPU).copied()
    }

    fn held(&self) -> CapHeld {
        self.holder.held().remove(GPU).unwrap_or_default()
    }

    fn asked(&self) -> u32 {
        self.wire.0.borrow().asked
    }
}

#[test]
fn a_limit_is_held_renewed_changed_and_given_back() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, watts(300));
    site.passes(1);
    assert_eq!((site.limit(), site.held().found, site.held().is_settled()), (300_000, Some(Watts(500_001)), true));
    site.passes(300);
    assert_eq!(site.limit(), 300_000);
    assert!(site.asked() <= 1 + 300 / 20 + 1, "{} requests in 5 min", site.asked());
    site.holder.want(GPU, watts(250));
    site.passes(1);
    assert_eq!(site.limit(), 250_000);
    site.holder.want(GPU, None);
    site.passes(1);
    assert_eq!((site.limit(), site.holder.held().len()), (500_001, 0));
}

#[test]
fn an_executor_that_was_killed_goes_on_or_lets_go() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, watts(300));
    site.passes(3);
    site.kill_executor();
    site.holder.want(GPU, watts(300));
    site.passes(90);
    assert_eq!((site.limit(), site.held().because), (300_000, None));
    site.kill_executor();
    site.passes(2);
    assert_eq!(site.limit(), 500_001, "nobody wants it any more, and the next life knows of it");
}

#[test]
fn what_an_earlier_life_set_and_did_not_write_down_is_seen_and_undone() {
    let ceiling = Some(Megahertz(900));
    // The limit was set beside a ceiling, and taken back before the next life could say so; and a limit that was changed.
    for (before, set, now) in [
        (cap(None, Some(900)), cap(Some(300), Some(900)), cap(None, Some(900))),
        (cap(Some(350), Some(900)), cap(Some(300), Some(900)), cap(Some(350), Some(900))),
        (cap(Some(300), None), cap(Some(300), Some(900)), cap(Some(300), None)),
    ] {
        let mut site = Site::new(500_001);
        site.holder.want(GPU, before.clone());
        site.passes(8);
        site.holder.want(GPU, set.clone());
        site.pass(Duration::from_secs(6), false);
        assert_eq!((site.limit(), site.lock().is_some()), (300_000, true), "{set:?} is set, and nobody wrote it down");
        site.kill_executor();
        site.holder.want(GPU, now.clone());
        site.passes(12);
        let wanted = now.expect("it is wanted").cap;
        let limit = wanted.limit.map_or(500_001, |limit| limit.0);
        assert_eq!((site.limit(), site.lock()), (limit, wanted.clock_ceiling.map(|ceiling| ceiling.0)), "{before:?}");
        assert_eq!(site.held().clock_ceiling, ceiling.filter(|_| wanted.clock_ceiling.is_some()));
        let asked = site.asked();
        site.passes(60);
        assert!(site.asked() <= asked + 4, "then it is only renewed: {} requests", site.asked() - asked);
    }
}

#[test]
fn whose_token_was_lost_goes_on_with_the_lease_of_its_attempt() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, watts(300));
    site.passes(1);
    site.tokens.clear();
    site.kill_executor();
    site.holder.want(GPU, watts(200));
    site.passes(5);
    assert_eq!((site.limit(), site.held().found), (200_000, Some(Watts(500_001))));
    // Nobody wants it any more: it is taken over to be given back.
    site.tokens.clear();
    site.kill_executor();
    site.holder.orphaned(GPU, watts(200).expect("a limit"));
    // The helper does not answer the first time, as if it had too much to do.
    let keeper = site.wire.0.borrow_mut().keeper.take();
    site.passes(1);
    site.wire.0.borrow_mut().keeper = keeper;
    site.passes(5);
    assert_eq!(site.limit(), 500_001);
    // Another attempt's stays until it ends by itself.
    site.holder.want(GPU, watts(300));
    site.passes(1);
    site.tokens.clear();
    site.kill_executor();
    site.holder.want(GPU, watts(200).map(|wanted| Wanted { attempt: "99-1".into(), ..wanted }));
    site.passes(5);
    assert_eq!((site.limit(), site.held().because), (300_000, Some(Uncapped::Device)));
    site.passes(65);
    assert_eq!(site.limit(), 200_000);
}

#[test]
fn a_helper_that_is_started_anew_is_asked_again_and_one_that_is_away_is_told() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, watts(300));
    site.passes(1);
    site.restart_helper();
    assert_eq!(site.limit(), 500_001);
    site.passes(21);
    assert_eq!(site.limit(), 300_000);
    site.wire.0.borrow_mut().keeper = None;
    site.passes(90);
    assert_eq!((site.held().because, site.held().requested), (Some(Uncapped::NoHelper), None));
    site.restart_helper();
    site.passes(5);
    assert_eq!((site.limit(), site.held().because), (300_000, None));
}

#[test]
fn what_is_refused_is_not_asked_for_again_and_again() {
    let mut site = Site::new(500_001);
    site.world.borrow_mut().no_permission = true;
    site.holder.want(GPU, watts(300));
    site.passes(600);
    assert_eq!((site.held().because, site.asked()), (Some(Uncapped::NoPermission), 1));
    site.world.borrow_mut().no_permission = false;
    site.holder.want(GPU, watts(400));
    site.passes(1);
    assert_eq!(site.limit(), 400_000);
    site.holder.want(GPU, watts(90));
    site.passes(60);
    assert_eq!((site.limit(), site.held().because), (400_000, Some(Uncapped::OutOfRange)), "it stays at what it has");
    assert!(site.asked() < 12, "{}", site.asked());
}

#[test]
fn somebody_elses_limit_ends_ours() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, watts(300));
    site.passes(1);
    site.world.borrow_mut().limits.insert(GPU.to_owned(), 444_001);
    site.passes(60);
    assert_eq!((site.limit(), site.held().because), (444_001, Some(Uncapped::Foreign)));
    site.holder.want(GPU, None);
    site.passes(5);
    assert_eq!((site.limit(), site.holder.held().len()), (444_001, 0));
}

#[test]
fn a_helper_that_says_nothing_holds_up_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("power.sock");
    let (socket, mut seeker) = (Socket(path.clone()), Seeker::default());
    // Nobody listens: that is known at once.
    assert_eq!(seeker.seek(&socket, Duration::from_secs(5)), Some(Sought::Away));
    assert_eq!(seeker.seek(&socket, Duration::ZERO), None, "it is not asked again at once");
    // It takes connections and never answers.
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let (mut seeker, began) = (Seeker::default(), std::time::Instant::now());
    assert_eq!(seeker.seek(&socket, Duration::from_millis(10)), None);
    assert_eq!(seeker.seek(&socket, Duration::ZERO), None);
    assert!(began.elapsed() < Duration::from_secs(3), "nobody waits as long as the socket does");
    // The one question that is under way is the only one.
    listener.set_nonblocking(true).expect("it can");
    assert!(listener.accept().is_ok() && listener.accept().is_err());
}

#[test]
fn a_lost_lease_is_given_back_though_the_helper_is_busy_when_it_is_asked_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("power.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut busy = true;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line).expect("a request");
            let request: Request = serde_json::from_str(&line).expect("a request");
            let done = || Answer { ok: true, lease: Some("lost".into()), ..Answer::default() };
            let answer = match &request {
                Request::Status if std::mem::take(&mut busy) => Answer::no(1, Refusal::RateLimited, "wait"),
                Request::Status => {
                    let held = crate::powerd::Held {
                        gpu: GPU.into(),
                        state: "leased".into(),
                        found_milliwatts: Some(500_000),
                        requested_milliwatts: Some(200_000),
                        attempt: Some("1-1".into()),
                        settable_milliwatts: None,
                        safe_milliwatts: None,
                        clock_ceiling_megahertz: None,
                        settable_megahertz: None,
                    };
                    Answer { gpus: vec![held], ..done() }
                }
                _ => done(),
            };
            let text = serde_json::to_string(&answer).expect("it serializes");
            std::io::Write::write_all(&mut stream, format!("{text}\n").as_bytes()).expect("it listens");
            if said.send(request).is_err() {
                return;
            }
        }
    });
    let _caps = Caps::start(Socket(path), dir.path().join("caps.json"), vec!["1-1".into()]).expect("a thread");
    let patience = Duration::from_secs(20);
    let released = std::iter::from_fn(|| heard.recv_timeout(patience).ok())
        .any(|request| matches!(request, Request::Release { lease, .. } if lease == "lost"));
    assert!(released);
}
