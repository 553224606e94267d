use super::*;
use neap_model::job::{Epoch, JobId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn attempt(job: u64) -> AttemptId {
    AttemptId { job: JobId(job), epoch: Epoch(1) }
}

fn used(energy: u64, idle: u64, works: &[(Option<u64>, u64)]) -> GpuUse {
    GpuUse {
        bound: Duration::ZERO,
        tally: Tally { counted: Joules(energy), ..Tally::default() },
        idle: Joules(idle),
        works: works.iter().map(|(whose, activity)| Work { whose: whose.map(attempt), activity: *activity }).collect(),
        ..GpuUse::default()
    }
}

fn parts(parted: &Parted) -> Vec<(u64, u64)> {
    parted.holders.iter().map(|(holder, _, energy)| (holder.job.0, energy.0)).collect()
}

#[test]
fn two_who_share_in_turns_pay_idle_alike_and_work_by_activity() {
    let holders: Holders = [("a".to_owned(), vec![attempt(1), attempt(2)])].into();
    let parted = share("a", &used(1_000, 200, &[(Some(1), 6_000), (Some(2), 2_000)]), &holders);
    assert_eq!(parts(&parted), [(1, 700), (2, 300)]);
    let parted = share("a", &used(1_000, 200, &[]), &holders);
    assert_eq!((parts(&parted), parted.unattributed.unknown), (vec![(1, 100), (2, 100)], Joules(800)));
}

#[test]
fn a_stranger_pays_for_himself_unless_nobody_can_be_told_apart() {
    let holders: Holders = [("a".to_owned(), vec![attempt(1)])].into();
    let parted = share("a", &used(1_000, 0, &[(Some(1), 5_000), (None, 5_000)]), &holders);
    assert_eq!((parts(&parted), parted.unattributed.foreign), (vec![(1, 500)], Joules(500)));
    let parted = share("a", &used(1_000, 0, &[(None, 5_000)]), &holders);
    assert_eq!(parts(&parted), [(1, 1_000)]);
    let parted = share("b", &used(1_000, 400, &[(None, 5_000)]), &holders);
    assert_eq!(parted.unattributed, Unattributed { idle: Joules(400), foreign: Joules(600), unknown: Joules(0) });
}

#[test]
fn the_idle_part_of_a_share_is_told_where_it_is_known() {
    let both: Holders = [("a".to_owned(), vec![attempt(1), attempt(2)])].into();
    let one: Holders = [("a".to_owned(), vec![attempt(1)])].into();
    let idle = |holders: &Holders, gpu: &GpuUse| -> Vec<Option<Joules>> {
        let parted = share("a", gpu, holders);
        let of = |who| parted.holders.iter().filter(|(holder, ..)| *holder == who).map(|(_, _, energy)| *energy).sum();
        parted.metering.iter().map(|(who, metering)| metering.idle_part(of(*who))).collect()
    };
    let busy = [(Some(1), 9_000), (Some(2), 1_000)];
    assert_eq!(idle(&both, &used(1_000, 400, &busy)), [Some(Joules(200)); 2]);
    assert_eq!(idle(&one, &used(1_000, 400, &busy[..1])), [Some(Joules(400))]);
    assert_eq!(idle(&one, &used(300, 400, &[])), [Some(Joules(300))], "less than nothing to do is all idle");
    assert_eq!(idle(&one, &used(1_000, 0, &busy[..1])), [None], "a board that was never seen idle");
    // Of two intervals only one is known: then it is not known for all of the energy.
    let mut sum = share("a", &used(1_000, 400, &[]), &one).metering[0].1;
    sum.add(&share("a", &used(1_000, 0, &[]), &one).metering[0].1);
    assert_eq!(sum.idle_part(Joules(2_000)), None);
}

#[test]
fn parts_of_a_board_pay_by_size_and_activity_and_are_estimates() {
    let part = |uuid: &str, multiprocessors, activity| BoardPart { uuid: uuid.to_owned(), multiprocessors, activity };
    let mut gpu = used(13_200, 1_320, &[]);
    gpu.parts = vec![part("m0", 60, Some(10_000)), part("m1", 30, Some(0)), part("m2", 42, Some(0))];
    let holders: Holders = [("m0".to_owned(), vec![attempt(1)]), ("m1".to_owned(), vec![attempt(2)])].into();
    let parted = share("a", &gpu, &holders);
    assert_eq!(parts(&parted), [(1, 600 + 11_880), (2, 300)]);
    assert_eq!(parted.unattributed, Unattributed { idle: Joules(420), ..<_>::default() });
    assert!(parted.holders.iter().all(|(_, source, _)| *source == Source::Estimated));
    // Without activity: by size alone.
    gpu.parts.iter_mut().for_each(|part| part.activity = None);
    assert_eq!(parts(&share("a", &gpu, &holders)), [(1, 600 + 7_920), (2, 300 + 3_960)]);
}

/// 10⁵ random schedules with several sources, MPS, MIG and strangers: jobs + idle + foreign + unknown = device.
#[test]
fn d1_jobs_and_unattributed_are_the_device_exactly() {
    let mut random = StdRng::seed_from_u64(9);
    for case in 0..100_000u32 {
        let mut any = |most: u64| if random.random_bool(0.3) { 0 } else { random.random_range(0..most) };
        let mut gpu = used(any(900_000), any(90_000), &[]);
        (gpu.tally.integrated, gpu.tally.estimated) = (Joules(any(50_000)), Joules(any(50_000)));
        gpu.works =
            (0..any(5)).map(|_| Work { whose: (any(9) > 0).then(|| attempt(any(4))), activity: any(10_001) }).collect();
        if any(3) == 0 {
            let gpm = any(2) == 0;
            let part = |n: u64, any: &mut dyn FnMut(u64) -> u64| BoardPart {
                uuid: format!("m{n}"),
                multiprocessors: 16 + any(60),
                activity: gpm.then(|| any(10_001)),
            };
            gpu.parts = (0..1 + any(7)).map(|n| part(n, &mut any)).collect();
        }
        let mut holders = Holders::new();
        if any(2) == 0 {
            holders.insert("a".to_owned(), (0..any(4)).map(attempt).collect());
        }
        for n in 0..any(7) {
            holders.insert(format!("m{n}"), vec![attempt(n)]);
        }
        let parted = share("a", &gpu, &holders);
        let jobs: u64 = parted.holders.iter().map(|(_, _, energy)| energy.0).sum();
        let Unattributed { idle, foreign, unknown } = parted.unattributed;
        let device = gpu.tally.energy().0;
        assert_eq!(jobs + idle.0 + foreign.0 + unknown.0, device, "case {case}: {gpu:?} {holders:?}");
        assert_eq!(parted.node.iter().map(|(_, energy)| energy.0).sum::<u64>(), device, "case {case}");
    }
}
