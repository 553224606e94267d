//! Events of a server that the site polls, through the real controller and its journal, in moved time.

use super::notices::{announce, root};
use super::world::*;
use crate::config::{Config, Key, Vtn};
use crate::controller::{Answer, Input, Request};
use crate::feeds::feed::FeedError;
use crate::feeds::openadr::News;
use crate::feeds::openadr::event::page;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::lifecycle::Phase;
use neap_model::notice::{Announcement, Call};
use neap_model::protocol::StatusReport;
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn vtn() -> Vtn {
    Vtn {
        name: "utility".into(),
        base: "http://127.0.0.1:1".into(),
        token_url: None,
        program: None,
        client_id: "site-7".into(),
        secret: Key::Env("NEAP_TEST_NOBODY_SETS_THIS".into()),
        scope: None,
        site: None,
        targets: Vec::new(),
        poll: Seconds(60),
        max_cap_age: Seconds::hours(24),
        simple: BTreeMap::new(),
        base_load: Watts(0),
        units: None,
    }
}

fn site() -> Config {
    Config { vtns: vec![vtn()], ..config() }
}

fn world() -> World {
    World::of(site(), 8)
}

fn limit(id: &str, start: &str, duration: &str, watts: u64) -> Value {
    json!({
        "id": id, "payloadDescriptors": [{"payloadType": "IMPORT_CAPACITY_LIMIT", "units": "W"}],
        "intervalPeriod": {"start": start, "duration": duration},
        "intervals": [{"id": 0, "payloads": [{"type": "IMPORT_CAPACITY_LIMIT", "values": [watts]}]}],
    })
}

/// A minute later a poll is answered with these events.
fn shows(world: &mut World, events: &[Value]) {
    world.pass(TimeDelta::minutes(1));
    let shown = page(json!(events).to_string().as_bytes(), None);
    world.step(Input::Vtn(Box::new(News { vtn: "utility".into(), shown, circuit_open: false })));
}

/// A minute later a poll fails.
fn fails(world: &mut World) {
    world.pass(TimeDelta::minutes(1));
    let shown = Err(FeedError::Down("status 503".into()));
    world.step(Input::Vtn(Box::new(News { vtn: "utility".into(), shown, circuit_open: false })));
}

fn status(world: &mut World) -> StatusReport {
    match world.ask(root(), Request::Status) {
        Ok(Answer::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

/// The site's announced limit in watts, as it holds now.
fn cap(world: &World) -> Option<u64> {
    world.controller.state().notices.cap(world.now, None).map(|(limit, _)| limit.0 / 1_000)
}

const NOW: &str = "0001-01-01T00:00:00Z";
const FOREVER: &str = "P9999Y";

#[test]
fn a_cap_ends_after_two_answered_polls_without_it_and_no_failed_one_ends_it() {
    let mut world = world();
    let event = limit("e", NOW, FOREVER, 900);
    shows(&mut world, std::slice::from_ref(&event));
    assert_eq!(cap(&world), Some(900));
    shows(&mut world, &[]);
    assert_eq!(cap(&world), Some(900), "the list was empty once");
    for _ in 0..30 {
        fails(&mut world);
    }
    assert_eq!(cap(&world), Some(900), "the server is down");
    shows(&mut world, std::slice::from_ref(&event));
    shows(&mut world, &[]);
    assert_eq!(cap(&world), Some(900), "it was there in between");
    world.restart_as(site());
    shows(&mut world, &[]);
    assert_eq!(cap(&world), None, "two in a row, one before and one after a restart");
    world.check_replay();
}

#[test]
fn what_a_server_announced_holds_so_long_after_its_last_answer_and_comes_back_with_it() {
    let mut world = world();
    let event = limit("e", NOW, FOREVER, 900);
    shows(&mut world, std::slice::from_ref(&event));
    let answered = world.now;
    fails(&mut world);
    world.pass(hours(12));
    // A restart is no answer: the time goes on from the last one.
    world.restart_as(site());
    assert_eq!(cap(&world), Some(900));
    fails(&mut world);
    world.pass(answered + hours(24) - world.now);
    assert_eq!(cap(&world), Some(900), "to the minute");
    assert!(status(&mut world).degraded.iter().any(|mode| mode.mode == "no_events" && mode.detail.contains("503")));
    world.pass(TimeDelta::minutes(1));
    assert_eq!(cap(&world), None);
    shows(&mut world, std::slice::from_ref(&event));
    assert_eq!(cap(&world), Some(900), "it still says so");
    let notice = status(&mut world).notices.remove(0);
    assert_eq!(notice.from, answered, "since it was seen first");
    world.check_replay();
}

#[test]
fn a_scheduler_that_was_away_for_days_asks_before_it_ends_anything() {
    let mut world = world();
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    world.now += hours(72);
    world.restart_as(site());
    world.pass(TimeDelta::minutes(5));
    assert_eq!(cap(&world), Some(900), "nobody was asked yet");
    fails(&mut world);
    assert_eq!(cap(&world), None);
}

#[test]
fn an_event_that_starts_now_starts_when_it_was_seen_first_also_after_a_restart() {
    let mut world = world();
    let event = limit("e", NOW, "PT1H", 900);
    shows(&mut world, std::slice::from_ref(&event));
    let first = world.now;
    world.pass(TimeDelta::minutes(30));
    world.restart_as(site());
    shows(&mut world, std::slice::from_ref(&event));
    assert_eq!(status(&mut world).notices[0].until, Some(first + hours(1)));
    world.pass(TimeDelta::minutes(30));
    shows(&mut world, std::slice::from_ref(&event));
    assert_eq!(
        (cap(&world), status(&mut world).notices.len()),
        (None, 0),
        "its hour is over, however long it is shown"
    );
    world.check_replay();
}

#[test]
fn an_event_that_changes_is_followed_and_one_that_cannot_be_read_any_more_stays_as_it_was() {
    let mut world = world();
    let revision = |world: &World| world.controller.state().notices.get("utility/e/0.0").map(|notice| notice.revision);
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    assert_eq!(revision(&world), Some(1), "nothing changed");
    shows(&mut world, &[limit("e", NOW, FOREVER, 700)]);
    assert_eq!((cap(&world), revision(&world)), (Some(700), Some(2)));
    let mut broken = limit("e", NOW, FOREVER, 100);
    broken["payloadDescriptors"][0]["units"] = json!("KWH");
    shows(&mut world, &[broken]);
    assert_eq!(cap(&world), Some(700));
    let report = status(&mut world).vtns.remove(0);
    assert!(report.refused[0].contains("KWH"), "{:?}", report.refused);
    let mut fewer = limit("e", NOW, FOREVER, 700);
    fewer["intervals"] = json!([]);
    shows(&mut world, &[fewer]);
    assert_eq!(cap(&world), None, "it is there and says nothing");
    world.check_replay();
}

#[test]
fn the_higher_priority_splits_the_lower_and_of_equals_the_lower_cap_holds() {
    let mut world = world();
    let with = |id: &str, start: DateTime<Utc>, duration: &str, watts: u64, priority: Value| {
        let mut event = limit(id, &start.to_rfc3339(), duration, watts);
        event["priority"] = priority;
        event
    };
    let at = |minute: i64| midnight() + TimeDelta::minutes(minute);
    let low = with("low", at(0), "PT5H", 500, json!(null));
    let high = with("high", at(60), "PT1H", 900, json!(0));
    let (one, other) = (with("one", at(120), "PT1H", 800, json!(3)), with("other", at(120), "PT2H", 600, json!(3)));
    shows(&mut world, &[low, high, one, other]);
    let at = |world: &World, minute: i64| {
        let at = midnight() + TimeDelta::minutes(minute);
        world.controller.state().notices.cap(at, None).map(|(limit, _)| limit.0 / 1_000)
    };
    let found: Vec<_> = [30, 90, 150, 210, 270, 300].map(|minute| at(&world, minute)).into();
    assert_eq!(found, [Some(500), Some(900), Some(600), Some(600), Some(500), None]);
}

#[test]
fn jobs_wait_under_a_cap_of_a_server_and_start_when_it_is_gone() {
    let mut world = world();
    world.beat();
    let event = limit("e", NOW, FOREVER, 1);
    shows(&mut world, std::slice::from_ref(&event));
    let id = world.submit(job("waits", hours(1))).expect("accepted").id;
    world.pass(TimeDelta::minutes(2));
    let report = world.show(id);
    assert!(matches!(report.phase, Phase::Queued), "{:?}", report.phase);
    let because = report.decision.as_ref().and_then(|decision| decision.because()).cloned();
    assert!(
        matches!(&because, Some(Reason::Power { event: Some(event), .. }) if event == "utility/e/0.0"),
        "{because:?}"
    );
    shows(&mut world, &[]);
    shows(&mut world, &[]);
    world.pass(TimeDelta::minutes(2));
    assert!(matches!(world.show(id).phase, Phase::Running { .. }), "{:?}", world.show(id).phase);
    world.check_replay();
}

#[test]
fn a_person_takes_an_event_back_and_it_stays_so_until_it_says_something_else() {
    let mut world = world();
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    let off = Announcement { kind: "cancel".into(), ..super::notices::cap("utility/e/0.0", 0, 1) };
    announce(&mut world, root(), off, false).expect("taken back");
    assert_eq!(cap(&world), None);
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    assert_eq!(cap(&world), None, "an operator said so");
    shows(&mut world, &[limit("e", NOW, FOREVER, 800)]);
    assert_eq!(cap(&world), Some(800), "this is another limit");
    world.check_replay();
}

#[test]
fn a_server_that_is_not_configured_any_more_ends_after_a_day_and_its_events_are_not_taken() {
    let mut world = world();
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    world.restart_as(config());
    shows(&mut world, &[]);
    shows(&mut world, &[]);
    world.pass(hours(23));
    assert_eq!(cap(&world), Some(900), "no restart lifts a limit");
    world.pass(hours(1));
    assert_eq!(cap(&world), None);
    assert_eq!(status(&mut world).vtns, []);
    world.check_replay();
}

#[test]
fn status_says_when_a_server_answered_and_metrics_count_its_polls() {
    let mut world = world();
    shows(&mut world, &[limit("e", NOW, FOREVER, 900)]);
    let answered = world.now;
    fails(&mut world);
    fails(&mut world);
    let report = status(&mut world).vtns.remove(0);
    assert_eq!((report.answered, report.events, report.announced), (Some(answered), 1, 1));
    assert_eq!(report.trouble.as_deref(), Some("status 503"));
    assert_eq!(status(&mut world).notices[0].call, Call::Cap { limit: Watts::whole(900) });
    let text =
        crate::metrics::exposition(&world.controller, &crate::daemon::Vitals::default(), world.now).expect("text");
    let text = String::from_utf8(text).expect("text");
    for line in [
        "neap_feed_requests_total{feed=\"utility\",outcome=\"down\"} 2",
        "neap_feed_requests_total{feed=\"utility\",outcome=\"ok\"} 1",
        "neap_feed_age_seconds{feed=\"utility\",zone=\"(site)\"} 120",
        "neap_grid_events{feed=\"utility\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
