//! The rules of leases against made-up boards that fail, reload, are set by others, and crash between any two steps.

mod boards;
mod clocks;
mod fuzz;
mod lives;

use super::keeper::{Event, Keeper, LOOK};
use super::record::{Directory, Record, Records, Stored};
use super::*;
pub(crate) use boards::{CLOCKS, Disk, FACTORY, Fake, Shared, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

fn config(on_loss: OnLoss) -> Config {
    Config {
        socket: "/nowhere".into(),
        state_dir: "/nowhere".into(),
        allow_uids: vec![7],
        grants: None,
        nvml_lib: None,
        groups: vec![Group {
            name: "row".into(),
            gpus: Vec::new(),
            limits: Watts::whole(150)..=Watts::whole(650),
            on_loss,
            feeder: None,
            clock_lock: ClockLock::Ours,
        }],
    }
}

pub(crate) fn world(limits: &[(&str, u64)]) -> Shared {
    let limits: BTreeMap<_, _> = limits.iter().map(|(gpu, watts)| ((*gpu).to_owned(), watts * 1_000)).collect();
    let counters = limits.keys().map(|gpu| (gpu.clone(), 1_000)).collect();
    Rc::new(RefCell::new(World { limits, counters, ..World::default() }))
}

pub(crate) fn start(world: &Shared, on_loss: OnLoss, epoch: u64, now: Duration) -> Result<Keeper<Fake, Disk>, String> {
    start_of(world, &config(on_loss), "boot", epoch, now)
}

fn start_of(
    world: &Shared,
    config: &Config,
    boot: &str,
    epoch: u64,
    now: Duration,
) -> Result<Keeper<Fake, Disk>, String> {
    Keeper::start(Fake(Rc::clone(world)), Disk(Rc::clone(world)), config, boot, epoch, 42, now)
}

fn acquire(watts: u64) -> Request {
    hold(Some(watts), None)
}

fn hold(limit_watts: Option<u64>, clock_ceiling_megahertz: Option<u32>) -> Request {
    let (gpu, attempt) = ("GPU-a".into(), "7/1".into());
    Request::Acquire { gpu, limit_watts, clock_ceiling_megahertz, ttl_seconds: 60, attempt }
}

fn renew(lease: &str, limit_watts: Option<u64>, clock_ceiling_megahertz: Option<u32>) -> Request {
    Request::Renew { lease: lease.to_owned(), limit_watts, clock_ceiling_megahertz }
}

/// As `acquire`, of another GPU or for another attempt.
fn of(gpu: &str, attempt: &str, watts: u64) -> Request {
    let limit_watts = Some(watts);
    Request::Acquire {
        gpu: gpu.into(),
        limit_watts,
        clock_ceiling_megahertz: None,
        ttl_seconds: 60,
        attempt: attempt.into(),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn limit(world: &Shared) -> u64 {
    world.borrow().limits["GPU-a"] / 1_000
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn a_lease_sets_its_limit_and_its_end_gives_back_what_was_found() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let first = keeper.ask(7, &acquire(300), at(0));
    assert!(first.ok && first.found_milliwatts == Some(500_000) && first.enforced_milliwatts == Some(300_000));
    assert_eq!((limit(&world), world.borrow().records.len()), (300, 1));
    assert_eq!(keeper.ask(8, &acquire(400), at(1)).error, Some(Refusal::Held), "another user's");
    assert_eq!(keeper.ask(7, &of("GPU-a", "8/1", 400), at(1)).error, Some(Refusal::Held), "another attempt's");
    let again = keeper.ask(7, &acquire(300), at(1));
    assert_eq!((again.ok, &again.lease), (true, &first.lease), "whoever lost the answer goes on with it");
    let lease = first.lease.expect("a lease");
    let renew = |watts| renew(&lease, watts, None);
    assert_eq!(keeper.ask(8, &renew(None), at(1)).error, Some(Refusal::StaleEpoch), "another user's lease is nobody's");
    assert_eq!(keeper.ask(7, &renew(Some(400)), at(2)).error, Some(Refusal::RateLimited));
    assert!(keeper.ask(7, &renew(Some(250)), at(3)).ok, "lowering never waits");
    assert!(keeper.ask(7, &renew(Some(400)), at(9)).ok);
    assert_eq!(limit(&world), 400);
    keeper.tick(at(68));
    assert_eq!(limit(&world), 400, "renewed at 9 s");
    keeper.tick(at(69));
    assert_eq!((limit(&world), world.borrow().records.len()), (500, 0), "back at what was found, not at the factory's");
    assert_eq!(keeper.ask(7, &renew(None), at(70)).error, Some(Refusal::StaleEpoch));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "cap_restored"]);
}

#[test]
fn what_is_out_of_range_unknown_or_not_permitted_changes_nothing() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    for watts in [0, 99, 149, 651, 5_000, u64::MAX] {
        assert_eq!(keeper.ask(7, &acquire(watts), at(1)).error, Some(Refusal::OutOfRange), "{watts}");
    }
    assert_eq!(keeper.ask(7, &of("GPU-z", "", 300), at(1)).error, Some(Refusal::UnknownGpu));
    world.borrow_mut().no_permission = true;
    assert_eq!(keeper.ask(7, &acquire(300), at(1)).error, Some(Refusal::NoPermission));
    world.borrow_mut().no_permission = false;
    world.borrow_mut().ignores_sets = true;
    assert_eq!(keeper.ask(7, &acquire(300), at(1)).error, Some(Refusal::Device));
    assert_eq!((limit(&world), world.borrow().records.len()), (500, 0));
}

#[test]
fn somebody_elses_limit_is_left_alone() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &acquire(300), at(0)).lease.expect("a lease");
    world.borrow_mut().limits.insert("GPU-a".into(), 450_000);
    keeper.tick(at(11));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "foreign_limit"]);
    let renewed = keeper.ask(7, &renew(&lease, Some(350), None), at(12));
    assert_eq!(renewed.error, Some(Refusal::ForeignLimit));
    keeper.ask(7, &Request::Release { lease, to_found: false }, at(13));
    assert_eq!((limit(&world), world.borrow().records.len()), (450, 0));
    let next = keeper.ask(7, &acquire(300), at(14));
    assert_eq!((next.ok, next.found_milliwatts), (true, Some(450_000)), "from then on theirs is what comes back");
}

#[test]
fn a_driver_that_was_loaded_anew_gets_the_limit_again_within_a_look() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &acquire(300), at(0)).lease.expect("a lease");
    world.borrow_mut().reload("GPU-a");
    keeper.tick(at(4));
    keeper.tick(at(4) + LOOK);
    assert_eq!(limit(&world), 300);
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "cap_reapplied"]);
    assert!(keeper.ask(7, &Request::Release { lease, to_found: false }, at(20)).ok);
    assert_eq!(limit(&world), 500);
}

#[test]
fn a_renewal_between_a_driver_loaded_anew_and_the_look_does_not_hide_it() {
    let world = world(&[("GPU-a", 500)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &acquire(300), at(0)).lease.expect("a lease");
    world.borrow_mut().reload("GPU-a");
    let renewed = keeper.ask(7, &renew(&lease, None, None), at(4));
    keeper.tick(at(4) + LOOK);
    assert_eq!((renewed.ok, limit(&world)), (true, 300));
    assert_eq!(kinds(&keeper.take_events()), ["cap_set", "cap_reapplied"]);
    assert!(keeper.ask(7, &Request::Release { lease, to_found: false }, at(20)).ok);
    assert_eq!(limit(&world), 500);
}

#[test]
fn a_lease_at_the_limit_that_was_found_is_watched_too() {
    let world = world(&[("GPU-a", 300)]);
    let mut keeper = start(&world, OnLoss::Restore, 1, at(0)).expect("starts");
    let lease = keeper.ask(7, &acquire(300), at(0)).lease.expect("a lease");
    assert_eq!((world.borrow().sets, world.borrow().records.len()), (0, 0), "nothing to set, nothing to put back");
    world.borrow_mut().reload("GPU-a");
    keeper.tick(LOOK);
    assert_eq!(limit(&world), 300, "the driver was loaded anew");
    assert!(keeper.ask(7, &Request::Release { lease, to_found: false }, at(20)).ok);
    assert_eq!((limit(&world), world.borrow().records.len()), (300, 0));
}

#[test]
fn on_a_shared_feeder_loss_means_down_and_what_was_found_is_not_forgotten() {
    let world = world(&[("GPU-a", 600)]);
    let safe = OnLoss::SafeCap(Watts::whole(350));
    let mut keeper = start(&world, safe, 1, at(0)).expect("starts");
    assert_eq!(limit(&world), 350, "nobody holds it");
    let lease = keeper.ask(7, &acquire(500), at(1));
    assert_eq!((limit(&world), lease.found_milliwatts), (500, Some(600_000)));
    drop(keeper);
    // It is killed; the host loses power: the board is back at its factory limit.
    world.borrow_mut().limits.insert("GPU-a".into(), FACTORY);
    let mut keeper = start(&world, safe, 2, at(100)).expect("starts");
    assert_eq!(limit(&world), 350);
    let lease = keeper.ask(7, &acquire(400), at(101)).lease.expect("a lease");
    keeper.tick(at(170));
    assert_eq!(limit(&world), 350, "the lease ended");
    assert_eq!(keeper.ask(7, &Request::Release { lease, to_found: true }, at(171)).error, Some(Refusal::StaleEpoch));
    let lease = keeper.ask(7, &acquire(400), at(172)).lease.expect("a lease");
    assert!(keeper.ask(7, &Request::Release { lease, to_found: true }, at(173)).ok);
    assert_eq!(limit(&world), FACTORY / 1_000, "the budget had room");
}

#[test]
fn a_record_that_cannot_be_trusted_is_touched_by_nobody() {
    let world = world(&[("GPU-a", 300)]);
    world.borrow_mut().records.insert("GPU-a".into(), Stored::Inconclusive("its checksum is wrong".into()));
    let mut keeper = start(&world, OnLoss::SafeCap(Watts::whole(200)), 1, at(0)).expect("starts");
    let answer = keeper.ask(7, &acquire(250), at(1));
    assert_eq!((answer.error, limit(&world)), (Some(Refusal::Inconclusive), 300));
    assert_eq!(world.borrow().sets, 0);
    assert_eq!(keeper.ask(7, &Request::Status, at(1)).gpus[0].state, "inconclusive");
}

#[test]
fn records_survive_and_what_is_damaged_is_not_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("leases");
    let mut disk = Directory::new(place.clone()).expect("made");
    let record = Record::new("GPU-a", "boot", 500_000, vec![300_000, 250_000], "7/1");
    disk.put(&record).expect("written");
    assert_eq!(disk.load().expect("read"), [("GPU-a".to_owned(), Stored::Sound(record.clone()))]);
    let file = place.join("GPU-a.lease");
    let whole = std::fs::read(&file).expect("there");
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        std::fs::write(&file, &bytes).expect("written");
        let found = disk.load().expect("read");
        assert!(matches!(found[0].1, Stored::Inconclusive(_)), "byte {at}: {found:?}");
    }
    for cut in 0..whole.len() - 1 {
        std::fs::write(&file, &whole[..cut]).expect("written");
        assert!(matches!(disk.load().expect("read")[0].1, Stored::Inconclusive(_)), "cut at {cut}");
    }
    std::fs::remove_file(&file).expect("gone");
    std::os::unix::fs::symlink("/etc/hostname", &file).expect("linked");
    assert!(matches!(&disk.load().expect("read")[0].1, Stored::Inconclusive(why) if why.contains("plain file")));
    disk.remove("GPU-a").expect("gone");
    disk.remove("GPU-a").expect("gone already");
    std::fs::write(place.join("GPU-b.new"), "half").expect("written");
    assert_eq!(disk.load().expect("read"), []);
    let wrong = Record::new("../x", "boot", 1, Vec::new(), "");
    assert!(disk.put(&wrong).is_err());
}
