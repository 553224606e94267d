//! `/metrics` under promtool, and the promises about its series that promtool cannot check.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Site, spec};

fn exposition(site: &Site) -> String {
    let (status, body) = site.connect().call("GET", "/metrics", b"").expect("the scheduler answers");
    assert_eq!(status, 200);
    String::from_utf8(body).expect("text")
}

fn with_jobs(count: usize) -> Site {
    let mut site = Site::new("[[zone]]\nname = \"DE\"\npue = 1.25\n");
    site.start_scheduler();
    site.start_executor();
    site.until("a node is up", Duration::from_secs(20), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        status["nodes"][0]["up"] == true
    });
    let mut connection = site.connect();
    for n in 0..count {
        let body = json!({"spec": spec(&format!("n{}", n % 5), &["true"], site.dir.path()), "key": n.to_string()});
        assert_eq!(connection.json("POST", "/v1/jobs", &body).expect("an answer").0, 201);
    }
    // A refusal, a job that waits, and one that runs long enough to be metered.
    let mut never = spec("never", &["true"], site.dir.path());
    never["resources"]["cpus"] = json!(100_000);
    assert_eq!(connection.json("POST", "/v1/jobs", &json!({"spec": never, "key": "never"})).expect("an answer").0, 422);
    let mut held = spec("held", &["true"], site.dir.path());
    held["hold"] = json!(true);
    assert_eq!(connection.json("POST", "/v1/jobs", &json!({"spec": held, "key": "held"})).expect("an answer").0, 201);
    site.until("all but the held job end", Duration::from_secs(120), |connection| {
        let (_, page) = connection.json("GET", "/v1/jobs?live=true", &Value::Null).expect("an answer");
        page["total"] == 1
    });
    site
}

#[test]
fn a9_promtool_accepts_the_metrics() {
    let text = exposition(&with_jobs(5));
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        writeln!(std::io::stderr(), "SKIPPED: promtool is not installed (Debian package prometheus)").expect("stderr");
        return;
    };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "promtool: {said}\n{text}");
}

#[test]
fn what_can_be_true_is_there_and_estimates_say_so() {
    let text = exposition(&with_jobs(5));
    let families: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE neap_"))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    for family in [
        "build_info",
        "degraded",
        "journal_sync_duration_seconds",
        "node_up",
        "nodes",
        "jobs",
        "jobs_submitted_total",
        "jobs_rejected_total",
        "jobs_finished_total",
        "job_wait_seconds_total",
        "meter_info",
        "energy_joules_total",
        "carbon_grams_total",
        "carbon_run_now_grams_total",
        "carbon_estimated_grams_total",
        "grid_intensity_grams_per_kwh",
        "zone_pue_ratio",
        "schedule_cycle_duration_seconds",
        "node_energy_joules_total",
    ] {
        assert!(families.contains(family), "neap_{family} is missing from {families:?}");
    }
    let meter = text.lines().find(|line| line.starts_with("neap_meter_info")).expect("a meter");
    assert!(meter.contains("quality=\"estimated\"") && meter.contains("source=\"cpu_time\""), "{meter}");
    let finished = text.lines().find(|line| line.starts_with("neap_jobs_finished_total") && line.contains("succeeded"));
    assert!(finished.is_some_and(|line| line.ends_with(" 5")), "{finished:?}");
}

#[test]
fn the_number_of_series_does_not_grow_with_the_number_of_jobs() {
    let series = |count| exposition(&with_jobs(count)).lines().filter(|line| !line.starts_with('#')).count();
    let (few, many) = (series(3), series(60));
    assert!(many <= few + 5, "{few} series with 3 jobs, {many} with 60");
}
