//! What a person would expect, case by case.

use super::{after, at, check, green, hourly, job, node, occupant, said, scene, zone};
use crate::problem::{Job, Policy, Problem, ZoneState};
use crate::{insert, plan};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::JobId;
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Pue, Watts};
use std::sync::Arc;

const FLAT: [u64; 24] = [400; 24];

fn with(mut job: Job, change: impl FnOnce(&mut Job)) -> Job {
    change(&mut job);
    job
}

#[test]
fn a_job_waits_for_the_cleanest_hours_it_consented_to() {
    check(
        &scene(&[500, 500, 120, 480], 1, [green(1, 60, 3)]),
        &["1 waits until 2:00 on a: grid.cleaner_later 120 g instead of 500 g"],
    );
    check(&scene(&[500, 500, 120, 480], 1, [job(1, 60)]), &["1 starts on a: not_asked"]);
    // Half an hour of it fits the clean hour, wherever in it; the earliest is taken.
    check(
        &scene(&[500, 500, 120, 480], 1, [green(1, 30, 3)]),
        &["1 waits until 2:00 on a: grid.cleaner_later 60.0 g instead of 250 g"],
    );
    // An edge of the curve at the end of the run.
    check(
        &scene(&[500, 300, 100, 480], 1, [green(1, 90, 3)]),
        &["1 waits until 1:30 on a: grid.cleaner_later 250 g instead of 650 g"],
    );
}

#[test]
fn it_does_not_wait_without_a_reason() {
    check(&scene(&[100, 200, 300, 400], 1, [green(1, 60, 3)]), &["1 starts on a: cleanest_now"]);
    check(&scene(&[400, 380, 400, 400], 1, [green(1, 60, 3)]), &["1 starts on a: saving_too_small 5% of 10%"]);
    check(&scene(&[], 1, [green(1, 60, 3)]), &["1 starts on a: no_forecast none"]);
    check(&scene(&[500, 100], 1, [green(1, 180, 3)]), &["1 starts on a: no_forecast static"]);
    let mut flat = scene(&[], 1, [green(1, 60, 3)]);
    flat.site.zones[0] = zone("DE", true, hourly(&[500, 100, 100], Grade::Static));
    check(&flat, &["1 starts on a: no_forecast static"]);
}

#[test]
fn climatology_counts_only_for_twice_the_saving() {
    let mut typical = scene(&[], 1, [green(1, 60, 3)]);
    typical.site.zones[0] = zone("DE", true, hourly(&[400, 340, 400, 400], Grade::Climatology));
    check(&typical, &["1 starts on a: saving_too_small 15% of 20%"]);
    typical.site.zones[0] = zone("DE", true, hourly(&[400, 300, 400, 400], Grade::Climatology));
    check(&typical, &["1 waits until 1:00 on a: grid.cleaner_later 300 g instead of 400 g"]);
    // A forecast followed by climatology: what the forecast offers is enough although more seems possible later.
    let span = |hour: i64, value, grade| Span {
        from: at(hour * 60),
        until: at(hour * 60 + 60),
        value: Intensity::grams(value),
        grade,
    };
    let mixed = [
        (0, 400, Grade::Forecast),
        (1, 350, Grade::Forecast),
        (2, 330, Grade::Climatology),
        (3, 330, Grade::Climatology),
    ];
    typical.site.zones[0] = zone("DE", true, Series::new(mixed.map(|(hour, value, grade)| span(hour, value, grade))));
    check(&typical, &["1 waits until 1:00 on a: grid.cleaner_later 350 g instead of 400 g"]);
}

#[test]
fn nobody_waits_for_less_than_forecasts_are_good_for() {
    let eager = with(green(1, 60, 3), |j| j.delay.min_saving = Percent::whole(2));
    let problem = scene(&[400, 372, 400, 400], 1, [eager]);
    let said_with = |doubt: Option<u32>| {
        let doubts = doubt.map(|doubt| ("DE".to_owned(), Percent::whole(doubt))).into_iter().collect();
        said(&plan(&problem, &Policy { doubts, ..Policy::default() }).decisions[&JobId(1)])
    };
    assert_eq!(said_with(Some(5)), "1 waits until 1:00 on a: grid.cleaner_later 372 g instead of 400 g");
    assert_eq!(said_with(Some(8)), "1 starts on a: within_error 7% of 8%");
    // What the job asks for itself is its own reason.
    assert_eq!(said_with(None), "1 waits until 1:00 on a: grid.cleaner_later 372 g instead of 400 g");
    let asks_more = with(green(1, 60, 3), |j| j.delay.min_saving = Percent::whole(9));
    let problem = scene(&[400, 372, 400, 400], 1, [asks_more]);
    let doubts = [("DE".to_owned(), Percent::whole(8))].into_iter().collect();
    let made = plan(&problem, &Policy { doubts, ..Policy::default() });
    assert_eq!(said(&made.decisions[&JobId(1)]), "1 starts on a: saving_too_small 7% of 9%");
}

#[test]
fn its_promises_bound_the_wait() {
    let clean_at_ten: Vec<u64> = (0..24).map(|hour| if hour == 10 { 50 } else { 400 - hour }).collect();
    check(
        &scene(&clean_at_ten, 1, [green(1, 60, 12)]),
        &["1 waits until 10:00 on a: grid.cleaner_later 50.0 g instead of 400 g"],
    );
    let tight = with(green(1, 60, 12), |j| j.finish_by = Some(at(8 * 60)));
    check(&scene(&clean_at_ten, 1, [tight]), &["1 starts on a: saving_too_small 2% of 10%"]);
    let start_by = with(green(1, 60, 12), |j| j.start_by = Some(at(9 * 60)));
    check(&scene(&clean_at_ten, 1, [start_by]), &["1 starts on a: saving_too_small 2% of 10%"]);
    let mut past = scene(&clean_at_ten, 1, [green(1, 60, 5)]);
    past.site.now = at(5 * 60);
    check(&past, &["1 starts on a: latest_start"]);
}

#[test]
fn the_queue_goes_by_priority_submission_and_number_and_backfills() {
    let wide = with(job(2, 60), |j| j.gpus = 2);
    let mut busy = scene(&FLAT, 2, [job(3, 60), wide.clone(), job(4, 120)]);
    busy.occupants = vec![occupant(1, "a", &[0], 90)];
    // 3 ends before 2 can begin; 4 would not and has to wait for 2 to end.
    check(
        &busy,
        &[
            "2 waits until 1:30 on a: capacity.gpus 1 of 2 GPUs free",
            "3 starts on a: not_asked",
            "4 waits until 2:30 on a: capacity.gpus 0 of 2 GPUs free",
        ],
    );
    let urgent = with(job(9, 60), |j| j.priority = 1);
    let early = with(job(8, 60), |j| (j.submitted, j.eligible) = (at(-60), at(-60)));
    check(
        &scene(&FLAT, 1, [job(1, 60), early, urgent]),
        &[
            "1 waits until 2:00 on a: capacity.gpus 0 of 1 GPUs free",
            "8 waits until 1:00 on a: capacity.gpus 0 of 1 GPUs free",
            "9 starts on a: not_asked",
        ],
    );
}

#[test]
fn room_promised_to_an_earlier_job_is_not_taken() {
    let dirty_then_clean = [500, 500, 100, 100, 500, 500, 500, 500];
    check(
        &scene(&dirty_then_clean, 1, [green(1, 120, 6), job(2, 180), job(3, 120)]),
        &[
            "1 waits until 2:00 on a: grid.cleaner_later 200 g instead of 1.00 kg",
            "2 waits until 4:00 on a: order.reserved room promised to an earlier job",
            "3 starts on a: not_asked",
        ],
    );
}

#[test]
fn forced_jobs_go_first_and_jobs_past_their_latest_start_next() {
    let forced = with(green(3, 60, 6), |j| j.forced_by = Some("ada".to_owned()));
    let overdue = with(job(2, 60), |j| j.start_by = Some(at(-1)));
    check(
        &scene(&[500, 100, 100], 1, [job(1, 60), overdue, forced]),
        &[
            "1 waits until 2:00 on a: capacity.gpus 0 of 1 GPUs free",
            "2 waits until 1:00 on a: capacity.gpus 0 of 1 GPUs free",
            "3 starts on a: override by ada",
        ],
    );
}

#[test]
fn blockers_are_all_listed_and_the_binding_one_comes_first() {
    let held = with(job(1, 60), |j| j.blocked = Some(Reason::Hold { by: "ada".to_owned() }));
    let later = with(job(2, 60), |j| j.eligible = at(30));
    let waits = with(green(3, 60, 6), |j| j.eligible = at(30));
    let mut busy = scene(&[500, 500, 500, 100, 500, 500, 500, 500], 1, [held, later, waits]);
    busy.occupants = vec![occupant(7, "a", &[0], 45)];
    check(
        &busy,
        &[
            "1 waits until nobody knows: you.hold held by ada",
            "2 waits until 0:45 on a: capacity.gpus 0 of 1 GPUs free (also you.not_before)",
            "3 waits until 3:00 on a: grid.cleaner_later 100 g instead of 500 g (also capacity.gpus, you.not_before)",
        ],
    );
}

#[test]
fn what_is_short_is_named_with_its_numbers() {
    let mut two = scene(&FLAT, 2, [with(job(1, 60), |j| j.gpus = 2)]);
    two.site.nodes.push(node("b", "DE", 2, "H100"));
    two.occupants = vec![occupant(8, "a", &[0], 60), occupant(9, "b", &[1], 90)];
    check(&two, &["1 waits until 1:00 on a: capacity.fragmented enough is free, but not on one node"]);
    let cores = with(job(1, 60), |j| (j.gpus, j.cpus) = (0, Some(8)));
    let memory = with(job(2, 60), |j| (j.gpus, j.memory) = (0, Bytes(64 << 30)));
    let mut small = scene(&FLAT, 0, [cores, memory]);
    small.occupants = vec![crate::problem::Occupant { memory: Bytes(1 << 30), ..occupant(8, "a", &[], 60) }];
    check(
        &small,
        &[
            "1 waits until 1:00 on a: capacity.cpus 7 of 8 cores free",
            "2 waits until 2:00 on a: capacity.memory 63.0 GiB of 64.0 GiB memory free",
        ],
    );
}

#[test]
fn a_node_that_is_down_gives_no_room_and_no_node_means_no_executor() {
    let mut dark = scene(&FLAT, 2, [job(1, 60)]);
    dark.site.nodes[0].up = false;
    check(&dark, &["1 waits until nobody knows: system.no_executor no executor is up in DE"]);
    dark.site.nodes.push(node("b", "DE", 0, ""));
    check(&dark, &["1 waits until nobody knows: capacity.gpus 0 of 0 GPUs free"]);
    dark.site.nodes.clear();
    check(&dark, &["1 waits until nobody knows: system.no_executor no executor is up in DE"]);
}

#[test]
fn an_occupant_that_outlives_its_time_is_still_there() {
    let mut late = scene(&FLAT, 1, [job(1, 60)]);
    late.occupants = vec![occupant(8, "a", &[0], 0)];
    check(&late, &["1 waits until 0:01 on a: capacity.gpus 0 of 1 GPUs free"]);
}

#[test]
fn models_are_taken_in_the_order_asked_for() {
    let asks = |models: &[&str]| with(job(1, 60), |j| j.gpu_model = models.iter().map(|&m| m.to_owned()).collect());
    let mut both = scene(&FLAT, 0, [asks(&["H100", "A100"])]);
    both.site.nodes = vec![node("a", "DE", 1, "A100-40GB"), node("b", "DE", 1, "H100-SXM5-80GB")];
    check(&both, &["1 starts on b: not_asked"]);
    both.waiting = vec![Arc::new(asks(&["A100-40GB"]))];
    check(&both, &["1 starts on a: not_asked"]);
    both.waiting = vec![Arc::new(asks(&["H200"]))];
    check(&both, &["1 waits until nobody knows: capacity.gpus 0 of 0 H200 free"]);
    // The better model is busy: an acceptable one now is better than the best one later.
    both.waiting = vec![Arc::new(asks(&["H100", "A100"]))];
    both.occupants = vec![occupant(9, "b", &[0], 300)];
    check(&both, &["1 starts on a: not_asked"]);
}

#[test]
fn zones_that_measure_different_things_are_not_compared() {
    let both = |job: Job| with(job, |j| j.zones = vec!["DE".to_owned(), "CAL".to_owned()]);
    let scene_of = |cal: [u64; 6], basis, job: Job| {
        let mut far = scene(&[400, 400, 300, 400, 400, 400], 1, [both(job)]);
        far.site.zones.push(ZoneState { basis, ..zone("CAL", false, hourly(&cal, Grade::Forecast)) });
        far.site.nodes.push(node("b", "CAL", 1, "H100"));
        far
    };
    // Alike, the cleaner zone is taken. Unlike, the first zone's own hours are looked at, whatever stands in the other curve.
    let clean = [30, 30, 5, 30, 30, 30];
    check(
        &scene_of(clean, 0, green(1, 60, 5)),
        &["1 waits until 2:00 on b: grid.cleaner_later 5.00 g instead of 30.0 g"],
    );
    for other in [clean, [900, 900, 1, 900, 900, 900], [0; 6]] {
        check(
            &scene_of(other, 1, green(1, 60, 5)),
            &["1 waits until 2:00 on a: grid.cleaner_later 300 g instead of 400 g"],
        );
        check(&scene_of(other, 1, job(1, 60)), &["1 starts on a: not_asked"]);
    }
    // Where it cannot start in one, it starts in the other, and there its own hours count.
    let mut busy = scene_of([600, 600, 600, 200, 600, 600], 1, green(1, 60, 5));
    busy.occupants = vec![occupant(9, "a", &[0], 600)];
    check(&busy, &["1 waits until 3:00 on b: grid.cleaner_later 200 g instead of 600 g"]);
    // A promise is not given up because the first start is in the other zone now, of which nothing is known.
    let mut dark = scene_of(clean, 1, green(1, 60, 5));
    dark.site.zones[1].curve = Arc::new(Series::new([]));
    let mut later = after(&dark, &plan(&dark, &Policy::default()));
    later.occupants = vec![occupant(9, "a", &[0], 90)];
    check(&later, &["1 waits until 2:00 on a: grid.cleaner_later 300 g instead of 400 g"]);
    // Nobody is told that the other zone would be cleaner.
    let mut at_home = scene_of(clean, 1, green(1, 60, 5));
    at_home.waiting = vec![Arc::new(green(1, 60, 5))];
    let ways = |problem: &Problem| {
        let made = plan(problem, &Policy::default());
        let ways = crate::alternatives(&made, &problem.site, &Policy::default(), &problem.waiting[0]);
        ways.iter().filter(|way| way.place.zone == "CAL").count()
    };
    assert_eq!(ways(&at_home), 0);
    at_home.site.zones[1].basis = 0;
    assert!(ways(&at_home) > 0);
}

#[test]
fn zones_are_compared_with_their_overhead() {
    let mut far = scene(&[400; 6], 1, [with(green(1, 60, 5), |j| j.zones = vec!["DE".to_owned(), "SE3".to_owned()])]);
    far.site.zones.push(zone("SE3", false, hourly(&[390, 390, 30, 30, 390, 390], Grade::Forecast)));
    far.site.nodes.push(node("n", "SE3", 1, "H100"));
    check(&far, &["1 waits until 2:00 on n: grid.cleaner_later 30.0 g instead of 390 g"]);
    far.site.zones[1].zone.pue = Pue::new(2.0);
    check(&far, &["1 waits until 2:00 on n: grid.cleaner_later 60.0 g instead of 400 g"]);
    // Nobody asked for the other zone.
    far.waiting = vec![Arc::new(green(1, 60, 5))];
    check(&far, &["1 starts on a: cleanest_now"]);
}

#[test]
fn a_plan_moves_only_for_a_gain_worth_it() {
    let first = scene(&[500, 400, 200, 400, 400, 400], 1, [green(1, 60, 5)]);
    let kept = plan(&first, &Policy::default());
    assert_eq!(said(&kept.decisions[&JobId(1)]), "1 waits until 2:00 on a: grid.cleaner_later 200 g instead of 500 g");
    let news = |forecast: &[u64]| after(&scene(forecast, 1, [green(1, 60, 5)]), &kept);
    let stays = "1 waits until 2:00 on a: grid.cleaner_later 200 g instead of 500 g";
    check(&news(&[500, 400, 200, 400, 191, 400]), &[stays]);
    check(
        &news(&[500, 400, 200, 400, 190, 400]),
        &["1 waits until 4:00 on a: grid.cleaner_later 190 g instead of 500 g"],
    );
    // Worse than now: it does not go on waiting for nothing.
    check(&news(&[195, 400, 200, 400, 200, 400]), &["1 starts on a: cleanest_now"]);
    // The window is taken by somebody before it: infeasible, so it moves.
    let mut taken = news(&[500, 400, 200, 250, 400, 400]);
    taken.occupants = vec![occupant(9, "a", &[0], 180)];
    check(&taken, &["1 waits until 3:00 on a: capacity.gpus 0 of 1 GPUs free"]);
}

#[test]
fn what_falls_due_starts_unless_much_more_can_be_had() {
    let kept = plan(&scene(&[500, 400, 200, 400, 400, 400], 1, [green(1, 60, 5)]), &Policy::default());
    let mut due = after(&scene(&[500, 400, 200, 400, 195, 400], 1, [green(1, 60, 5)]), &kept);
    due.site.now = at(121);
    check(&due, &["1 starts on a: saving_too_small 4% of 10%"]);
    due.site.zones[0] = zone("DE", true, hourly(&[500, 400, 200, 400, 100, 400], Grade::Forecast));
    check(&due, &["1 waits until 4:00 on a: grid.cleaner_later 100 g instead of 203 g"]);
}

#[test]
fn beyond_the_depth_nobody_is_promised_room_but_idle_room_is_used() {
    let policy = Policy { depth: 2, ..Policy::default() };
    let jobs = [job(1, 60), with(job(2, 60), |j| j.gpus = 2), job(3, 120), job(4, 60), green(5, 60, 5)];
    let problem = scene(&FLAT, 2, jobs);
    let mut made = plan(&problem, &policy);
    let lines: Vec<String> = made.decisions.values().map(said).collect();
    assert_eq!(
        lines,
        [
            "1 starts on a: not_asked",
            "2 waits until 1:00 on a: capacity.gpus 1 of 2 GPUs free",
            "3 waits until nobody knows: order.behind behind 2 jobs",
            "4 starts on a: not_asked",
            "5 waits until nobody knows: order.behind behind 4 jobs",
        ]
    );
    let new = insert(&mut made, &problem.site, &policy, &job(6, 60));
    assert_eq!(said(&new), "6 waits until nobody knows: order.behind behind 5 jobs");
    let urgent = insert(&mut made, &problem.site, &policy, &with(job(7, 60), |j| j.priority = 5));
    assert_eq!(said(&urgent), "7 waits until 2:00 on a: capacity.gpus 0 of 2 GPUs free");
}

#[test]
fn a_plan_that_was_never_made_does_not_guess() {
    let problem = scene(&FLAT, 1, []);
    let decision = insert(&mut crate::Plan::default(), &problem.site, &Policy::default(), &job(1, 60));
    assert_eq!(said(&decision), "1 waits until nobody knows: system.evaluating being planned");
}

#[test]
fn a_job_that_leaves_gives_its_room_back() {
    let problem = scene(&FLAT, 1, [job(1, 60)]);
    let mut made = plan(&problem, &Policy::default());
    let blank = plan(&scene(&FLAT, 1, []), &Policy::default());
    made.forget(&job(1, 60));
    assert_eq!(said(&insert(&mut made, &problem.site, &Policy::default(), &job(2, 60))), "2 starts on a: not_asked");
    assert_eq!(blank.room.free("a", at(0)).map(|free| free.gpus), Some(vec![("H100".to_owned(), 1)]));
    assert_eq!(made.room.free("a", at(0)).map(|free| free.gpus), Some(Vec::new()));
    assert_eq!(
        made.booking(JobId(2)).map(|booking| (booking.cpus, booking.gpus)),
        Some((8, vec![("H100".to_owned(), 1)]))
    );
}

#[test]
fn power_is_that_of_the_gpus_and_cores_held() {
    let mut mixed = scene(&[400; 3], 4, [with(job(1, 60), |j| (j.gpus, j.cpus) = (2, Some(3)))]);
    mixed.site.nodes[0].watts_per_cpu = Watts::whole(10);
    mixed.site.zones[0].zone.pue = Pue::new(1.5);
    let made = plan(&mixed, &Policy::default());
    let expected = made.decisions[&JobId(1)].expected.expect("the curve covers the run");
    assert!((expected.energy.in_kwh() - 2.03 * 1.5).abs() < 1e-9, "{expected:?}");
    assert!((expected.emits.in_base() - 2.03 * 1.5 * 400.0).abs() < 1e-6, "{expected:?}");
}

#[test]
fn not_met_and_to_be_dropped_is_expired() {
    let drop = with(job(1, 60), |j| {
        j.finish_by = Some(at(90));
        j.on_expire = neap_model::job::OnExpire::Drop;
    });
    assert!(!crate::expired(&drop, at(30)));
    assert!(crate::expired(&drop, at(31)));
    assert!(!crate::expired(&with(drop, |j| j.on_expire = neap_model::job::OnExpire::Run), at(31)));
}

#[test]
fn saving_nothing_at_zero_asked_still_needs_a_saving() {
    let eager = with(green(1, 60, 3), |j| j.delay.min_saving = Percent(0));
    check(&scene(&[300, 300, 300, 300], 1, [eager.clone()]), &["1 starts on a: cleanest_now"]);
    check(
        &scene(&[300, 299, 300, 300], 1, [eager]),
        &["1 waits until 1:00 on a: grid.cleaner_later 299 g instead of 300 g"],
    );
    let long = with(green(1, 60, 3), |j| j.length = Seconds(0));
    check(
        &scene(&[300, 100, 300, 300], 1, [long]),
        &["1 waits until 1:00 on a: grid.cleaner_later 27.8 mg instead of 83.3 mg"],
    );
}

#[test]
fn absurd_figures_give_a_decision_too() {
    use chrono::{DateTime, Utc};
    let (never, always) = (DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC);
    let huge = with(green(1, 0, 0), |j| {
        (j.length, j.delay.max) = (Seconds(u64::MAX), Seconds(u64::MAX));
        (j.delay.min_saving, j.delay.replan_gain) = (Percent(u32::MAX), Percent(u32::MAX));
    });
    let greedy = with(job(2, 60), |j| (j.gpus, j.cpus, j.memory) = (u32::MAX, Some(u32::MAX), Bytes(u64::MAX)));
    let odd = with(green(3, 60, 5), |j| (j.start_by, j.finish_by, j.submitted) = (Some(always), Some(never), always));
    let far = with(green(4, 60, 5), |j| (j.eligible, j.finish_by) = (at(60 * 24 * 365 * 1_000), Some(always)));
    let mut absurd = scene(&[], 1, [huge, greedy, odd, far]);
    let span = |from, until, value| Span { from, until, value: Intensity(value), grade: Grade::Forecast };
    absurd.site.zones[0].curve = Arc::new(Series::new([span(always, at(60), u64::MAX), span(at(60), never, 0)]));
    absurd.site.nodes[0].watts_per_cpu = Watts(u64::MAX);
    absurd.site.nodes.push(node("b", "DE", 1, "H100"));
    absurd.occupants = vec![crate::problem::Occupant { until: never, ..occupant(9, "b", &[0], 0) }];
    let made = plan(&absurd, &Policy { horizon: Seconds(u64::MAX), depth: usize::MAX, ..Policy::default() });
    assert_eq!(crate::audit(&absurd, &made), vec![]);
    assert_eq!(made.decisions.len(), 4);
    for job in &absurd.waiting {
        let ways = crate::alternatives(&made, &absurd.site, &Policy::default(), job);
        assert!(ways.iter().filter(|way| way.chosen).count() <= 1);
        let refused = crate::admit(&absurd.site, &Policy::default(), job).is_err();
        assert_eq!(refused, job.id != JobId(1), "job {}", job.id);
    }
}

#[test]
fn who_was_put_off_by_others_before_him_is_not_content() {
    // The first in the queue would take the cleanest hour, and the second, who comes later and has no other, the one after it.
    let second = with(green(2, 60, 6), |job| job.eligible = at(210));
    check(
        &scene(&[500, 110, 500, 500, 100, 500, 500, 500, 500, 500, 500], 1, [green(1, 60, 6), second]),
        &[
            "1 waits until 1:00 on a: grid.cleaner_later 110 g instead of 500 g",
            "2 waits until 4:00 on a: grid.cleaner_later 100 g instead of 300 g (also you.not_before)",
        ],
    );
}
