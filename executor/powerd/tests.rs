//! The rules of leases against made-up boards that fail, reload, are set by others, and crash between any two steps.

mod fuzz;

use super::board::{Boards, Limits};
use super::keeper::{Event, Keeper, LOOK};
use super::record::{Directory, Record, Records, Stored};
use super::*;
use neap_model::units::Joules;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

pub(crate) const FACTORY: u64 = 700_000;

/// What survives a crash of the helper, and what kills it.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Milliwatts by GPU.
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) counters: BTreeMap<String, u64>,
    records: BTreeMap<String, Stored>,
    /// Steps until the helper dies; the last one may have taken effect.
    pub(crate) fuse: Option<u32>,
    pub(crate) dead: bool,
    pub(crate) last_takes_effect: bool,
    ignores_sets: bool,
    pub(crate) no_permission: bool,
    sets: u64,
}

pub(crate) type Shared = Rc<RefCell<World>>;

impl World {
    /// Whether a step is carried out, and whether its caller lives to see it.
    fn step(&mut self) -> (bool, bool) {
        if self.dead {
            return (false, false);
        }
        match &mut self.fuse {
            Some(0) => {
                self.dead = true;
                (self.last_takes_effect, false)
            }
            Some(left) => {
                *left -= 1;
                (true, true)
            }
            None => (true, true),
        }
    }
}

pub(crate) struct Fake(Shared);

impl Boards for Fake {
    fn list(&mut self) -> Result<Vec<String>, Refusal> {
        Ok(self.0.borrow().limits.keys().cloned().collect())
    }
    fn limits(&mut self, gpu: &str) -> Result<Limits, Refusal> {
        let world = self.0.borrow();
        let watts = Watts(*world.limits.get(gpu).ok_or(Refusal::UnknownGpu)?);
        if world.dead { Err(Refusal::GpuLost) } else { Ok(Limits { requested: watts, enforced: watts }) }
    }
    fn factory(&mut self, _: &str) -> Option<Watts> {
        Some(Watts(FACTORY))
    }
    fn range(&mut self, _: &str) -> Option<RangeInclusive<Watts>> {
        Some(Watts::whole(100)..=Watts(FACTORY))
    }
    fn set(&mut self, gpu: &str, limit: Watts) -> Result<(), Refusal> {
        let mut world = self.0.borrow_mut();
        if world.no_permission {
            return Err(Refusal::NoPermission);
        }
        let (done, lives) = world.step();
        if done && !world.ignores_sets {
            world.limits.insert(gpu.to_owned(), limit.0);
            world.sets += 1;
        }
        if lives { Ok(()) } else { Err(Refusal::GpuLost) }
    }
    fn counter(&mut self, gpu: &str) -> Option<Joules> {
        self.0.borrow().counters.get(gpu).map(|counter| Joules(*counter))
    }
    fn reopen(&mut self) {}
}

pub(crate) struct Disk(Shared);

impl Records for Disk {
    fn load(&mut self) -> io::Result<Vec<(String, Stored)>> {
        Ok(self.0.borrow().records.clone().into_iter().collect())
    }
    fn put(&mut self, record: &Record) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let (done, lives) = world.step();
        if done {
            world.records.insert(record.gpu.clone(), Stored::Sound(record.clone()));
        }
        if lives { Ok(()) } else { Err(io::Error::other("gone")) }
    }
    fn remove(&mut self, gpu: &str) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let (done, lives) = world.step();
        if done {
            world.records.remove(gpu);
        }
        if lives { Ok(()) } else { Err(io::Error::other("gone")) }
    }
}

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
        }],
    }
}

pub(crate) fn world(limits: &[(&str, u64)]) -> Shared {
    let limits: BTreeMap<_, _> = limits.iter().map(|(gpu, watts)| ((*gpu).to_owned(), watts * 1_000)).collect();
    let counters = limits.keys().map(|gpu| (gpu.clone(), 1_000)).collect();
    Rc::new(RefCell::new(World { limits, counters, ..World::default() }))
}

pub(crate) fn start(world: &Shared, on_loss: OnLoss, epoch: u64, now: Duration) -> Result<Keeper<Fake, Disk>, String> {
    Keeper::start(Fake(Rc::clone(world)), Disk(Rc::clone(world)), &config(on_loss), "boot", epoch, 42, now)
}

fn acquire(watts: u64) -> Request {
    Request::Acquire { gpu: "GPU-a".into(), limit_watts: watts, ttl_seconds: 60, attempt: "7/1".into() }
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
    let Request::Acquire { gpu, limit_watts, ttl_seconds, .. } = acquire(400) else { panic!("it acquires") };
    let other = Request::Acquire { gpu, limit_watts, ttl_seconds, attempt: "8/1".into() };
    assert_eq!(keeper.ask(7, &other, at(1)).error, Some(Refusal::Held), "another attempt's");
    let again = keeper.ask(7, &acquire(300), at(1));
    assert_eq!((again.ok, &again.lease), (true, &first.lease), "whoever lost the answer goes on with it");
    let lease = first.lease.expect("a lease");
    let renew = |watts| Request::Renew { lease: lease.clone(), limit_watts: watts };
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
    let unknown = Request::Acquire { gpu: "GPU-z".into(), limit_watts: 300, ttl_seconds: 60, attempt: String::new() };
    assert_eq!(keeper.ask(7, &unknown, at(1)).error, Some(Refusal::UnknownGpu));
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
    let renewed = keeper.ask(7, &Request::Renew { lease: lease.clone(), limit_watts: Some(350) }, at(12));
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
    world.borrow_mut().limits.insert("GPU-a".into(), FACTORY);
    world.borrow_mut().counters.insert("GPU-a".into(), 0);
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
    world.borrow_mut().limits.insert("GPU-a".into(), FACTORY);
    world.borrow_mut().counters.insert("GPU-a".into(), 0);
    let renewed = keeper.ask(7, &Request::Renew { lease: lease.clone(), limit_watts: None }, at(4));
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
    world.borrow_mut().limits.insert("GPU-a".into(), FACTORY);
    world.borrow_mut().counters.insert("GPU-a".into(), 0);
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

/// Steps of one life: leases, renewals, releases, time, others who set limits, drivers that are loaded anew, and crashes.
fn life(seed: u64, steps: u32) -> (u64, u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let shared = world(&[("GPU-a", 500)]);
    let (mut now, mut epoch, mut crashes, mut foreign) = (at(0), 1, 0, 0);
    let mut keeper = start(&shared, OnLoss::Restore, epoch, now).expect("starts");
    // What may stand there once nobody holds it: what somebody other than us set last.
    // A driver that is loaded anew hides what was set before it from everybody.
    let (mut may_stand, mut hidden) = (vec![500_000], vec![500_000]);
    let mut lease: Option<String> = None;
    for step in 0..steps {
        if random.random_ratio(1, 4) {
            let mut world = shared.borrow_mut();
            world.fuse = Some(random.random_range(0..6));
            world.last_takes_effect = random.random();
        }
        now += Duration::from_millis(random.random_range(0..20_000));
        let token = lease.clone().unwrap_or_default();
        match random.random_range(0..8) {
            0 | 1 => lease = keeper.ask(7, &acquire(random.random_range(150..=650)), now).lease.or(lease),
            2 => {
                let watts = random.random::<bool>().then(|| random.random_range(150..=650));
                keeper.ask(7, &Request::Renew { lease: token, limit_watts: watts }, now);
            }
            3 => {
                keeper.ask(7, &Request::Release { lease: token, to_found: false }, now);
            }
            4 => {
                // Odd milliwatts: nobody takes them for ours.
                let theirs = random.random_range(150_000..650_000) | 1;
                shared.borrow_mut().limits.insert("GPU-a".into(), theirs);
                hidden.append(&mut may_stand);
                (may_stand, foreign) = (vec![theirs], foreign + 1);
            }
            5 => {
                let mut world = shared.borrow_mut();
                world.limits.insert("GPU-a".into(), FACTORY);
                world.counters.insert("GPU-a".into(), 0);
                may_stand.append(&mut hidden);
                may_stand.push(FACTORY);
            }
            _ => {
                let mut world = shared.borrow_mut();
                if let Some(counter) = world.counters.get_mut("GPU-a") {
                    *counter += 1_000;
                }
                drop(world);
                keeper.tick(now);
            }
        }
        shared.borrow_mut().fuse = None;
        if shared.borrow().dead || random.random_ratio(1, 50) {
            shared.borrow_mut().dead = false;
            (epoch, crashes, lease) = (epoch + 1, crashes + 1, None);
            keeper = start(&shared, OnLoss::Restore, epoch, now)
                .unwrap_or_else(|why| panic!("seed {seed}, step {step}: {why}"));
            let (stands, records) = (shared.borrow().limits["GPU-a"], shared.borrow().records.len());
            assert!(
                may_stand.contains(&stands) && records == 0,
                "seed {seed}, step {step}: {stands} mW, not one of {may_stand:?}"
            );
            (may_stand, hidden) = (vec![stands], Vec::new());
        }
        if let Some(found) = keeper.ask(7, &Request::Status, now).gpus.first().filter(|gpu| gpu.state == "free") {
            let stands = found.requested_milliwatts.expect("it says so");
            assert!(may_stand.contains(&stands), "seed {seed}, step {step}: {stands} mW is nobody's: {may_stand:?}");
            (may_stand, hidden) = (vec![stands], Vec::new());
        }
    }
    (crashes, foreign)
}

#[test]
fn d2_in_random_lives_no_limit_is_stuck_and_nobody_elses_is_overwritten() {
    let lives: u64 = std::env::var("NEAP_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let (mut crashes, mut foreign) = (0, 0);
    for seed in 0..lives {
        let (died, others) = life(seed, 100);
        (crashes, foreign) = (crashes + died, foreign + others);
    }
    assert!(crashes > lives * 3 && foreign > lives * 5, "{crashes} crashes, {foreign} limits of others");
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
