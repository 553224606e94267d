use super::{FIGURES, jobs, policy, table};
use crate::render::Style;
use crate::simulate::case::together;
use crate::simulate::intensity::{Reading, read};
use crate::simulate::options::{Given, Options};
use crate::simulate::text::File;
use crate::simulate::trace::{Job, Trace};
use crate::simulate::{measure, policies, progress::Progress};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Two jobs of an hour on one GPU; the first hour is dirty, the second clean.
fn scene(name: &str) -> (Value, Vec<Value>, String) {
    let flags = [
        ("format", "gaia-s"),
        ("carbon", "ci.csv"),
        ("policy", name),
        ("capacity", "2"),
        ("slack", "1h"),
        ("watts-per-gpu", "1000"),
    ];
    let values: BTreeMap<&'static str, String> = flags.map(|(k, v)| (k, v.to_owned())).into();
    let switches: BTreeSet<&'static str> = ["no-timing", "interruptible"].into();
    let options = Options::of(Given { trace: Some("x"), values: &values, switches: &switches }).expect("options");
    let text =
        "datetime_utc,A\n2022-01-01T00:00Z,300\n2022-01-01T01:00Z,100\n2022-01-01T02:00Z,200\n2022-01-01T03:00Z,200\n";
    let grid = read(&File::of("ci.csv", text.to_owned()), &Reading::default()).expect("a grid");
    let job =
        |name: &str, arrival: f64| Job { name: name.to_owned(), arrival, length: 3600.0, width: 1.0, ..Job::default() };
    let trace = Trace::new(vec![job("0", 0.0), job("1", 1800.0)], None, &[]);
    let setting = together(trace, &grid, None, None, &options).expect("it fits");
    let outcome = policies::run(name, &setting, &options, &mut Progress::new("", true)).expect("it runs");
    let reference = measure::reference(&setting, &options, outcome.bound);
    let figures = measure::figures(name, &setting, &options, outcome, &reference);
    let value = policy(&figures, &setting, &options, &reference);
    let style = Style { zone: chrono_tz::Tz::UTC, unicode: true, width: None };
    let table = table(&[(value.clone(), &figures)], &setting, &options, &style);
    (value, jobs(&figures, &setting, &options), table)
}

#[test]
fn the_figures_of_a_made_up_trace_are_these() {
    let (now, lines, table) = scene("run-now");
    let golden = r#"{"schema":"neap.simulate/1","policy":"run-now","zones":["A"],"jobs":2,"unfinished_jobs":0,"carbon_grams":500.0,"run_now_carbon_grams":500.0,"carbon_ratio":1.0,"carbon_ratio_same_capacity":1.0,"carbon_grams_by_zone":{"A":500.0},"marginal_grams":null,"marginal_ratio":null,"cost":null,"energy_kwh":2.0,"idle_kwh":0.0,"late_jobs":0,"late_work_ratio":0.0,"held_jobs":0,"not_held_jobs":2,"wait_hours_mean":0.0,"wait_hours_p50":0.0,"wait_hours_p95":0.0,"slowdown_mean":1.0,"slowdown_p50":1.0,"slowdown_p95":1.0,"peak_gpus":2.0,"peak_kw":2.0,"moves":0,"pauses":0,"lost_work_kwh":0.0,"bound_ratio":0.4,"gap_ratio":null,"gap_ratio_max":null,"realised_over_clairvoyant":2.5,"plans":1,"plan_seconds_p50":null,"plan_seconds_p99":null,"plan_seconds_max":null,"#;
    let text = now.to_string();
    assert!(text.starts_with(golden), "{text}");
    assert_eq!((&now["set_up"]["begins"], &now["set_up"]["seed"]), (&"2022-01-01T00:00:00Z".into(), &1.into()));
    assert_eq!(lines.len(), 2);
    let line = r#"{"schema":"neap.simulate.job/1","policy":"run-now","job":"1","gpus":1.0,"home":"A","zones":["A"],"submitted":"2022-01-01T00:30:00Z","finish_by":"2022-01-01T02:30:00Z","run_seconds":3600.0,"started":"2022-01-01T00:30:00Z","ended":"2022-01-01T01:30:00Z","wait_seconds":0.0,"late":false,"decision":"start","reason":{"code":"starts_at_once"},"stretches":1,"planned_carbon_grams":200.0,"carbon_grams":200.0,"run_now_carbon_grams":200.0}"#;
    assert_eq!(lines[1].to_string(), line);
    assert!(
        table.starts_with("POLICY") && table.contains("1.0000") && table.contains("2 jobs from 2022-01-01T00:00Z"),
        "{table}"
    );
}

#[test]
fn neap_takes_the_clean_hour_and_says_why() {
    let (neap, lines, _) = scene("neap");
    assert_eq!(
        (&neap["carbon_ratio"], &neap["bound_ratio"], &neap["late_jobs"]),
        (&0.4.into(), &0.4.into(), &0.into())
    );
    assert_eq!((&neap["held_jobs"], &neap["gap_ratio"]), (&2.into(), &0.0.into()));
    assert_eq!(lines[0]["reason"]["code"], "grid.cleaner_later");
    assert_eq!(lines[0]["started"], "2022-01-01T01:00:00Z");
}

#[test]
fn every_figure_that_conditions_name_is_printed() {
    let (value, _, _) = scene("run-now");
    for figure in FIGURES {
        assert!(value.get(figure).is_some(), "{figure}");
    }
}
