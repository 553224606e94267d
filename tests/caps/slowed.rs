//! A start for which there are watts at a limit and for no more, over a real executor and its helper: a scheduler is played here.

use super::Place;
use neap_model::cap::Uncapped;
use neap_model::job::{AttemptId, Epoch, Flex, JobId, JobSpec, Launch, Person, Resources, Retry, Task, TimeTerms};
use neap_model::lifecycle::AttemptEnd;
use neap_model::protocol::{AttemptReport, Beat, BeatReply, Lease};
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is offered, and what was heard last.
#[derive(Default)]
struct Talk {
    leases: Vec<Lease>,
    heard: Option<Beat>,
}

/// A scheduler that offers leases, and does nothing else.
struct Played(Arc<Mutex<Talk>>);

impl Played {
    fn at(place: &Place) -> Self {
        let listener = UnixListener::bind(place.site.socket()).expect("a socket");
        let talk = Arc::new(Mutex::new(Talk::default()));
        let theirs = Arc::clone(&talk);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let talk = Arc::clone(&theirs);
                std::thread::spawn(move || answer(stream, &talk));
            }
        });
        Self(talk)
    }

    fn offer(&self, lease: Lease) {
        self.0.lock().expect("whole").leases.push(lease);
    }

    /// What the executor says of an attempt.
    fn report(&self, id: AttemptId) -> Option<AttemptReport> {
        let talk = self.0.lock().expect("whole");
        talk.heard.as_ref()?.holds.iter().find(|held| held.attempt == id).cloned()
    }

    fn beat(&self) -> Option<Beat> {
        self.0.lock().expect("whole").heard.clone()
    }
}

fn answer(stream: UnixStream, talk: &Mutex<Talk>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).ok()? > 0 && !line.trim().is_empty() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let beat: Beat = serde_json::from_slice(&body).ok()?;
    std::thread::sleep(Duration::from_millis(u64::from(beat.patience_ms.min(50))));
    let reply = {
        let mut talk = talk.lock().ok()?;
        if talk.heard.as_ref().is_none_or(|last| last.number < beat.number) {
            talk.heard = Some(beat);
        }
        BeatReply {
            incarnation: 1,
            nonce: 1,
            leases: talk.leases.clone(),
            stops: Vec::new(),
            settled: Vec::new(),
            stale: Vec::new(),
            booked: Vec::new(),
            node_booked: None,
            caps: Vec::new(),
            footers: Vec::new(),
        }
    };
    let text = serde_json::to_string(&reply).ok()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    let mut stream = stream;
    stream.write_all((head + &text).as_bytes()).ok()
}

/// A lease of the board at that limit, of a job that writes the time at which it starts.
fn lease(place: &Place, id: u64, gpu: &str, limit: u64) -> Lease {
    let script = format!("date +%s%N > {}", place.site.path(&format!("began-{id}")).display());
    let uid = rustix::process::geteuid().as_raw();
    Lease {
        attempt: AttemptId { job: JobId(id), epoch: Epoch(1) },
        owner: Person { uid, name: "us".into() },
        spec: JobSpec {
            functional_unit: None,
            name: "slowed".into(),
            project: "test".into(),
            queue: None,
            task: Task { command: vec!["sh".into(), "-c".into(), script], workdir: "/".into(), ..Task::default() },
            resources: Resources { gpus: 1, ..Resources::default() },
            launch: Launch::Job,
            time: TimeTerms::default(),
            flex: Flex::default(),
            after: Vec::new(),
            retry: Retry::Never,
            hold: false,
        },
        zone: "DE".into(),
        cpus: 1,
        gpus: vec![gpu.to_owned()],
        limit: Seconds(60),
        intensity: None,
        resumed: false,
        cap: Some(Watts::whole(limit)),
        clock_ceiling: None,
        held_first: true,
    }
}

fn until(place: &Place, what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}\n{}", place.site.log("executor"));
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

#[test]
fn a_start_that_counts_at_a_limit_is_held_there_before_its_process_starts_or_does_not_start() {
    let mut place = Place::with("", "on_loss = \"safe_cap\"\nsafe_cap = \"150 W\"\n");
    place.start_helper();
    let played = Played::at(&place);
    place.site.start_executor();
    let range = || played.beat().and_then(|beat| beat.inventory.gpus.first()?.settable);
    until(&place, "it says what the helper said", || range().is_some());
    let range = range().expect("known");
    assert_eq!((range.safe, range.found), (Some(Watts::whole(150)), Some(Watts::whole(250))));
    let gpu = played.beat().expect("heard").inventory.gpus[0].uuid.clone();

    let first = lease(&place, 1, &gpu, 200);
    let id = first.attempt;
    played.offer(first);
    until(&place, "it started", || played.report(id).is_some_and(|report| report.started.is_some()));
    let report = played.report(id).expect("held");
    assert_eq!(report.caps.first().and_then(|held| held.requested), Some(Watts::whole(200)), "{report:?}");
    until(&place, "it ended", || played.report(id).is_some_and(|report| report.ended.is_some()));
    assert!(place.site.path("began-1").exists());
    until(&place, "nobody holds it", || place.limit() == 150);

    // Below what the helper's file allows: refused at once, and nothing of it ran.
    let low = lease(&place, 2, &gpu, 60);
    let id = low.attempt;
    played.offer(low);
    let took = until(&place, "it is refused", || played.report(id).is_some_and(|report| report.ended.is_some()));
    let end = played.report(id).and_then(|report| report.ended).map(|(end, _)| end);
    assert_eq!(end, Some(AttemptEnd::NotHeld { because: Uncapped::OutOfRange }), "after {took:?}");
    // Without the helper it waits for it, and starts once that is back.
    place.kill_helper();
    let third = lease(&place, 3, &gpu, 180);
    let id = third.attempt;
    played.offer(third);
    until(&place, "it is taken up", || played.report(id).is_some());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(played.report(id).and_then(|report| report.started), None);
    // An executor that is killed meanwhile is offered it again, and holds it first, too.
    place.site.kill_executor();
    place.site.start_executor();
    place.start_helper();
    until(&place, "it ran", || played.report(id).is_some_and(|report| report.ended.is_some()));
    let report = played.report(id).expect("held");
    assert!(matches!(report.ended, Some((AttemptEnd::Exited { .. }, _))), "{report:?}\n{}", place.site.log("executor"));
    assert_eq!([2, 3].map(|id| place.site.path(&format!("began-{id}")).exists()), [false, true]);
}

/// An executor asks its helper again: one that was started anew may have another file.
#[test]
fn what_a_helper_allows_since_it_was_started_anew_is_known_without_a_start_of_the_executor() {
    let mut place = Place::new();
    place.start_helper();
    let played = Played::at(&place);
    place.site.start_executor();
    let range = || played.beat().and_then(|beat| beat.inventory.gpus.first()?.settable);
    until(&place, "it says what the helper said", || range().is_some());
    assert_eq!(range().and_then(|range| range.safe), None, "without a word on loss what was found comes back");
    let session = played.beat().expect("heard").session;
    place.kill_helper();
    let file = place.site.path("powerd.toml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    std::fs::write(&file, text + "on_loss = \"safe_cap\"\nsafe_cap = \"150 W\"\n").expect("written");
    place.start_helper();
    let took = until(&place, "it says the news", || range().is_some_and(|range| range.safe.is_some()));
    let told = range().expect("known");
    assert_eq!((told.safe, told.found), (Some(Watts::whole(150)), Some(Watts::whole(250))), "after {took:?}");
    // A slowed start is possible from now on.
    let gpu = played.beat().expect("heard").inventory.gpus[0].uuid.clone();
    let first = lease(&place, 1, &gpu, 200);
    let id = first.attempt;
    played.offer(first);
    until(&place, "it ran", || played.report(id).is_some_and(|report| report.ended.is_some()));
    assert!(place.site.path("began-1").exists());
    assert_eq!(played.beat().expect("heard").session, session, "it is the same executor");
}
