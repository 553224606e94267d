//! Executor and helper killed around every set and restore, and an executor that never comes back.

use super::*;

/// Kills of the real executor, and at times of the helper with it, around sets and restores of a limit: `NEAP_KILLS=1000 cargo
/// test --release --test caps d2 -- --nocapture` does a thousand.
#[test]
fn d2_an_executor_killed_around_every_set_and_restore_leaves_nothing_stuck() {
    let kills: u64 = std::env::var("NEAP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut place = Place::new();
    place.start_helper();
    place.site.start_scheduler();
    place.site.start_executor();
    let (mut job, steps) = place.job(&[]);
    place.until("it runs", Duration::from_secs(20), || place.text(&["ls"]).contains("running"));
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
            let expected = if hold { watts } else { stands };
            place.until(&format!("round {round}, {expected} W"), Duration::from_secs(20), || place.limit() == expected);
            slowest = slowest.max(began.elapsed());
            if hold && foreign {
                // Somebody else decides while it is held: that stays, whatever becomes of ours.
                stands = if stands == 250 { 199 } else { 250 };
                place.node.gpu(0).script(Fault { times: 1, ..Fault::new(Kind::ForeignSet, stands * 1_000) });
                place.until("theirs", Duration::from_secs(15), || place.limit() == stands);
                place.node.gpu(0).heal();
                theirs += 1;
            }
        }
    }
    eprintln!(
        "{kills} kills of an executor, {helpers} of the helper: 0 stuck, {theirs} limits of others left, slowest {slowest:.2?}"
    );
    assert!(slowest < Duration::from_secs(10));
    steps.end();
    assert!(job.wait().expect("it ends").success());
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
