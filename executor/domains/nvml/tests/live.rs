//! The thread that owns the library, in real time: hangs, absence, caps.

use super::*;

fn live(gpus: &[GpuSetup]) -> (tempfile::TempDir, Node) {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::make_live(&dir.path().join("sim"), gpus).expect("a node");
    (dir, node)
}

#[test]
fn a_host_without_the_library_says_so_in_one_line() {
    let why = Gpus::find(Some("/nonexistent/libnvidia-ml.so.1".into())).expect_err("there is none");
    assert!(why.starts_with("no NVIDIA driver") && !why.contains('\n'), "{why}");
}

#[test]
#[expect(clippy::print_stderr, reason = "the figure is shown with --nocapture")]
fn c9_a_call_that_hangs_holds_nobody_up() {
    let (_dir, node) = live(&[GpuSetup::new(Board::V100), GpuSetup::new(Board::V100)]);
    let gpus = Gpus::find(Some(node.library().expect("built"))).expect("two GPUs");
    let uuid = node.gpu(0).uuid();
    let mut domain = gpus.domain(&uuid);
    let before = domain.energy().expect("read");
    node.gpu(0).script(Fault::new(Kind::Hang, 4_000).times(1));
    let mut longest = Duration::ZERO;
    let mut timed = |act: &mut dyn FnMut()| {
        let began = Instant::now();
        act();
        longest = longest.max(began.elapsed());
    };
    // The first question waits for its deadline, and nothing waits longer.
    timed(&mut || assert!(matches!(domain.cap(), Err(DomainError::Driver { .. }))));
    timed(&mut || drop(gpus.live()));
    timed(&mut || assert!(matches!(domain.energy(), Err(DomainError::Driver { .. }))));
    timed(&mut || assert_eq!(gpus.edges(std::slice::from_ref(&uuid)).len(), 1));
    assert!(gpus.stale().is_some());
    eprintln!("longest wait while a call hangs: {longest:?}");
    // The deadline is 1 s; the rest is a busy machine's.
    assert!(longest < Duration::from_millis(1_300), "{longest:?}");
    // Time of the node's own passes: the call comes back, and so does the meter.
    let until = Instant::now() + secs(8);
    while gpus.stale().is_some() && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(domain.energy().expect("back").energy >= before.energy);
}

#[test]
fn caps_are_read_back_and_only_a_privileged_library_sets_them() {
    let (_dir, node) = live(&[GpuSetup::new(Board::V100)]);
    let uuid = node.gpu(0).uuid();
    let cap = |watts| Cap { limit: Some(Watts::whole(watts)), clock_ceiling: None };
    let gpus = Gpus::find(Some(node.library().expect("built"))).expect("a GPU");
    let refused = gpus.domain(&uuid).set_cap(cap(150)).expect_err("not allowed");
    assert!(matches!(refused, DomainError::Uncapped { why: Uncapped::NoPermission, .. }), "{refused}");
    let gpus = Gpus::find(Some(node.privileged_library().expect("built"))).expect("a GPU");
    let mut domain = gpus.domain(&uuid);
    assert_eq!(domain.cap_range().limit, Some(Watts::whole(100)..=Watts::whole(250)));
    let state = domain.set_cap(cap(150)).expect("set");
    assert_eq!((state.requested, state.enforced), (Watts::whole(150), Watts::whole(150)));
    let refused = domain.set_cap(cap(90)).expect_err("too low").to_string();
    assert!(refused.contains("a cap of 90.0 W") && refused.contains("100 W to 250 W"), "{refused}");
    node.gpu(0).script(Fault::new(Kind::SetIgnored, 0).times(1));
    assert!(matches!(domain.set_cap(cap(200)), Err(DomainError::NotTaken { .. })));
    node.gpu(0).script(Fault::new(Kind::Controller, 120_000));
    let state = domain.set_cap(cap(160)).expect("set");
    assert_eq!((state.requested, state.enforced), (Watts::whole(160), Watts::whole(120)));
}

#[test]
fn c11_after_a_driver_reload_the_library_is_opened_again() {
    let (_dir, node) = live(&[GpuSetup::new(Board::V100), GpuSetup::new(Board::A40)]);
    let gpus = Gpus::find(Some(node.library().expect("built"))).expect("two GPUs");
    let uuid = node.gpu(0).uuid();
    node.gpu(0).script(Fault::new(Kind::Reload, 300));
    let until = Instant::now() + secs(10);
    let segments =
        || gpus.live().into_iter().find(|(name, _)| *name == uuid).map_or(0, |(_, live)| live.tally().segments);
    while segments() == 0 && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(segments(), 1);
    assert!(gpus.live().iter().all(|(_, live)| live.trouble.is_none() && live.tally().energy().0 > 0));
    assert!(gpus.stale().is_none());
}
