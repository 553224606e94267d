//! The way of a job with the real binary: submitted, planned, run, metered, accounted, explained, reported.

mod support;

use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;
use support::{Site, neap};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it and gives exit code, standard output and standard error.
fn ran(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

fn json(command: &mut Command) -> Value {
    let (code, out, err) = ran(command);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// A person in an empty home, without a server.
struct Person(tempfile::TempDir);

impl Person {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("neap").tempdir_in("/tmp").expect("a temporary directory"))
    }

    fn neap(&self) -> Command {
        let mut command = neap();
        command
            .env("HOME", self.0.path())
            .env_remove("XDG_STATE_HOME")
            .env("XDG_RUNTIME_DIR", self.0.path())
            .env("NEAP_ZONE", "DE")
            .current_dir(self.0.path());
        command
    }
}

#[test]
fn a1_a_fresh_machine_trains_in_two_processes_and_every_figure_agrees() {
    let person = Person::new();
    let job = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/jobs/digits.toml");
    let (code, out, err) = ran(person.neap().args(["run", job]));
    assert_eq!(code, 0, "{out}\n{err}");
    assert!(out.contains("epoch  1/10") && out.contains("epoch 10/10"), "{out}");
    let done = out.lines().find(|line| line.starts_with("done")).expect("a last line of training");
    let accuracy: f64 = done.split_whitespace().skip_while(|w| *w != "accuracy").nth(1).unwrap().parse().unwrap();
    assert!(accuracy >= 0.97, "{done}");
    let footer: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("── job 1 succeeded")).collect();
    let (energy, carbon) = (footer[1], footer[2]);
    assert!(energy.starts_with("energy") && energy.contains("estimated"), "{out}");
    assert!(carbon.starts_with("carbon") && carbon.contains("climatology") && carbon.contains("run now"), "{out}");

    let show = json(person.neap().args(["show", "last", "-o", "json"]));
    assert_eq!(show["schema"], "neap.job/1");
    assert_eq!(show["energy_quality"], "estimated");
    assert!(show["energy_joules"].as_f64().unwrap() > 0.0, "{show}");
    let report = json(person.neap().args(["report", "-o", "json"]));
    for (of_job, of_report) in [
        ("energy_joules", "energy_joules"),
        ("carbon_grams", "carbon_grams"),
        ("run_now_carbon_grams", "run_now_carbon_grams"),
    ] {
        assert_eq!(show[of_job], report["total"][of_report], "{of_job}");
    }
    let (_, shown, _) = ran(person.neap().args(["show", "last"]));
    assert!(shown.contains(energy) && shown.contains(carbon), "{shown}");
    let (_, table, _) = ran(person.neap().arg("report"));
    let figure = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let row = table.lines().find(|line| line.starts_with("digits")).expect("a row");
    assert!(row.contains(&figure(energy)) && row.contains(&figure(carbon)), "{table}");
    assert!(person.0.path().join("digits.model").exists(), "the trained weights were left where the job ran");

    let (code, out, err) =
        ran(person.neap().args(["run", "--", "neap", "kernel", "infer", "--workers", "2", "--model", "digits.model"]));
    assert_eq!(code, 0, "{out}\n{err}");
    assert!(out.contains("1797"), "inference over the trained weights: {out}");
}

#[test]
fn the_jobs_own_code_is_passed_on_and_ours_cannot_be_mistaken_for_it() {
    let person = Person::new();
    let run = |args: &[&str]| ran(person.neap().arg("run").args(args));
    assert_eq!(run(&["--", "sh", "-c", "exit 3"]).0, 3);
    assert_eq!(run(&["--", "sh", "-c", "kill -9 $$"]).0, 137);
    let (code, _, err) = run(&["--", "no-such-program"]);
    assert_eq!(code, 127, "{err}");
    assert!(err.contains("cannot start `no-such-program`"), "{err}");
    assert_eq!(run(&["--time", "1s", "--", "sleep", "60"]).0, 104);
    let (code, _, err) = run(&["--workdir", "/no/such/place", "--", "true"]);
    assert_eq!(code, 127, "{err}");
    assert_eq!(ran(person.neap().env("NEAP_SERVER", "/no/such/socket").args(["run", "--", "true"])).0, 113);
    assert_eq!(ran(person.neap().args(["run", "--no-embedded", "--", "true"])).0, 113);
    let job = json(person.neap().args(["run", "-o", "json", "--", "true"]));
    assert_eq!((&job["exit_from"], &job["exit_code"]), (&"job".into(), &0.into()));
}

#[test]
fn a_job_finds_a_clean_environment_and_its_place() {
    let person = Person::new();
    let (code, out, err) = ran(person
        .neap()
        .env("LEAKED", "yes")
        .env("WANTED", "this")
        .args(["run", "--env", "A=1", "--env", "WANTED", "--cpus", "2", "--", "env"]));
    assert_eq!(code, 0, "{err}");
    for line in
        ["A=1", "WANTED=this", "NEAP_JOB_ID=1", "NEAP_ZONE=DE", "NEAP_CPUS=2", "CUDA_VISIBLE_DEVICES=", "PET_NNODES=1"]
    {
        assert!(out.lines().any(|l| l == line), "{line} in {out}");
    }
    assert!(!out.contains("LEAKED") && !out.lines().any(|l| l.starts_with("RANK=")), "{out}");
}

#[test]
fn a_server_answers_every_verb() {
    let mut site = Site::new("[[zone]]\nname = \"DE\"\npue = 1.25\n");
    site.start_scheduler();
    site.start_executor();
    site.until("a node is up", Duration::from_secs(20), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        status["nodes"][0]["up"] == true
    });
    let neap = |args: &[&str]| ran(site.neap().args(args));
    let (code, out, err) = neap(&["submit", "--name", "first", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("job 1  first  1 core"), "{out}");
    assert_eq!(neap(&["wait", "first"]).0, 0);
    let (_, log, _) = neap(&["logs", "-f", "1"]);
    assert!(log.contains("out\n") && log.contains("err\n") && log.contains("── job 1 succeeded"), "{log}");
    let (_, tail, _) = neap(&["logs", "--tail", "1", "1"]);
    assert!(tail.starts_with("carbon"), "{tail}");

    // The same key never queues twice, and never stands for another job.
    assert_eq!(neap(&["submit", "-q", "--key", "k", "--", "true"]).1, "2\n");
    assert_eq!(neap(&["submit", "-q", "--key", "k", "--", "true"]).1, "2\n");
    let (code, _, err) = neap(&["submit", "--key", "k", "--", "false"]);
    assert!(code == 5 && err.contains("E054"), "{err}");

    // Held, changed, released, cancelled.
    assert_eq!(neap(&["submit", "-q", "--hold", "--name", "held", "--", "sleep", "100"]).1, "3\n");
    assert!(neap(&["why", "3"]).1.contains("[you.hold]"));
    let (code, out, err) = neap(&["edit", "3", "--time", "2h", "--project", "other"]);
    assert!(code == 0 && out.contains("project    other") && out.contains("limit      2 h"), "{out}{err}");
    assert_eq!(neap(&["release", "held"]).0, 0);
    site.until("it runs", Duration::from_secs(20), |connection| {
        let (_, job) = connection.json("GET", "/v1/jobs/3", &Value::Null).expect("an answer");
        job["phase"]["phase"] == "running"
    });
    let (_, why, _) = neap(&["why", "3"]);
    assert!(why.contains("is running on here in DE") && why.contains("neap cancel 3"), "{why}");
    let (code, _, err) = neap(&["edit", "3", "--time", "3h"]);
    assert!(code == 5 && err.contains("E055"), "{err}");
    assert_eq!(neap(&["cancel", "--reason", "enough", "3"]).0, 0);
    assert_eq!(neap(&["wait", "3"]).0, 103);
    assert!(neap(&["show", "3"]).1.contains("cancelled by"), "who and why are kept");
    assert!(neap(&["why", "3", "--history"]).1.contains("enough"));

    let (code, out, _) = neap(&["ls", "--all"]);
    assert!(code == 0 && out.lines().count() == 4, "{out}");
    assert_eq!(neap(&["ls", "--all", "-q"]).1, "3\n2\n1\n");
    let list = json(site.neap().args(["ls", "--all", "-o", "json"]));
    assert_eq!(list["jobs"].as_array().map(Vec::len), Some(3));
    let csv = neap(&["ls", "--all", "-o", "csv"]).1;
    assert!(csv.starts_with("schema,id,state,name") && csv.lines().count() == 4, "{csv}");
    let plan = neap(&["plan", "-o", "toml", "--time", "3h", "--", "train", "x y"]).1;
    assert!(
        plan.contains("limit = \"3h\"") && plan.contains("# from --time") && plan.contains("[\"train\", \"x y\"]"),
        "{plan}"
    );
    let table = neap(&["plan", "--expect", "1h", "--", "train"]).1;
    assert!(table.contains("fits now") && table.contains("PUE 1.25"), "{table}");
    assert!(neap(&["carbon"]).1.contains("DE "), "the grid is shown");
    assert!(neap(&["status"]).1.contains("node      here in DE"), "the node is shown");
    assert!(neap(&["report", "-o", "md"]).1.contains("| total |"));
    let (code, _, err) = neap(&["report", "--since", "yesterday"]);
    assert!(code == 2 && err.contains("2026-11-01"), "{err}");
}

#[test]
fn a7_a_job_with_a_finish_by_waits_for_its_cleanest_window_and_now_overrides() {
    let dir = tempfile::tempdir_in("/tmp").expect("a directory");
    let feed = dir.path().join("feed.csv");
    let start = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let mut rows = String::from("time,zone,value\n");
    for hour in 0..48 {
        let at = start + chrono::TimeDelta::hours(hour);
        let value = if (5..8).contains(&hour) { 100 } else { 500 };
        rows += &format!("{},DE,{value}\n", at.format("%Y-%m-%dT%H:00:00Z"));
    }
    std::fs::write(&feed, rows).expect("the feed is written");
    let config = format!(
        "[[zone]]\nname = \"DE\"\n[[grid.feed]]\ntype = \"file\"\npath = \"{}\"\n\
         kind = \"average\"\nscope = \"lifecycle\"\nunit = \"g/kWh\"\n",
        feed.display()
    );
    let mut site = Site::new(&config);
    site.start_scheduler();
    site.start_executor();
    site.until("a node is up", Duration::from_secs(20), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        status["nodes"][0]["up"] == true
    });
    let neap = |args: &[&str]| ran(site.neap().args(args));
    let job =
        json(site.neap().args(["submit", "-o", "json", "--finish-by", "+20h", "--expect", "1h", "--", "echo", "done"]));
    assert_eq!((&job["state"], &job["reason"]["code"]), (&"planned".into(), &"grid.cleaner_later".into()), "{job}");
    assert!(job["saving_ratio"]["expected"].as_f64().unwrap() > 0.7, "{job}");
    let (_, why, _) = neap(&["why", "last"]);
    for line in ["[grid.cleaner_later]", "could it run now?  yes", "what that gains", "latest start", "neap now 1", "╰"]
    {
        assert!(why.contains(line), "{line} in {why}");
    }
    let (code, out, err) = neap(&["now", "1", "--reason", "demo tomorrow"]);
    assert!(code == 0 && err.contains("gives up"), "{out}{err}");
    assert_eq!(neap(&["wait", "1"]).0, 0);
    let (_, history, _) = neap(&["why", "1", "--history"]);
    for word in ["planned", "now", "demo tomorrow", "succeeded"] {
        assert!(history.contains(word), "{word} in {history}");
    }
    assert_eq!(json(site.neap().args(["show", "1", "-o", "json"]))["overridden"], true);
}

#[test]
fn a10_a_rapl_counter_that_wraps_is_measured_and_says_so_everywhere() {
    let tree = tempfile::tempdir_in("/tmp").expect("a directory");
    let (zone, memory) = (tree.path().join("intel-rapl:0"), tree.path().join("intel-rapl:0:0"));
    let range: u64 = 20_000_000;
    for (zone, name) in [(&zone, "package-0"), (&memory, "dram")] {
        std::fs::create_dir_all(zone).expect("a powercap zone");
        for (file, text) in [("name", name), ("max_energy_range_uj", &range.to_string()), ("energy_uj", "0")] {
            std::fs::write(zone.join(file), format!("{text}\n")).expect("a powercap file");
        }
    }
    let (counter, memory) = (zone.join("energy_uj"), memory.join("energy_uj"));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = std::sync::Arc::clone(&stop);
    // 10 W: the counter wraps every two seconds, and is read every second.
    let load = std::thread::spawn(move || {
        let began = std::time::Instant::now();
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            let microjoules = began.elapsed().as_micros() as u64 * 10;
            // Memory takes a fifth of that.
            for (counter, microjoules) in [(&counter, microjoules), (&memory, microjoules / 5)] {
                let text = format!("{}\n", microjoules % range);
                let aside = counter.with_extension("new");
                std::fs::write(&aside, text)
                    .and_then(|()| std::fs::rename(&aside, counter))
                    .expect("the counter moves");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut site = Site::new("[[zone]]\nname = \"DE\"\n");
    site.set_executor(&format!("rapl_root = \"{}\"\n", tree.path().display()));
    site.start_scheduler();
    site.start_executor();
    let busy = "t=$(($(date +%s)+5)); while [ $(date +%s) -lt $t ]; do :; done";
    let (code, out, err) = ran(site.neap().args(["run", "--", "sh", "-c", busy]));
    assert_eq!(code, 0, "{out}\n{err}");
    assert!(out.contains("processors") && out.contains(" measured"), "{out}");
    let job = json(site.neap().args(["show", "last", "-o", "json"]));
    assert_eq!(
        (&job["energy_quality"], &job["energy_parts"][0]["source"]),
        (&"measured".into(), &"rapl".into()),
        "{job}"
    );
    let joules = job["energy_joules"].as_f64().expect("a figure");
    // 10 W for about five seconds, shared with whatever else ran on this host meanwhile.
    assert!((1.0..=80.0).contains(&joules), "{joules} J");
    let of = |part: &str| job[format!("{part}_energy_joules")].as_f64().expect("measured");
    let (cpu, dram) = (of("cpu"), of("dram"));
    assert!((0.1..=0.3).contains(&(dram / cpu)), "{dram} J of memory beside {cpu} J of packages");
    assert!((cpu + dram - of("it")).abs() < 1e-6, "the parts are the whole: {job}");
    assert!(out.contains("memory "), "{out}");
    let (_, metrics) = site.connect().call("GET", "/metrics", b"").expect("metrics");
    let metrics = text(&metrics);
    let info = metrics.lines().find(|line| line.starts_with("neap_meter_info")).expect("the meter is described");
    assert!(info.contains("source=\"rapl\"") && info.contains("quality=\"measured\""), "{info}");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    load.join().expect("the load ends");
}
