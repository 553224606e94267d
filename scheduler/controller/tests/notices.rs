//! What the grid and the operators announce, taken by the real controller.

use super::world::*;
use crate::controller::{Answer, Request};
use chrono::TimeDelta;
use neap_model::grid::Grade;
use neap_model::job::{Objective, Person};
use neap_model::lifecycle::Phase;
use neap_model::notice::{Announcement, Call, Heard, Notice, Source};
use neap_model::protocol::StatusReport;
use neap_model::refusal::Code;
use neap_model::seconds::Seconds;
use neap_model::units::Watts;

pub fn cap(id: &str, revision: u64, watts: u64) -> Announcement {
    Announcement {
        id: id.into(),
        revision,
        site: Some("DE".into()),
        kind: "cap".into(),
        limit_watts: Some(watts),
        share: None,
        from: None,
        until: Some(midnight() + hours(2)),
        priority: None,
        reason: "utility call".into(),
    }
}

pub fn root() -> Person {
    Person { uid: 0, name: "root".into() }
}

pub fn announce(
    world: &mut World,
    by: Person,
    announcement: Announcement,
    signed: bool,
) -> Result<(Heard, Notice), Code> {
    let source = if signed { Source::Webhook } else { Source::Operator { name: by.name.clone() } };
    match world.ask(by, Request::Announce { announcement: Box::new(announcement), source }) {
        Ok(Answer::Announced(heard, notice)) => Ok((heard, *notice)),
        Ok(other) => panic!("{other:?}"),
        Err(refusals) => Err(refusals[0].code),
    }
}

fn status(world: &mut World) -> StatusReport {
    match world.ask(root(), Request::Status) {
        Ok(Answer::Status(status)) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_taken_once_shown_while_it_lasts_and_survives_a_restart() {
    let mut world = World::new(8);
    let (heard, notice) = announce(&mut world, root(), cap("dr-1", 1, 14_000), false).expect("taken");
    assert_eq!((heard, notice.call), (Heard::New, Call::Cap { limit: Watts::whole(14_000) }));
    assert_eq!(notice.source, "operator root");
    assert_eq!(announce(&mut world, root(), cap("dr-1", 1, 14_000), true).map(|(h, _)| h), Ok(Heard::Known));
    let (heard, _) = announce(&mut world, bob(), cap("dr-1", 3, 9_000), true).expect("signed");
    assert_eq!(heard, Heard::New);
    assert_eq!(announce(&mut world, root(), cap("dr-1", 2, 20_000), false).map(|_| ()), Err(Code::KeyReused));
    world.restart();
    let shown = status(&mut world).notices;
    assert_eq!(
        shown.iter().map(|n| (n.revision, n.call)).collect::<Vec<_>>(),
        [(3, Call::Cap { limit: Watts::whole(9_000) })]
    );
    world.pass(hours(2));
    assert_eq!(status(&mut world).notices, []);
    world.check_replay();
}

#[test]
fn only_operators_and_holders_of_a_key_announce_and_only_for_places_there_are() {
    let mut world = World::new(8);
    assert_eq!(announce(&mut world, bob(), cap("x", 1, 1), false).map(|_| ()), Err(Code::NotAllowed));
    let elsewhere = Announcement { site: Some("fra".into()), ..cap("x", 1, 1) };
    assert_eq!(announce(&mut world, root(), elsewhere, false).map(|_| ()), Err(Code::NoSuchPlace));
    for wrong in [
        Announcement { kind: "cup".into(), ..cap("x", 1, 1) },
        Announcement { kind: "price".into(), ..cap("x", 1, 1) },
        Announcement { limit_watts: None, ..cap("x", 1, 1) },
        Announcement { limit_watts: Some(u64::MAX), ..cap("x", 1, 1) },
        Announcement { kind: "plenty".into(), ..cap("x", 1, 1) },
        Announcement { id: String::new(), ..cap("x", 1, 1) },
        Announcement { reason: "r".repeat(300), ..cap("x", 1, 1) },
        Announcement { until: Some(midnight() - hours(1)), ..cap("x", 1, 1) },
    ] {
        assert_eq!(announce(&mut world, root(), wrong.clone(), false).map(|_| ()), Err(Code::BadValue), "{wrong:?}");
    }
    let unknown = Announcement { kind: "cancel".into(), ..cap("nobody", 0, 1) };
    assert_eq!(announce(&mut world, root(), unknown, false).map(|_| ()), Err(Code::NoSuchJob));
    assert_eq!(status(&mut world).notices, []);
}

#[test]
fn in_hours_of_plenty_nothing_waits_for_cleaner_ones_and_after_them_it_does_again() {
    let dirty_then_clean: Vec<u64> = (0..48).map(|hour| if (20..24).contains(&hour) { 50 } else { 500 }).collect();
    let mut world = World::new(8).with_grid(&curve_of(&dirty_then_clean, Grade::Forecast));
    let mut patient = job("patient", hours(2));
    patient.flex.delay = Some(Objective::Carbon);
    patient.flex.max_delay = Some(Seconds::hours(24));
    world.beat();
    let first = world.submit(patient.clone()).expect("accepted").id;
    world.pass(TimeDelta::minutes(5));
    assert!(matches!(world.show(first).phase, Phase::Queued), "it waits for the clean hours");
    let plenty = Announcement {
        kind: "plenty".into(),
        limit_watts: None,
        until: Some(world.now + hours(1)),
        ..cap("sun", 1, 1)
    };
    announce(&mut world, root(), plenty, false).expect("taken");
    world.pass(TimeDelta::minutes(5));
    assert!(matches!(world.show(first).phase, Phase::Running { .. }), "{:?}", world.show(first).phase);
    world.pass(hours(1));
    let second = world.submit(patient).expect("accepted").id;
    world.pass(TimeDelta::minutes(5));
    assert!(matches!(world.show(second).phase, Phase::Queued), "the hours of plenty are over");
    world.check_replay();
}
