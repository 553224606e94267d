//! What no meter sees of a node, as its owner states it: idle power of the host where nothing measures it, fans and network
//! cards, the loss of the power supply. Always `estimated`, and nothing where nothing is stated. Pure.

use super::apportion::apportion;
use super::{Shares, add, share};
use neap_model::fleet::{Component, Source};
use neap_model::job::AttemptId;
use neap_model::ledger::Part;
use neap_model::units::{Joules, Percent, Watts};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far a stated figure may be off. Assumed.
const STATED_OFF: f64 = 0.5;

/// What the node's owner states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Power of idle processors, counted where no counter measures them.
    pub idle: Watts,
    /// Power of memory, counted where no counter measures it.
    pub memory: Watts,
    /// Fans, network cards, disks.
    pub rest: Watts,
    /// Power that leaves the power supply for each watt that enters it.
    pub supply_efficiency: Percent,
}

/// What of the host counters measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Processor packages.
    pub processors: bool,
    /// Memory.
    pub memory: bool,
}

/// Adds what is stated for an interval. Idle power and the rest go by the cores each attempt reserved of `cores`, the loss
/// of the supply by what each used; the parts add up to the whole.
pub fn add_stated(
    shares: &mut Shares,
    stated: &Stated,
    time: Duration,
    measured: Measured,
    reserved: &BTreeMap<AttemptId, u32>,
    cores: u32,
) {
    let unless = |measured: bool, watts: Watts| if measured { Joules::ZERO } else { watts * time };
    split(shares, Component::Cpu, unless(measured.processors, stated.idle), &by_cores(reserved, cores));
    split(shares, Component::Dram, unless(measured.memory, stated.memory), &by_cores(reserved, cores));
    split(shares, Component::Other, stated.rest * time, &by_cores(reserved, cores));
    let efficiency = u64::from(stated.supply_efficiency.0).clamp(1, FULL);
    let sum = |parts: &[Part]| parts.iter().map(|part| part.energy).sum::<Joules>();
    let drawn = sum(&shares.node);
    let loss = drawn.scaled(FULL, efficiency).saturating_sub(drawn);
    let mut weights: Vec<(Option<AttemptId>, u64)> =
        shares.attempts.iter().map(|(attempt, parts)| (Some(*attempt), sum(parts).0)).collect();
    weights.push((None, drawn.saturating_sub(sum(&shares.attributed)).0));
    split(shares, Component::Other, loss, &weights);
}

/// A hundred percent, in the steps of [`Percent`].
const FULL: u64 = Percent::whole(100).0 as u64;

fn by_cores(reserved: &BTreeMap<AttemptId, u32>, cores: u32) -> Vec<(Option<AttemptId>, u64)> {
    let mut weights: Vec<_> = reserved.iter().map(|(attempt, cores)| (Some(*attempt), u64::from(*cores))).collect();
    let taken: u64 = weights.iter().map(|(_, cores)| cores).sum();
    weights.push((None, u64::from(cores).saturating_sub(taken)));
    weights
}

fn split(shares: &mut Shares, component: Component, energy: Joules, weights: &[(Option<AttemptId>, u64)]) {
    if energy.0 == 0 {
        return;
    }
    let part = |energy| Part { component, source: Source::Estimated, energy };
    add(&mut shares.node, part(energy));
    let amounts = apportion(energy.0, &weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>());
    for ((attempt, _), amount) in weights.iter().zip(amounts) {
        let Some(attempt) = attempt.filter(|_| amount > 0) else { continue };
        let part = part(Joules(amount));
        add(shares.attempts.entry(attempt).or_default(), part);
        add(&mut shares.attributed, part);
        shares.metering.entry(attempt).or_default().uncertain += share::times(part.energy, STATED_OFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neap_model::job::{Epoch, JobId};
    use proptest::prelude::*;

    fn attempt(job: u64) -> AttemptId {
        AttemptId { job: JobId(job), epoch: Epoch(1) }
    }

    fn drawn(joules: u64) -> Shares {
        let part = Part { component: Component::Gpu, source: Source::NvmlEnergy, energy: Joules(joules) };
        let attempts = [(attempt(1), vec![part])].into();
        Shares { attempts, node: vec![part], attributed: vec![part], ..Shares::default() }
    }

    #[test]
    fn nothing_stated_is_nothing_added() {
        let none = Stated { idle: Watts(0), memory: Watts(0), rest: Watts(0), supply_efficiency: Percent::whole(100) };
        let mut shares = drawn(500);
        add_stated(&mut shares, &none, Duration::from_secs(1), Measured::default(), &[(attempt(1), 4)].into(), 16);
        assert_eq!(shares, drawn(500));
    }

    #[test]
    fn the_rest_goes_by_cores_and_the_loss_by_energy() {
        let (idle, memory, rest) = (Watts(8_000), Watts(1_000), Watts(40_000));
        let stated = Stated { idle, memory, rest, supply_efficiency: Percent::whole(80) };
        let mut shares = drawn(1_000_000);
        let all = Measured { processors: true, memory: true };
        add_stated(&mut shares, &stated, Duration::from_secs(10), all, &[(attempt(1), 4)].into(), 16);
        let other = |parts: &[Part]| parts.iter().filter(|p| p.component == Component::Other).map(|p| p.energy.0).sum();
        let (node, job): (u64, u64) = (other(&shares.node), other(&shares.attempts[&attempt(1)]));
        // 400 J of rest; then a quarter of the 1,400 J behind the supply again: 350 J.
        assert_eq!((node, job), (400_000 + 350_000, 100_000 + 275_000));
        let host = |part: &Part| matches!(part.component, Component::Cpu | Component::Dram);
        assert!(!shares.node.iter().any(host), "processors and memory are measured");
    }

    #[test]
    fn memory_that_no_counter_measures_is_as_stated_beside_measured_processors() {
        let (idle, memory, rest) = (Watts(8_000), Watts(1_600), Watts(0));
        let stated = Stated { idle, memory, rest, supply_efficiency: Percent::whole(100) };
        let mut shares = drawn(0);
        let processors = Measured { processors: true, memory: false };
        add_stated(&mut shares, &stated, Duration::from_secs(10), processors, &[(attempt(1), 4)].into(), 16);
        let memory = |joules| Part { component: Component::Dram, source: Source::Estimated, energy: Joules(joules) };
        assert!(shares.node.contains(&memory(16_000)) && shares.attempts[&attempt(1)].contains(&memory(4_000)));
        assert!(shares.node.iter().all(|part| part.component != Component::Cpu));
    }

    proptest! {
        #[test]
        fn jobs_and_unattributed_are_the_node(
            joules in 0u64..10_000_000, rest in 0u64..500_000, idle in 0u64..50_000, efficiency in 50u32..101,
            cores in proptest::collection::vec(0u32..20, 0..6), millis in 0u64..100_000, processors: bool, memory: bool,
        ) {
            let (idle, rest, measured) = (Watts(idle), Watts(rest), Measured { processors, memory });
            let stated = Stated { idle, memory: idle, rest, supply_efficiency: Percent::whole(efficiency) };
            let reserved = cores.iter().enumerate().map(|(n, cores)| (attempt(n as u64), *cores)).collect();
            let mut shares = drawn(joules);
            add_stated(&mut shares, &stated, Duration::from_millis(millis), measured, &reserved, 32);
            let sum = |parts: &[Part]| parts.iter().map(|part| part.energy.0).sum::<u64>();
            let jobs: u64 = shares.attempts.values().map(|parts| sum(parts)).sum();
            prop_assert_eq!(jobs, sum(&shares.attributed));
            prop_assert!(jobs <= sum(&shares.node));
        }
    }
}
