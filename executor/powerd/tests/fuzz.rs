//! Whatever is sent to the helper, by whomever: nothing changes outside of what its file allows.

use super::*;
use crate::powerd::serve::admitted;
use serde_json::{Value, json};
use std::path::Path;

/// Users the file names; the second has no grant for anything.
const ALLOWED: [u32; 2] = [7, 8];
/// In the group; in one that locks no clocks; beside them, in no group; not there at all.
const GPUS: [&str; 10] =
    ["GPU-a", "GPU-a", "GPU-a", "GPU-b", "GPU-never", "GPU-b", "GPU-other", "GPU-none", "../../etc/passwd", ""];

fn pick<T: Clone>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())].clone()
}

/// A request as people, faulty programs or somebody hostile might send it.
fn line(random: &mut StdRng, leases: &[String]) -> Vec<u8> {
    let watts = match random.random_range(0..16) {
        0 => json!(random.random::<u64>()),
        1 => json!(random.random_range(-2_000i64..2_000)),
        2 => json!(random.random::<f64>() * 700.0),
        3 => pick(random, &[json!("300"), Value::Null, json!([300]), json!(1e300)]),
        _ => json!(random.random_range(90..720)),
    };
    let lease = if leases.is_empty() || random.random_ratio(1, 4) {
        format!("{}-{:016x}", random.random_range(0..3), random.random::<u64>())
    } else {
        pick(random, leases)
    };
    let ceiling = match random.random_range(0..8) {
        0 => json!(random.random::<u64>()),
        1 => pick(random, &[json!("900"), json!(-1), json!(0), json!(0.5), json!([900])]),
        2 | 3 => Value::Null,
        _ => json!(random.random_range(0..2_400)),
    };
    let mut request = match random.random_range(0..8) {
        0 => json!({"verb": "status"}),
        1 => json!({"verb": "renew", "lease": lease, "limit_watts": watts}),
        2 => json!({"verb": "renew", "lease": lease}),
        3 => json!({"verb": "release", "lease": lease, "to_found": random.random::<bool>()}),
        4 => json!({"verb": pick(random, &["set", "restore_all", "", "ACQUIRE"]), "gpu": "GPU-a", "limit_watts": 1}),
        _ => json!({
            "verb": "acquire",
            "gpu": pick(random, &GPUS),
            "limit_watts": watts,
            "ttl_seconds": if random.random() { json!(60) } else { json!(random.random::<u64>()) },
            "attempt": pick(random, &["7-1", "8-1", "", "\u{0}\n{}"]),
        }),
    };
    if random.random()
        && let Some(all) = request.as_object_mut()
    {
        all.insert("clock_ceiling_megahertz".to_owned(), ceiling);
        if random.random_ratio(1, 4) {
            all.remove("limit_watts");
        }
    }
    if random.random_ratio(1, 16)
        && let Some(all) = request.as_object_mut()
    {
        all.insert("uid".to_owned(), json!(0));
    }
    let mut bytes = serde_json::to_vec(&request).expect("it serializes");
    let faults = if random.random_ratio(1, 3) { random.random_range(1..4) } else { 0 };
    for _ in 0..faults {
        let at = random.random_range(0..bytes.len().max(1));
        match random.random_range(0..4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => bytes.insert(at.min(bytes.len()), random.random()),
            _ => bytes.extend_from_within(..at.min(bytes.len())),
        }
    }
    bytes
}

/// So many requests against one helper. Says how many changed a limit, and how many a clock.
fn requests(seed: u64, count: u64, grants: Option<&Path>) -> (u64, u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let found = [("GPU-a", 500), ("GPU-b", 500), ("GPU-never", 500), ("GPU-other", 432)];
    let world = world(&found);
    let mut config = config(OnLoss::Restore);
    (config.allow_uids, config.groups[0].gpus) = (ALLOWED.to_vec(), vec!["GPU-a".into(), "GPU-b".into()]);
    let never = Group { gpus: vec!["GPU-never".into()], clock_lock: ClockLock::Never, ..config.groups[0].clone() };
    config.groups.push(never);
    let mut keeper = Keeper::start(Fake(Rc::clone(&world)), Disk(Rc::clone(&world)), &config, "boot", 1, seed, at(0))
        .expect("it starts");
    let (mut now, mut leases, mut changed, mut locked) = (at(0), Vec::new(), 0, 0);
    for _ in 0..count {
        let uid = pick(&mut random, &[7, 7, 7, 7, 8, 8, 0, u32::MAX]);
        let stands = || (world.borrow().limits.clone(), world.borrow().locks.clone());
        let before = stands();
        let bytes = line(&mut random, &leases);
        let answer = match admitted(uid, &bytes, &ALLOWED, grants) {
            Ok(request) => {
                let answer = keeper.ask(uid, &request, now);
                let after = stands();
                if after != before {
                    (changed, locked) =
                        (changed + u64::from(after.0 != before.0), locked + u64::from(after.1 != before.1));
                    assert!(ALLOWED.contains(&uid), "seed {seed}: user {uid} changed a limit or a clock");
                    let acquired = matches!(&request, Request::Acquire { .. });
                    assert!(answer.ok || !acquired, "seed {seed}: refused and done: {request:?} {answer:?}");
                    assert!(grants.is_none() || uid == 7, "seed {seed}: user {uid} has no grant");
                }
                answer
            }
            Err(answer) => {
                assert!(!answer.ok && stands() == before);
                answer
            }
        };
        assert_ne!(answer.ok, answer.error.is_some(), "seed {seed}: {answer:?}");
        leases.extend(answer.lease.filter(|_| leases.len() < 8));
        if random.random_ratio(1, 50) {
            leases.clear();
        }
        for (gpu, limit) in &world.borrow().limits {
            let found = if gpu == "GPU-other" { 432_000 } else { 500_000 };
            let ours = gpu != "GPU-other" && (150_000..=650_000).contains(limit) && limit.is_multiple_of(1_000);
            assert!(*limit == found || ours, "seed {seed}: {gpu} at {limit} mW");
        }
        for (gpu, megahertz) in &world.borrow().locks {
            let ours = ["GPU-a", "GPU-b"].contains(&gpu.as_str()) && (CLOCKS.0..=CLOCKS.1).contains(megahertz);
            assert!(ours, "seed {seed}: the clock of {gpu} is locked at {megahertz} MHz");
        }
        now += Duration::from_millis(random.random_range(0..8_000));
        keeper.tick(now);
    }
    // Nobody asks any more: everything is given back.
    for _ in 0..=TERM.as_secs() + LOOK.as_secs() {
        now += Duration::from_secs(1);
        keeper.tick(now);
    }
    let found: BTreeMap<_, _> = found.into_iter().map(|(gpu, watts)| (gpu.to_owned(), watts * 1_000)).collect();
    assert_eq!(world.borrow().limits, found, "seed {seed}: what was found came back");
    assert_eq!(world.borrow().locks.len(), 0, "seed {seed}: no lock stays");
    (changed, locked)
}

/// `NEAP_REQUESTS` for more.
#[test]
#[expect(clippy::print_stderr, reason = "a figure is shown beside what it must reach")]
fn d1_no_request_whatever_changes_anything_outside_of_the_policy() {
    let all: u64 = std::env::var("NEAP_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let grants = tempfile::tempdir().expect("a directory");
    std::fs::write(grants.path().join("GPU-a"), "7\n").expect("it can be written");
    std::fs::write(grants.path().join("GPU-b"), "nobody").expect("it can be written");
    let each = 500;
    let (mut changed, mut locked) = (0, 0);
    for seed in 0..all.div_ceil(each) {
        let (limits, clocks) = requests(seed, each, (seed % 2 == 0).then_some(grants.path()));
        (changed, locked) = (changed + limits, locked + clocks);
    }
    assert!(
        changed > all / 100 && locked > all / 100,
        "{changed} and {locked} of {all} changed anything: hardly a test"
    );
    eprintln!("{all} requests, {changed} changed a limit, {locked} a clock, 0 outside of the policy");
}
