//! `kill -9` of the scheduler at random moments under submits, cancels and running jobs.
//!
//! NEAP_CYCLES (3 unless said), NEAP_SEED. The long run: `NEAP_CYCLES=300 cargo test --release --test recovery -- --nocapture`.

mod support;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Connection, Site, spec};

/// What was acknowledged, and what the job wrote down about itself.
#[derive(Default)]
struct Told {
    /// Job by key.
    submitted: BTreeMap<String, u64>,
    /// Ids whose cancel was acknowledged.
    cancelled: BTreeSet<u64>,
    /// Ids that were given out twice.
    reused: Vec<u64>,
}

fn env<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Jobs that may wait before people hold back.
const BACKLOG: u64 = 200;

/// How many jobs are not over; none if nobody answers.
fn waiting(connection: &mut Connection) -> u64 {
    let answer = connection.json("GET", "/v1/jobs?live=true&limit=1", &Value::Null);
    answer.ok().and_then(|(_, page)| page["total"].as_u64()).unwrap_or(0)
}

/// A person who submits and cancels until told to stop, whatever happens to the server.
fn person(socket: PathBuf, workdir: PathBuf, seed: u64, number: usize, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed ^ (number as u64) << 32);
    let mut connection = None;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = connection.as_mut() else {
            connection = Connection::open(&socket).ok();
            if connection.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            continue;
        };
        if count % 8 == 7 && waiting(open) > BACKLOG {
            // The queue need not grow without end: what waits has to run before the test is over.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let known: Vec<u64> = told.lock().unwrap().submitted.values().copied().collect();
        let answer = if random.random_bool(0.15) && !known.is_empty() {
            let id = known[random.random_range(0..known.len())];
            open.json("POST", &format!("/v1/jobs/{id}/ask"), &json!({"verb": "cancel", "reason": null})).map(
                |(status, _)| {
                    if status == 200 {
                        told.lock().unwrap().cancelled.insert(id);
                    }
                },
            )
        } else {
            count += 1;
            let key = format!("{number}-{count}");
            let nap = format!("0.0{}", random.random_range(1..9));
            let line = "echo $NEAP_JOB_ID $NEAP_EPOCH >> runs; sleep ";
            let job = spec("crash", &["sh", "-c", &format!("{line}{nap}; echo $NEAP_JOB_ID >> ends")], &workdir);
            open.json("POST", "/v1/jobs", &json!({"spec": job, "key": key})).map(|(status, body)| {
                if let (201, Some(id)) = (status, body["job"]["id"].as_u64()) {
                    let mut told = told.lock().unwrap();
                    if told.submitted.values().any(|known| *known == id) {
                        told.reused.push(id);
                    }
                    told.submitted.insert(key, id);
                }
            })
        };
        if answer.is_err() {
            connection = None;
        }
        std::thread::sleep(Duration::from_millis(random.random_range(1..20)));
    }
}

fn show(connection: &mut Connection, id: u64) -> Value {
    connection.json("GET", &format!("/v1/jobs/{id}"), &Value::Null).expect("the server answers").1
}

#[test]
fn a3_nothing_acknowledged_is_lost_and_nothing_runs_twice() {
    let cycles: usize = env("NEAP_CYCLES", 3);
    let seed: u64 = env("NEAP_SEED", 20_261_123);
    let mut random = StdRng::seed_from_u64(seed);
    let mut site = Site::new("");
    site.start_scheduler();
    site.start_executor();
    let (told, stop) = (Arc::new(Mutex::new(Told::default())), Arc::new(AtomicBool::new(false)));
    let people: Vec<_> = (0..4)
        .map(|number| {
            let (socket, dir) = (site.socket(), site.dir.path().to_owned());
            let (told, stop) = (Arc::clone(&told), Arc::clone(&stop));
            std::thread::spawn(move || person(socket, dir, seed, number, told, stop))
        })
        .collect();
    let (mut lost, mut slowest) = (Vec::new(), Duration::ZERO);
    for _ in 0..cycles {
        std::thread::sleep(Duration::from_millis(random.random_range(20..1_500)));
        site.kill_scheduler();
        slowest = slowest.max(site.start_scheduler());
        // A sample now, everything at the end.
        let known: Vec<(String, u64)> =
            told.lock().unwrap().submitted.iter().map(|(key, id)| (key.clone(), *id)).collect();
        let mut connection = site.connect();
        for _ in 0..known.len().min(20) {
            let (key, id) = &known[random.random_range(0..known.len())];
            if show(&mut connection, *id)["id"].as_u64() != Some(*id) {
                lost.push(format!("job {id} of key {key}"));
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    people.into_iter().for_each(|person| person.join().expect("nobody panics"));

    site.until("all jobs end", Duration::from_secs(600), |connection| {
        let (_, page) = connection.json("GET", "/v1/jobs?live=true&limit=1", &Value::Null).expect("the server answers");
        page["total"] == 0
    });
    let told = Arc::try_unwrap(told).ok().expect("everybody left").into_inner().unwrap();
    let mut connection = site.connect();
    let (mut outcomes, mut killed) = (BTreeMap::<String, usize>::new(), Vec::new());
    for (key, id) in &told.submitted {
        let job = show(&mut connection, *id);
        if job["id"].as_u64() != Some(*id) {
            lost.push(format!("job {id} of key {key}"));
            continue;
        }
        let outcome = job["phase"]["outcome"]["outcome"].as_str().unwrap_or("none").to_owned();
        match (outcome.as_str(), told.cancelled.contains(id)) {
            ("succeeded", _) | ("cancelled", true) => {}
            // A cancel whose answer was lost may have happened.
            ("cancelled", false) => {}
            _ => killed.push(format!("job {id} {outcome}")),
        }
        *outcomes.entry(outcome).or_default() += 1;
    }
    let runs = std::fs::read_to_string(site.path("runs")).unwrap_or_default();
    let mut starts = BTreeMap::<&str, usize>::new();
    for line in runs.lines() {
        *starts.entry(line.split(' ').next().unwrap_or("")).or_default() += 1;
    }
    let twice: Vec<_> = starts.iter().filter(|(_, count)| **count > 1).collect();
    let summary = format!(
        "seed {seed}: {cycles} kills, {} submits and {} cancels acknowledged, {} jobs ran; lost {}, ids reused {}, run twice {}, \
         ended by us {}; outcomes {outcomes:?}; slowest restart {:.0} ms",
        told.submitted.len(),
        told.cancelled.len(),
        starts.len(),
        lost.len(),
        told.reused.len(),
        twice.len(),
        killed.len(),
        slowest.as_secs_f64() * 1e3,
    );
    writeln!(std::io::stdout(), "A3 {summary}").expect("stdout");
    assert!(told.submitted.len() > cycles, "{summary}");
    assert_eq!((lost, told.reused, killed), (vec![], vec![], vec![]), "{summary}");
    assert!(twice.is_empty(), "{twice:?}\n{summary}");
}
