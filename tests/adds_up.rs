//! One energy, wherever it is read: log, `show`, `ls`, `report`, `/metrics`, and the ledger replayed from the journal.

mod support;

use serde_json::Value;
use simgpu::{Board, GpuSetup, Load, Node};
use std::collections::BTreeMap;
use std::time::Duration;
use support::Site;

fn run(command: &mut std::process::Command) -> String {
    let output = command.output().expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(command: &mut std::process::Command) -> Value {
    let text = run(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whole millijoules; a figure in joules that is none is a mistake.
fn millijoules(value: &Value) -> i64 {
    let joules = value.as_f64().unwrap_or_else(|| panic!("{value} is no energy"));
    let whole = (joules * 1e3).round();
    assert!((joules * 1e3 - whole).abs() < 1e-4, "{joules} J is no whole number of millijoules");
    whole as i64
}

/// Every series of a family, by its labels, in millijoules.
fn family(text: &str, name: &str) -> BTreeMap<String, i64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    lines
        .map(|line| {
            let (labels, value) = line.split_once("} ").expect("labels and a value");
            (labels.to_owned(), millijoules(&value.parse::<f64>().expect("a number").into()))
        })
        .collect()
}

#[derive(Debug, PartialEq)]
struct Views {
    /// Of every job, by its number.
    jobs: BTreeMap<u64, i64>,
    /// By project, from the report.
    report: BTreeMap<String, i64>,
    report_total: i64,
    /// By project, from the metrics; what no job used is `(idle)`.
    metrics: BTreeMap<String, i64>,
    /// Of the node, from its own meters.
    node: i64,
}

fn views(site: &Site) -> Views {
    let listed = json(site.neap().args(["ls", "--all", "-o", "json"]));
    let listed = listed["jobs"].as_array().or(listed.as_array()).expect("a list").clone();
    let mut jobs = BTreeMap::new();
    for row in &listed {
        let id = row["id"].as_u64().expect("a number");
        let shown = json(site.neap().args(["show", &id.to_string(), "-o", "json"]));
        assert_eq!(shown["energy_joules"], row["energy_joules"], "job {id}: show and ls");
        let parts = shown["energy_parts"].as_array().expect("parts").iter();
        let sum: i64 = parts.map(|part| millijoules(&part["energy_joules"])).sum();
        assert_eq!(sum, millijoules(&shown["it_energy_joules"]), "job {id}: its parts");
        let named = ["gpu", "cpu", "rest"].map(|part| shown[format!("{part}_energy_joules")].clone());
        let named: i64 = named.iter().filter(|part| !part.is_null()).map(millijoules).sum();
        assert_eq!(named, sum, "job {id}: the same by name");
        jobs.insert(id, millijoules(&shown["energy_joules"]));
    }
    let report = json(site.neap().args(["report", "--by", "project", "-o", "json"]));
    let rows = report["rows"].as_array().expect("rows").iter();
    let (status, body) = site.connect().call("GET", "/metrics", b"").expect("the scheduler answers");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).expect("text");
    let project = |labels: &str| {
        let rest = labels.split("project=\"").nth(1).expect("a project");
        rest.split('"').next().expect("its end").to_owned()
    };
    let node = family(&text, "neap_node_energy_joules_total");
    let of_gpus: i64 = node.iter().filter(|(labels, _)| labels.contains("component=\"gpu\"")).map(|(_, e)| e).sum();
    assert_eq!(family(&text, "neap_gpu_energy_joules_total").values().sum::<i64>(), of_gpus, "board by board");
    Views {
        jobs,
        report: rows
            .map(|row| (row["group"].as_str().expect("a name").to_owned(), millijoules(&row["energy_joules"])))
            .collect(),
        report_total: millijoules(&report["total"]["energy_joules"]),
        metrics: family(&text, "neap_energy_joules_total").into_iter().map(|(l, value)| (project(&l), value)).collect(),
        node: node.values().sum(),
    }
}

/// Two jobs on a board each, one without, two projects; a third board that nobody holds.
#[test]
fn d6_one_jobs_energy_is_the_same_everywhere_and_every_joule_is_somebodys() {
    let dir = tempfile::tempdir().expect("a directory");
    let boards = [Board::V100, Board::V100, Board::A40].map(GpuSetup::new);
    let node = Node::make_live(&dir.path().join("sim"), &boards).expect("a node");
    let mut site = Site::new("[[zone]]\nname = \"DE\"\n");
    let library = node.library().expect("the library is built");
    site.set_executor(&format!("nvml_lib = \"{}\"\nrest_watts = \"60 W\"\n", library.display()));
    site.start_scheduler();
    site.start_executor();
    node.gpu(0).add(Load::RESNET50_V100.pid(1));
    let busy = "for i in $(seq 40); do i=$((i*i)); sleep 0.1; done";
    for (project, gpus) in [("one", "1"), ("one", "1"), ("two", "0")] {
        run(site.neap().args(["submit", "--project", project, "--gpus", gpus, "--", "sh", "-c", busy]));
    }
    run(site.neap().args(["wait", "1", "2", "3"]));
    // The node's last span comes with a later beat than the jobs' own.
    let settled = |site: &Site| {
        let seen = views(site);
        let known: i64 = seen.metrics.values().sum();
        (known == seen.node).then_some(seen)
    };
    let mut last = None;
    site.until("jobs and idle are what the node metered", Duration::from_secs(15), |_| {
        last = settled(&site);
        last.is_some()
    });
    let seen = last.expect("it settled");
    let idle = seen.metrics["(idle)"];
    let all: i64 = seen.jobs.values().sum();
    assert!(all > 0 && idle > 0 && seen.jobs[&1] > 3 * seen.jobs[&3], "{seen:?}");
    assert_eq!(seen.report_total, all);
    let of_one = seen.jobs[&1] + seen.jobs[&2];
    assert_eq!((seen.report["one"], seen.report["two"]), (of_one, seen.jobs[&3]));
    assert_eq!((seen.metrics["one"], seen.metrics["two"]), (of_one, seen.jobs[&3]));
    assert_eq!(all + idle, seen.node, "every joule is some job's or nobody's");
    // The log's last lines are those of `show`.
    for id in ["1", "2", "3"] {
        let (log, shown) = (run(site.neap().args(["logs", id])), run(site.neap().args(["show", id])));
        let energy = shown.lines().find(|line| line.starts_with("energy")).expect("a line");
        assert!(log.lines().any(|line| line == energy), "{energy}\n{log}");
    }
    // The ledger: all of it comes out of the journal again.
    site.kill_executor();
    let before = views(&site);
    site.kill_scheduler();
    site.start_scheduler();
    site.until("the journal is read", Duration::from_secs(20), |connection| {
        connection.json("GET", "/v1/status", &Value::Null).is_ok_and(|(status, _)| status == 200)
    });
    assert_eq!(views(&site), before);
    // An executor that is killed while a job runs: the node's books go on as the job's do.
    site.start_executor();
    run(site.neap().args(["submit", "--project", "two", "--gpus", "1", "--", "sh", "-c", busy]));
    site.until("it runs", Duration::from_secs(20), |_| run(site.neap().args(["ls"])).contains("running"));
    std::thread::sleep(Duration::from_millis(1_500));
    site.kill_executor();
    std::thread::sleep(Duration::from_millis(500));
    site.start_executor();
    run(site.neap().args(["wait", "4"]));
    // Between two files an executor can be killed: the books may be one reading of a second apart, and no more.
    let (mut off, node_before) = (0, before.node);
    site.until("jobs and idle are what the node metered again", Duration::from_secs(20), |_| {
        let seen = views(&site);
        off = seen.node - seen.metrics.values().sum::<i64>();
        seen.node > node_before && off.abs() <= 400_000
    });
}
