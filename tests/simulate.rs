//! `neap simulate` at the real binary: a made-up trace in every format, what is refused, and a known answer on the shared
//! data, skipped aloud without them.
#![allow(clippy::print_stderr, reason = "a check that is skipped says so")]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use support::neap;

const FIELDS: [&str; 19] = [
    "policy",
    "zones",
    "carbon_ratio",
    "carbon_ratio_same_capacity",
    "late_work_ratio",
    "late_jobs",
    "wait_hours_mean",
    "wait_hours_p95",
    "slowdown_p95",
    "peak_gpus",
    "energy_kwh",
    "moves",
    "pauses",
    "bound_ratio",
    "gap_ratio",
    "realised_over_clairvoyant",
    "plan_seconds_p50",
    "plan_seconds_p99",
    "plan_seconds_max",
];

/// A directory with a trace of twelve jobs and four days of two zones.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut jobs = "arrival_time,length,cpus\n".to_owned();
    for n in 0..12 {
        jobs += &format!("{},{},{}\n", n * 1800, 1800 + 700 * (n % 5), 1 + n % 2);
    }
    let mut grid = "datetime_utc,A,B\n".to_owned();
    for hour in 0..96 {
        let swing = (hour % 24 - 12i32).abs() * 10;
        grid += &format!("2022-03-{:02}T{:02}:00Z,{},{}\n", 1 + hour / 24, hour % 24, 200 + swing, 320 - swing);
    }
    std::fs::write(dir.path().join("jobs.csv"), jobs).expect("written");
    std::fs::write(dir.path().join("grid.csv"), grid).expect("written");
    dir
}

fn ran(dir: &Path, line: &str) -> (i32, String, String) {
    let mut command = neap();
    let Output { status, stdout, stderr } =
        command.current_dir(dir).arg("simulate").args(line.split_whitespace()).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

const BASE: &str = "jobs.csv --format gaia-s --carbon grid.csv --zones A,B --start 24";

#[test]
fn policies_stand_side_by_side_with_every_figure() {
    let dir = scene();
    let line =
        format!("{BASE} --capacity 2x --model divisible --interruptible --policy neap,run-now,wait-awhile -o json");
    let (exit, out, err) = ran(dir.path(), &line);
    assert_eq!((exit, err.as_str()), (0, ""));
    let all: Vec<Value> = serde_json::from_str(&out).expect("an array");
    assert_eq!(
        all.iter().map(|v| v["policy"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        ["neap", "run-now", "wait-awhile"]
    );
    for field in FIELDS {
        assert!(all.iter().all(|value| value.get(field).is_some()), "{field}");
    }
    let ratio = |n: usize, field: &str| all[n][field].as_f64().expect("a ratio");
    assert!(ratio(0, "carbon_ratio") < ratio(1, "carbon_ratio"), "{out}");
    assert!(ratio(0, "carbon_ratio") >= ratio(0, "bound_ratio") - 1e-6);
    assert!(
        all[0]["plan_seconds_p50"].is_number()
            && all[0]["set_up"]["inputs"][0]["sha256"].as_str().is_some_and(|d| d.len() == 64)
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = scene();
    for format in ["json", "table"] {
        let line = format!(
            "{BASE} --arrivals online --forecast yesterday --capacity 4 --model divisible --interruptible --no-timing --seed 3 -o {format}"
        );
        let one = ran(dir.path(), &line);
        assert_eq!(one.0, 0, "{}", one.2);
        assert_eq!(one, ran(dir.path(), &format!("{line} --threads 4")), "{format}");
    }
    let (_, lines, _) = ran(dir.path(), &format!("{BASE} --policy run-now -o jsonl"));
    assert_eq!(lines.lines().count(), 12, "a line a job");
    let first: Value = serde_json::from_str(lines.lines().next().unwrap_or_default()).expect("an object");
    assert_eq!((&first["schema"], &first["decision"]), (&"neap.simulate.job/1".into(), &"start".into()));
}

#[test]
fn conditions_decide_the_exit_code_and_a_picture_is_drawn() {
    let dir = scene();
    let (exit, out, err) =
        ran(dir.path(), &format!("{BASE} --policy run-now --fail-if late_jobs>0,carbon_ratio>=1 --plot front.svg"));
    assert_eq!(exit, 1);
    assert!(
        out.starts_with("POLICY")
            && err.contains("failed: carbon_ratio>=1: run-now has 1")
            && !err.contains("late_jobs"),
        "{err}"
    );
    let svg = std::fs::read_to_string(dir.path().join("front.svg")).expect("a picture");
    assert!(svg.contains("run-now") && svg.starts_with("<svg"));
    assert_eq!(ran(dir.path(), &format!("{BASE} --policy run-now --fail-if late_jobs>0")).0, 0);
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let dir = scene();
    std::fs::write(dir.path().join("bad.csv"), "arrival_time,length,cpus\n0,x,1\n").expect("written");
    let naive = "UTC time,ci,fc\n2022-03-01 00:00:00,100,100\n2022-03-01 01:00:00,100,100\n";
    std::fs::write(dir.path().join("naive.csv"), naive).expect("written");
    #[rustfmt::skip]
    let cases: &[(&str, &str, i32, &str)] = &[
        ("jobs.csv", "E011", 2, "--format is missing"),
        ("jobs.csv --format json --carbon grid.csv", "E011", 2, "-o json"),
        ("jobs.csv --format gaia-h --carbon grid.csv --zones A", "E011", 2, "gaia-s"),
        ("jobs.csv --format swf --carbon grid.csv --zones A", "E021", 2, "jobs.csv:1"),
        ("bad.csv --format gaia-s --carbon grid.csv --zones A", "E021", 2, "bad.csv:2"),
        ("missing.csv --format gaia-s --carbon grid.csv --zones A", "E020", 2, "missing.csv"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones C", "E041", 6, "A, B"),
        ("jobs.csv --format gaia-s --carbon grid.csv", "E011", 2, "--zones"),
        ("jobs.csv --format gaia-s --carbon naive.csv --actual-column ci", "E021", 2, "--naive utc"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --start 96", "E011", 2, "96 rows"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --start 2023-01-01T00:00Z", "E011", 2, "outside"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --policy run-nwo", "E011", 2, "did you mean `run-now`?"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --fail-if late>0", "E011", 2, "late_jobs"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --capcity 3", "E010", 2, "--capacity"),
        ("jobs.csv --format gaia-s --carbon grid.csv --zones A --idle on", "E011", 2, "--idle-watts"),
    ];
    for (line, code, exit, word) in cases {
        let (left, out, err) = ran(dir.path(), line);
        assert_eq!((left, out.as_str()), (*exit, ""), "{line}: {err}");
        assert!(err.contains(&format!("error[{code}")) && err.contains(word), "{line}: {err}");
        let (_, _, err) = ran(dir.path(), &format!("{line} -o json"));
        let first: Value = serde_json::from_str(err.lines().next().unwrap_or_default()).expect("JSON");
        assert_eq!(first["schema"], "neap.error/1", "{line}");
    }
}

#[test]
fn the_built_in_problem_is_planned_once() {
    let dir = scene();
    let (exit, out, err) = ran(dir.path(), "--synthetic 300 --zones 2 --plan-only --threads 1 -o json");
    assert_eq!((exit, err.as_str()), (0, ""));
    let all: Vec<Value> = serde_json::from_str(&out).expect("an array");
    assert_eq!((all.len(), &all[0]["synthetic_jobs"]), (1, &300.into()));
    assert!(all[0]["gap_ratio"].as_f64().is_some_and(|gap| (0.0..0.5).contains(&gap)), "{out}");
    for field in FIELDS {
        assert!(all[0].get(field).is_some(), "{field}");
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("NEAP_SHARED_DATA").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not here", path.display());
    None
}

#[test]
fn the_week_of_the_published_workload_reaches_its_bound() {
    let (Some(jobs), Some(grid)) = (shared("jobs/gaia_pai_1k.csv"), shared("carbon/ci_lca_hourly_2022.csv")) else {
        return;
    };
    let base = format!("{} --format gaia-s --carbon {} --zones AU-SA", jobs.display(), grid.display());
    let line = format!(
        "{base} --start 2022-10-19T16:00:00Z --capacity 1.5x --slack 6h<2h,24h --lengths true --arrivals all --interruptible --model divisible --policy neap -o json"
    );
    let (exit, out, err) = ran(Path::new("/"), &line);
    assert_eq!(exit, 0, "{err}");
    let all: Vec<Value> = serde_json::from_str(&out).expect("an array");
    let figure = |name: &str| all[0][name].as_f64().expect("a figure");
    assert!((figure("bound_ratio") - 0.6324).abs() < 1e-4, "{out}");
    assert!(figure("carbon_ratio") <= figure("bound_ratio") * 1.001 && figure("late_jobs") == 0.0, "{out}");
    let line = format!(
        "{base} --start 7000 --truncate 5s --lengths queue-mean --policy gaia-lowest-window,gaia-carbon-time,ecovisor -o json"
    );
    let all: Vec<Value> = serde_json::from_str(&ran(Path::new("/"), &line).1).expect("an array");
    let ratios: Vec<Option<f64>> = all.iter().map(|value| value["carbon_ratio"].as_f64()).collect();
    assert_eq!(ratios, [Some(0.683704), Some(0.724888), Some(0.639105)], "the known answers");
}
