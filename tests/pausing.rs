//! A job that consents to pauses, with the real binary: its own signal, its own checkpoint, its own exit code.

mod support;

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Connection, Site, spec};

/// RFC 3339 of a Unix time.
fn at(unix: u64) -> String {
    // Civil date from days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013).
    let (days, rest) = (unix / 86_400, unix % 86_400);
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

fn job(connection: &mut Connection, id: u64) -> Value {
    connection.json("GET", &format!("/v1/jobs/{id}"), &Value::Null).expect("the scheduler answers").1
}

/// A site whose grid is clean for six seconds from now, then dirty for eight, again and again.
fn site() -> Site {
    let site = Site::new(
        "[[grid.feed]]\ntype = \"file\"\npath = \"curve.csv\"\n\n[[zone]]\nname = \"DE\"\nhome = true\n\n\
         [queue.q]\ndefault = true\ndelay = { applies = \"opt_in\", max = \"1h\" }\n\
         pause = { cost = \"0s\", min_run = \"1s\" }\n",
    );
    let path = site.path("neap.toml");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let csv = site.path("curve.csv").display().to_string();
    std::fs::write(&path, text.replace("path = \"curve.csv\"", &format!("path = \"{csv}\""))).expect("written");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut curve = "# kind=average scope=lifecycle unit=g/kWh\ntime,zone,value,grade\n".to_owned();
    for second in 0..600 {
        let value = if second % 14 >= 6 { 900 } else { 100 };
        let _ = writeln!(curve, "{},DE,{value},forecast", at(now + second));
    }
    std::fs::write(csv, curve).expect("the curve is written");
    site
}

/// Counts to so many, a busy second each, keeping count in a file; `on_signal` is what it does when told to pause.
fn counts(site: &Site, on_signal: &str, to: u32) -> Value {
    let script = format!(
        "n=$(cat count 2>/dev/null || echo 0); trap '{on_signal}' USR1\n\
         echo \"from $n resumed $NEAP_RESUMED\"\n\
         while [ $n -lt {to} ]; do t=$(($(date +%s)+1)); while [ $(date +%s) -lt $t ]; do :; done; n=$((n+1)); done; echo all done"
    );
    let mut spec = spec("count", &["sh", "-c", &script], site.dir.path());
    spec["time"]["expect"] = json!(to);
    spec["time"]["limit"] = json!(600);
    spec["flex"]["delay"] = json!("carbon");
    spec["flex"]["max_delay"] = json!(60);
    spec["flex"]["pause"] = json!({"signal": "SIGUSR1", "grace": 2, "exit": 85});
    spec
}

fn runs(mut site: Site, spec: &Value) -> (Site, Value, Value) {
    site.start_scheduler();
    site.start_executor();
    let mut connection = site.connect();
    let asked = json!({"spec": spec, "key": "pausing"});
    let (status, body) = connection.json("POST", "/v1/jobs", &asked).expect("an answer");
    assert_eq!(status, 201, "{body}");
    let id = body["job"]["id"].as_u64().expect("a number");
    site.until("the job is over", Duration::from_secs(60), |c| job(c, id)["phase"]["phase"] == "ended");
    let done = job(&mut connection, id);
    let why = connection.json("GET", &format!("/v1/jobs/{id}/why"), &Value::Null).expect("an answer").1;
    (site, done, why)
}

fn pauses(why: &Value) -> Vec<Value> {
    let ends =
        why["history"].as_array().expect("a history").iter().map(|entry| &entry["event"]["attempt_ended"]["end"]);
    ends.filter(|end| end["cause"]["cause"] == "pause").map(|end| end["exit"].clone()).collect()
}

#[test]
fn a_job_saves_itself_rests_in_the_dirty_seconds_and_goes_on() {
    let site = site();
    let spec = counts(&site, "echo $n > count; exit 85", 8);
    let (site, done, why) = runs(site, &spec);
    assert_eq!(done["phase"]["outcome"]["outcome"], "succeeded", "{done}");
    assert_eq!(pauses(&why), [json!({"code": 85})], "{}", why["history"]);
    assert_eq!(done["attempts"], 2, "{done}");
    let log = std::fs::read_to_string(site.path("run/logs/1-2.log")).expect("the log of the second attempt");
    assert!(log.contains("resumed 1") && !log.contains("from 0") && log.contains("all done"), "{log}");
    let emits = |which: &str| done["account"][which]["emits"].as_u64().expect("a figure");
    assert!(emits("actual") < emits("run_now"), "{}", done["account"]);
    assert_eq!(done["account"]["actual"]["energy"], done["account"]["run_now"]["energy"]);
}

#[test]
fn a_job_that_ignores_its_signal_is_ended_and_not_paused_again() {
    let site = site();
    let spec = counts(&site, ":", 14);
    let (_site, done, why) = runs(site, &spec);
    assert_eq!(done["phase"]["outcome"]["outcome"], "succeeded", "{done}");
    assert_eq!(pauses(&why), [json!({"signal": 15})], "TERM after the grace: {}", why["history"]);
    assert_eq!(done["attempts"], 2);
}
