//! How fast a job goes by its own count of steps, while one limit is in force: windows with a warm-up before each.
//!
//! The job writes how many steps it has done into the file that `NEAP_PROGRESS` names, as often as it likes; the last line
//! counts. A job that writes nothing is not slowed to save energy, because nobody could say by how much.

use crate::clock::millis;
use crate::domains::Cap;
use neap_model::cap::Pace;
use neap_model::units::{Joules, Percent};
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Steps that are left out after a limit changed.
const WARM_STEPS: u64 = 10;
/// A limit takes effect over some tenths of a second; what comes before that is left out as well.
const WARM: Duration = Duration::from_secs(2);
/// Steps of a window at least.
const STEPS: u64 = 40;
/// A count is read from so many bytes at the end of the file.
const TAIL: u64 = 64;

/// A count of steps, and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub steps: u64,
    /// Since the epoch, by the host's clock.
    pub at: Duration,
}

/// Reads the file a job counts its steps in; `None`: there is none, or it is being written.
#[must_use]
pub fn read(path: &Path) -> Option<Progress> {
    // Whatever the job put there: a pipe is neither waited for nor read.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let length = about.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut text = String::new();
    file.take(TAIL).read_to_string(&mut text).ok()?;
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    // `120/4000` counts as 120: both are written by people's loops.
    let count = last.split(['/', ' ', '.']).next()?;
    let at = about.modified().unwrap_or(SystemTime::now()).duration_since(UNIX_EPOCH).ok()?;
    Some(Progress { steps: count.parse().ok()?, at })
}

/// What held the GPUs of an attempt up, counted from any beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    /// Time for which a limit held the clocks down.
    pub bound: Duration,
    /// Time in which memory was read or written, of all of them together,
    pub memory_busy: Duration,
    /// of so much time.
    pub memory_seen: Duration,
}

impl Strain {
    /// The share of time in which memory was busy since then; `None`: nothing was seen.
    fn memory_since(&self, then: &Self) -> Option<Percent> {
        let seen = self.memory_seen.saturating_sub(then.memory_seen);
        let busy = self.memory_busy.saturating_sub(then.memory_busy).min(seen);
        // A share of at most one, in thousandths of a percent.
        (!seen.is_zero()).then(|| Percent((busy.as_secs_f64() / seen.as_secs_f64() * 1e5).round() as u32))
    }
}

/// What the meters say of the GPUs of an attempt so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// Their energy.
    pub energy: Joules,
    /// What held them up, where all of them say it.
    pub strain: Option<Strain>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    progress: Progress,
    metered: Metered,
    at: Duration,
}

/// The windows of one attempt.
#[derive(Clone, Debug)]
pub struct Windows {
    /// A window takes at least that.
    least: Duration,
    cap: Cap,
    alike: bool,
    since: Duration,
    first: Option<Progress>,
    from: Option<Mark>,
    next: u32,
    /// The last whole one.
    pub last: Option<Pace>,
}

impl Windows {
    /// From now on, with no limit of ours.
    #[must_use]
    pub const fn new(least: Duration, now: Duration) -> Self {
        let cap = Cap { limit: None, clock_ceiling: None };
        Self { least, cap, alike: true, since: now, first: None, from: None, next: 0, last: None }
    }

    /// Another limit or ceiling is in force from now on: what was begun is dropped. While its GPUs are not held alike nothing is told.
    pub fn held(&mut self, cap: Cap, alike: bool, now: Duration) {
        (self.cap, self.alike, self.since) = (cap, alike, now);
        (self.first, self.from) = (None, None);
    }

    /// Takes a count in, with what the meters of the attempt's GPUs say at `now` since boot. Says whether a window is whole.
    pub fn take(&mut self, progress: Progress, metered: Metered, now: Duration) -> bool {
        if !self.alike {
            return false;
        }
        let first = *self.first.get_or_insert(progress);
        let Some(from) = self.from else {
            // A count that falls is another loop, and starts another window.
            if progress.steps < first.steps {
                self.first = Some(progress);
            } else if progress.steps - first.steps >= WARM_STEPS && now >= self.since + WARM {
                self.from = Some(Mark { progress, metered, at: now });
            }
            return false;
        };
        let (Some(steps), Some(steps_time)) =
            (progress.steps.checked_sub(from.progress.steps), progress.at.checked_sub(from.progress.at))
        else {
            (self.first, self.from) = (Some(progress), None);
            return false;
        };
        let time = now.saturating_sub(from.at);
        if steps < STEPS || steps_time < self.least || time < self.least {
            return false;
        }
        self.from = Some(Mark { progress, metered, at: now });
        // A host's clock that was set, or a job that counts only now and then: no rate can be told from that.
        let a_step = steps_time / u32::try_from(steps).unwrap_or(u32::MAX);
        if steps_time.abs_diff(time) > Duration::from_secs(2) + 2 * a_step {
            return false;
        }
        let strain = metered.strain.zip(from.metered.strain);
        self.last = Some(Pace {
            number: self.next,
            limit: self.cap.limit,
            clock_ceiling: self.cap.clock_ceiling,
            steps,
            steps_ms: millis(steps_time),
            energy: metered.energy.saturating_sub(from.metered.energy),
            energy_ms: millis(time),
            bound_ms: strain.map_or(0, |(now, then)| millis(now.bound.saturating_sub(then.bound).min(time))),
            memory_busy: strain.and_then(|(now, then)| now.memory_since(&then)),
        });
        self.next += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neap_model::units::Watts;

    fn secs(at: f64) -> Duration {
        Duration::from_secs_f64(at)
    }

    /// 200 W; a limit binds for a tenth of the time, memory of two GPUs is busy for two thirds of it.
    fn metered(second: u64) -> Metered {
        let strain = Strain {
            bound: Duration::from_millis(second * 100),
            memory_busy: secs(second as f64 * 4.0 / 3.0),
            memory_seen: secs(second as f64 * 2.0),
        };
        Metered { energy: Joules(second * 200_000), strain: Some(strain) }
    }

    /// Ten steps a second, seen once a second.
    fn run(windows: &mut Windows, from: u64, until: u64) -> Vec<Pace> {
        let mut whole = Vec::new();
        for second in from..until {
            let progress = Progress { steps: second * 10, at: secs(1e9 + second as f64) };
            if windows.take(progress, metered(second), secs(second as f64)) {
                whole.extend(windows.last);
            }
        }
        whole
    }

    #[test]
    fn a_window_is_warm_long_and_of_one_limit() {
        let mut windows = Windows::new(secs(10.0), secs(0.0));
        let whole = run(&mut windows, 0, 30);
        assert_eq!(
            whole.iter().map(|pace| (pace.number, pace.steps, pace.steps_ms)).collect::<Vec<_>>(),
            [(0, 100, 10_000), (1, 100, 10_000)]
        );
        assert_eq!((whole[0].energy, whole[0].energy_ms, whole[0].limit), (Joules(2_000_000), 10_000, None));
        assert_eq!((whole[0].bound_ms, whole[0].memory_busy), (1_000, Some(Percent(66_667))));
        windows.held(Cap { limit: Some(Watts::whole(150)), clock_ceiling: None }, true, secs(30.0));
        let whole = run(&mut windows, 30, 45);
        assert_eq!(
            whole.iter().map(|pace| (pace.number, pace.limit)).collect::<Vec<_>>(),
            [(2, Some(Watts::whole(150)))]
        );
    }

    #[test]
    fn a_clock_that_was_set_and_a_count_that_fell_make_no_window() {
        let mut windows = Windows::new(secs(10.0), secs(0.0));
        assert!(run(&mut windows, 0, 5).is_empty());
        // An hour ahead: the first comparison is off, the next ones are not.
        let at = |second: u64| Progress { steps: second * 10, at: secs(1e9 + 3_600.0 + second as f64) };
        let whole =
            (5..40).filter(|second| windows.take(at(*second), Metered::default(), secs(*second as f64))).count();
        assert_eq!(whole, 2);
        assert!(!windows.take(Progress { steps: 3, at: secs(1e9 + 3_640.0) }, Metered::default(), secs(40.0)));
    }

    #[test]
    fn the_last_line_counts_and_half_a_line_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("progress");
        let says = |text: &str| {
            std::fs::write(&path, text).expect("written");
            read(&path).map(|progress| progress.steps)
        };
        assert_eq!(says("120\n"), Some(120));
        assert_eq!(says("1\n2\n37"), Some(37));
        assert_eq!(says("37/400 loss 0.2\n"), Some(37));
        assert_eq!(says(""), None);
        assert_eq!(says("loss\n"), None);
        assert_eq!(says(&"9\n".repeat(5_000)), Some(9));
        assert_eq!(read(&dir.path().join("none")), None);
        std::fs::remove_file(&path).expect("gone");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("it ran");
        assert!(made.success());
        assert_eq!(read(&path), None, "nobody waits for a pipe");
    }
}
