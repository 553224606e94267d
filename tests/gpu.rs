//! The real daemons over simulated GPUs: a job's GPU energy against the truth.

mod support;

use serde_json::Value;
use simgpu::{Board, GpuSetup, Load, Node};
use std::time::{Duration, Instant};
use support::Site;

fn json(command: &mut std::process::Command) -> Value {
    let output = command.output().expect("it ran");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{:?}", output.stderr))
}

/// A site whose node has two boards in real time. The directory goes with its first part.
fn with_two_boards() -> (tempfile::TempDir, Node, Site) {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::make_live(&dir.path().join("sim"), &[GpuSetup::new(Board::V100), GpuSetup::new(Board::V100)]);
    let node = node.expect("a node");
    let mut site = Site::new("[[zone]]\nname = \"DE\"\n");
    site.set_executor(&format!("nvml_lib = \"{}\"\n", node.library().expect("built").display()));
    site.start_scheduler();
    site.start_executor();
    (dir, node, site)
}

/// Two boards in real time; the job holds one, and the other's idle energy is nobody's.
#[test]
fn a_gpu_job_is_metered_and_says_how_well() {
    let (_dir, node, site) = with_two_boards();
    let mark = site.path("goes");
    let script = format!("echo $CUDA_VISIBLE_DEVICES; touch {}; sleep 6", mark.display());
    let mut job = site.neap().args(["run", "--gpus", "1", "--", "sh", "-c", &script]).spawn().expect("started");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !mark.exists() {
        assert!(Instant::now() < deadline, "it does not start: {}", site.log("executor"));
        std::thread::sleep(Duration::from_millis(5));
    }
    let held = json(site.neap().args(["show", "last", "-o", "json"]))["gpu_uuids"][0].as_str().map(str::to_owned);
    let held = held.expect("a GPU");
    let gpu = node.gpus().find(|gpu| gpu.uuid() == held).expect("one of them");
    gpu.add(Load::RESNET50_V100.pid(1));
    let (began, before) = (node.now(), gpu.truth().energy_mj);
    std::thread::sleep(Duration::from_secs(4));
    gpu.remove(1);
    let (loaded, above) = (node.now() - began, gpu.truth().energy_mj - before);
    assert!(job.wait().expect("it ends").success());
    let shown = json(site.neap().args(["show", "last", "-o", "json"]));
    let part = |component: &str| {
        let parts = shown["energy_parts"].as_array().expect("parts").clone();
        parts.into_iter().find(|part| part["component"] == component).unwrap_or_else(|| panic!("{component}: {shown}"))
    };
    let metered = part("gpu");
    assert_eq!((&metered["source"], &metered["quality"]), (&"nvml_energy".into(), &"measured".into()));
    // Loaded for about 4 s, and idle at 32 W for the rest of what it held the board.
    let joules = metered["energy_joules"].as_f64().expect("a figure");
    let least = above / 1e3 + (5.9 - loaded.as_secs_f64()) * 32.0;
    assert!(joules > least * 0.99 && joules < least + 32.0 * 2.0, "{joules} J of at least {least} J: {shown}");
    let metering = &shown["metering"];
    let coverage = metering["coverage_ratio"].as_f64().expect("a ratio");
    let uncertainty = metering["uncertainty_ratio"].as_f64().expect("a ratio");
    assert!(coverage > 0.9 && (0.06..0.3).contains(&uncertainty), "{metering}");
    assert_eq!((&metering["short"], &metering["counter_restarts"]), (&false.into(), &0.into()), "{metering}");
    assert!(metering["discrepancy_ratio"].as_f64().expect("a ratio") < 0.1, "{metering}");
}

/// The counter spans what an executor does not see between its end by `kill -9` and its next start.
#[test]
fn d6_an_executor_that_is_killed_loses_no_energy_of_its_job() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::make_live(&dir.path().join("sim"), &[GpuSetup::new(Board::A40)]).expect("a node");
    let mut site = Site::new("[[zone]]\nname = \"DE\"\n");
    site.set_executor(&format!("nvml_lib = \"{}\"\n", node.library().expect("built").display()));
    site.start_scheduler();
    site.start_executor();
    node.gpu(0).add(Load::BERT_A40.pid(1));
    let (goes, over) = (site.path("goes"), site.path("over"));
    let script = format!("touch {}; sleep 9; touch {}", goes.display(), over.display());
    let mut job = site.neap().args(["run", "--gpus", "1", "--", "sh", "-c", &script]).spawn().expect("started");
    let waits = |mark: &std::path::Path| {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !mark.exists() {
            assert!(Instant::now() < deadline, "no {}", mark.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    waits(&goes);
    let before = node.gpu(0).truth().energy_mj;
    std::thread::sleep(Duration::from_secs(3));
    site.kill_executor();
    std::thread::sleep(Duration::from_secs(2));
    site.start_executor();
    waits(&over);
    let truth = (node.gpu(0).truth().energy_mj - before) / 1e3;
    assert!(job.wait().expect("it ends").success());
    let shown = json(site.neap().args(["show", "last", "-o", "json"]));
    let parts = shown["energy_parts"].as_array().expect("parts");
    let gpu = parts.iter().filter(|part| part["component"] == "gpu").map(|part| part["energy_joules"].as_f64());
    let joules: f64 = gpu.map(|joules| joules.expect("a figure")).sum();
    // Up to half a second of what it held the board before and after its own marks, at about 267 W.
    assert!(joules > truth * 0.99 && joules < truth + 150.0, "{joules} J, in truth {truth} J: {shown}");
}

/// An elastic job gets both boards where they are free, and one where the other is taken for longer than it would gain.
#[test]
fn an_elastic_job_gets_what_ends_it_first() {
    let (_dir, _node, site) = with_two_boards();
    let elastic = |site: &Site| {
        let tell = "echo $NEAP_GPUS $CUDA_VISIBLE_DEVICES";
        let args = ["run", "--gpus", "1..2", "--expect", "10 min", "--", "sh", "-c", tell];
        let output = site.neap().args(args).output().expect("it ran");
        let said = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        (said, json(site.neap().args(["show", "last", "-o", "json"])))
    };
    let (said, shown) = elastic(&site);
    assert_eq!(said, "2 0,1", "{}", site.log("executor"));
    assert_eq!((&shown["gpus"], &shown["gpus_up_to"]), (&1.into(), &2.into()), "{shown}");
    assert_eq!(shown["gpu_uuids"].as_array().map(Vec::len), Some(2));
    let board = &shown["gpu_boards"][1];
    assert_eq!((&board["uuid"], &board["model"]), (&shown["gpu_uuids"][1], &"Tesla-V100-SXM2-32GB".into()));
    assert!(
        board["driver"].as_str().is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())),
        "{board}"
    );
    assert!(shown["sensor_window_ratio"].is_null(), "the 16 GB board was measured, this one was not");
    assert!(
        shown["unknown_because"]["sensor_window_ratio"].is_string() && shown["unknown_because"]["gpu_boards"].is_null()
    );
    let args = ["plan", "--gpus", "1..2", "--expect", "10 min", "-o", "json", "--", "true"];
    let plan = json(site.neap().args(args));
    // Nothing long enough was measured to differ from what is assumed by much; the widths stand side by side.
    let widths = |row: &Value| (row["gpus"].clone(), row["chosen"].clone(), row["remark"].clone());
    let rows: Vec<_> = plan["alternatives"].as_array().expect("ways").iter().map(widths).collect();
    assert!(rows.contains(&(2.into(), true.into(), "fits_now".into())), "{rows:?}");
    assert!(rows.contains(&(1.into(), false.into(), "other_gpus".into())), "{rows:?}");
    let mark = site.path("taken");
    let taken = format!("touch {}; sleep 60", mark.display());
    let args = ["submit", "--gpus", "1", "--expect", "1h", "--", "sh", "-c", &taken];
    assert!(site.neap().args(args).status().expect("it ran").success());
    site.until("one board is taken", Duration::from_secs(20), |_| mark.exists());
    let (said, _) = elastic(&site);
    assert_eq!(said, "1 1");
}

/// A board that falls off the bus is told, and the next job goes elsewhere.
#[test]
fn c7_a_lost_board_gets_no_job() {
    let (_dir, node, site) = with_two_boards();
    let uses = |site: &Site| {
        let ran = site.neap().args(["run", "--gpus", "1", "--", "true"]).status().expect("it ran");
        assert!(ran.success(), "{}", site.log("executor"));
        json(site.neap().args(["show", "last", "-o", "json"]))["gpu_uuids"][0].as_str().map(str::to_owned)
    };
    let first = uses(&site).expect("a GPU");
    let lost = node.gpus().find(|gpu| gpu.uuid() == first).expect("one of them");
    lost.script(simgpu::Fault::new(simgpu::Kind::Lost, 0));
    site.until("the loss is told", Duration::from_secs(15), |_| {
        site.log("executor").contains("is lost: no job starts")
    });
    site.until("the scheduler knows", Duration::from_secs(5), |_| {
        let status = site.neap().arg("status").output().expect("it ran");
        String::from_utf8_lossy(&status.stdout).contains("1×Tesla")
    });
    lost.heal();
    assert_ne!(uses(&site), Some(first));
}

#[test]
fn without_a_library_there_is_one_line_and_no_gpu() {
    let mut site = Site::new("[[zone]]\nname = \"DE\"\n");
    site.set_executor("nvml_lib = \"/nonexistent/libnvidia-ml.so.1\"\n");
    site.start_scheduler();
    site.start_executor();
    site.until("the executor has looked", Duration::from_secs(20), |_| site.log("executor").contains("no GPUs"));
    let log = site.log("executor");
    assert_eq!(log.lines().filter(|line| line.contains("NVIDIA")).count(), 1, "{log}");
}
