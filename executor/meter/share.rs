//! One GPU's energy in an interval → parts of attempts, and what is nobody's. Pure. The parts are the device's energy to the
//! millijoule, by each source.

use super::Holders;
use super::apportion::{Hold, Slice, apportion, divide};
use super::track::Tally;
use crate::clock::millis;
use neap_model::fleet::Source;
use neap_model::job::AttemptId;
use neap_model::ledger::{Metering, Unattributed};
use neap_model::units::Joules;
use std::time::Duration;

/// Work of one process on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose; `None`: of no job of ours.
    pub whose: Option<AttemptId>,
    /// Multiprocessor activity in ten thousandths of the board.
    pub activity: u64,
}

/// A part of a board under MIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardPart {
    /// The driver's unique name.
    pub uuid: String,
    /// Multiprocessors.
    pub multiprocessors: u64,
    /// Its own activity in ten thousandths of the part; `None`: the driver does not say, and it counts by its size.
    pub activity: Option<u64>,
}

/// What a GPU used in an interval, and who was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuUse {
    /// Its energy, and how it is known.
    pub tally: Tally,
    /// What of it is idle energy.
    pub idle: Joules,
    /// How far its sensor and counter may be off, in thousandths.
    pub gain: u32,
    /// Processes.
    pub works: Vec<Work>,
    /// Its parts under MIG.
    pub parts: Vec<BoardPart>,
    /// For how long its power limit held its clocks down.
    pub bound: Duration,
}

/// A GPU's energy, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// All of it, by source.
    pub node: Vec<(Source, Joules)>,
    /// Each holder's, by source.
    pub holders: Vec<(AttemptId, Source, Joules)>,
    /// How well each holder's is known.
    pub metering: Vec<(AttemptId, Metering)>,
    /// Nobody's.
    pub unattributed: Unattributed,
}

/// `energy` times a ratio.
pub(super) fn times(energy: Joules, ratio: f64) -> Joules {
    Joules((energy.0 as f64 * ratio).round() as u64)
}

/// How far a reading may be off by a gain error of so many thousandths of the truth: a board that shows 6 % too little used
/// 6.4 % more than it shows.
#[must_use]
pub fn gain_off(read: Joules, gain: u32) -> Joules {
    let gain = f64::from(gain.min(999)) / 1e3;
    times(read, gain / (1.0 - gain))
}

/// Divides a GPU's energy among those who hold the board or parts of it.
#[must_use]
pub fn share(uuid: &str, used: &GpuUse, holders: &Holders) -> Parted {
    let whole = holders.get(uuid).map_or(&[][..], Vec::as_slice);
    let (who, holds, free, foreign) =
        if used.parts.is_empty() || !whole.is_empty() { by_process(whole, used) } else { by_part(used, holders) };
    let energy = used.tally.energy();
    let slice = Slice { energy: energy.0, idle: used.idle.0, holders: &holds, free, foreign };
    let divided = divide(&slice);
    // Each source is split as the sum is: with one source, as nearly always, that is the same split.
    let mut weights = divided.holders.clone();
    weights.extend([divided.idle, divided.foreign, divided.unknown]);
    let by_mig = !used.parts.is_empty() && whole.is_empty();
    let mut parted = Parted::default();
    let sources = [
        (Source::NvmlEnergy, used.tally.counted),
        (Source::NvmlPower, used.tally.integrated),
        (Source::Estimated, used.tally.estimated),
    ];
    for (source, energy) in sources {
        if energy.0 == 0 {
            continue;
        }
        let amounts = apportion(energy.0, &weights);
        let (jobs, rest) = amounts.split_at(who.len());
        // The board's energy is measured; how parts of it share that is not.
        let shown = if by_mig { Source::Estimated } else { source };
        let for_jobs: u64 = jobs.iter().sum();
        for (source, energy) in [(shown, for_jobs), (source, energy.0 - for_jobs)] {
            match parted.node.iter_mut().find(|(known, _)| *known == source) {
                _ if energy == 0 => {}
                Some((_, sum)) => *sum += Joules(energy),
                None => parted.node.push((source, Joules(energy))),
            }
        }
        let taken = who.iter().zip(jobs).filter(|(_, amount)| **amount > 0);
        parted.holders.extend(taken.map(|(holder, amount)| (*holder, shown, Joules(*amount))));
        let [idle, foreign, unknown] = [rest[0], rest[1], rest[2]].map(Joules);
        parted.unattributed.add(&Unattributed { idle, foreign, unknown });
    }
    let known = who.iter().zip(divided.holders.iter().zip(&divided.held));
    parted.metering =
        known.map(|(holder, (amount, held))| (*holder, metering(used, Joules(*amount), Joules(*held)))).collect();
    parted
}

type Division = (Vec<AttemptId>, Vec<Hold>, u64, u64);

/// Several who hold the whole board, in turns or by MPS: by the activity of their processes.
fn by_process(whole: &[AttemptId], used: &GpuUse) -> Division {
    let of = |whose: Option<AttemptId>| {
        used.works.iter().filter(|work| work.whose == whose).map(|work| work.activity).sum::<u64>()
    };
    let holds: Vec<Hold> = whole.iter().map(|holder| Hold { holds: 1, uses: of(Some(*holder)) }).collect();
    // Under another process namespace no process is anybody's: then a board held alone is its holder's all the same.
    let seen = used.works.iter().any(|work| work.whose.is_some_and(|whose| whole.contains(&whose)));
    let foreign = if whole.len() == 1 && !seen {
        0
    } else {
        used.works
            .iter()
            .filter(|work| work.whose.is_none_or(|whose| !whole.contains(&whose)))
            .map(|w| w.activity)
            .sum()
    };
    (whole.to_vec(), holds, 0, foreign)
}

/// Parts under MIG: by their size and what they did.
fn by_part(used: &GpuUse, holders: &Holders) -> Division {
    let (mut who, mut holds, mut free, mut foreign) = (Vec::new(), Vec::new(), 0, 0);
    // Without the activity of every part none can be weighed against another.
    let measured = used.parts.iter().all(|part| part.activity.is_some());
    for part in &used.parts {
        let activity = part.activity.filter(|_| measured).unwrap_or(10_000);
        let uses = part.multiprocessors * activity;
        match holders.get(&part.uuid).and_then(|those| those.first()) {
            Some(holder) => {
                who.push(*holder);
                holds.push(Hold { holds: part.multiprocessors, uses });
            }
            None => {
                free += part.multiprocessors;
                // A part without a job that is at work is at somebody else's.
                foreign += if measured { uses } else { 0 };
            }
        }
    }
    (who, holds, free, foreign)
}

fn metering(used: &GpuUse, share: Joules, held: Joules) -> Metering {
    let tally = &used.tally;
    let all = tally.energy().0;
    let gain = gain_off(share, used.gain);
    Metering {
        window_ms: millis(tally.window),
        covered_ms: millis(tally.covered),
        gap_ms: millis(tally.gap),
        uncertain: gain + if all > 0 { tally.spread.scaled(share.0, all) } else { tally.spread },
        compared: tally.compared.0.scaled(share.0, all.max(1)),
        integral: tally.compared.1.scaled(share.0, all.max(1)),
        segments: tally.segments,
        implausible: tally.implausible,
        idle: held,
        // Of a board that was never seen idle nobody knows what it draws then.
        idle_of: if used.idle > Joules::ZERO { share } else { Joules::ZERO },
    }
}

#[cfg(test)]
mod tests;
