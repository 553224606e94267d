//! What several nodes share: watts under one limit, and GPUs that may be in use at once.

use super::{at, check, green, job, node, occupant, scene};
use crate::problem::{Effort, Good, Job, Level, Policy, Problem, Shared, Way};
use crate::{certified, plan};
use chrono::TimeDelta;
use neap_model::cap::Settable;
use neap_model::job::JobId;
use neap_model::reason::Reason;
use neap_model::units::{Percent, Watts};
use std::sync::Arc;

/// GPUs of these nodes work on so many watts, and on others from some minutes on; each takes 750 W more with work than idle.
pub(super) fn power(nodes: &[&str], watts: u64, later: impl IntoIterator<Item = (i64, u64)>) -> Arc<Shared> {
    let level = |(minutes, watts)| Level {
        from: at(minutes),
        most: watts * 1_000,
        event: (minutes > 0).then(|| format!("at-{minutes}")),
    };
    let levels = std::iter::once((-60, watts)).chain(later).map(level);
    Arc::new(Shared {
        name: "row".to_owned(),
        what: Good::Power,
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        levels: levels.collect(),
        idle: 100_000,
    })
}

fn peak(nodes: &[&str], model: Option<&str>, most: u64) -> Arc<Shared> {
    Arc::new(Shared {
        name: "DE".to_owned(),
        what: Good::Gpus { model: model.map(str::to_owned) },
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        levels: vec![Level { from: at(-60), most, event: None }],
        idle: 0,
    })
}

pub(super) fn under(forecast: &[u64], gpus: u32, shared: Arc<Shared>, jobs: impl IntoIterator<Item = Job>) -> Problem {
    let mut problem = scene(forecast, gpus, jobs);
    problem.site.shared = vec![shared];
    problem
}

#[test]
fn a_start_that_finds_too_little_power_is_planned_for_when_there_is_some() {
    let three = || [job(1, 60), job(2, 90), job(3, 60)];
    check(
        &under(&[400; 24], 4, power(&["a"], 1_600, None), three()),
        &[
            "1 starts on a: not_asked",
            "2 starts on a: not_asked",
            "3 waits until 1:00 on a: capacity.power 0 W of 1600 W left in row",
        ],
    );
    // More of it comes before what runs ends.
    check(
        &under(&[400; 24], 4, power(&["a"], 1_600, Some((40, 2_400))), three()),
        &[
            "1 starts on a: not_asked",
            "2 starts on a: not_asked",
            "3 waits until 0:40 on a: capacity.power 0 W of 1600 W left in row",
        ],
    );
    let mut busy = under(&[400; 24], 4, power(&["a"], 1_600, None), [job(3, 60)]);
    busy.occupants = vec![occupant(8, "a", &[0], 25), occupant(9, "a", &[1], 50)];
    check(&busy, &["3 waits until 0:25 on a: capacity.power 0 W of 1600 W left in row"]);
}

#[test]
fn a_limit_that_is_announced_for_later_is_planned_around() {
    let called = || [(30, 850), (90, 1_600)];
    // Two run now; by half past there is power for one. A short one is done by then.
    let jobs = [job(1, 60), job(2, 60), job(3, 25)];
    check(
        &under(&[400; 24], 4, power(&["a"], 1_600, called()), jobs),
        &[
            "1 starts on a: not_asked",
            "2 waits until 1:00 on a: capacity.power 0 W of 850 W left in row while it would run",
            "3 starts on a: not_asked",
        ],
    );
    // Announcements are as fine as clocks are.
    let mut fine = (*power(&["a"], 1_600, called())).clone();
    fine.levels.iter_mut().for_each(|level| level.from += TimeDelta::microseconds(700));
    let made = plan(&under(&[400; 24], 4, Arc::new(fine), [job(1, 60), job(2, 60)]), &Policy::default());
    let because = made.decisions[&JobId(2)].because().cloned();
    let event = Some("at-30".to_owned());
    let (needs, free, limit) = (Watts::whole(750), Watts::ZERO, Watts::whole(850));
    let row = "row".to_owned();
    assert_eq!(because, Some(Reason::Power { domain: row, needs, free, limit, event, from: Some(at(30)) }));
    // Who waits for the grid leaves it out.
    let curve = [500, 300, 100, 100, 200, 200, 200, 500];
    let call = [(120, 100), (240, 1_600)];
    check(
        &under(&curve, 4, power(&["a"], 1_600, call), [green(1, 60, 6)]),
        &["1 waits until 4:00 on a: grid.cleaner_later 200 g instead of 500 g"],
    );
}

#[test]
fn who_never_could_run_to_its_end_under_what_is_announced_says_so() {
    check(
        &under(&[400; 24], 4, power(&["a"], 1_600, [(30, 100)]), [job(1, 60), job(2, 20)]),
        &[
            "1 waits until nobody knows: capacity.power 0 W of 100 W left in row while it would run",
            "2 starts on a: not_asked",
        ],
    );
}

#[test]
fn power_that_is_free_now_and_promised_is_not_taken() {
    let mut wide = job(2, 60);
    wide.gpus = 2;
    let mut busy = under(&[400; 24], 4, power(&["a"], 1_600, None), [wide, job(3, 60), job(4, 30)]);
    busy.occupants = vec![occupant(9, "a", &[0], 30)];
    check(
        &busy,
        &[
            "2 waits until 0:30 on a: capacity.power 750 W of 1600 W left in row",
            "3 waits until 1:30 on a: order.reserved room promised to an earlier job",
            "4 starts on a: not_asked",
        ],
    );
}

#[test]
fn what_there_never_is_enough_for_waits_without_a_time_and_takes_nothing() {
    let mut wide = job(1, 60);
    wide.gpus = 3;
    check(
        &under(&[400; 24], 4, power(&["a"], 1_600, None), [wide, job(2, 60)]),
        &["1 waits until nobody knows: capacity.power 1500 W of 1600 W left in row", "2 starts on a: not_asked"],
    );
}

#[test]
fn nodes_under_other_limits_are_free() {
    let mut problem = under(&[400; 24], 2, power(&["a"], 850, None), [job(1, 60), job(2, 60), job(3, 60)]);
    problem.site.nodes.push(node("b", "DE", 1, "H100"));
    check(
        &problem,
        &[
            "1 starts on b: not_asked",
            "2 starts on a: not_asked",
            "3 waits until 1:00 on b: capacity.power 0 W of 850 W left in row",
        ],
    );
    // Both under one.
    problem.site.shared = vec![power(&["a", "b"], 850, None)];
    check(
        &problem,
        &[
            "1 starts on b: not_asked",
            "2 waits until 1:00 on b: capacity.power 0 W of 850 W left in row",
            "3 waits until 2:00 on b: capacity.power 0 W of 850 W left in row",
        ],
    );
}

#[test]
fn an_elastic_job_takes_the_width_for_which_there_is_power() {
    let way = |gpus: u32, minutes: u64| Way {
        model: "H100".to_owned(),
        gpus,
        limit: None,
        length: neap_model::seconds::Seconds::minutes(minutes),
        watts: Some(Watts::whole(900)),
        rank: 0,
        short: false,
    };
    let mut wide = job(1, 100);
    wide.ways = Arc::new([way(1, 100), way(2, 60), way(4, 40)]);
    let made = |watts: u64| {
        let made = plan(&under(&[400; 24], 4, power(&["a"], watts, None), [wide.clone()]), &Policy::default());
        made.decisions[&JobId(1)].width.as_ref().map(|width| width.gpus)
    };
    assert_eq!((made(3_100), made(3_099), made(1_599), made(849)), (Some(4), Some(2), Some(1), None));
}

#[test]
fn no_more_gpus_are_in_use_than_may_be() {
    let mut problem = under(&[400; 24], 2, peak(&["a", "b"], None, 2), [job(1, 60), job(2, 60), job(3, 60)]);
    problem.site.nodes.push(node("b", "DE", 2, "A100"));
    check(
        &problem,
        &[
            "1 starts on a: not_asked",
            "2 starts on a: not_asked",
            "3 waits until 1:00 on a: policy.peak 0 more of at most 2 GPUs at once in DE",
        ],
    );
    problem.site.shared = vec![peak(&["a", "b"], Some("H100"), 1)];
    let mut picky = job(4, 60);
    picky.gpu_model = vec!["H100".to_owned()];
    problem.waiting.push(Arc::new(picky));
    check(
        &problem,
        &[
            "1 starts on a: not_asked",
            "2 starts on b: not_asked",
            "3 starts on b: not_asked",
            "4 waits until 1:00 on a: policy.peak 0 more of at most 1 GPUs at once in DE",
        ],
    );
}

/// Without prices of watts each would want the one clean hour, and the first in the queue would have it.
#[test]
fn watts_have_a_price() {
    for shared in [power(&["a"], 850, None), peak(&["a"], None, 1)] {
        let mut problem = under(&[400, 300, 100, 200, 400], 2, shared, [green(1, 60, 4), green(2, 60, 4)]);
        let found = certified(&problem, &plan(&problem, &Policy::default()));
        assert_eq!((found.jobs, found.emits.in_base()), (2, 300.0));
        assert!((found.bound.in_base() - 300.0).abs() < 0.1, "{found:?}");
        // The first in the queue may wait for four hours, the second for two: the clean one is worth more to the second.
        problem = under(
            &[600, 600, 100, 150, 600, 600],
            2,
            Arc::clone(&problem.site.shared[0]),
            [green(1, 60, 4), green(2, 60, 2)],
        );
        problem.waiting = problem
            .waiting
            .iter()
            .map(|job| {
                let delay = crate::problem::Delay { min_saving: Percent(0), ..job.delay };
                Arc::new(Job { delay, ..(**job).clone() })
            })
            .collect();
        let charge =
            |effort| certified(&problem, &plan(&problem, &Policy { effort, ..Policy::default() })).emits.in_base();
        assert_eq!((charge(Effort::Queue), charge(Effort::Search)), (700.0, 250.0));
    }
}

/// What it gives back is there for it, too.
#[test]
fn whoever_runs_may_pause_beside_it_and_go_on() {
    let mut left = green(7, 120, 8);
    left.pause = Some(crate::problem::PauseTerms {
        cost: neap_model::seconds::Seconds::ZERO,
        least: neap_model::seconds::Seconds::minutes(15),
    });
    (left.gpus, left.cpus) = (1, Some(1));
    let mut problem = under(&[600, 100, 100, 600, 600], 2, power(&["a"], 850, None), []);
    problem.occupants = vec![occupant(7, "a", &[0], 120)];
    let running = |job: Job| crate::problem::Running { job: Arc::new(job), node: "a".to_owned(), since: at(-60) };
    problem.running = vec![running(left)];
    let made = plan(&problem, &Policy::default());
    assert_eq!(made.pauses.get(&JobId(7)).map(|pausing| pausing.until), Some(at(60)));
}

/// A job that consents to a tenth: an hour at full power, or 64 minutes at 600 of 1,000 W.
pub(super) fn consents(id: u64) -> Job {
    let way = |limit: u64, minutes: u64| Way {
        model: "H100".to_owned(),
        gpus: 1,
        limit: Some(Watts::whole(limit)),
        length: neap_model::seconds::Seconds::minutes(minutes),
        watts: Some(Watts::whole(limit * 9 / 10)),
        rank: 0,
        short: false,
    };
    let slowdown = Percent::whole(10);
    Job { ways: Arc::new([way(1_000, 60), way(600, 64)]), slowdown, ..job(id, 64) }
}

/// Such boards, which start work held, down to that limit.
pub(super) fn holding(mut problem: Problem, safe: u64) -> Problem {
    let range =
        |safe| Settable { least: Watts::whole(200), most: Watts::whole(1_000), clocks: None, safe, found: None };
    for gpu in problem.site.nodes.iter_mut().flat_map(|node| &mut node.gpus) {
        gpu.settable = Some(range((safe > 0).then(|| Watts::whole(safe))));
    }
    problem
}

/// Limits and starts in minutes from now.
pub(super) fn chosen(problem: &Problem) -> Vec<(Option<u64>, i64)> {
    let made = plan(problem, &Policy::default());
    assert_eq!(crate::audit(problem, &made), vec![]);
    let one = |job: &Arc<Job>| {
        let decision = &made.decisions[&job.id];
        let limit = decision.width.as_ref().and_then(|width| width.limit).map(|limit| limit.0 / 1_000);
        (limit, decision.start().map_or(-1, |start| (start - at(0)).num_minutes()))
    };
    problem.waiting.iter().map(one).collect()
}

#[test]
fn a_job_that_consents_starts_slowed_where_watts_are_short() {
    let made = |watts: u64, safe: u64, jobs: u64| {
        chosen(&holding(under(&[400; 24], 4, power(&["a"], watts, None), (1..=jobs).map(consents)), safe))
    };
    // Idle takes 100 W; held at 600 W a board adds 350 W to its 250 W idle, else 750 W.
    assert_eq!(made(450, 300, 1), [(Some(600), 0)], "there never is enough for full power");
    assert_eq!(made(449, 300, 1), [(None, -1)]);
    assert_eq!(made(850, 300, 2), [(Some(600), 0), (Some(600), 0)], "two where there was one");
    // Boards that are not held before work starts, or fall back to more than that, take what they may at most.
    assert_eq!(made(450, 0, 1), [(None, -1)]);
    assert_eq!(made(850, 0, 2).iter().filter(|(_, start)| *start == 0).count(), 1);
    assert_eq!(made(850, 700, 2).iter().filter(|(_, start)| *start == 0).count(), 1);
    assert_eq!(made(550, 700, 1), [(Some(600), 0)], "held at 600 W, and counted at 700 W");
    // Who consents to nothing takes full power.
    let mut strict = consents(1);
    strict.ways = Arc::new([]);
    let scene = under(&[400; 24], 4, power(&["a"], 849, None), [strict]);
    assert_eq!(chosen(&holding(scene, 300)), [(None, -1)]);
}
