//! Boards that several jobs share: what the sampler saw, divided second by second, against what each load really took.

use super::*;
use crate::meter::Holders;
use crate::meter::share::{BoardPart, GpuUse, Parted, Work, share};
use neap_model::job::{AttemptId, Epoch, JobId};

fn attempt(job: u64) -> AttemptId {
    AttemptId { job: JobId(job), epoch: Epoch(1) }
}

/// What the executor makes of a GPU in a second.
fn used(live: &Live, before: &Tally) -> GpuUse {
    let tally = live.tally().since(before);
    let works = live.uses.iter().flatten();
    // Processes below 100 are ours, one a job.
    let whose = |pid: u32| (pid < 100).then(|| attempt(u64::from(pid)));
    GpuUse {
        bound: Duration::ZERO,
        tally,
        idle: live.idle.watts().map_or(Joules(0), |watts| watts * tally.window),
        gain: 60,
        works: works.map(|one| Work { whose: whose(one.pid), activity: one.activity }).collect(),
        parts: live
            .parts
            .iter()
            .map(|part| BoardPart {
                uuid: part.uuid.clone(),
                multiprocessors: u64::from(part.multiprocessors),
                activity: part.activity,
            })
            .collect(),
    }
}

/// Energy of each job over a minute, and of nobody; every second adds up to the device.
fn a_minute(bench: &mut Bench<'_>, holders: &Holders) -> (BTreeMap<u64, f64>, f64) {
    let uuid = bench.node.gpu(0).uuid();
    let (mut jobs, mut nobody) = (BTreeMap::new(), 0.0);
    let mut before = bench.gpus[&uuid].tally();
    bench.seconds(60, |gpus| {
        let gpu = used(&gpus[&uuid], &before);
        before = gpus[&uuid].tally();
        let Parted { holders, unattributed, .. } = share(&uuid, &gpu, holders);
        let sum: u64 = holders.iter().map(|(_, _, energy)| energy.0).sum();
        let rest = unattributed.idle + unattributed.foreign + unattributed.unknown;
        assert_eq!(sum + rest.0, gpu.tally.energy().0);
        nobody += rest.0 as f64;
        for (holder, _, energy) in holders {
            *jobs.entry(holder.job.0).or_insert(0.0) += energy.0 as f64;
        }
    });
    (jobs, nobody)
}

fn close(found: f64, truth: f64, within: f64, what: &str) {
    assert!((found / truth - 1.0).abs() < within, "{what}: {found} mJ, in truth {truth} mJ");
}

#[test]
fn d1_jobs_under_mps_pay_what_they_took_and_half_the_idle_power() {
    let (_dir, node) = node(&[GpuSetup { together: true, ..GpuSetup::new(Board::A40) }]);
    let mut bench = Bench::new(&node, 3);
    bench.run(secs(40));
    // Two jobs and a stranger, alike in kind and not in size.
    for (pid, part) in [(1, 0.5), (2, 0.25), (777, 0.1)] {
        node.gpu(0).add(Load::BERT_A40.pid(pid).share(part));
    }
    bench.run(secs(3));
    let holders: Holders = [(node.gpu(0).uuid(), vec![attempt(1), attempt(2)])].into();
    let before = node.gpu(0).truth();
    let (jobs, nobody) = a_minute(&mut bench, &holders);
    let after = node.gpu(0).truth();
    let took = |pid: u32| {
        let of = |truth: &simgpu::Truth| truth.loads.iter().find(|load| load.0 == pid).map_or(0.0, |load| load.2);
        of(&after) - of(&before)
    };
    let idle = 80_000.0 * 60.0;
    close(jobs[&1], took(1) + idle / 2.0, 0.02, "job 1");
    close(jobs[&2], took(2) + idle / 2.0, 0.02, "job 2");
    close(nobody, took(777), 0.05, "the stranger");
}

#[test]
fn d1_jobs_in_parts_of_a_board_pay_their_own_work_and_empty_parts_are_nobodys() {
    let (_dir, node) = node(&[GpuSetup::new(Board::Hopper)]);
    let mut bench = Bench::new(&node, 4);
    bench.run(secs(40));
    node.gpu(0).mig(&[60, 32, 32]);
    node.gpu(0).add(Load::GEMM_HOPPER.pid(1).instance(0).share(60.0 / 132.0));
    node.gpu(0).add(Load { busy: 0.4, clocked: 0.0, ..Load::GEMM_HOPPER }.pid(2).instance(1).share(32.0 / 132.0));
    bench.run(secs(5));
    let parts: Vec<String> = bench.gpus[&node.gpu(0).uuid()].parts.iter().map(|part| part.uuid.clone()).collect();
    assert_eq!(parts.len(), 3);
    let holders: Holders = [(parts[0].clone(), vec![attempt(1)]), (parts[1].clone(), vec![attempt(2)])].into();
    let before = node.gpu(0).truth();
    let (jobs, nobody) = a_minute(&mut bench, &holders);
    let after = node.gpu(0).truth();
    let took = |n: usize| after.loads[n].2 - before.loads[n].2;
    let idle = |sms: f64| 70_000.0 * 60.0 * sms / 124.0;
    close(jobs[&1], took(0) + idle(60.0), 0.03, "job 1");
    close(jobs[&2], took(1) + idle(32.0), 0.03, "job 2");
    close(nobody, idle(32.0), 0.05, "the empty part");
}
