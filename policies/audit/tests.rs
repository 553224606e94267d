//! The auditor has to find what is wrong: good plans are spoilt one rule at a time.

use super::{Breach, audit};
use crate::planner::tests::{at, green, job, node, occupant, scene};
use crate::problem::{Policy, Problem};
use crate::{Plan, plan};
use neap_model::job::JobId;
use neap_model::plan::{Decision, Place, Verdict};
use neap_model::reason::{Reason, WhyNow};
use neap_model::units::Joules;
use std::sync::Arc;

/// Job 1 starts, job 2 waits for it, job 3 is blocked, job 4 waits for cleaner hours.
fn good() -> (Problem, Plan) {
    let mut blocked = job(3, 60);
    blocked.blocked = Some(Reason::Hold { by: "ada".to_owned() });
    let jobs = [job(1, 60), job(2, 60), blocked, green(4, 60, 12)];
    let problem = scene(&[500, 500, 500, 500, 500, 100, 500, 500, 500, 500, 500, 500], 1, jobs);
    let made = plan(&problem, &Policy::default());
    assert_eq!(audit(&problem, &made), vec![]);
    (problem, made)
}

fn decision(plan: &mut Plan, job: u64) -> &mut Decision {
    plan.decisions.get_mut(&JobId(job)).expect("it was decided")
}

fn start(node: &str) -> Verdict {
    let place = Place { zone: "DE".to_owned(), node: node.to_owned() };
    Verdict::Start { place, because: WhyNow::NotAsked }
}

/// Moves a job's reservation and its decision to another start, consistently.
fn shift(plan: &mut Plan, job: u64, minutes: i64) {
    let id = JobId(job);
    let mut slot = plan.room.slots[&id][0];
    let by = minutes * 60_000;
    (slot.from, slot.until) = (slot.from + by, slot.until + by);
    plan.room.promise(id, vec![slot]);
    let moved = decision(plan, job);
    if let Verdict::Hold { until: Some(until), .. } = &mut moved.verdict {
        *until += chrono::TimeDelta::minutes(minutes);
    }
}

/// Breaches other than about outlooks, which a shifted run has too.
fn found(problem: &Problem, plan: &Plan) -> Vec<Breach> {
    audit(problem, plan).into_iter().filter(|breach| !matches!(breach, Breach::WrongOutlook { .. })).collect()
}

#[test]
fn a_missing_or_foreign_decision_is_found() {
    let (problem, mut plan) = good();
    plan.decisions.remove(&JobId(3));
    assert_eq!(audit(&problem, &plan), [Breach::NotOneDecision { job: JobId(3) }]);
    let (mut problem, plan) = good();
    problem.waiting.retain(|job| job.id != JobId(3));
    assert_eq!(audit(&problem, &plan), [Breach::NotOneDecision { job: JobId(3) }]);
}

#[test]
fn two_jobs_in_one_place_are_found() {
    let (problem, mut plan) = good();
    shift(&mut plan, 2, -30);
    assert_eq!(found(&problem, &plan), [Breach::OverCapacity { node: "a".to_owned(), at: at(30) }]);
}

#[test]
fn room_of_an_occupant_is_not_given_away() {
    let (mut problem, plan) = good();
    problem.occupants = vec![occupant(9, "a", &[0], 10)];
    assert_eq!(audit(&problem, &plan), [Breach::OverCapacity { node: "a".to_owned(), at: at(0) }]);
}

#[test]
fn a_start_without_its_reservation_is_found() {
    let (problem, mut plan) = good();
    plan.room.release(JobId(1));
    assert_eq!(found(&problem, &plan), [Breach::NotReserved { job: JobId(1) }]);
    let (problem, mut plan) = good();
    decision(&mut plan, 2).verdict = start("a");
    decision(&mut plan, 2).blockers.clear();
    assert!(found(&problem, &plan).contains(&Breach::NotReserved { job: JobId(2) }));
    // And a reservation without a decision.
    let (problem, mut plan) = good();
    let slot = plan.room.slots[&JobId(2)].clone();
    plan.room.promise(JobId(3), slot);
    assert_eq!(found(&problem, &plan), [Breach::NotReserved { job: JobId(3) }]);
}

#[test]
fn a_wrong_place_is_found() {
    let (mut problem, plan) = good();
    problem.site.nodes[0].up = false;
    assert!(found(&problem, &plan).iter().all(|breach| matches!(breach, Breach::WrongPlace { .. })));
    assert_eq!(found(&problem, &plan).len(), 3);
    let (mut problem, plan) = good();
    let mut picky = job(1, 60);
    picky.gpu_model = vec!["A100".to_owned()];
    problem.waiting[0] = Arc::new(picky);
    let place = Place { zone: "DE".to_owned(), node: "a".to_owned() };
    assert_eq!(found(&problem, &plan), [Breach::WrongPlace { job: JobId(1), place: place.clone() }]);
    let (mut problem, plan) = good();
    let mut elsewhere = job(1, 60);
    elsewhere.zones = vec!["SE3".to_owned()];
    problem.waiting[0] = Arc::new(elsewhere);
    assert_eq!(found(&problem, &plan), [Breach::WrongPlace { job: JobId(1), place }]);
}

#[test]
fn a_job_that_is_blocked_or_not_eligible_does_not_start() {
    let (mut problem, plan) = good();
    let mut blocked = job(1, 60);
    blocked.blocked = Some(Reason::Hold { by: "ada".to_owned() });
    problem.waiting[0] = Arc::new(blocked);
    assert_eq!(found(&problem, &plan), [Breach::BlockedButPlaced { job: JobId(1) }]);
    let (mut problem, plan) = good();
    let mut early = job(2, 60);
    early.eligible = at(90);
    problem.waiting[1] = Arc::new(early);
    assert_eq!(found(&problem, &plan), [Breach::TooEarly { job: JobId(2), at: at(60) }]);
}

#[test]
fn a_latest_start_given_away_is_found() {
    let (problem, mut plan) = good();
    shift(&mut plan, 4, 9 * 60);
    let breach = Breach::LatestStartMissed { job: JobId(4), latest: at(12 * 60), possible: at(120) };
    assert_eq!(found(&problem, &plan), [breach]);
    // Nobody can be blamed where there was no room.
    let (mut problem, _) = good();
    problem.occupants = vec![occupant(9, "a", &[0], 13 * 60)];
    assert_eq!(audit(&problem, &crate::plan(&problem, &Policy::default())), vec![]);
}

#[test]
fn a_job_that_idles_beside_free_room_is_found() {
    let (mut problem, plan) = good();
    problem.site.nodes.push(node("b", "DE", 1, "H100"));
    assert_eq!(found(&problem, &plan), [Breach::Idle { job: JobId(2), possible: at(0) }]);
}

#[test]
fn embellished_figures_and_missing_reasons_are_found() {
    let (problem, mut plan) = good();
    decision(&mut plan, 4).expected.as_mut().expect("it has a plan").energy = Joules(1);
    assert_eq!(audit(&problem, &plan), [Breach::WrongOutlook { job: JobId(4) }]);
    let (problem, mut plan) = good();
    decision(&mut plan, 2).blockers.clear();
    assert_eq!(audit(&problem, &plan), [Breach::WrongReason { job: JobId(2) }]);
}
