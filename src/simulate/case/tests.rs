use super::{Setting, together};
use crate::session::Problems;
use crate::simulate::intensity::{Reading, read};
use crate::simulate::options::{Given, Options};
use crate::simulate::text::File;
use crate::simulate::trace::{Job, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

fn grid_text(hours: u32, hole: Option<u32>) -> String {
    let mut text = "datetime_utc,A,B\n".to_owned();
    for hour in 0..hours {
        let value = if Some(hour) == hole { String::new() } else { (100 + hour).to_string() };
        let _ = writeln!(text, "2022-01-{:02}T{:02}:00Z,{value},50", 1 + hour / 24, hour % 24);
    }
    text
}

fn job(arrival: f64, length: f64, width: f64) -> Job {
    Job { arrival, length, width, ..Job::default() }
}

fn fitted(flags: &[(&'static str, &str)], jobs: Vec<Job>, text: &str) -> Result<Setting, Problems> {
    let usual = [("format", "gaia-s"), ("carbon", "ci.csv"), ("policy", "run-now"), ("zones", "A,B")];
    let mut values: BTreeMap<&'static str, String> = usual.map(|(k, v)| (k, v.to_owned())).into();
    values.extend(flags.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let options = Options::of(Given { trace: Some("x"), values: &values, switches: &BTreeSet::new() })?;
    let reading = Reading { zones: options.reading.zones.clone(), ..Reading::default() };
    let grid = read(&File::of("ci.csv", text.to_owned()), &reading)?;
    together(Trace::new(jobs, None, &[]), &grid, None, None, &options)
}

fn refused(flags: &[(&'static str, &str)], jobs: Vec<Job>, text: &str) -> String {
    let problems = fitted(flags, jobs, text).expect_err("it does not fit");
    problems.iter().map(|p| format!("{} {:?}", p.refusal.message, p.refusal.note)).collect()
}

#[test]
fn jobs_get_queue_home_slack_and_the_mean_of_their_queue() {
    let jobs = vec![job(0.0, 3600.0, 1.0), job(60.0, 7200.0, 2.0), job(3600.0, 10_800.0, 1.0)];
    let flags = [("lengths", "queue-mean"), ("capacity", "1.5x"), ("model", "divisible")];
    let setting = fitted(&flags, jobs, &grid_text(96, None)).expect("it fits");
    let jobs: Vec<_> = setting.case.jobs.iter().map(|j| (j.queue, j.slack, j.home, j.assumed)).collect();
    // A length on the bound counts for both means.
    assert_eq!(jobs, [(0, 21_600.0, 0, 5_400.0), (1, 86_400.0, 1, 9_000.0), (1, 86_400.0, 0, 9_000.0)]);
    assert_eq!(setting.mean_demand, 8.0, "8 GPU-hours in one hour of arrivals");
    assert_eq!(setting.case.places[0].gpus, Some(6.0), "half of 12");
    assert_eq!(setting.case.places[1].curve.at(0.0), 50.0);
}

#[test]
fn a_start_is_a_row_or_a_time_and_history_lies_before_it() {
    let jobs = || vec![job(0.0, 3600.0, 1.0)];
    for start in ["30", "2022-01-02T06:00Z"] {
        let setting = fitted(&[("start", start)], jobs(), &grid_text(96, None)).expect("it fits");
        let curve = &setting.case.places[0].curve;
        assert_eq!((curve.at(0.0), curve.at(-3600.0), curve.start()), (130.0, 129.0, -30.0 * 3600.0));
    }
    assert!(refused(&[("start", "96")], jobs(), &grid_text(96, None)).contains("96 rows"));
    assert!(refused(&[("start", "2023-01-01T00:00Z")], jobs(), &grid_text(96, None)).contains("outside the data"));
    assert!(refused(&[("start", "95")], vec![job(0.0, 7200.0, 1.0)], &grid_text(96, None)).contains("the data end"));
    let near = fitted(&[("start", "90")], jobs(), &grid_text(96, None)).expect("it fits");
    assert_eq!(near.notes.len(), 1, "it may wait past the end: {:?}", near.notes);
}

#[test]
fn a_hole_in_the_hours_that_are_used_is_refused_and_one_before_ends_the_history() {
    let jobs = || vec![job(0.0, 3600.0, 1.0)];
    assert!(refused(&[], jobs(), &grid_text(96, Some(3))).contains("A 2022-01-01T03:00Z to 2022-01-01T04:00Z"));
    let behind = fitted(&[("start", "30")], jobs(), &grid_text(96, Some(3))).expect("it fits");
    assert_eq!(behind.case.places[0].curve.start(), -26.0 * 3600.0);
    assert_eq!(behind.holes.len(), 1, "it is listed all the same");
}

#[test]
fn urgent_jobs_do_not_wait_and_promises_of_the_trace_hold() {
    let urgent = Job { urgent: true, ..job(0.0, 60.0, 1.0) };
    let promised = Job { slack: Some(90.0), zone: Some("B".to_owned()), ..job(0.0, 60.0, 1.0) };
    let setting = fitted(&[("truncate", "50s")], vec![urgent, promised], &grid_text(96, None)).expect("it fits");
    let jobs: Vec<_> = setting.case.jobs.iter().map(|j| (j.slack, j.home, j.length)).collect();
    assert_eq!(jobs, [(0.0, 0, 50.0), (90.0, 1, 50.0)]);
    assert!(refused(&[("home", "C")], vec![job(0.0, 60.0, 1.0)], &grid_text(96, None)).contains("A, B"));
}
