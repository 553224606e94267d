//! Golden tests over the scene of the design: Mon 23 Nov 2026 18:05 CET, one site in Germany and Sweden. The decisions are
//! the planner's own; the expected texts lie in `tests/data/golden` and are written anew with `NEAP_BLESS=1`.

mod scene;

use super::{Style, data, escape, footer, grid, jobs, plan, report, status, why};
use chrono_tz::Tz;
use neap_model::fleet::{Board, Component};
use neap_model::ledger::Part;
use neap_model::lifecycle::JobEvent;
use neap_model::plan::RunCost;
use neap_model::protocol::{Accepted, JobPage, PlanReport};
use neap_model::units::{Joules, Money, Watts};
use scene::{Scene, now};
use std::path::Path;

const STYLE: Style = Style { zone: Tz::Europe__Berlin, unicode: true, width: None };

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    if std::env::var_os("NEAP_BLESS").is_some() {
        std::fs::write(&path, text).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs; if that is meant: NEAP_BLESS=1 cargo test golden");
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

#[test]
fn golden_why_of_a_planned_job() {
    golden("why-planned.txt", &why::why(&Scene::new().why(1432), &STYLE));
}

#[test]
fn golden_why_of_a_queued_job() {
    golden("why-queued.txt", &why::why(&Scene::new().why(1433), &STYLE));
}

#[test]
fn golden_why_of_a_job_that_waits_for_another() {
    golden("why-after.txt", &why::why(&Scene::new().why(1434), &STYLE));
}

#[test]
fn golden_why_of_a_held_job() {
    golden("why-held.txt", &why::why(&Scene::new().why(1435), &STYLE));
}

#[test]
fn golden_why_of_a_running_job() {
    golden("why-running.txt", &why::why(&Scene::new().why(1431), &STYLE));
}

#[test]
fn golden_why_of_a_finished_job() {
    golden("why-finished.txt", &why::why(&Scene::new().finished(), &STYLE));
}

#[test]
fn a_start_before_its_planned_time_is_not_explained_by_that_plan() {
    let mut report = Scene::new().finished();
    for entry in &mut report.history {
        if matches!(entry.event, JobEvent::Leased { .. }) {
            entry.at -= chrono::TimeDelta::hours(1);
        }
    }
    let text = why::why(&report, &STYLE);
    let line = "Now is the cleanest start it has. Before that it was planned for Tue 24 Nov 02:50.";
    assert!(text.contains(line), "{text}");
}

#[test]
fn golden_history() {
    golden("history.txt", &why::history(&Scene::new().finished(), &STYLE));
}

#[test]
fn golden_submit() {
    let scene = Scene::new();
    let planned = Accepted { job: scene.job(1432), deduplicated: false };
    let queued = Accepted { job: scene.job(1433), deduplicated: false };
    let text = jobs::accepted(&planned, now(), &STYLE) + "\n" + &jobs::accepted(&queued, now(), &STYLE);
    golden("submit.txt", &text);
}

#[test]
fn golden_list() {
    let scene = Scene::new();
    let jobs: Vec<_> = [1435, 1434, 1433, 1432, 1431].map(|id| scene.job(id)).into();
    let page = JobPage { total: 7, jobs, next: None };
    golden("ls.txt", &jobs::list(&page, now(), false, &STYLE));
    golden("ls-wide.txt", &jobs::list(&page, now(), true, &STYLE));
    let values: Vec<_> = page.jobs.iter().map(data::job).collect();
    golden("ls.csv", &data::csv(&values));
}

#[test]
fn golden_show_and_footer() {
    let scene = Scene::new();
    golden("show-planned.txt", &jobs::show(&scene.job(1432), now(), &STYLE));
    golden("show-finished.txt", &jobs::show(&scene.finished().job, now(), &STYLE));
    golden("footer.txt", &footer::footer(&scene.finished().job));
}

#[test]
fn golden_plan() {
    let report = Scene::new().plan(1432);
    golden("plan.txt", &plan::plan(&report, &STYLE));
    golden("plan.json", &pretty(&data::plan(&report)));
}

#[test]
fn a_plan_shows_what_its_ways_cost_and_what_is_counted_in_that() {
    let mut report = Scene::new().plan(1432);
    let euro = |units: f64| Money::from_base(units).expect("money");
    let cost = |energy: f64, gpus: Option<f64>| {
        Some(RunCost { energy: Some(euro(energy)), gpus: gpus.map(euro), currency: "EUR".into() })
    };
    let told = |report: &PlanReport| {
        let text = plan::plan(report, &STYLE);
        let heads = text.lines().next().expect("a head").contains("COST");
        (heads, text.lines().find(|line| line.starts_with("cost:")).map(str::to_owned), text)
    };
    assert_eq!((told(&report).0, told(&report).1), (false, None));
    report.alternatives[0].cost = cost(12.5, Some(30.0));
    let (heads, counted, text) = told(&report);
    assert_eq!((heads, counted.as_deref()), (true, Some("cost: energy and GPU-hours")));
    assert!(text.contains("42.50 EUR"), "{text}");
    report.alternatives[1].cost = cost(2.5, None);
    assert_eq!(told(&report).1.as_deref(), Some("cost: energy and GPU-hours as far as a price is known"));
    let row = &data::plan(&report)["alternatives"][0];
    assert_eq!((row["energy_cost"].as_f64(), row["gpu_cost"].as_f64()), (Some(12.5), Some(30.0)));
    assert_eq!(row["currency"], "EUR");
}

#[test]
fn golden_carbon() {
    let zones = Scene::new().grids();
    golden("carbon.txt", &grid::carbon(&zones, now(), &STYLE));
    golden("carbon-factors.txt", &grid::factors(&zones, now(), &STYLE));
    let ascii = Style { unicode: false, ..STYLE };
    let plain = grid::carbon(&zones, now(), &ascii);
    assert!(plain.is_ascii(), "{plain}");
}

#[test]
fn golden_report() {
    let usage = Scene::new().usage();
    golden("report.txt", &report::report(&usage, Some("nlp"), &STYLE));
    golden("report.md", &report::markdown(&usage, None, &STYLE));
    golden("report.json", &pretty(&data::report(&usage)));
}

#[test]
fn golden_status() {
    let shown = Scene::new().status();
    golden("status.txt", &status::status(&shown, "/run/neap/neap.sock", &STYLE));
    golden("status.json", &pretty(&data::status(&shown)));
}

#[test]
fn golden_job_json() {
    let scene = Scene::new();
    golden("job-planned.json", &pretty(&data::job(&scene.job(1432))));
    golden("job-finished.json", &pretty(&data::job(&scene.finished().job)));
    golden("why-planned.json", &pretty(&data::why(&scene.why(1432))));
}

#[test]
fn footer_show_and_report_agree_to_the_digit() {
    let job = Scene::new().finished().job;
    let (shown, foot) = (jobs::show(&job, now(), &STYLE), footer::footer(&job));
    for line in footer::used(&job).lines() {
        assert!(shown.contains(line) && foot.contains(line), "{line}");
    }
    let value = data::job(&job);
    assert_eq!(value["energy_joules"], job.account.actual.energy.in_base());
    assert_eq!(value["carbon_grams"], job.account.actual.emits.in_base());
}

#[test]
fn environment_and_script_are_never_printed() {
    let mut job = Scene::new().job(1432);
    job.spec.task.env.insert("SECRET".into(), "hunter2".into());
    job.spec.task.script = Some("echo hunter2".into());
    let everything = jobs::show(&job, now(), &STYLE) + &pretty(&data::job(&job)) + &data::csv(&[data::job(&job)]);
    assert!(!everything.contains("hunter2"), "{everything}");
}

#[test]
fn what_users_write_cannot_move_the_cursor_or_turn_the_line() {
    assert_eq!(escape("a\x1b[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
}

#[test]
fn a_cell_of_a_spreadsheet_is_never_a_formula() {
    let text = data::csv(&[serde_json::json!({"a": "=1+1", "b": "x,\"y\"", "c": null, "d": 1.5})]);
    assert_eq!(text, "a,b,c,d\r\n'=1+1,\"x,\"\"y\"\"\",,1.5\r\n");
}

proptest::proptest! {
    #[test]
    fn nothing_harmful_is_left_in_any_text(text in "\\PC{0,40}|[\\x00-\\x1f\u{202a}-\u{202e}]{0,10}") {
        let safe = escape(&text);
        let harmful = safe.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        proptest::prop_assert!(!harmful);
    }

    #[test]
    fn figures_have_three_digits_and_mean_what_they_say(value in 0.0f64..1e12) {
        let shown: f64 = super::numbers::digits(value).parse().expect("a number");
        proptest::prop_assert!((shown - value).abs() <= value * 0.005 + 0.005, "{value} {shown}");
    }
}

/// A job of which everything is known.
fn board_and_memory_known(job: &mut neap_model::protocol::JobReport) -> serde_json::Value {
    let why = &data::job(job)["unknown_because"];
    assert_eq!(why["sensor_window_ratio"], "an earlier version ran it");
    assert_eq!(data::job(job)["gpu_boards"][0]["model"], serde_json::Value::Null, "{why}");
    let source = neap_model::fleet::Source::Rapl;
    job.account.parts.push(Part { component: Component::Dram, source, energy: Joules(1_500) });
    let energy = job.account.actual.energy.saturating_sub(job.account.actual.uncovered);
    job.account.by_signal = vec![("file".to_owned(), energy)];
    let (model, driver) = (Some("H100-PCIe".to_owned()), Some("535.54.03".to_owned()));
    let sensor_window = Some(neap_model::units::Percent::whole(22));
    let uuid = job.gpus[0].clone();
    job.boards = vec![Board { uuid: uuid.clone(), model, driver, sensor_window }];
    let value = data::job(job);
    assert_eq!((&value["dram_energy_joules"], &value["sensor_window_ratio"]), (&1.5.into(), &0.22.into()));
    let board = serde_json::json!({"uuid": uuid, "model": "H100-PCIe", "driver": "535.54.03"});
    assert_eq!(value["gpu_boards"], serde_json::json!([board]));
    assert_eq!(value["signal_energy_joules"], serde_json::json!({"file": energy.in_base()}));
    let parts = ["gpu", "cpu", "dram"].map(|part| value[format!("{part}_energy_joules")].as_f64().expect("known"));
    assert_eq!(Some(parts.iter().sum::<f64>()), value["it_energy_joules"].as_f64(), "the parts are the whole");
    value
}

#[test]
fn a_job_on_two_boards_is_as_blind_as_the_worse_and_one_that_nobody_measured_is_not_guessed() {
    let mut job = Scene::new().job(1431);
    let board = |uuid: &str, percent: Option<u32>| Board {
        uuid: uuid.to_owned(),
        model: Some("some".to_owned()),
        driver: None,
        sensor_window: percent.map(neap_model::units::Percent::whole),
    };
    job.gpus = vec!["a".to_owned(), "b".to_owned()];
    job.boards = vec![board("a", Some(53)), board("b", Some(22))];
    assert_eq!(data::job(&job)["sensor_window_ratio"], 0.22);
    job.boards[0] = board("a", None);
    let value = data::job(&job);
    assert_eq!(value["sensor_window_ratio"], serde_json::Value::Null);
    assert!(value["unknown_because"]["sensor_window_ratio"].as_str().is_some_and(|why| why.contains("model")));
    assert!(value["unknown_because"]["gpu_boards"].is_string(), "no driver is told, and why");
}

#[test]
fn what_a_job_drew_and_whose_intensities_it_met_is_told_or_why_not() {
    let mut job = Scene::new().job(1431);
    let value = data::job(&job);
    assert!(
        value["mean_power_watts"].is_null() && value["max_power_watts"].is_null() && value["signal_source"].is_null()
    );
    let why = value["unknown_because"].as_object().expect("reasons");
    assert!(why.len() == 9 && why["max_power_watts"].as_str().is_some_and(|why| why.contains("readings")), "{why:?}");
    let second = std::time::Duration::from_secs(1);
    job.account.power.drew(Watts::whole(300), second * 3);
    job.account.power.drew(Watts::whole(100), second);
    job.account.signals = vec!["file".to_owned()];
    let gpu = job.account.component(Component::Gpu);
    (job.account.metering.idle, job.account.metering.idle_of) = (gpu.scaled(1, 4), gpu);
    let value = data::job(&job);
    assert_eq!((&value["mean_power_watts"], &value["max_power_watts"]), (&250.0.into(), &300.0.into()));
    assert_eq!((&value["signal_source"], value.get("signal_sources")), (&"file".into(), None));
    assert_eq!(value["unknown_because"].as_object().map(|why| why.len()), Some(4), "{value}");
    let joules = |name: &str| value[name].as_f64().expect("known");
    assert_eq!(joules("gpu_active_joules"), 3.0 * joules("gpu_idle_share_joules"));
    assert_eq!(joules("gpu_active_joules") + joules("gpu_idle_share_joules"), joules("gpu_energy_joules"));
    let value = board_and_memory_known(&mut job);
    assert!(value.get("unknown_because").is_none(), "{value}");
    job.account.signals.push("table".to_owned());
    let value = data::job(&job);
    assert_eq!(value["signal_source"], "mixed");
    assert_eq!(value["signal_sources"], serde_json::json!(["file", "table"]));
    // One that waits drew nothing yet.
    let value = data::job(&Scene::new().job(1432));
    assert_eq!(value["unknown_because"]["mean_power_watts"], "it never started");
}
