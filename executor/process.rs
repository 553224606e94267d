//! Processes as the kernel shows them: who they are, what they descend from, and how all of them are ended.
//!
//! A bare number from a file is never signalled: boot, start time and number must all fit.

use crate::rundir::Identity;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The variable that marks everything an attempt started.
pub const MARKER: &str = "NEAP_ATTEMPT";

/// Clock ticks in a second, as the kernel shows times to programs on every Linux platform we build for.
const TICKS: u64 = 100;

/// A line of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// State letter; `Z`: it is dead and not reaped.
    pub state: char,
    /// Own processor time in milliseconds.
    pub cpu_ms: u64,
    /// Processor time of children it reaped, in milliseconds.
    pub reaped_cpu_ms: u64,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

/// The id of this boot.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// One process, if it is there.
#[must_use]
pub fn entry(pid: i32) -> Option<Entry> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/PID/stat`. The name may hold anything, so fields count from its closing bracket.
fn parse_stat(text: &str) -> Option<Entry> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let rest: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| rest.get(at).and_then(|field| field.parse::<i64>().ok());
    let ticks = |at: usize| number(at).map(|ticks| u64::try_from(ticks).unwrap_or(0) * 1_000 / TICKS);
    Some(Entry {
        pid,
        state: rest.first()?.chars().next()?,
        parent: i32::try_from(number(1)?).ok()?,
        group: i32::try_from(number(2)?).ok()?,
        session: i32::try_from(number(3)?).ok()?,
        cpu_ms: ticks(11)? + ticks(12)?,
        reaped_cpu_ms: ticks(13)? + ticks(14)?,
        started: u64::try_from(number(19)?).ok()?,
    })
}

/// All processes.
#[must_use]
pub fn table() -> BTreeMap<i32, Entry> {
    let Ok(dir) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, entry(pid)?)))
        .collect()
}

/// Everything that descends from `root`, without it.
#[must_use]
pub fn descendants(table: &BTreeMap<i32, Entry>, root: i32) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in table.values() {
        children.entry(entry.parent).or_default().push(entry.pid);
    }
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(parent) = next.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found
}

/// Processor time of everything a guard ever started, in milliseconds: what it reaped, and what still lives. What dies
/// moves from one part to the other, so the sum only rises.
#[must_use]
pub fn tree_cpu_ms(table: &BTreeMap<i32, Entry>, guard: i32) -> Option<u64> {
    let own = table.get(&guard)?.reaped_cpu_ms;
    let live =
        descendants(table, guard).into_iter().filter_map(|pid| table.get(&pid)).map(|e| e.cpu_ms + e.reaped_cpu_ms);
    Some(own + live.sum::<u64>())
}

/// Who a process is, to be known again.
#[must_use]
pub fn identity(pid: i32) -> Option<Identity> {
    Some(Identity { pid, started: entry(pid)?.started, boot: boot_id() })
}

/// Whether that very process lives.
#[must_use]
pub fn lives(identity: &Identity) -> bool {
    identity.boot == boot_id()
        && entry(identity.pid).is_some_and(|entry| entry.started == identity.started && entry.state != 'Z')
}

/// Signals a process if it is still the one in the table.
fn signal(entry: &Entry, signal: Signal) {
    let same = self::entry(entry.pid).is_some_and(|now| now.started == entry.started);
    if let (true, Some(pid)) = (same, Pid::from_raw(entry.pid)) {
        // Gone in between, or not ours any more: the next look tells.
        let _ = kill_process(pid, signal);
    }
}

/// Kills that very process, if it lives.
pub fn kill_known(identity: &Identity) {
    if let Some(entry) = entry(identity.pid).filter(|_| lives(identity)) {
        signal(&entry, Signal::KILL);
    }
}

/// Whether a process carries the marker of an attempt in its environment.
fn carries(pid: i32, mark: &str) -> bool {
    let wanted = format!("{MARKER}={mark}");
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
}

/// What belongs to an attempt.
#[derive(Clone, Debug, Default)]
pub struct Members<'a> {
    /// Its guard: everything below it, but not itself.
    pub guard: Option<i32>,
    /// Processes that were seen below it, with their start times: they and everything below them.
    pub seen: BTreeMap<i32, u64>,
    /// The marker in their environments.
    pub mark: &'a str,
}

/// Processes that came to us because whoever they came from is gone, other than those we started ourselves.
#[must_use]
pub fn strays(ours: &BTreeSet<i32>) -> BTreeMap<i32, u64> {
    let us = i32::try_from(std::process::id()).unwrap_or(0);
    let stray = |entry: &&Entry| entry.parent == us && !ours.contains(&entry.pid);
    table().values().filter(stray).map(|entry| (entry.pid, entry.started)).collect()
}

/// Lets the dead among them go.
pub fn bury(strays: &BTreeMap<i32, u64>) {
    for pid in strays.keys().filter_map(|pid| Pid::from_raw(*pid)) {
        // Alive, or not our child after all: nothing happens.
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

/// Everything of an attempt that lives.
fn members(of: &Members<'_>) -> Vec<Entry> {
    let us = i32::try_from(std::process::id()).unwrap_or(0);
    let table = table();
    let mut pids = of.guard.map(|guard| descendants(&table, guard)).unwrap_or_default();
    for (pid, started) in &of.seen {
        if table.get(pid).is_some_and(|entry| entry.started == *started) {
            pids.insert(*pid);
            pids.extend(descendants(&table, *pid));
        }
    }
    pids.extend(table.keys().copied().filter(|pid| carries(*pid, of.mark)));
    pids.retain(|pid| *pid != us && Some(*pid) != of.guard);
    pids.iter().filter_map(|pid| table.get(pid)).filter(|entry| entry.state != 'Z').cloned().collect()
}

/// Ends everything of an attempt: stops all first, so that nobody forks away, then kills, until two looks find nothing.
/// `reap` is called between looks. Says whether it succeeded in time.
pub fn end_all(of: &Members<'_>, patience: Duration, mut reap: impl FnMut()) -> bool {
    let deadline = Instant::now() + patience;
    let mut clean = 0;
    while clean < 2 {
        let found = members(of);
        found.iter().for_each(|entry| signal(entry, Signal::STOP));
        found.iter().for_each(|entry| signal(entry, Signal::KILL));
        reap();
        if found.is_empty() {
            clean += 1;
        } else {
            clean = 0;
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    true
}

/// Busy processor time of the whole host in milliseconds.
#[must_use]
pub fn host_busy_ms() -> Option<u64> {
    parse_busy(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// user, nice, system, irq, softirq and steal of the first line; idle and iowait are not busy.
fn parse_busy(text: &str) -> Option<u64> {
    let fields: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum();
    Some(busy * 1_000 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_and_blanks_confuses_nobody() {
        let line = "42 (a) b) c) S 1 40 39 0 -1 4194304 100 0 0 0 7 3 20 10 20 0 1 0 12345 1000 100 0";
        let entry = parse_stat(line).expect("a line of stat");
        assert_eq!((entry.pid, entry.parent, entry.group, entry.session, entry.state), (42, 1, 40, 39, 'S'));
        assert_eq!((entry.cpu_ms, entry.reaped_cpu_ms, entry.started), (100, 300, 12_345));
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("1 (x"), None);
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let entry = |pid, parent| Entry {
            pid,
            parent,
            group: 0,
            session: 0,
            state: 'S',
            cpu_ms: 10,
            reaped_cpu_ms: 1,
            started: 0,
        };
        let table: BTreeMap<i32, Entry> =
            [(1, 0), (2, 1), (3, 2), (4, 3), (5, 1)].map(|(pid, parent)| (pid, entry(pid, parent))).into();
        assert_eq!(descendants(&table, 2), BTreeSet::from([3, 4]));
        assert_eq!(tree_cpu_ms(&table, 2), Some(1 + 11 + 11));
        assert_eq!(tree_cpu_ms(&table, 9), None);
    }

    #[test]
    fn we_know_ourselves_again() {
        let pid = i32::try_from(std::process::id()).expect("small");
        let us = identity(pid).expect("we live");
        assert!(lives(&us));
        assert!(!lives(&Identity { started: us.started + 1, ..us.clone() }));
        assert!(!lives(&Identity { boot: "another".to_owned(), ..us }));
        assert!(host_busy_ms().is_some_and(|busy| busy > 0));
    }
}
