//! Rows A4, A5, A6, A8 and A10 of the failure catalogue, on the simulated disk.
//!
//! NEAP_CUTS (300 unless said), NEAP_FLIPS (2,000), NEAP_SEED.

use super::simdisk::SimDisk;
use crate::journal::{Journal, JournalError, Options, Record, Space, unsalted};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SMALL: Options = Options { segment: 32 << 10, spares: 2 };

fn env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn seeded(test: &str) -> StdRng {
    let seed = env("NEAP_SEED", 20_261_123);
    use std::io::Write;
    writeln!(std::io::stdout(), "{test}: NEAP_SEED={seed}").expect("stdout");
    StdRng::seed_from_u64(seed)
}

/// What the journal holds, or why it does not open.
fn read(disk: &SimDisk) -> Result<(Journal<SimDisk>, Vec<Record>), JournalError> {
    let mut found = Vec::new();
    let journal = Journal::open(disk.clone(), SMALL, 1, |frame| {
        found.push(Record { public: frame.public.to_vec(), private: unsalted(frame.private).to_vec() });
        Ok(())
    })?;
    Ok((journal, found))
}

fn record(random: &mut StdRng, number: usize) -> Record {
    let length = if random.random_bool(0.1) { random.random_range(0..6_000) } else { random.random_range(0..300) };
    let private = if random.random_bool(0.5) { vec![7; random.random_range(1..200)] } else { Vec::new() };
    let mut public = format!("{number}:").into_bytes();
    public.extend((0..length).map(|_| random.random_range(0..=255u8)));
    Record { public, private }
}

/// Some batches, as a scheduler would write them; the last one may be in flight.
struct History {
    disk: SimDisk,
    acked: Vec<Record>,
    flying: Vec<Record>,
}

fn history(random: &mut StdRng, disk: SimDisk, known: Vec<Record>, in_flight: bool) -> History {
    let (mut journal, found) = read(&disk).expect("what is whole opens");
    assert!(found.len() >= known.len());
    let mut acked = found;
    for _ in 0..random.random_range(0..8) {
        let batch: Vec<Record> = (0..random.random_range(1..6)).map(|n| record(random, acked.len() + n)).collect();
        journal.append_batch(0, &batch).expect("the disk works");
        acked.extend(batch);
        if random.random_bool(0.5) {
            journal.mark(0).expect("the disk works");
        }
        if random.random_bool(0.3) {
            journal.make_spares();
        }
    }
    let mut flying = Vec::new();
    if in_flight {
        flying = (0..random.random_range(1..9)).map(|n| record(random, acked.len() + n)).collect();
        // The write reaches the disk's cache, and power fails before the sync returns. A batch that is cut by the end
        // of its segment may get one sync further.
        let allowed = if random.random_bool(0.2) { random.random_range(1..8) } else { 1 };
        disk.state().budget = Some(allowed);
        let result = journal.append_batch(0, &flying);
        disk.state().budget = None;
        if result.is_ok() {
            acked.append(&mut flying);
        }
    }
    History { disk, acked, flying }
}

/// Everything acknowledged is there, followed by nothing but a beginning of what was in flight.
fn check(found: &[Record], history: &History) {
    assert!(found.len() >= history.acked.len(), "{} of {} acknowledged turns", found.len(), history.acked.len());
    assert_eq!(found[..history.acked.len()], history.acked);
    assert!(found.len() <= history.acked.len() + history.flying.len());
    assert_eq!(found[history.acked.len()..], history.flying[..found.len() - history.acked.len()]);
}

#[test]
fn a4_power_cuts_lose_nothing_and_every_start_succeeds() {
    let mut random = seeded("power cuts");
    for _ in 0..env("NEAP_CUTS", 300) {
        let first = history(&mut random, SimDisk::default(), Vec::new(), true);
        let once = first.disk.cut(&mut random);
        let (journal, found) = read(&once).expect("a power cut is no damage");
        check(&found, &first);
        drop(journal);
        // Recovery itself is cut: it may have cleared some of the torn tail.
        let twice = if random.random_bool(0.5) {
            let again = once.copy();
            again.state().budget = Some(random.random_range(0..4));
            drop(read(&again));
            again.state().budget = None;
            again.cut(&mut random)
        } else {
            once
        };
        let second = history(&mut random, twice, found, true);
        let (_, found) = read(&second.disk.cut(&mut random)).expect("a second power cut is no damage");
        check(&found, &second);
    }
}

#[test]
fn a4_every_prefix_of_a_batch_opens() {
    let mut random = seeded("prefixes");
    for _ in 0..10 {
        let history = history(&mut random, SimDisk::default(), Vec::new(), true);
        for sectors in 0..=history.disk.unsynced() {
            let (_, found) = read(&history.disk.cut_prefix(sectors)).expect("a prefix is no damage");
            check(&found, &history);
        }
    }
}

#[test]
fn a6_flipped_bits_are_never_served() {
    let mut random = seeded("flips");
    let (mut refused, mut harmless) = (0, 0);
    let mut made = 0;
    while made < env("NEAP_FLIPS", 2_000) {
        let history = history(&mut random, SimDisk::default(), Vec::new(), false);
        if history.acked.is_empty() {
            continue;
        }
        let (mut journal, _) = read(&history.disk).expect("whole");
        journal.mark(0).expect("the disk works"); // the idle mark
        drop(journal);
        for _ in 0..20 {
            let disk = history.disk.copy();
            let (name, bit) = disk.flip(&mut random);
            let before = disk.image();
            match read(&disk) {
                Ok((_, found)) => {
                    assert_eq!(found, history.acked, "{name}, bit {bit}");
                    harmless += 1;
                }
                Err(error) => {
                    assert!(error.needs_a_person(), "{error}");
                    assert_eq!(disk.image(), before, "nothing is written on damage");
                    refused += 1;
                }
            }
            made += 1;
        }
    }
    use std::io::Write;
    writeln!(std::io::stdout(), "flips: {made}, refused {refused}, in unused space {harmless}, served wrong 0")
        .expect("stdout");
    assert!(refused > 0 && harmless > 0);
}

#[test]
fn a10_after_one_failed_write_or_sync_nothing_is_acknowledged() {
    let mut random = seeded("failures");
    for allowed in 0..200 {
        let disk = SimDisk::default();
        let (mut journal, _) = read(&disk).expect("empty");
        disk.state().budget = Some(allowed);
        let (mut acked, mut failed) = (Vec::new(), false);
        for number in 0..150 {
            let batch = vec![record(&mut random, number)];
            let before = disk.state().syncs;
            match journal.append_batch(0, &batch) {
                Ok(_) => {
                    assert!(!failed, "acknowledged after a failure");
                    assert!(disk.state().syncs > before);
                    acked.extend(batch);
                }
                Err(error) => {
                    assert!(!error.needs_a_person());
                    failed = true;
                    disk.state().budget = None; // the disk works again, and that changes nothing
                }
            }
        }
        assert!(failed || allowed > 150);
        let (_, found) = read(&disk.cut(&mut random)).expect("a failure is no damage");
        assert_eq!(found[..acked.len()], acked);
    }
}

#[test]
fn a8_a_full_disk_is_noticed_before_it_hurts_and_forgotten_when_it_is_over() {
    let disk = SimDisk::default();
    let (mut journal, _) = read(&disk).expect("empty");
    assert_eq!(journal.space(), Space::Ok);
    disk.state().space = Some(SMALL.segment + 100);
    journal.make_spares();
    assert_eq!(journal.space(), Space::Full);
    // The spare that was made is still there for what is already accepted.
    let batch = vec![Record { public: vec![1; 9_000], private: Vec::new() }];
    for _ in 0..4 {
        journal.append_batch(0, &batch).expect("the reserve is used");
    }
    disk.state().space = None;
    journal.make_spares();
    assert_eq!(journal.space(), Space::Ok);
}

#[test]
fn a16_another_format_is_refused_and_nothing_is_written() {
    let mut random = seeded("formats");
    let history = history(&mut random, SimDisk::default(), Vec::new(), false);
    let before = {
        let mut state = history.disk.state();
        let inode = state.inodes.first_mut().expect("a segment");
        inode.become_format(9);
        drop(state);
        history.disk.image()
    };
    let error = read(&history.disk).expect_err("format 9");
    assert!(matches!(error, JournalError::Format { .. }), "{error}");
    assert_eq!(history.disk.image(), before);
}
