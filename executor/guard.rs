//! One small process per attempt: it owns the process tree, the time limit and the exit record, and outlives executor
//! and scheduler. It has one thread and no opinions.

use crate::environment::{environment, free_port};
use crate::logs::Log;
use crate::process::{Members, end_all, identity};
use crate::rundir::{AttemptDir, ExitRecord, Started, StopOrder, Work};
use chrono::Utc;
use neap_model::lifecycle::{AttemptEnd, Exit, StopCause};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open};
use rustix::time::{ClockId, clock_gettime};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the guard looks for an order to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long everything left behind may take to die.
const SWEEP: Duration = Duration::from_secs(10);
/// Time between TERM and KILL when the time limit ends a job, or it did not save itself in time for a pause.
const GRACE: Duration = Duration::from_secs(10);

/// Why a job could not be started; told to the person as it stands.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("cannot start `{program}`: {source}")]
    Spawn { program: String, source: std::io::Error },
    #[error("cannot enter the work directory {path}: {source}")]
    Workdir { path: String, source: std::io::Error },
    #[error("cannot prepare the attempt: {0}")]
    Prepare(#[from] std::io::Error),
}

/// Runs the attempt that is described in `dir` to its end. The exit code only tells whether guarding went well.
#[must_use]
pub fn main(dir: &Path) -> u8 {
    let dir = AttemptDir(dir.to_owned());
    // Whoever claims the attempt decides about it: two guards, or a guard and a recovering executor, never both.
    if !dir.claim().unwrap_or(false) {
        return 1;
    }
    let _ = rustix::process::setsid();
    // Everything the job loses on the way becomes our child, however it left.
    let subreaper = rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok();
    let Some(work) = dir.read::<Work>("work.json") else { return 1 };
    if let Some(us) = i32::try_from(std::process::id()).ok().and_then(identity) {
        let _ = dir.write("guard.json", &us);
    }
    let mut log = Log::open(&work.log, work.log_limit);
    let end = match launch(&dir, &work) {
        Ok((child, output)) => attend(&dir, &work, child, output, &mut log),
        Err(error) => {
            log.put(format!("{error}\n").as_bytes());
            AttemptEnd::NotStarted { error: error.to_string() }
        }
    };
    let us = i32::try_from(std::process::id()).ok();
    let gone = end_all(&Members { guard: us, mark: &work.mark, ..Members::default() }, SWEEP, reap);
    let cpu_ms = us.and_then(crate::process::entry).map_or(0, |entry| entry.reaped_cpu_ms);
    let output_dropped = log.close();
    let containment = match (subreaper, gone) {
        (_, false) => "unkillable",
        (true, true) => "subreaper",
        (false, true) => "marker",
    };
    let record = ExitRecord { end, at: Utc::now(), cpu_ms, containment: containment.to_owned(), output_dropped };
    u8::from(dir.write("exit.json", &record).is_err())
}

fn launch(dir: &AttemptDir, work: &Work) -> Result<(Child, OwnedFd), LaunchError> {
    let task = &work.lease.spec.task;
    let scratch = dir.0.join("scratch");
    std::fs::DirBuilder::new().mode(0o700).create(&scratch)?;
    let workdir = Path::new(&task.workdir);
    std::fs::metadata(workdir)
        .and_then(|known| if known.is_dir() { Ok(()) } else { Err(std::io::ErrorKind::NotADirectory.into()) })
        .map_err(|source| LaunchError::Workdir { path: task.workdir.clone(), source })?;
    let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
    let environment = environment(work, &home, &work.lease.owner.name, &scratch, free_port());
    let (program, arguments) = match &task.script {
        Some(text) => {
            let path = dir.0.join("script");
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o700).open(&path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            (path.display().to_string(), task.command.as_slice())
        }
        None => {
            let (program, arguments) =
                task.command.split_first().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
            (program.clone(), arguments)
        }
    };
    // Looked up in the job's own PATH, not in ours.
    let found = find(&program, environment.get("PATH").map_or("", String::as_str), workdir);
    let (reader, writer) = std::io::pipe()?;
    let second = writer.try_clone()?;
    let mut command = Command::new(found.as_deref().unwrap_or(&program));
    command
        .args(arguments)
        .env_clear()
        .envs(&environment)
        .current_dir(workdir)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(second)
        .process_group(0);
    die_with_us(&mut command);
    let child = command.spawn().map_err(|source| LaunchError::Spawn { program, source })?;
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).map_err(std::io::Error::from)?;
    Ok((child, reader.into()))
}

/// If the guard is killed, so is the first process; the executor sweeps up the rest.
#[expect(unsafe_code, reason = "the closure runs between fork and exec and makes one async-signal-safe call")]
fn die_with_us(command: &mut Command) {
    // SAFETY: `prctl` allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// A program's file, as a shell would find it.
fn find(program: &str, path: &str, workdir: &Path) -> Option<String> {
    if program.contains('/') {
        return Some(workdir.join(program).display().to_string());
    }
    path.split(':')
        .map(|dir| format!("{dir}/{program}"))
        .find(|file| rustix::fs::access(file.as_str(), rustix::fs::Access::EXEC_OK).is_ok())
}

fn boot_now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Stays with the job until its first process ended: passes output on, keeps the limit, hears orders to end.
fn attend(dir: &AttemptDir, work: &Work, mut child: Child, output: OwnedFd, log: &mut Log) -> AttemptEnd {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(process) = i32::try_from(child.id()).ok().and_then(identity) {
        let _ = dir.write("started.json", &Started { at: Utc::now(), process });
    }
    let watch = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let limit = boot_now() + Duration::from(work.lease.limit);
    let mut output = std::fs::File::from(output);
    let mut stopping: Option<Ladder> = None;
    let mut open = true;
    let status: Option<ExitStatus> = loop {
        wait(&output, watch.as_ref(), open);
        open = open && pump(&mut output, log);
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => break Some(status),
            Err(_) => break None,
        }
        let now = boot_now();
        // A pause gives way to every other order.
        if stopping.as_ref().is_none_or(Ladder::pauses) {
            let order = dir.read::<StopOrder>("stop.json").map(|order| (order.cause, Duration::from(order.grace)));
            let order = order.filter(|(cause, _)| stopping.as_ref().is_none_or(|ladder| ladder.cause != *cause));
            let order = (now >= limit).then_some((StopCause::Limit, GRACE)).or(order);
            if let Some((cause, grace)) = order {
                stopping = Some(Ladder::begin(cause, grace, work, pid, now));
            }
        }
        if let Some(ladder) = &mut stopping {
            ladder.climb(pid, now);
        }
    };
    // What its processes said before they are gone.
    while open && pump_once(&mut output, log) {}
    let exit = match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(u8::try_from(code).unwrap_or(255)),
            (None, Some(signal)) => Exit::Signal(u8::try_from(signal).unwrap_or(0)),
            (None, None) => Exit::Code(255),
        },
        None => Exit::Code(255),
    };
    match stopping {
        Some(Ladder { cause, .. }) => AttemptEnd::Stopped { exit, cause },
        None => AttemptEnd::Exited { exit },
    }
}

/// What an attempt is told so that it ends: for a pause its own signal first, then TERM, then KILL.
struct Ladder {
    cause: StopCause,
    /// The next signal, and when it is due.
    next: Option<(Signal, Duration)>,
}

impl Ladder {
    fn begin(cause: StopCause, grace: Duration, work: &Work, pid: Option<Pid>, now: Duration) -> Self {
        let own = work.lease.spec.flex.pause.as_ref().and_then(|pause| signal_named(&pause.signal));
        // Its first process knows what is to be saved; what it started may not know the signal and die of it.
        let then = match (&cause, own, pid) {
            (StopCause::Pause { .. }, Some(own), Some(pid)) => {
                let _ = kill_process(pid, own);
                Signal::TERM
            }
            _ => {
                signal_group(pid, Signal::TERM);
                Signal::KILL
            }
        };
        Self { cause, next: Some((then, now + grace)) }
    }

    fn pauses(&self) -> bool {
        matches!(self.cause, StopCause::Pause { .. })
    }

    fn climb(&mut self, pid: Option<Pid>, now: Duration) {
        if let Some((signal, _)) = self.next.filter(|(_, due)| now >= *due) {
            signal_group(pid, signal);
            self.next = (signal == Signal::TERM).then_some((Signal::KILL, now + GRACE));
        }
    }
}

/// The signals that a job may name for its pause.
fn signal_named(name: &str) -> Option<Signal> {
    Some(match name {
        "SIGUSR1" => Signal::USR1,
        "SIGUSR2" => Signal::USR2,
        "SIGTERM" => Signal::TERM,
        "SIGINT" => Signal::INT,
        "SIGHUP" => Signal::HUP,
        _ => return None,
    })
}

/// Sleeps until there is output, the process ended, or it is time to look for orders.
fn wait(output: &std::fs::File, watch: Option<&OwnedFd>, open: bool) {
    let mut descriptors = Vec::with_capacity(2);
    if open {
        descriptors.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN));
    }
    if let Some(watch) = watch {
        descriptors.push(PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN));
    }
    let look = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    // Interrupted or not: the loop looks at everything anyway.
    let _ = poll(&mut descriptors, Some(&look));
}

/// Passes on what there is. Says whether the pipe is still open.
fn pump(output: &mut std::fs::File, log: &mut Log) -> bool {
    let mut buffer = [0; 64 << 10];
    // Bounded, so that a job that never stops talking is still attended to.
    for _ in 0..64 {
        match output.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => log.put(&buffer[..count]),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// One piece, if there is one.
fn pump_once(output: &mut std::fs::File, log: &mut Log) -> bool {
    let mut buffer = [0; 64 << 10];
    match output.read(&mut buffer) {
        Ok(count @ 1..) => {
            log.put(&buffer[..count]);
            true
        }
        Ok(0) | Err(_) => false,
    }
}

fn signal_group(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // It may just have ended; then there is nobody to tell.
        let _ = kill_process_group(pid, signal);
    }
}

/// Collects what died, so that its processor time counts.
fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}
