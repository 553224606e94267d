//! Waiting for the grid: in the cleanest window, and never longer than promised.

use super::world::{World, config, curve_of, hours, job, midnight, phase_word};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Grade;
use neap_model::job::{JobId, Objective};
use neap_model::plan::Verdict;
use neap_model::protocol::Ask;
use neap_model::units::{Intensity, Percent};

/// Dirty until 20:00, cleanest from 03:00 to 05:00.
const NIGHT: [u64; 24] = [
    300, 300, 280, 200, 190, 220, 300, 400, 450, 450, 450, 450, 450, 450, 450, 450, 450, 450, 450, 450, 400, 380, 350,
    320,
];

/// Ten in the morning: the night is still ahead.
fn morning(grade: Grade) -> World {
    let mut world = World::new(4);
    world.now = midnight() + hours(10);
    world.grid(&curve_of(&NIGHT, grade));
    world.beat();
    world
}

fn flexible(world: &mut World, finish_by: DateTime<Utc>) -> JobId {
    let mut spec = job("flexible", hours(2));
    spec.time.finish_by = Some(finish_by);
    world.submit(spec).expect("accepted").id
}

#[test]
fn a7_a_finish_by_job_starts_in_its_cleanest_feasible_window() {
    let mut world = morning(Grade::Forecast);
    let id = flexible(&mut world, midnight() + hours(36));
    let told = world.show(id);
    assert_eq!(phase_word(&told), "planned");
    let decision = told.decision.expect("decided");
    assert_eq!(decision.start(), Some(midnight() + hours(27)));
    assert_eq!(decision.latest_start, Some(midnight() + hours(34)));
    assert_eq!(decision.because().expect("it waits").code(), "grid.cleaner_later");
    world.pass(hours(25));
    let done = world.show(id);
    assert_eq!(world.started[&id], [midnight() + hours(27)]);
    assert_eq!(phase_word(&done), "succeeded");
    // 0.2 kWh at 200 and 190 g/kWh; had it run at once, at 450.
    assert_eq!(done.account.actual.emits.0, 39_000_000);
    assert_eq!(done.account.run_now.emits.0, 90_000_000);
    assert_eq!(done.waited_for_grid.0, 17 * 3_600);
    world.check_replay();
}

#[test]
fn a_wait_within_the_error_of_the_forecasts_is_no_wait() {
    // From 450 at ten to 420 at eleven: 6.7 % for an hour's work.
    let mut hours_of_day = NIGHT.map(|_| 450);
    hours_of_day[11] = 420;
    for (error, code) in [(20, None), (81, Some("within_error"))] {
        let mut config = config();
        config.queues.values_mut().for_each(|queue| queue.delay.min_saving = Percent::whole(2));
        let mut world = World::of(config, 4);
        world.now = midnight() + hours(10);
        let mut curve = curve_of(&hours_of_day, Grade::Forecast);
        curve.curve.origins[0].usual_error = Some(Intensity::grams(error));
        world.grid(&curve);
        world.beat();
        let mut spec = job("flexible", hours(1));
        spec.flex.delay = Some(Objective::Carbon);
        let id = world.submit(spec).expect("accepted").id;
        let decision = world.show(id).decision.expect("decided");
        match (&decision.verdict, code) {
            (Verdict::Hold { because, .. }, None) => assert_eq!(because.code(), "grid.cleaner_later"),
            // 81 g of 449 g/kWh are 18 %; half of that is more than what the wait would save.
            (Verdict::Start { because, .. }, Some(code)) => assert_eq!(because.code(), code),
            other => panic!("with an error of {error} g/kWh: {other:?}"),
        }
    }
}

#[test]
fn a7_a_window_cut_by_the_finish_by_is_the_cleanest_that_is_left() {
    let mut world = morning(Grade::Forecast);
    let id = flexible(&mut world, midnight() + hours(24));
    world.pass(hours(16));
    assert_eq!(world.started[&id], [midnight() + hours(22)]);
    world.check_replay();
}

/// Whatever the feed does after the plan was made, nothing starts after its latest start.
fn late_feed(mut change: impl FnMut(&mut World, i64)) {
    let mut world = morning(Grade::Forecast);
    let ids: Vec<JobId> = (0..6).map(|n| flexible(&mut world, midnight() + hours(14 + 4 * n))).collect();
    for hour in 0..40 {
        change(&mut world, hour);
        world.pass(hours(1));
    }
    for (n, id) in ids.iter().enumerate() {
        let latest = midnight() + hours(14 + 4 * n as i64 - 2);
        let started = world.started[id][0];
        // A beat a minute in this world: that is how late an order can arrive.
        assert!(started <= latest + TimeDelta::minutes(1), "job {id} started {started}, its latest start was {latest}");
        let job = world.show(*id);
        assert_eq!(phase_word(&job), "succeeded");
    }
    world.check_replay();
}

#[test]
fn a7_a_dead_feed_delays_nothing_past_its_latest_start() {
    late_feed(|world, hour| {
        if hour == 1 {
            world.grid(&curve_of(&[400], Grade::Static));
        }
    });
}

#[test]
fn a7_a_lying_feed_delays_nothing_past_its_latest_start() {
    // It always promises that the next hours are much cleaner.
    late_feed(|world, hour| {
        let now = (10 + hour).rem_euclid(24) as usize;
        let mut curve = [50u64; 24];
        (0..3).for_each(|ahead| curve[(now + ahead) % 24] = 900);
        world.grid(&curve_of(&curve, Grade::Forecast));
    });
}

#[test]
fn a7_a_slow_feed_delays_nothing_past_its_latest_start() {
    late_feed(|world, hour| {
        if hour % 7 == 6 {
            world.grid(&curve_of(&NIGHT, Grade::Forecast));
        } else if hour % 7 == 3 {
            world.grid(&curve_of(&[500, 100], Grade::Climatology));
        }
    });
}

#[test]
fn a7_a_grid_that_was_never_read_delays_nothing() {
    let mut world = World::new(4);
    world.now = midnight() + hours(10);
    world.beat();
    let id = flexible(&mut world, midnight() + hours(36));
    world.pass(TimeDelta::minutes(2));
    assert_eq!(world.started[&id].len(), 1);
}

#[test]
fn without_consent_or_trustworthy_data_nothing_waits() {
    let mut world = morning(Grade::Forecast);
    let plain = world.submit(job("plain", hours(2))).expect("accepted").id;
    let mut never = job("never", hours(2));
    never.flex.delay = Some(Objective::None);
    never.time.finish_by = Some(midnight() + hours(36));
    let never = world.submit(never).expect("accepted").id;
    world.pass(TimeDelta::minutes(2));
    assert_eq!(world.started[&plain].len(), 1);
    assert_eq!(world.started[&never].len(), 1);
    let mut flat = morning(Grade::Static);
    let id = flexible(&mut flat, midnight() + hours(36));
    flat.pass(TimeDelta::minutes(2));
    assert_eq!(flat.started[&id].len(), 1);
}

#[test]
fn a_person_can_override_the_wait() {
    let mut world = morning(Grade::Forecast);
    let id = flexible(&mut world, midnight() + hours(36));
    world.verb(id, Ask::Now { reason: Some("paper".into()) }).expect("asked");
    world.pass(TimeDelta::minutes(2));
    assert_eq!(world.started[&id].len(), 1);
    assert!(world.show(id).overridden);
    world.check_replay();
}

#[test]
fn a_promise_survives_a_restart() {
    let mut world = morning(Grade::Forecast);
    let id = flexible(&mut world, midnight() + hours(36));
    world.pass(hours(1));
    world.restart();
    world.grid(&curve_of(&NIGHT, Grade::Forecast));
    world.pass(hours(24));
    assert_eq!(world.started[&id], [midnight() + hours(27)]);
    assert_eq!(world.show(id).account.run_now.emits.0, 90_000_000);
}

#[test]
fn a_job_that_asked_to_be_dropped_expires() {
    let mut world = morning(Grade::Forecast);
    let blocker: Vec<JobId> =
        (0..4).map(|n| world.submit(job(&format!("b{n}"), hours(8))).expect("accepted").id).collect();
    let mut spec = job("late", hours(2));
    spec.time.finish_by = Some(midnight() + hours(14));
    spec.time.on_expire = neap_model::job::OnExpire::Drop;
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(5));
    assert_eq!(phase_word(&world.show(id)), "expired");
    assert_eq!(phase_word(&world.show(blocker[0])), "running");
    world.check_replay();
}
