//! No process of an attempt lives on after it: not those that left its group and session, not those that ignore TERM,
//! not those without the marker, and not when executor or guard were killed.
//!
//! NEAP_TRIALS (10 unless said). The long run: `NEAP_TRIALS=100 cargo test --release --test containment -- --nocapture`.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use support::{Connection, Site, spec};

/// Processes whose command line holds the mark.
fn alive(mark: &str) -> Vec<(i32, String)> {
    let us = std::process::id().to_string();
    let Ok(dir) = std::fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten()
        .filter(|entry| entry.file_name().to_string_lossy() != us)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter_map(|(pid, path): (i32, _)| {
            let line = String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).ok()?).replace('\0', " ");
            // Readers of the zombie's stat would see it too; a zombie has no command line.
            line.contains(mark).then_some((pid, line))
        })
        .collect()
}

fn job(connection: &mut Connection, id: u64) -> Value {
    connection.json("GET", &format!("/v1/jobs/{id}"), &Value::Null).expect("the scheduler answers").1
}

fn guard_of(site: &Site, id: u64) -> Option<i32> {
    let text = std::fs::read_to_string(site.path(&format!("run/attempts/{id}-1/guard.json"))).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

fn kill(pid: i32) {
    let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "{pid} was there");
}

/// How a trial ends the attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// The first process leaves by itself; what it left behind must go.
    ByItself,
    /// A person cancels it.
    Cancelled,
    /// It hits its limit.
    Limit,
    /// The executor is killed, the attempt ends while nobody looks.
    WithoutExecutor,
    /// The guard is killed: the executor sweeps.
    WithoutGuard,
}

const ENDINGS: [Ending; 5] =
    [Ending::ByItself, Ending::Cancelled, Ending::Limit, Ending::WithoutExecutor, Ending::WithoutGuard];

/// A script that leaves daemons of four kinds behind. The mark is a number of seconds that nobody else sleeps.
fn script(mark: &str, stays: &str) -> String {
    format!(
        "sleep {mark}1 & setsid sleep {mark}2 & (trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; sleep {mark}3' & ) \
         \n env -i setsid sh -c 'sleep {mark}4 & sleep {mark}5' & \n echo ready; sleep {stays}"
    )
}

#[test]
fn a10_nothing_of_an_attempt_lives_on() {
    let trials: usize = std::env::var("NEAP_TRIALS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut site = Site::new("");
    site.start_scheduler();
    site.start_executor();
    let mut slowest = Duration::ZERO;
    for trial in 0..trials {
        let ending = ENDINGS[trial % ENDINGS.len()];
        let mark = format!("86{:05}{trial:03}", std::process::id() % 100_000);
        let stays = match ending {
            Ending::ByItself => "0.2".to_owned(),
            Ending::WithoutExecutor => "1".to_owned(),
            _ => format!("{mark}6"),
        };
        let mut spec = spec("daemons", &["sh", "-c", &script(&mark, &stays)], site.dir.path());
        spec["time"]["limit"] = json!(if ending == Ending::Limit { 1 } else { 600 });
        let mut connection = site.connect();
        let (status, body) =
            connection.json("POST", "/v1/jobs", &json!({"spec": spec, "key": mark})).expect("the scheduler answers");
        assert_eq!(status, 201, "{body}");
        let id = body["job"]["id"].as_u64().expect("a number");
        site.until("the daemons are there", Duration::from_secs(20), |_| alive(&mark).len() >= 5);
        let began = Instant::now();
        match ending {
            Ending::ByItself | Ending::Limit => {}
            Ending::Cancelled => {
                let cancel = json!({"verb": "cancel", "reason": null});
                let (status, _) = connection.json("POST", &format!("/v1/jobs/{id}/ask"), &cancel).expect("an answer");
                assert_eq!(status, 200);
            }
            Ending::WithoutExecutor => site.kill_executor(),
            Ending::WithoutGuard => kill(guard_of(&site, id).expect("its guard wrote down who it is")),
        }
        if ending == Ending::WithoutExecutor {
            site.until("the attempt ends without an executor", Duration::from_secs(20), |_| {
                site.path(&format!("run/attempts/{id}-1/exit.json")).exists()
            });
        } else {
            site.until("the attempt is over", Duration::from_secs(30), |connection| {
                let job = job(connection, id);
                job["phase"]["phase"] == "ended" || job["attempts"].as_u64() > Some(1)
            });
        }
        let mut began = began;
        if ending == Ending::WithoutGuard {
            // The job was retried, as it asked: its new attempt has daemons of its own. End that as well.
            let cancel = json!({"verb": "cancel", "reason": null});
            began = Instant::now();
            connection.json("POST", &format!("/v1/jobs/{id}/ask"), &cancel).expect("an answer");
            site.until("the second attempt is over", Duration::from_secs(30), |connection| {
                job(connection, id)["phase"]["phase"] == "ended"
            });
        }
        let mut left = alive(&mark);
        while !left.is_empty() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
            left = alive(&mark);
        }
        slowest = slowest.max(began.elapsed());
        assert!(left.is_empty(), "trial {trial}, {ending:?}: {left:?} live on\n{}", site.log("executor"));
        if ending == Ending::WithoutExecutor {
            site.start_executor();
            site.until("its end is reported by the next executor", Duration::from_secs(30), |connection| {
                job(connection, id)["phase"]["outcome"]["outcome"] == "succeeded"
            });
        }
    }
    let summary = format!(
        "{trials} trials over {ENDINGS:?}: 0 processes lived on; the slowest end took {:.1} s",
        slowest.as_secs_f64()
    );
    writeln!(std::io::stdout(), "A10 {summary}").expect("stdout");
}
