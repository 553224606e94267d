//! What holds for every problem.

use super::random::{curve, problem};
use super::{after, at, green, job, occupant, scene};
use crate::order::rank;
use crate::problem::{Effort, Job, Occupant, Policy, Problem, ZoneState};
use crate::{Plan, audit, insert, latest_start, plan};
use chrono::{DateTime, Utc};
use neap_model::footprint::{EnergyOver, footprint};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::JobId;
use neap_model::plan::{Decision, Place, Verdict};
use neap_model::seconds::Seconds;
use neap_model::units::{Intensity, Joules, Percent};
use proptest::prelude::*;
use std::sync::Arc;

const ALL: &[Grade] =
    &[Grade::Measured, Grade::Estimated, Grade::Forecast, Grade::Forecast, Grade::Climatology, Grade::Static];
const FORECAST: &[Grade] = &[Grade::Forecast];

/// Cases a property: 256, or as NEAP_CASES says.
#[allow(clippy::disallowed_methods, reason = "how long a test runs is nobody's decision but the caller's")]
pub(super) fn settings() -> ProptestConfig {
    let cases = std::env::var("NEAP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn shallow(depth: usize) -> Policy {
    Policy { depth, ..Policy::default() }
}

/// Start, as far as it is known, and place.
fn whereabouts(decision: &Decision) -> (Option<DateTime<Utc>>, Option<Place>) {
    match &decision.verdict {
        Verdict::Start { place, .. } => (None, Some(place.clone())),
        Verdict::Hold { until, place, .. } => (*until, place.clone()),
    }
}

/// How late the jobs with a choice are, in kWh of facility, and what they emit, in grams.
fn charge(problem: &Problem, made: &Plan) -> (f64, f64) {
    let one = |job: &Arc<Job>| {
        let (decision, slot) = (&made.decisions[&job.id], made.room.slots.get(&job.id)?.first()?);
        let node = &made.room.nodes[slot.node];
        let mut shapes = node.machine.shapes_of(job, crate::planner::decided_kit(decision));
        let watts = shapes.find(|shape| shape.need == slot.need)?.watts;
        let kw = watts.0.max(1) as f64 / 1e6 * made.room.zones[node.zone?].pue.ratio();
        let late = (slot.from - crate::stamp::stamp(latest_start(job)?)).max(0) as f64 / 3.6e6;
        let emits = decision.expected.filter(|expected| expected.grade.may_shift()).map_or(0.0, |e| e.emits.in_base());
        Some((kw * late, emits))
    };
    let has_a_choice = |job: &&Arc<Job>| crate::planner::line::has_a_choice(problem, job);
    let all = problem.waiting.iter().filter(has_a_choice).filter_map(one);
    all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The mean over all the time that the likely lengths of a run meet.
fn expected_mean(job: &Job, curve: &Series, start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Intensity> {
    let whole = curve.mean(start, end)?;
    let lengths = crate::likely::lengths(job, Seconds::between(start, end));
    let known = |until| curve.mean(start, until).is_some_and(|mean| mean.covered >= until - start);
    if !known(end) || !lengths.iter().all(|length| known(start + length.delta())) {
        return Some(whole.value);
    }
    let sum =
        lengths.iter().map(|length| curve.mean(start, start + length.delta()).map(|mean| mean.value.0 * length.0));
    Some(Intensity(sum.sum::<Option<u64>>()? / lengths.iter().map(|length| length.0).sum::<u64>()))
}

fn told(plan: &Plan) -> Vec<String> {
    plan.decisions.values().map(super::said).collect()
}

/// The world after the starts of a plan were carried out.
fn carried_out(problem: &Problem, made: &Plan) -> Problem {
    let mut next = after(problem, made);
    next.waiting.retain(|job| !matches!(made.decisions[&job.id].verdict, Verdict::Start { .. }));
    for job in &problem.waiting {
        if let Verdict::Start { place, .. } = &made.decisions[&job.id].verdict {
            let booking = made.booking(job.id).expect("a start has room");
            let node = problem.site.nodes.iter().find(|node| node.name == place.node).expect("a node of the site");
            let taken: Vec<String> = next.occupants.iter().flat_map(|occupant| occupant.gpus.clone()).collect();
            let free = |uuid: &&neap_model::fleet::Gpu| {
                !taken.contains(&uuid.uuid) && booking.gpus.iter().any(|(model, _)| *model == uuid.model)
            };
            let count = booking.gpus.iter().map(|(_, count)| *count as usize).sum();
            let gpus: Vec<String> = node.gpus.iter().filter(free).take(count).map(|gpu| gpu.uuid.clone()).collect();
            assert_eq!(gpus.len(), count, "a start finds its GPUs free");
            let (cpus, memory, until, draws) = (booking.cpus, booking.memory, booking.until, booking.draws);
            next.occupants.push(Occupant { job: job.id, node: node.name.clone(), cpus, memory, gpus, until, draws });
        }
    }
    next
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn what_an_unlike_zone_counts_moves_nobody(problem in problem(FORECAST, 0.0)) {
        let mut counted = problem.clone();
        for state in counted.site.zones.iter_mut().filter(|state| state.basis > 0) {
            let spans = state.curve.spans().iter();
            // A power of two: the levels come out the same to the last bit.
            let more = spans.map(|span| Span { value: Intensity(span.value.0 * 4), ..*span });
            state.curve = Arc::new(Series::new(more.collect::<Vec<_>>()));
        }
        let (one, other) = (plan(&problem, &Policy::default()), plan(&counted, &Policy::default()));
        for (job, decision) in &one.decisions {
            prop_assert_eq!(whereabouts(decision), whereabouts(&other.decisions[job]), "{}", job);
        }
    }

    #[test]
    fn nobody_is_told_of_a_saving_across_unlike_zones(problem in problem(ALL, 0.1)) {
        let made = plan(&problem, &Policy::default());
        let alone = |job: &Job, zone: &str| {
            let zone = problem.site.zones.iter().find(|state| state.zone.name == zone).expect("a known zone");
            let like = |state: &&ZoneState| state.basis == zone.basis;
            let zones: Vec<String> = problem.site.zones.iter().filter(like).map(|s| s.zone.name.clone()).collect();
            let mut zones: Vec<String> = zones.into_iter().filter(|name| job.zones.contains(name)).collect();
            zones.sort();
            zones
        };
        for job in &problem.waiting {
            let decision = &made.decisions[&job.id];
            let (Some(now), Some(expected)) = (decision.run_now, decision.expected) else { continue };
            let (_, Some(place)) = whereabouts(decision) else { continue };
            if job.zones.is_empty() || job.done > Seconds::ZERO {
                continue;
            }
            // The figure it is compared with is one of a zone that measures the same.
            let known = alone(job, &place.zone).iter().any(|name| {
                let state = problem.site.zones.iter().find(|state| state.zone.name == *name).expect("a known zone");
                expected_mean(job, &state.curve, now.start, now.end) == Some(now.intensity)
            });
            prop_assert!(known, "{} in {}: {:?} against {:?}", job.id, place.zone, expected, now);
        }
    }

    #[test]
    fn the_auditor_finds_nothing(before in problem(ALL, 0.05), now in problem(ALL, 0.05), depth in 0usize..16) {
        let old = plan(&before, &Policy::default());
        let made = plan(&now, &shallow(depth));
        prop_assert_eq!(audit(&now, &made), vec![]);
        // The same after news: other curves and nodes, what was planned before for the same jobs.
        let news = Problem { waiting: before.waiting, ..now };
        let news = after(&news, &old);
        prop_assert_eq!(audit(&news, &plan(&news, &Policy::default())), vec![]);
    }

    #[test]
    fn planning_twice_changes_nothing(before in problem(ALL, 0.05), now in problem(ALL, 0.05), depth in 0usize..16) {
        let old = plan(&before, &Policy::default());
        let news = after(&Problem { waiting: before.waiting, ..now }, &old);
        let policy = shallow(depth);
        let made = plan(&news, &policy);
        prop_assert_eq!(&plan(&news, &policy), &made);
        let again = plan(&after(&news, &made), &policy);
        prop_assert_eq!(told(&again), told(&made));
        prop_assert_eq!(&again, &made);
    }

    #[test]
    fn prices_never_make_it_worse(problem in problem(ALL, 0.05)) {
        // What a pause costs is no part of what a decision says of its run.
        let whole = |job: &Arc<Job>| Arc::new(Job { pause: None, ..(**job).clone() });
        let mut problem = Problem { waiting: problem.waiting.iter().map(whole).collect(), ..problem };
        // Nor are grams added up that measure different things.
        problem.site.zones.iter_mut().for_each(|zone| zone.basis = 0);
        let [queue, prices] = [Effort::Queue, Effort::Search]
            .map(|effort| charge(&problem, &plan(&problem, &Policy { effort, ..Policy::default() })));
        let less = |a: f64, b: f64| a < b - 1e-12 * b;
        let more = less(queue.0, prices.0) || !less(prices.0, queue.0) && prices.1 > queue.1 * (1.0 + 1e-6) + 1e-3;
        prop_assert!(!more, "{:?} instead of {:?}", prices, queue);
    }

    #[test]
    fn the_order_in_which_jobs_are_given_does_not_matter(problem in problem(ALL, 0.05), turn in 0usize..14) {
        let mut turned = problem.clone();
        let middle = turn.min(turned.waiting.len());
        turned.waiting.rotate_left(middle);
        prop_assert_eq!(plan(&turned, &Policy::default()), plan(&problem, &Policy::default()));
    }

    #[test]
    fn time_that_passes_without_an_event_changes_nothing(problem in problem(FORECAST, 0.0), share in 0u32..1000) {
        // With pauses, to begin at this very moment is another choice at every moment, and each pause is an event.
        let whole = |job: &Arc<Job>| Arc::new(Job { pause: None, ..(**job).clone() });
        let problem = Problem { waiting: problem.waiting.iter().map(whole).collect(), ..problem };
        // Time alone is no reason to search anew; what starts is one to look around.
        let keep = Policy { effort: Effort::Keep, ..Policy::default() };
        let (mut made, mut next) = (plan(&problem, &Policy::default()), problem.clone());
        for _ in 0..4 {
            next = carried_out(&next, &made);
            made = plan(&next, &keep);
        }
        prop_assume!(!made.decisions.values().any(|decision| matches!(decision.verdict, Verdict::Start { .. })));
        next = after(&next, &made);
        let waits = next.waiting.iter().filter_map(|job| whereabouts(&made.decisions[&job.id]).0);
        let terms = next.waiting.iter().flat_map(|job| [Some(job.eligible), latest_start(job)]).flatten();
        let ends = next.occupants.iter().filter(|o| o.until > at(0)).map(|occupant| occupant.until);
        let overrun = problem.occupants.iter().filter(|o| o.until <= at(0)).map(|_| at(0));
        let first = waits.chain(terms.filter(|term| *term > at(0))).chain(ends).chain(overrun).min().unwrap_or(at(600));
        next.site.now = at(0) + (first - at(0) - chrono::TimeDelta::milliseconds(1)).max(chrono::TimeDelta::zero()) * i32::try_from(share).expect("small") / 1000;
        let again = plan(&next, &keep);
        for (id, decision) in &again.decisions {
            let before = &made.decisions[id];
            prop_assert_eq!(whereabouts(decision).0, whereabouts(before).0, "job {} at {}: {:?} {:?}", id, next.site.now, told(&made), told(&again));
            // A gap it might have used at once may have passed meanwhile: then its planned start is also its first one,
            // and the place is chosen as for any first start.
            prop_assert!(before.is_planned() || !decision.is_planned());
            if before.is_planned() == decision.is_planned() {
                prop_assert_eq!(whereabouts(decision).1, whereabouts(before).1, "job {} at {}", id, next.site.now);
            }
        }
    }

    #[test]
    fn inserting_in_the_order_of_the_queue_is_planning(problem in problem(ALL, 0.05)) {
        let policy = Policy { effort: Effort::Queue, ..Policy::default() };
        // Who pauses is decided when everybody has a place.
        let problem = Problem { running: Vec::new(), ..problem };
        let empty = Problem { waiting: Vec::new(), ..problem.clone() };
        let mut grown = plan(&empty, &policy);
        let mut queue = problem.waiting.clone();
        queue.sort_by_key(|job| rank(job, problem.site.now));
        for job in &queue {
            let decision = insert(&mut grown, &problem.site, &policy, job);
            prop_assert_eq!(&grown.decisions[&job.id], &decision);
        }
        prop_assert_eq!(grown, plan(&problem, &policy));
    }

    #[test]
    fn the_chosen_window_is_the_cleanest(
        curve in curve(FORECAST, 0.05),
        minutes in 1u64..240,
        hours in 1u64..12,
        busy in prop::option::of(1i64..200),
        reserved in (0i64..400, 1u64..120),
    ) {
        let mut first = job(1, reserved.1);
        (first.eligible, first.priority) = (at(reserved.0), 1);
        let mut mine = green(2, minutes, hours);
        mine.delay.min_saving = Percent(0);
        let mut problem = scene(&[], 1, [first, mine.clone()]);
        problem.site.zones[0].curve = Arc::new(curve.clone());
        problem.occupants = busy.map(|until| occupant(9, "a", &[0], until)).into_iter().collect();
        let made = plan(&problem, &Policy::default());
        let taken = made.booking(JobId(1)).expect("it has room");
        let length = i64::try_from(minutes).expect("small");
        // Every minute, by hand: all edges lie on minutes.
        let free = |start: i64| {
            start >= busy.unwrap_or(0) && (at(start) >= taken.until || at(start + length) <= taken.from)
        };
        let emits = |start: i64| emissions(&curve, at(start), at(start + length));
        let mut starts = (0i64..=24 * 60).filter(|start| free(*start));
        let soonest = starts.next().expect("there is room within a day");
        let latest = i64::try_from(hours * 60).expect("small");
        let decision = &made.decisions[&JobId(2)];
        let planned = taken_start(decision, &problem);
        let best = std::iter::once(soonest).chain(starts).filter(|s| *s <= latest).filter_map(|s| Some((emits(s)?, s))).min();
        match (emits(soonest), best) {
            (Some(_), Some((least, start))) if soonest <= latest => {
                prop_assert_eq!(planned, at(start), "{:?} at {} by hand", least, start);
            }
            _ => prop_assert_eq!(planned, at(soonest), "nothing to compare, so it does not wait"),
        }
    }
}

fn taken_start(decision: &Decision, problem: &Problem) -> DateTime<Utc> {
    whereabouts(decision).0.unwrap_or(problem.site.now)
}

/// What a kilowatt emits over the window; `None` where a part of it is unknown.
fn emissions(curve: &Series, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<u64> {
    let energy = Joules(1_000_000 * Seconds::between(from, until).0);
    let print = footprint(&[EnergyOver { from, until, energy }], curve, chrono::TimeDelta::zero());
    (print.uncovered == Joules::ZERO).then_some((print.emits.0 + 500) / 1_000)
}
