//! Ceilings of the clock: they go and come with the lease, and nothing a board says shows them.

use super::*;

fn lock(world: &Shared) -> Option<u32> {
    world.borrow().locks.get("GPU-a").copied()
}

fn kept(world: &Shared) -> Option<u32> {
    match world.borrow().records.get("GPU-a")? {
        Stored::Sound(record) => record.clock_ceiling.map(|ceiling| ceiling.0),
        Stored::Inconclusive(why) => panic!("{why}"),
    }
}

#[test]
fn a_ceiling_alone_leaves_the_limit_and_goes_with_the_lease() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let got = keeper.ask(7, &hold(None, Some(1_200)), at(0));
    assert_eq!((got.found_milliwatts, got.requested_milliwatts), (Some(500_000), Some(500_000)), "{got:?}");
    assert_eq!(got.clock_ceiling_megahertz, Some(Megahertz(1_200)));
    assert_eq!((lock(&world), kept(&world), limit(&world), world.borrow().sets), (Some(1_200), Some(1_200), 500, 0));
    let status = keeper.ask(7, &Request::Status, at(0)).gpus.remove(0);
    assert_eq!(status.clock_ceiling_megahertz, Some(Megahertz(1_200)));
    assert_eq!(status.settable_megahertz, Some((Megahertz(CLOCKS.0), Megahertz(CLOCKS.1))));
    let lease = got.lease.expect("a lease");
    assert_eq!(keeper.ask(7, &renew(&lease, None, Some(1_300)), at(2)).error, Some(Refusal::RateLimited));
    assert_eq!(keeper.ask(7, &renew(&lease, None, Some(0)), at(2)).error, Some(Refusal::RateLimited));
    assert!(keeper.ask(7, &renew(&lease, None, Some(900)), at(2)).ok, "lowering never waits");
    assert!(keeper.ask(7, &renew(&lease, Some(400), None), at(9)).ok);
    assert_eq!((lock(&world), limit(&world)), (Some(900), 400), "what is not spoken of stays");
    assert!(keeper.ask(7, &renew(&lease, None, Some(0)), at(15)).ok);
    assert_eq!((lock(&world), kept(&world), limit(&world)), (None, None, 400));
    assert!(keeper.ask(7, &renew(&lease, None, Some(800)), at(16)).ok);
    // It runs out.
    keeper.tick(at(76));
    assert_eq!((lock(&world), limit(&world), world.borrow().records.len()), (None, 500, 0));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "clock_restored", "clock_restored", "cap_restored"]);
}

#[test]
fn a_ceiling_is_brought_into_the_range_and_set_only_where_locks_are_ours() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    for (asked, set) in [(1, CLOCKS.0), (u32::MAX, CLOCKS.1), (1_200, 1_200)] {
        let got = keeper.ask(7, &hold(None, Some(asked)), at(0));
        assert_eq!((got.ok, lock(&world)), (true, Some(set)), "{got:?}");
        keeper.ask(7, &Request::Release { lease: got.lease.expect("a lease"), to_found: false }, at(0));
    }
    assert_eq!(keeper.ask(7, &hold(None, None), at(0)).error, Some(Refusal::BadRequest));
    assert_eq!(keeper.ask(7, &hold(None, Some(0)), at(0)).error, Some(Refusal::BadRequest));
    assert_eq!(keeper.ask(8, &hold(Some(90), Some(900)), at(0)).error, Some(Refusal::OutOfRange));
    world.borrow_mut().no_locks = true;
    let refused = keeper.ask(7, &hold(Some(300), Some(900)), at(0));
    assert_eq!((refused.error, limit(&world)), (Some(Refusal::NotSupported), 500), "nothing of it stays");
    assert_eq!(world.borrow().records.len(), 0);
    (world.borrow_mut().no_locks, world.borrow_mut().lock_calls) = (false, 0);
    let mut config = config(OnLoss::Restore);
    config.groups[0].clock_lock = ClockLock::Never;
    let mut keeper = start_of(&world, &config, "boot", 2, at(1)).expect("starts");
    assert_eq!(keeper.ask(7, &Request::Status, at(1)).gpus[0].settable_megahertz, None);
    assert_eq!(keeper.ask(7, &hold(Some(300), Some(900)), at(1)).error, Some(Refusal::NotSupported));
    let lease = keeper.ask(7, &acquire(300), at(1)).lease.expect("a lease");
    assert_eq!(keeper.ask(7, &renew(&lease, None, Some(900)), at(9)).error, Some(Refusal::NotSupported));
    assert!(keeper.ask(7, &renew(&lease, None, None), at(9)).ok, "the limit is held on");
    assert_eq!((lock(&world), world.borrow().lock_calls, limit(&world)), (None, 0, 300));
}

#[test]
fn a_helper_that_was_killed_lets_go_of_its_lock_unless_a_boot_did() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    assert!(keeper.ask(7, &hold(Some(300), Some(1_200)), at(0)).ok);
    drop(keeper);
    // The file says by now that no clock is to be touched: what was locked is let go of all the same.
    let mut never = config(OnLoss::Restore);
    never.groups[0].clock_lock = ClockLock::Never;
    let mut keeper = start_of(&world, &never, "boot", 2, at(5)).expect("starts");
    assert_eq!((lock(&world), limit(&world), world.borrow().records.len()), (None, 500, 0));
    assert_eq!(kinds(&keeper.take_events()), ["clock_restored", "cap_restored"]);
    let mut keeper = start(&world, OnLoss::Restore, 3, at(6)).expect("starts");
    assert!(keeper.ask(7, &hold(None, Some(1_200)), at(6)).ok);
    drop(keeper);
    let calls = world.borrow().lock_calls;
    world.borrow_mut().reload("GPU-a");
    start_of(&world, &never, "another boot", 4, at(0)).expect("starts");
    assert_eq!((world.borrow().lock_calls, world.borrow().records.len()), (calls, 0), "the boot undid it");
}

#[test]
fn a_driver_that_was_loaded_anew_gets_the_ceiling_again_though_its_limit_shows_nothing() {
    // As it was found it stands at the factory's limit, so only the counter tells.
    let world = world(&[("GPU-a", FACTORY / 1_000)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &hold(None, Some(1_200)), at(0)).lease.expect("a lease");
    world.borrow_mut().reload("GPU-a");
    keeper.tick(LOOK);
    assert_eq!(lock(&world), Some(1_200));
    // A driver that hangs for a look may have been loaded anew, whatever its counter says by now.
    world.borrow_mut().reload("GPU-a");
    world.borrow_mut().counters.insert("GPU-a".into(), 1 << 40);
    world.borrow_mut().stale = true;
    keeper.tick(2 * LOOK);
    assert_eq!(lock(&world), None);
    assert!(keeper.ask(7, &renew(&lease, None, None), 2 * LOOK).ok);
    assert_eq!(lock(&world), Some(1_200));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "cap_reapplied", "cap_reapplied"]);
    // With a limit of ours both come back together.
    assert!(keeper.ask(7, &renew(&lease, Some(300), None), at(30)).ok);
    world.borrow_mut().reload("GPU-a");
    keeper.tick(at(40));
    assert_eq!((lock(&world), limit(&world)), (Some(1_200), 300));
    keeper.ask(7, &Request::Release { lease, to_found: false }, at(41));
    assert_eq!((lock(&world), limit(&world), world.borrow().records.len()), (None, FACTORY / 1_000, 0));
}

#[test]
fn somebody_elses_limit_stays_and_our_lock_does_not() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    assert!(keeper.ask(7, &hold(Some(300), Some(1_200)), at(0)).ok);
    world.borrow_mut().limits.insert("GPU-a".into(), 450_000);
    keeper.tick(LOOK);
    assert_eq!((lock(&world), limit(&world), world.borrow().records.len()), (None, 450, 0));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "foreign_limit", "clock_restored"]);
}

#[test]
fn a_lock_that_does_not_let_go_is_tried_again_and_keeps_no_limit_from_coming_back() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &hold(Some(300), Some(1_200)), at(0)).lease.expect("a lease");
    world.borrow_mut().lock_fails = 2;
    let released = keeper.ask(7, &Request::Release { lease, to_found: false }, at(1));
    assert_eq!((released.ok, limit(&world), lock(&world), kept(&world)), (false, 500, Some(1_200), Some(1_200)));
    keeper.tick(LOOK);
    assert_eq!((lock(&world), kept(&world)), (Some(1_200), Some(1_200)), "it is still known");
    keeper.tick(2 * LOOK);
    assert_eq!((lock(&world), world.borrow().records.len()), (None, 0));
    // A lock that fails when it is set takes its limit with it, and what may be there is let go of.
    (world.borrow_mut().lock_fails, world.borrow_mut().last_takes_effect) = (1, true);
    assert_eq!(keeper.ask(7, &hold(Some(300), Some(1_200)), at(30)).error, Some(Refusal::Device));
    assert_eq!((limit(&world), lock(&world), world.borrow().records.len()), (500, None, 0));
}

#[test]
fn half_of_what_is_set_again_after_a_reload_is_not_taken_for_somebody_elses() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &hold(Some(300), Some(1_200)), at(0)).lease.expect("a lease");
    world.borrow_mut().reload("GPU-a");
    world.borrow_mut().lock_fails = 1;
    keeper.tick(LOOK);
    assert_eq!((limit(&world), lock(&world), world.borrow().records.len()), (300, None, 1));
    assert!(keeper.ask(7, &renew(&lease, None, None), at(12)).ok);
    assert_eq!((limit(&world), lock(&world)), (300, Some(1_200)));
    keeper.ask(7, &Request::Release { lease, to_found: false }, at(13));
    assert_eq!((limit(&world), lock(&world), world.borrow().records.len()), (500, None, 0));
}

#[test]
fn on_a_shared_feeder_a_ceiling_alone_raises_no_limit() {
    let world = world(&[("GPU-a", 600)]);
    let safe = OnLoss::SafeCap(Watts::whole(350));
    let mut keeper = start(&world, safe, 1, at(0)).expect("starts");
    let got = keeper.ask(7, &hold(None, Some(1_200)), at(0));
    assert_eq!((limit(&world), lock(&world), got.found_milliwatts), (350, Some(1_200), Some(600_000)));
    let lease = got.lease.expect("a lease");
    keeper.ask(7, &Request::Release { lease, to_found: false }, at(1));
    assert_eq!((limit(&world), lock(&world), kept(&world)), (350, None, None), "what was found is still known");
    assert_eq!(world.borrow().records.len(), 1);
    // The same attempt, whose holder lost the token, and which now wants the limit that stands.
    assert!(keeper.ask(7, &hold(Some(300), Some(1_200)), at(2)).ok);
    assert!(keeper.ask(7, &hold(None, Some(1_000)), at(3)).ok);
    assert_eq!((limit(&world), lock(&world)), (350, Some(1_000)));
}

#[test]
fn a_record_of_an_earlier_version_opens_and_one_without_a_ceiling_reads_as_before() {
    let record = Record::new("GPU-a", "boot", 500_000, vec![300_000], "7/1");
    let text = serde_json::to_string(&record).expect("it serializes");
    let earlier = r#"{"version":1,"gpu":"GPU-a","boot":"boot","found":500000,"ours":[300000],"attempt":"7/1"}"#;
    assert_eq!(text, earlier);
    assert_eq!(serde_json::from_str::<Record>(earlier).expect("it reads"), record);
    let request = r#"{"verb":"acquire","gpu":"GPU-a","limit_watts":300,"ttl_seconds":60,"attempt":"7/1"}"#;
    assert_eq!(serde_json::from_str::<Request>(request).expect("it reads"), acquire(300));
    assert_eq!(serde_json::to_string(&acquire(300)).expect("it serializes"), request);
}
