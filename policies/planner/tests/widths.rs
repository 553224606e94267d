//! Jobs with a choice of width and model: what they get, and why.

use super::{after, at, clock, green, job, node, occupant, scene};
use crate::problem::{Job, Policy, Problem, Way};
use crate::{alternatives, audit, plan};
use neap_model::job::{JobId, Objective};
use neap_model::plan::{Decision, Remark, Verdict};
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use std::sync::Arc;

fn way(model: &str, gpus: u32, minutes: u64) -> Way {
    Way {
        model: model.to_owned(),
        gpus,
        length: Seconds::minutes(minutes),
        limit: None,
        watts: None,
        rank: 0,
        short: false,
    }
}

/// The job on one, two or four H100, each doubling 1.6 times as fast.
fn elastic(mut job: Job) -> Job {
    let minutes = job.length.0 / 60;
    job.ways =
        Arc::new([way("H100", 1, minutes), way("H100", 2, minutes * 10 / 16), way("H100", 4, minutes * 100 / 256)]);
    job
}

fn made(problem: &Problem) -> Vec<String> {
    let made = plan(problem, &Policy::default());
    assert_eq!(audit(problem, &made), vec![], "{made:#?}");
    made.decisions.values().map(said).collect()
}

/// `1: 2×H100 0:00 to 1:00`, with a star where it waits for the grid.
fn said(decision: &Decision) -> String {
    let expected = decision.expected.expect("it is planned");
    let width = decision.width.as_ref().map_or("as asked".to_owned(), |w| format!("{}×{}", w.gpus, w.model));
    let star = if decision.is_planned() { " *" } else { "" };
    format!("{}: {width} {} to {}{star}", decision.job, clock(expected.start), clock(expected.end))
}

#[test]
fn a_job_that_only_wants_to_be_done_takes_what_ends_first() {
    assert_eq!(made(&scene(&[300; 24], 4, [elastic(job(1, 256))])), ["1: 4×H100 0:00 to 1:40"]);
    // Two are free now, and four after an hour: two are done at 2:40 as four would be, and begin without waiting.
    let mut busy = scene(&[300; 24], 4, [elastic(job(1, 256))]);
    busy.occupants = vec![occupant(9, "a", &[0, 1], 61)];
    assert_eq!(made(&busy), ["1: 2×H100 0:00 to 2:40"]);
    busy.occupants = vec![occupant(9, "a", &[0, 1], 59)];
    assert_eq!(made(&busy), ["1: 4×H100 0:59 to 2:39"]);
}

#[test]
fn a_slowdown_it_consents_to_makes_it_narrower_for_less_energy() {
    let slower = |percent| {
        let mut job = elastic(job(1, 256));
        job.slowdown = Percent::whole(percent);
        made(&scene(&[300; 24], 4, [job]))
    };
    assert_eq!(slower(59), ["1: 4×H100 0:00 to 1:40"]);
    assert_eq!(slower(60), ["1: 2×H100 0:00 to 2:40"]);
    assert_eq!(slower(200), ["1: 1×H100 0:00 to 4:16"]);
}

#[test]
fn clean_hours_too_short_for_a_narrow_run_are_used_by_a_wide_one() {
    // From 4:00 to 6:00 it is clean. Alone on one GPU it would spend more time outside than inside.
    let curve = [500, 500, 500, 500, 100, 100, 500, 500, 500, 500, 500, 500, 500];
    assert_eq!(made(&scene(&curve, 4, [elastic(green(1, 256, 8))])), ["1: 4×H100 4:00 to 5:40 *"]);
    // Where all hours are alike the least energy is best, and it begins at once.
    assert_eq!(made(&scene(&[500; 13], 4, [elastic(green(1, 256, 8))])), ["1: 1×H100 0:00 to 4:16"]);
    // A promise is kept at its width, also when it is made again, and when its time has come.
    let problem = scene(&curve, 4, [elastic(green(1, 256, 8))]);
    let first = plan(&problem, &Policy::default());
    let mut later = after(&problem, &first);
    later.site.now = at(120);
    assert_eq!(made(&later), ["1: 4×H100 4:00 to 5:40 *"]);
    later.site.now = at(240);
    assert_eq!(made(&later), ["1: 4×H100 4:00 to 5:40"]);
}

#[test]
fn a_finish_by_that_only_a_wide_run_keeps_gets_one() {
    let mut tight = elastic(green(1, 256, 8));
    tight.finish_by = Some(at(120));
    assert_eq!(made(&scene(&[500, 400, 100, 100, 100, 500], 4, [tight.clone()])), ["1: 4×H100 0:00 to 1:40"]);
    // Where any width is in time the latest start is that of the narrowest.
    tight.finish_by = Some(at(300));
    let problem = scene(&[500; 6], 4, [tight]);
    let made = plan(&problem, &Policy::default());
    assert_eq!(made.decisions[&JobId(1)].latest_start, Some(at(300 - 256)));
}

#[test]
fn a_slowdown_breaks_no_finish_by() {
    let mut job = elastic(job(1, 256));
    (job.slowdown, job.finish_by) = (Percent::whole(60), Some(at(150)));
    assert_eq!(made(&scene(&[300; 24], 4, [job.clone()])), ["1: 4×H100 0:00 to 1:40"]);
    // Two of them are just in time.
    job.finish_by = Some(at(160));
    assert_eq!(made(&scene(&[300; 24], 4, [job])), ["1: 2×H100 0:00 to 2:40"]);
}

#[test]
fn a_start_by_goes_before_the_end() {
    let mut job = elastic(job(1, 256));
    let busy = |job: &Job| {
        let mut busy = scene(&[300; 24], 4, [job.clone()]);
        busy.occupants = vec![occupant(9, "a", &[0, 1], 59)];
        made(&busy)
    };
    // Four end it a minute earlier than two, but begin too late.
    job.start_by = Some(at(30));
    assert_eq!(busy(&job), ["1: 2×H100 0:00 to 2:40"]);
    job.start_by = Some(at(59));
    assert_eq!(busy(&job), ["1: 4×H100 0:59 to 2:39"]);
    // What cannot be kept any more binds nobody.
    job.start_by = Some(at(-10));
    assert_eq!(busy(&job), ["1: 4×H100 0:59 to 2:39"]);
    // It speaks of the first start.
    (job.start_by, job.done) = (Some(at(30)), Seconds::minutes(60));
    assert_eq!(busy(&job), ["1: 4×H100 0:59 to 2:39"]);
}

#[test]
fn two_of_them_share_a_node_as_well_as_they_can() {
    let jobs = [elastic(job(1, 256)), elastic(job(2, 256))];
    assert_eq!(made(&scene(&[300; 24], 4, jobs)), ["1: 4×H100 0:00 to 1:40", "2: 4×H100 1:40 to 3:20"]);
}

#[test]
fn measured_models_are_weighed_by_what_the_job_goes_by() {
    let mut problem = scene(&[300; 24], 1, []);
    problem.site.nodes.push(node("b", "DE", 1, "A100"));
    let models = |objective, rank| {
        let mut job = job(1, 120);
        let watts = |watts| Some(Watts::whole(watts));
        job.ways = Arc::new([
            Way { watts: watts(600), rank: 0, ..way("H100", 1, 60) },
            Way { watts: watts(250), rank, ..way("A100", 1, 120) },
        ]);
        job.delay.objective = objective;
        job
    };
    let choose = |job: Job| made(&Problem { waiting: vec![Arc::new(job)], ..problem.clone() });
    assert_eq!(choose(models(Objective::None, 0)), ["1: 1×H100 0:00 to 1:00"]);
    assert_eq!(choose(models(Objective::Energy, 0)), ["1: 1×A100 0:00 to 2:00"]);
    assert_eq!(choose(models(Objective::Carbon, 0)), ["1: 1×A100 0:00 to 2:00"]);
    // One that is liked less is not taken for that.
    assert_eq!(choose(models(Objective::Carbon, 1)), ["1: 1×H100 0:00 to 1:00"]);
}

#[test]
fn the_other_widths_are_among_the_ways_that_are_shown() {
    let problem = scene(&[300; 24], 4, [elastic(job(1, 256))]);
    let made = plan(&problem, &Policy::default());
    let rows = alternatives(&made, &problem.site, &Policy::default(), &problem.waiting[0]);
    let of = |remark: &Remark| {
        let width = |row: &neap_model::plan::Alternative| row.width.as_ref().map_or(0, |width| width.gpus);
        rows.iter().filter(|row| row.remark == *remark).map(|row| (width(row), row.chosen)).collect::<Vec<_>>()
    };
    assert_eq!(of(&Remark::FitsNow), [(4, true)]);
    assert_eq!(of(&Remark::OtherGpus), [(1, false), (2, false)]);
}

#[test]
fn a_start_is_no_hold() {
    let made = plan(&scene(&[300; 24], 4, [elastic(job(1, 256))]), &Policy::default());
    let decision = &made.decisions[&JobId(1)];
    assert!(matches!(decision.verdict, Verdict::Start { .. }));
    // 2.56 times as fast as on one.
    assert_eq!(decision.width.as_ref().map(|width| (width.gpus, width.speed)), Some((4, 2_560)));
}

/// The job at 300 W, or a tenth slower at 200 W with three quarters of the power.
fn at_limits(mut job: Job) -> Job {
    let minutes = job.length.0 / 60;
    let at = |limit, minutes, watts| Way {
        limit: Some(Watts::whole(limit)),
        watts: Some(Watts::whole(watts)),
        ..way("H100", 1, minutes)
    };
    job.ways = Arc::new([at(300, minutes, 280), at(200, minutes * 11 / 10, 210)]);
    job.length = Seconds::minutes(minutes * 11 / 10);
    job
}

/// The limit that each is to run at, after the line of [`made`].
fn limits(problem: &Problem) -> Vec<String> {
    let planned = plan(problem, &Policy::default());
    let limit = |decision: &Decision| {
        let limit = decision.width.as_ref().and_then(|width| width.limit).expect("one was chosen");
        format!("{} at {limit}", said(decision))
    };
    assert_eq!(made(problem), planned.decisions.values().map(said).collect::<Vec<_>>());
    planned.decisions.values().map(limit).collect()
}

#[test]
fn how_hard_it_runs_is_decided_with_when() {
    // Nothing is gained by being quick: least energy.
    assert_eq!(limits(&scene(&[500; 13], 1, [at_limits(green(1, 100, 8))])), ["1: 1×H100 0:00 to 1:50 at 200 W"]);
    // The clean hours are just long enough for all its power.
    let curve = [900, 900, 100, 900, 900, 900, 900, 900, 900, 900];
    assert_eq!(limits(&scene(&curve, 1, [at_limits(green(1, 60, 8))])), ["1: 1×H100 2:00 to 3:00 * at 300 W"]);
    let wide = [900, 900, 100, 100, 900, 900, 900, 900, 900, 900];
    assert_eq!(limits(&scene(&wide, 1, [at_limits(green(1, 60, 8))])), ["1: 1×H100 2:00 to 3:06 * at 200 W"]);
    // Two that share them are both done in them if they hurry.
    let two = [at_limits(green(1, 60, 8)), at_limits(green(2, 60, 8))];
    let both = ["1: 1×H100 2:00 to 3:00 * at 300 W", "2: 1×H100 3:00 to 4:00 * at 300 W"];
    assert_eq!(limits(&scene(&wide, 1, two)), both);
}

#[test]
fn what_only_wants_to_be_done_is_slowed_within_what_it_consents_to_and_its_finish_by() {
    let mut job = at_limits(job(1, 100));
    assert_eq!(limits(&scene(&[300; 24], 1, [job.clone()])), ["1: 1×H100 0:00 to 1:40 at 300 W"]);
    job.slowdown = Percent::whole(10);
    assert_eq!(limits(&scene(&[300; 24], 1, [job.clone()])), ["1: 1×H100 0:00 to 1:50 at 200 W"]);
    job.finish_by = Some(at(105));
    assert_eq!(limits(&scene(&[300; 24], 1, [job.clone()])), ["1: 1×H100 0:00 to 1:40 at 300 W"]);
    // Its latest start keeps the promise at any limit.
    job.finish_by = Some(at(600));
    let problem = scene(&[300; 24], 1, [job]);
    assert_eq!(plan(&problem, &Policy::default()).decisions[&JobId(1)].latest_start, Some(at(490)));
}

#[test]
fn a_promise_outlives_what_is_learned_of_limits() {
    let curve = [900, 900, 100, 100, 900, 900, 900, 900, 900, 900];
    let problem = scene(&curve, 1, [at_limits(green(1, 60, 8))]);
    let first = plan(&problem, &Policy::default());
    let mut later = after(&problem, &first);
    // The lower limit is another one by now.
    let mut job = (*later.waiting[0]).clone();
    job.ways = job
        .ways
        .iter()
        .map(|way| Way { limit: way.limit.map(|l| l.saturating_sub(Watts::whole(20))), ..way.clone() })
        .collect();
    later.waiting = vec![Arc::new(job.clone())];
    assert_eq!(limits(&later), ["1: 1×H100 2:00 to 3:06 * at 180 W"]);
    // None was offered when it was promised.
    let mut plain = scene(&curve, 1, [green(1, 60, 8)]);
    plain = after(&plain, &plan(&plain, &Policy::default()));
    plain.waiting = vec![Arc::new(job)];
    assert_eq!(limits(&plain), ["1: 1×H100 2:00 to 3:06 * at 180 W"]);
}
