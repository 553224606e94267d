//! Executor and helper, each killed at random: nothing of ours is left once nobody wants it.

use super::*;

/// Whatever dies when: once nobody wants a limit, no limit and no lock of ours is left within the term of a lease and a look; nor once there
/// is no scheduler to want it, 10 s later.
fn life(seed: u64) -> (u32, u32, u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut site = Site::new(500_001);
    let (mut last, mut reloads, mut kills, mut foreign, mut locked) = (500_001, 0, 0, 0, 0);
    for _ in 0..60 {
        match random.random_range(0..10) {
            0..=2 => {
                let limit = random.random_ratio(2, 3).then(|| random.random_range(150..=650));
                let ceiling = (limit.is_none() || random.random()).then(|| random.random_range(100..=2_100));
                site.holder.want(GPU, cap(limit, ceiling));
            }
            3 => site.holder.want(GPU, None),
            4 => (site.kill_executor(), kills += 1).0,
            5 => {
                // Killed between any two of its steps, or after the last one took effect.
                let mut world = site.world.borrow_mut();
                (world.fuse, world.last_takes_effect) = (Some(random.random_range(0..6)), random.random());
            }
            6 if random.random() => {
                last = random.random_range(150_000..650_000) | 1;
                foreign += 1;
                site.world.borrow_mut().limits.insert(GPU.to_owned(), last);
            }
            8 => site.heard = !site.heard,
            7 if random.random_ratio(1, 4) => {
                let mut world = site.world.borrow_mut();
                world.reload(GPU);
                world.stale = random.random();
                (last, reloads) = (FACTORY, reloads + 1);
            }
            _ => {}
        }
        site.pass(Duration::from_millis(random.random_range(0..25_000)), random.random_ratio(9, 10));
        locked += u64::from(site.lock().is_some());
        let dead = std::mem::take(&mut site.world.borrow_mut().dead);
        site.world.borrow_mut().fuse = None;
        if dead {
            // A process that begins opens the driver anew.
            site.world.borrow_mut().stale = false;
            site.restart_helper();
            kills += 1;
        }
        if let Some(counter) = site.world.borrow_mut().counters.get_mut(GPU) {
            *counter += 1_000;
        }
    }
    // The end: the last attempt ends, the executor is killed for good, or the scheduler is.
    match random.random_range(0..3) {
        0 => {
            site.holder.want(GPU, None);
            site.passes(5);
        }
        1 => site.holder = Holder::new(site.wire.clone(), BTreeMap::new()),
        _ => {
            site.heard = false;
            site.passes(UNHEARD.as_secs());
        }
    }
    site.passes(TERM.as_secs() + LOOK.as_secs());
    let stands = site.limit();
    let ours = stands.is_multiple_of(1_000) && stands != FACTORY;
    assert!(!ours, "seed {seed}: {stands} mW is left of ours");
    assert!(reloads > 0 || stands == last, "seed {seed}: {stands} mW instead of {last} mW");
    assert_eq!(site.lock(), None, "seed {seed}: a lock is left of ours");
    (kills, foreign, locked)
}

#[test]
#[expect(clippy::print_stderr, reason = "a figure is shown beside what it must reach")]
fn d2_whoever_is_killed_no_cap_is_stuck() {
    let lives: u64 = std::env::var("NEAP_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let (mut kills, mut foreign, mut locked) = (0, 0, 0);
    for seed in 0..lives {
        let (killed, others, locks) = life(seed);
        (kills, foreign, locked) = (kills + killed, foreign + others, locked + locks);
    }
    assert!(u64::from(kills) > lives * 5 && u64::from(foreign) > lives, "{kills} kills, {foreign} limits of others");
    assert!(locked > lives * 5, "{locked} steps with a lock");
    eprintln!(
        "{lives} lives, {kills} kills of executor or helper, {foreign} limits of others, {locked} steps with a lock: none stuck, none overwritten"
    );
}
