//! Whole lives of the helper drawn at random: whatever fails or dies between any two steps, nothing of ours stays.

use super::*;

/// What one life came to.
#[derive(Debug, Default)]
struct Came {
    crashes: u64,
    foreign: u64,
    /// Steps after which a clock was locked.
    locked: u64,
    /// Locks that came back after the driver was loaded anew.
    again: u64,
}

/// A limit, a ceiling, or both, as they are asked for; some of the ceilings are outside of what the board takes.
fn wish(random: &mut StdRng) -> (Option<u64>, Option<u32>) {
    let watts = random.random_ratio(2, 3).then(|| random.random_range(150..=650));
    let ceiling = match random.random_range(0..4) {
        0 => None,
        1 => Some(random.random()),
        _ => Some(random.random_range(0..=2_000)),
    };
    (watts, ceiling)
}

/// Steps of one life: leases, renewals, releases, time, others who set limits, drivers that are loaded anew, boots, and crashes.
fn life(seed: u64, steps: u32) -> Came {
    let mut random = StdRng::seed_from_u64(seed);
    let shared = world(&[("GPU-a", 500)]);
    let (mut now, mut epoch, mut boot, mut came) = (at(0), 1, 0u32, Came::default());
    let config = config(OnLoss::Restore);
    let mut keeper = start_of(&shared, &config, "boot-0", epoch, now).expect("starts");
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
        if random.random_ratio(1, 8) {
            shared.borrow_mut().lock_fails = random.random_range(1..4);
        }
        if random.random_ratio(1, 16) {
            shared.borrow_mut().disk_fails = random.random_range(1..4);
        }
        now += Duration::from_millis(random.random_range(0..20_000));
        let token = lease.clone().unwrap_or_default();
        match random.random_range(0..8) {
            0 | 1 => {
                let (watts, ceiling) = wish(&mut random);
                lease = keeper.ask(7, &hold(watts, ceiling), now).lease.or(lease);
            }
            2 => {
                let (watts, ceiling) = wish(&mut random);
                keeper.ask(7, &renew(&token, watts, ceiling), now);
            }
            3 => {
                keeper.ask(7, &Request::Release { lease: token, to_found: false }, now);
            }
            4 => {
                // Odd milliwatts: nobody takes them for ours.
                let theirs = random.random_range(150_000..650_000) | 1;
                shared.borrow_mut().limits.insert("GPU-a".into(), theirs);
                hidden.append(&mut may_stand);
                (may_stand, came.foreign) = (vec![theirs], came.foreign + 1);
            }
            5 => {
                let mut world = shared.borrow_mut();
                world.reload("GPU-a");
                world.stale = random.random();
                if random.random_ratio(1, 4) {
                    // The host was started anew, and the helper with it.
                    (world.dead, boot) = (true, boot + 1);
                }
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
            {
                let mut world = shared.borrow_mut();
                (world.dead, world.stale) = (false, false);
                (world.lock_fails, world.disk_fails) = (0, 0);
            }
            (epoch, came.crashes, lease) = (epoch + 1, came.crashes + 1, None);
            keeper = start_of(&shared, &config, &format!("boot-{boot}"), epoch, now)
                .unwrap_or_else(|why| panic!("seed {seed}, step {step}: {why}"));
            let (stands, records) = (shared.borrow().limits["GPU-a"], shared.borrow().records.len());
            assert!(
                may_stand.contains(&stands) && records == 0,
                "seed {seed}, step {step}: {stands} mW, not one of {may_stand:?}"
            );
            assert_eq!(shared.borrow().locks.len(), 0, "seed {seed}, step {step}: a lock is stuck");
            (may_stand, hidden) = (vec![stands], Vec::new());
        }
        let held = keeper.ask(7, &Request::Status, now).gpus.remove(0);
        if held.state == "free" {
            let stands = shared.borrow().limits["GPU-a"];
            assert!(may_stand.contains(&stands), "seed {seed}, step {step}: {stands} mW is nobody's: {may_stand:?}");
            (may_stand, hidden) = (vec![stands], Vec::new());
        }
        if let Some(megahertz) = shared.borrow().locks.get("GPU-a") {
            came.locked += 1;
            assert!((CLOCKS.0..=CLOCKS.1).contains(megahertz), "seed {seed}, step {step}: locked at {megahertz} MHz");
            let known = held.clock_ceiling_megahertz;
            assert!(known.is_some(), "seed {seed}, step {step}: nobody knows of the lock at {megahertz} MHz: {held:?}");
        }
        came.again += keeper.take_events().iter().filter(|event| event.kind == "cap_reapplied").count() as u64;
    }
    // Nobody asks any more, and nothing fails any more.
    (shared.borrow_mut().lock_fails, shared.borrow_mut().disk_fails) = (0, 0);
    for _ in 0..=TERM.as_secs() + 2 * LOOK.as_secs() {
        now += at(1);
        keeper.tick(now);
    }
    let world = shared.borrow();
    assert_eq!((world.locks.len(), world.records.len()), (0, 0), "seed {seed}: a lock or a record is stuck");
    came
}

#[test]
#[expect(clippy::print_stderr, reason = "a figure is shown beside what it must reach")]
fn d2_in_random_lives_no_limit_or_lock_is_stuck_and_nobody_elses_limit_is_overwritten() {
    let lives: u64 = std::env::var("NEAP_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut all = Came::default();
    for seed in 0..lives {
        let Came { crashes, foreign, locked, again } = life(seed, 100);
        all = Came {
            crashes: all.crashes + crashes,
            foreign: all.foreign + foreign,
            locked: all.locked + locked,
            again: all.again + again,
        };
    }
    assert!(all.crashes > lives * 3 && all.foreign > lives * 5, "{all:?}");
    assert!(all.locked > lives * 5 && all.again > lives / 4, "{all:?}");
    eprintln!("{lives} lives, {all:?}: 0 limits or locks stuck, none of others overwritten");
}
