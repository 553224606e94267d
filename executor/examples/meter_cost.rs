//! What metering eight GPUs at 10 Hz costs of one core: the whole process in real time, and by hand how much of it is the
//! meter's own and how much the (simulated) driver's. `cargo run --release -p neap-executor --example meter_cost`

#![expect(clippy::print_stdout, reason = "an example prints")]

use neap_executor::clock::Boot;
use neap_executor::domains::nvml::Gpus;
use neap_executor::domains::nvml::driver::Library;
use neap_executor::domains::nvml::sampler::{Sampler, add_known};
use rustix::time::{ClockId, clock_gettime};
use simgpu::{Board, GpuSetup, Load, Node};
use std::collections::BTreeMap;
use std::time::Duration;

const GPUS: usize = 8;

/// Processor time of this process.
fn used() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::make_live(&dir.path().join("sim"), &[GpuSetup::new(Board::Hopper); GPUS]).expect("a node");
    node.gpus().enumerate().for_each(|(n, gpu)| gpu.add(Load::GEMM_HOPPER.pid(n as u32 + 1)));
    let path = node.library().expect("the library is built");

    let gpus = Gpus::find(Some(path.clone())).expect("eight GPUs");
    let (began, before) = (std::time::Instant::now(), used());
    for _ in 0..30 {
        // As the executor's loop: once a second it takes what is known.
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(gpus.live().len(), GPUS);
    }
    let (took, cost) = (began.elapsed(), used() - before);
    let readings: u64 = gpus.live().iter().map(|(_, live)| u64::from(live.tally().covered > Duration::ZERO)).sum();
    println!(
        "{GPUS} GPUs at 10 Hz for {:.0} s: {:.3} % of one core ({readings} of them covered)",
        took.as_secs_f64(),
        100.0 * cost.as_secs_f64() / took.as_secs_f64()
    );
    drop(gpus);

    let library = Library::open(Some(&path)).expect("it opens");
    let mut driver = library.driver();
    let found: Vec<_> = driver.list().expect("a list").into_iter().map(|(gpu, most)| (gpu.uuid, most)).collect();
    let uuids: Vec<String> = found.iter().map(|(uuid, _)| uuid.clone()).collect();
    let mut live = BTreeMap::new();
    add_known(&mut live, &found);
    let mut sampler = Sampler::new(1);
    const ROUNDS: u32 = 2_000;
    let (mut reading, mut taking) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let start = used();
        let gathered = sampler.round(&mut driver, &uuids, &Boot);
        let between = used();
        for (uuid, read) in gathered {
            live.get_mut(&uuid).expect("known").take(read);
        }
        reading += between - start;
        taking += used() - between;
    }
    let a_second = |time: Duration| 100.0 * time.as_secs_f64() / f64::from(ROUNDS) * 10.0;
    println!(
        "by hand, {ROUNDS} rounds: driver and wrapper {:.4} %, the meter itself {:.4} %",
        a_second(reading),
        a_second(taking)
    );
}
