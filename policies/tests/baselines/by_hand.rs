//! Every rule on cases small enough to be followed by hand, and at the edges of what a trace can hold.

use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Case, Curve, Place, Ran, TraceJob};

const HOUR: f64 = 3600.0;

/// Arrival, length, width and slack, times in hours.
type Job = (f64, f64, f64, f64);

fn case(values: &[f64], gpus: Option<f64>, jobs: &[Job]) -> Case {
    let curve = Curve::new(0.0, HOUR, values.to_vec()).expect("values");
    let job = |&(arrival, length, width, slack): &Job| TraceJob {
        arrival: arrival * HOUR,
        length: length * HOUR,
        width,
        slack: slack * HOUR,
        assumed: length * HOUR,
        queue: 0,
        home: 0,
    };
    let place = Place { name: "zone".to_owned(), curve, forecast: None, pue: 1.0, gpus };
    Case { places: vec![place], jobs: jobs.iter().map(job).collect(), anywhere: false, kw_per_gpu: 1.0 }
}

/// The segments of every job as "from-until×GPUs", times in hours.
fn shown(ran: &[Ran]) -> Vec<String> {
    let segment = |s: &neap_policies::replay::Segment| format!("{}-{}x{}", s.from / HOUR, s.until / HOUR, s.gpus);
    ran.iter().map(|ran| ran.iter().map(segment).collect::<Vec<_>>().join(" ")).collect()
}

fn check(rule: Rule, values: &[f64], gpus: Option<f64>, jobs: &[Job], known: &[&str]) {
    let ran = run(rule, &case(values, gpus, jobs), Lengths::True);
    assert_eq!(shown(&ran), known, "{}", rule.name());
}

#[test]
fn only_backfill_overtakes_and_never_delays_the_head() {
    // Four GPUs: the first job leaves one free, the second needs all of them from hour 10 on.
    let jobs = [(0.0, 10.0, 3.0, 0.0), (1.0, 1.0, 4.0, 0.0), (2.0, 20.0, 1.0, 0.0), (2.0, 8.0, 1.0, 0.0)];
    check(Rule::Fifo, &[1.0], Some(4.0), &jobs, &["0-10x3", "10-11x4", "11-31x1", "11-19x1"]);
    check(Rule::RunNow, &[1.0], Some(4.0), &jobs, &["0-10x3", "10-11x4", "11-31x1", "2-10x1"]);
    // With a head of three GPUs one is left over for as long as anybody likes.
    let jobs = [(0.0, 10.0, 3.0, 0.0), (1.0, 1.0, 3.0, 0.0), (2.0, 20.0, 1.0, 0.0), (2.0, 8.0, 1.0, 0.0)];
    check(Rule::RunNow, &[1.0], Some(4.0), &jobs, &["0-10x3", "10-11x3", "2-22x1", "11-19x1"]);
    check(Rule::RunNow, &[1.0], None, &jobs, &["0-10x3", "1-2x3", "2-22x1", "2-10x1"]);
}

#[test]
fn a_reservation_stands_on_what_is_believed() {
    let mut short = case(&[1.0], Some(2.0), &[(0.0, 10.0, 1.0, 0.0), (1.0, 1.0, 2.0, 0.0), (2.0, 5.0, 1.0, 0.0)]);
    assert_eq!(shown(&run(Rule::RunNow, &short, Lengths::True))[2], "2-7x1");
    short.jobs[0].assumed = HOUR; // believed to end any moment now: nothing may slip in before the head
    assert_eq!(shown(&run(Rule::RunNow, &short, Lengths::Assumed))[2], "11-16x1");
}

#[test]
fn where_each_rule_starts_one_job() {
    let day = [50.0, 40.0, 90.0, 10.0, 30.0, 30.0, 80.0];
    let job = [(0.5, 2.0, 1.0, 4.0)];
    check(Rule::RunNow, &day, None, &job, &["0.5-2.5x1"]);
    check(Rule::GaiaLowestSlot, &day, None, &job, &["3-5x1"]);
    check(Rule::GaiaLowestWindow, &day, None, &job, &["3.5-5.5x1"]); // 5 + 30 + 15, but 45 + 10 + 15 an hour earlier
    check(Rule::WaitAwhileContiguous, &day, None, &job, &["3-5x1"]);
    check(Rule::WaitAwhile, &day, None, &job, &["3-5x1"]);
    check(Rule::FirstCome, &day, None, &job, &["3-5x1"]);
    check(Rule::FirstComeWhole, &day, None, &job, &["3-5x1"]);
    check(Rule::GlobalSort, &day, None, &job, &["3-5x1"]);
}

#[test]
fn ties_go_to_the_earliest() {
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::Ecovisor) {
        check(rule, &[0.1; 30], None, &[(0.5, 2.7, 1.0, 20.0)], &["0.5-3.2x1"]);
    }
}

/// Its threshold must be undercut, so it spends all its patience where nothing changes.
#[test]
fn ecovisor_waits_for_what_never_comes() {
    check(Rule::Ecovisor, &[1.0], None, &[(0.5, 2.0, 1.0, 20.0), (1.0, 0.0, 1.0, 0.0)], &["20.5-22.5x1", "1-1x1"]);
    // 30 % of the day from 1:30 on lie at 1 and from 77 up to 79, which must be undercut: it runs at 4:00, and when the
    // six hours are spent, at 8:30, whatever the hour is like.
    let day: Vec<f64> = (0..24).map(|hour| if hour % 8 == 4 { 1.0 } else { 100.0 - f64::from(hour) }).collect();
    check(Rule::Ecovisor, &day, None, &[(1.5, 2.0, 1.0, 6.0)], &["4-5x1 8.5-9.5x1"]);
}

#[test]
fn later_jobs_take_what_earlier_ones_left() {
    let day = [30.0, 10.0, 20.0, 40.0, 40.0, 40.0];
    let jobs = [(0.0, 1.0, 2.0, 2.0), (0.0, 1.0, 2.0, 2.0), (0.0, 2.0, 2.0, 1.0)];
    check(Rule::FirstComeWhole, &day, Some(2.0), &jobs, &["1-2x2", "2-3x2", "3-5x2"]);
    check(Rule::FirstCome, &day, Some(2.0), &jobs, &["1-2x2", "2-3x2", "0-1x2 3-4x2"]);
    check(Rule::FirstCome, &day, Some(3.0), &jobs, &["1-2x2", "1-2x1 2-2.5x2", "0-1x2 2-3x2"]);
}

#[test]
fn nothing_to_run_nowhere_to_run_and_too_wide() {
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::Ecovisor) {
        check(rule, &[1.0], Some(4.0), &[], &[]);
        check(rule, &[1.0], Some(4.0), &[(1.0, 0.0, 2.0, 5.0)], &["1-1x2"]);
        check(rule, &[1.0], Some(4.0), &[(1.0, 2.0, 0.0, 5.0)], &["1-3x0"]);
        check(rule, &[1.0], Some(4.0), &[(1.25, 0.25, 2.0, 0.1)], &["1.25-1.5x2"]);
        check(rule, &[1.0], None, &[(1.0, 2.0, 2.0, f64::INFINITY)], &["1-3x2"]);
        let mut lost = case(&[1.0], None, &[(0.0, 1.0, 1.0, 0.0)]);
        lost.places.clear();
        assert_eq!(run(rule, &lost, Lengths::True), vec![Ran::new()], "{}", rule.name());
    }
    for rule in [Rule::RunNow, Rule::Fifo, Rule::FirstComeWhole, Rule::CapacityCurve] {
        check(rule, &[1.0], Some(4.0), &[(0.0, 2.0, 5.0, 0.0), (0.0, 1.0, 4.0, 0.0)], &["", "0-1x4"]);
    }
    for rule in [Rule::FirstCome, Rule::GlobalSort] {
        check(rule, &[1.0], Some(4.0), &[(0.0, 2.0, 6.0, 0.0)], &["0-3x4"]);
        check(rule, &[1.0], Some(0.0), &[(0.0, 2.0, 6.0, 0.0)], &[""]);
    }
}
