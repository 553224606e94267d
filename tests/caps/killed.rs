//! Executor and helper killed around every set and restore, and an executor that never comes back.

use super::*;

/// Kills of the real executor, and at times of the helper with it, around sets and restores of a limit: `NEAP_KILLS=1000 cargo
/// test --release --test caps d2 -- --nocapture` does a thousand.
#[test]
fn d2_an_executor_killed_around_every_set_and_restore_leaves_nothing_stuck() {
    let mut place = Place::new();
    place.start_helper();
    let (mut job, steps) = place.running_job();
    let stands = kill_around(&mut place, None);
    steps.end();
    assert!(job.wait().expect("it ends").success());
    place.until("what was found comes back", Duration::from_secs(10), || place.limit() == stands);
}

/// As above, of a job whose clock is kept below a ceiling: with each limit that goes its lock goes too, and is set anew.
#[test]
fn d2_an_executor_killed_around_every_set_and_restore_leaves_no_clock_locked() {
    let (mut place, mut job, steps, chosen) = ceiling::held_job();
    // No window of its steps is whole any more: what kills do to its pace does not begin another search.
    place.watch_no_steps();
    let stands = kill_around(&mut place, Some(chosen));
    steps.end();
    assert!(job.wait().expect("it ends").success());
    let at = |place: &Place| (place.limit(), place.node.gpu(0).truth().lock_mhz);
    place.until("its clock is free", Duration::from_secs(10), || at(&place) == (stands, None));
}

/// Sets and takes back a limit of an operator's, again and again, and kills around it; the job's own ceiling stands beside it.
/// Gives the limit that is there in the end, which others may have set.
fn kill_around(place: &mut Place, ceiling: Option<u32>) -> u64 {
    let kills: u64 = std::env::var("NEAP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let (mut stands, mut slowest, mut theirs, mut helpers) = (250, Duration::ZERO, 0, 0);
    for round in 0..kills / 2 {
        let (id, watts) = (format!("cap-{round}"), 110 + round * 7 % 70);
        let foreign = round % 8 == 7;
        for hold in [true, false] {
            let limit = format!("{watts}W");
            let event = ["policy", "event", "--id", &id, "--kind", "gpu_cap", "--site", "here", "--limit", &limit];
            let said = if hold {
                place.text(&[&event[..], &["--for", "1h", "--reason", "test"]].concat())
            } else {
                place.text(&["policy", "event", "--cancel", &id, "--reason", "over"])
            };
            assert!(!said.contains("error"), "{said}");
            // From before the order arrives to long after it was carried out.
            std::thread::sleep(Duration::from_millis(round * 37 % 240));
            place.site.kill_executor();
            if round % 4 == 3 {
                place.kill_helper();
                place.start_helper();
                helpers += 1;
            }
            let began = Instant::now();
            place.site.start_executor();
            let expected = (if hold { watts } else { stands }, ceiling);
            let at = |place: &Place| (place.limit(), place.node.gpu(0).truth().lock_mhz);
            place.until(&format!("round {round}, {expected:?}"), Duration::from_secs(20), || at(place) == expected);
            slowest = slowest.max(began.elapsed());
            if hold && foreign {
                // Somebody else decides while it is held: that stays, whatever becomes of ours, and no lock of ours with it.
                stands = if stands == 250 { 199 } else { 250 };
                place.node.gpu(0).script(Fault { times: 1, ..Fault::new(Kind::ForeignSet, stands * 1_000) });
                place.until("theirs", Duration::from_secs(25), || at(place) == (stands, None));
                place.node.gpu(0).heal();
                theirs += 1;
            }
        }
    }
    eprintln!(
        "{kills} kills of an executor, {helpers} of the helper, ceiling {ceiling:?}: 0 stuck, {theirs} limits of others left, slowest {slowest:.2?}"
    );
    assert!(slowest < Duration::from_secs(10));
    stands
}

#[test]
fn a_scheduler_that_starts_anew_changes_no_limit() {
    let mut place = Place::new();
    place.start_helper();
    let (mut job, steps) = place.running_job();
    place.text(&["node", "cap", "here", "180W", "--reason", "test"]);
    place.until("it is held", Duration::from_secs(15), || place.limit() == 180);
    let sets = place.node.gpu(0).truth().sets;
    // A scheduler that has nothing to say answers every few seconds, and is heard all the time.
    std::thread::sleep(Duration::from_secs(16));
    assert!(!place.site.log("executor").contains("limits of GPUs are not renewed"), "{}", place.site.log("executor"));
    place.site.kill_scheduler();
    // Longer than a renewal would be put off for.
    std::thread::sleep(Duration::from_secs(12));
    place.until("it is told", Duration::from_secs(10), || {
        place.site.log("executor").contains("limits of GPUs are not renewed")
    });
    assert_eq!(place.limit(), 180);
    place.site.start_scheduler();
    place.until("it is told", Duration::from_secs(20), || place.site.log("executor").contains("held for it again"));
    assert_eq!((place.limit(), place.node.gpu(0).truth().sets), (180, sets));
    steps.end();
    // Who watched it was told that the scheduler is away, and left.
    drop(job.wait());
    place.until("it ends well", Duration::from_secs(10), || place.show()["state"] == "succeeded");
    place.until("what was found comes back", Duration::from_secs(10), || place.limit() == 250);
}

/// In real time, over a minute: `cargo test --test caps -- --ignored`.
#[test]
#[ignore = "waits for a lease to run out"]
fn d1_without_a_scheduler_a_shared_feeder_goes_to_its_safe_cap_within_a_term_and_ten_seconds() {
    let mut place = Place::with("", "on_loss = \"safe_cap\"\nsafe_cap = \"150 W\"\n");
    place.start_helper();
    assert_eq!(place.limit(), 150, "nobody holds it");
    let (mut job, steps) = place.running_job();
    place.text(&["node", "cap", "here", "120W", "--reason", "test"]);
    place.until("it is held", Duration::from_secs(15), || place.limit() == 120);
    place.site.kill_scheduler();
    let killed = Instant::now();
    place.until("the lease runs out", Duration::from_secs(75), || place.limit() == 150);
    let took = killed.elapsed();
    eprintln!("at its safe cap {:.1} s after the scheduler was killed", took.as_secs_f64());
    assert!(took < Duration::from_secs(71));
    place.site.start_scheduler();
    place.until("it is taken again", Duration::from_secs(20), || place.limit() == 120);
    steps.end();
    // Who watched it was told that the scheduler is away, and left.
    drop(job.wait());
    place.until("it ends well", Duration::from_secs(10), || place.show()["state"] == "succeeded");
    place.until("nobody holds it", Duration::from_secs(10), || place.limit() == 150);
}

/// In real time, over a minute: `cargo test --test caps -- --ignored`.
#[test]
#[ignore = "waits for a lease to run out"]
fn d1_an_executor_that_never_comes_back_loses_its_limit_within_its_term_and_ten_seconds() {
    let mut place = Place::new();
    let (mut job, steps) = place.held_job();
    place.site.kill_executor();
    let killed = Instant::now();
    place.until("the lease runs out", Duration::from_secs(70), || place.limit() == 250);
    eprintln!("given back {:.1} s after the executor was killed", killed.elapsed().as_secs_f64());
    steps.end();
    place.site.start_executor();
    assert!(job.wait().expect("it ends").success());
}
