//! Energy divided, and an attempt's spans, by hand-made readings.

use super::*;
use neap_model::job::{Epoch, JobId};
use proptest::prelude::*;

fn attempt(job: u64) -> AttemptId {
    AttemptId { job: JobId(job), epoch: Epoch(1) }
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_392_000_000 + millis).expect("in range")
}

#[test]
fn a10_without_a_counter_the_figure_is_an_estimate_and_says_so() {
    let interval =
        Interval { busy_ms: 3_000, attempts: [(attempt(1), 1_500), (attempt(2), 500)].into(), ..Interval::default() };
    let shares = divide(&interval, &BTreeMap::new(), Watts::whole(5));
    let part = |joules| Part { component: Component::Cpu, source: Source::CpuTime, energy: Joules(joules) };
    assert_eq!(shares.attempts[&attempt(1)], [part(7_500)]);
    assert_eq!(shares.attempts[&attempt(2)], [part(2_500)]);
    assert_eq!((shares.node, shares.attributed), (vec![part(15_000)], vec![part(10_000)]));
}

#[test]
fn a_gpu_belongs_to_its_holder_idle_or_not() {
    let used =
        |joules| GpuUse { tally: track::Tally { counted: Joules(joules), ..<_>::default() }, ..GpuUse::default() };
    let gpus = [("a".to_owned(), used(100)), ("b".to_owned(), used(7))];
    let interval = Interval { cpu: Some(Joules(50)), busy_ms: 10, gpus: gpus.into(), ..Interval::default() };
    let shares = divide(&interval, &[("a".to_owned(), vec![attempt(1)])].into(), Watts::whole(5));
    let gpu = |joules| Part { component: Component::Gpu, source: Source::NvmlEnergy, energy: Joules(joules) };
    assert_eq!(shares.attempts[&attempt(1)], [gpu(100)]);
    assert!(shares.node.contains(&gpu(107)) && shares.attributed.contains(&gpu(100)));
}

#[test]
fn spans_close_by_the_minute_and_at_the_end_and_gaps_are_told() {
    let part = |joules| [Part { component: Component::Cpu, source: Source::CpuTime, energy: Joules(joules) }];
    let mut meter = AttemptMeter::new(at(0));
    assert!(!meter.take(&part(5), 10, at(5_000), false));
    assert!(!meter.take(&part(5), 20, at(59_000), false)); // 54 s without a reading
    assert!(meter.take(&part(1), 30, at(61_000), false));
    assert!(meter.take(&part(2), 40, at(62_000), true));
    let seen: Vec<_> = meter.closed.iter().map(|s| (s.seq, s.from, s.until, s.energy().0, s.gap_ms)).collect();
    assert_eq!(seen, [(0, at(0), at(61_000), 11, 54_000), (1, at(61_000), at(62_000), 2, 0)]);
    meter.booked(0);
    assert_eq!(meter.closed.len(), 1);
}

#[test]
fn what_it_drew_counts_where_it_ran_from_one_reading_to_the_next() {
    let second = Duration::from_secs(1);
    let mut meter = AttemptMeter::new(at(0));
    // It began between two readings: what it drew since the last one is not known.
    meter.drew(Some(Watts::whole(900)), second);
    meter.drew(Some(Watts::whole(300)), second);
    meter.drew(None, second);
    meter.drew(Some(Watts::whole(200)), second * 3);
    meter.take(&[], 10, at(6_000), true);
    let power = meter.closed[0].power;
    assert_eq!((power.mean(), power.highest()), (Some(Watts::whole(225)), Some(Watts::whole(300))));
    // The next executor goes on with what is kept, and has no reading before its first.
    meter.drew(Some(Watts::whole(250)), second);
    let text = serde_json::to_string(&meter).expect("it serializes");
    let mut later: AttemptMeter = serde_json::from_str(&text).expect("it is read");
    later.drew(Some(Watts::whole(800)), second);
    later.take(&[], 20, at(9_000), true);
    assert_eq!(later.closed[1].power.highest(), Some(Watts::whole(250)));
    assert_eq!(AttemptMeter::new(at(0)).power.mean(), None, "nothing is not zero");
}

proptest! {
    #[test]
    fn jobs_and_unattributed_are_the_device_exactly(
        package in 0u64..1_000_000_000, memory in proptest::option::of(0u64..100_000_000), busy in 0u64..100_000,
        used in proptest::collection::vec(0u64..50_000, 0..8),
    ) {
        let attempts: BTreeMap<_, _> = used.iter().enumerate().map(|(n, ms)| (attempt(n as u64), *ms)).collect();
        let (cpu, dram) = (Some(Joules(package)), memory.map(Joules));
        let interval = Interval { cpu, dram, busy_ms: busy, attempts, ..Interval::default() };
        let shares = divide(&interval, &BTreeMap::new(), Watts::whole(5));
        let jobs: Joules = shares.attempts.values().flatten().map(|p| p.energy).sum();
        let attributed: Joules = shares.attributed.iter().map(|p| p.energy).sum();
        let node: Joules = shares.node.iter().map(|p| p.energy).sum();
        prop_assert_eq!(jobs, attributed);
        prop_assert_eq!(node, Joules(package + memory.unwrap_or_default()));
        let of = |parts: &[Part], which| parts.iter().filter(|p| p.component == which).map(|p| p.energy).sum::<Joules>();
        for component in [Component::Cpu, Component::Dram] {
            let jobs: Joules = shares.attempts.values().map(|parts| of(parts, component)).sum();
            prop_assert_eq!(jobs, of(&shares.attributed, component));
            prop_assert!(jobs <= of(&shares.node, component));
        }
        prop_assert_eq!(shares.node.iter().any(|p| p.component == Component::Dram), memory.is_some());
        prop_assert!(attributed <= node);
    }
}
