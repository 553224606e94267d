//! The same way for a job that no limit slows: its clock is kept below a ceiling, and is free again however it ends.

use super::*;

/// Waits for memory: 202 W at full clock, so a limit of 250 W never binds, and no time is lost down to 918 of 1530 MHz.
const DECODE: Load = Load { knee: 0.6, ..Load::new(60.0, 110.0, 1.0, 0.0) };

/// Starts everything, and a job below a ceiling that was chosen and stands, in megahertz.
pub(super) fn held_job() -> (Place, Child, Steps, u32) {
    let mut place = Place::with("", "clock_lock = \"ours\"\n");
    place.load = DECODE;
    let node = Arc::clone(&place.node);
    let lock = || node.gpu(0).truth().lock_mhz;
    place.start_helper();
    place.site.start_scheduler();
    place.site.start_executor();
    let (job, steps) = place.job(&["--slowdown", "5%"]);
    // It is decided, and it stands: the order takes a moment to the board.
    let says = |lock: Option<u32>| lock.map(|megahertz| format!("GPU clocks at most {megahertz} MHz"));
    let stands = || says(lock()).is_some_and(|said| place.text(&["why", "last", "--history"]).contains(&said));
    place.until("a ceiling is chosen and stands", Duration::from_secs(180), stands);
    let chosen = lock().expect("it stands");
    (place, job, steps, chosen)
}

#[test]
fn a_job_that_waits_for_memory_is_held_below_a_ceiling_which_goes_with_it() {
    let (mut place, mut job, steps, chosen) = held_job();
    let node = Arc::clone(&place.node);
    let lock = || node.gpu(0).truth().lock_mhz;
    // Below 875 MHz it would be slower than it consents to. How far down it goes is for tests in moved time: here a window that
    // a busy machine disturbs may look too slow, and then the search ends above the best.
    assert!((875..1_530).contains(&chosen), "{chosen} MHz\n{}", place.text(&["why", "last", "--history"]));
    assert_eq!(place.limit(), 250, "no limit is touched");
    let why = place.text(&["why", "last", "--history"]);
    assert!(why.contains("within --slowdown 5%") && why.contains("less GPU energy"), "{why}");
    let (_, body) = place.site.connect().call("GET", "/metrics", b"").expect("the scheduler answers");
    let text = String::from_utf8(body).expect("text");
    let line = text.lines().find(|line| line.starts_with("neap_gpu_clock_ceiling_hertz{"));
    assert!(line.is_some_and(|line| line.ends_with(&format!("}} {}", chosen * 1_000_000))), "{line:?}");

    place.site.kill_executor();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lock(), Some(chosen), "a lease outlives its holder for a while");
    place.site.start_executor();
    // Long enough for it to renew what it found in its directory.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lock(), Some(chosen), "{}", place.site.log("executor"));
    place.kill_helper();
    assert_eq!(lock(), Some(chosen), "nothing lets go of it while nobody is there");
    place.start_helper();
    assert_eq!((lock(), place.limit()), (None, 250), "a helper that starts lets go of it first");
    place.until("it is asked again", Duration::from_secs(30), || lock() == Some(chosen));
    std::thread::sleep(Duration::from_secs(2));

    steps.end();
    assert!(job.wait().expect("it ends").success());
    place.until("its clock is free again", Duration::from_secs(10), || lock().is_none());
    let shown = place.show();
    assert_eq!((&shown["clock_ceiling_megahertz"], &shown["cap_requested_watts"]), (&chosen.into(), &Value::Null));
    assert!(shown["clock_ceiling_seconds"].as_f64().is_some_and(|seconds| seconds > 3.0), "{shown}");
    let log = place.text(&["logs", "last"]);
    assert!(log.contains(&format!("power   GPU clocks at most {chosen} MHz")), "{log}");
    assert_eq!(place.limit(), 250);
}
