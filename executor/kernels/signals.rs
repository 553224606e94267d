//! Listens for the pause signal and SIGTERM on a thread of its own; the workload asks between two steps. It never interrupts a step.

use super::KernelError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};
use tokio::signal::unix::{SignalKind, signal};

/// What was asked for; the later one in this list wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stop {
    /// Nothing: go on.
    Not = 0,
    /// Save and leave, to be started again.
    Pause = 1,
    /// Save and end.
    Terminate = 2,
}

static ASKED: AtomicU8 = AtomicU8::new(0);
static LISTENING: Mutex<bool> = Mutex::new(false);

/// What this process was asked for so far.
pub fn asked() -> Stop {
    match ASKED.load(Ordering::Relaxed) {
        0 => Stop::Not,
        1 => Stop::Pause,
        _ => Stop::Terminate,
    }
}

/// Starts to listen, once in a process's life: SIGTERM, and the signal `NEAP_PAUSE_SIGNAL` names (a name or number, else SIGUSR1).
/// Fails with [`KernelError::PauseSignal`] or [`KernelError::Signals`].
pub fn listen() -> Result<(), KernelError> {
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    if *listening {
        return Ok(());
    }
    let pause = match std::env::var("NEAP_PAUSE_SIGNAL") {
        Ok(name) if !name.is_empty() => kind(&name).ok_or(KernelError::PauseSignal(name))?,
        _ => SignalKind::user_defined1(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(KernelError::Signals)?;
    let (mut paused, mut ended) = {
        let _inside = runtime.enter();
        let both = || -> io::Result<_> { Ok((signal(pause)?, signal(SignalKind::terminate())?)) };
        both().map_err(KernelError::Signals)?
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    // Where both are the same signal it means pause: the grace for that is longer.
                    let stop = tokio::select! {
                        biased;
                        _ = paused.recv() => Stop::Pause,
                        _ = ended.recv(), if pause != SignalKind::terminate() => Stop::Terminate,
                    };
                    ASKED.fetch_max(stop as u8, Ordering::Relaxed);
                }
            });
        })
        .map_err(KernelError::Signals)?;
    *listening = true;
    Ok(())
}

/// A signal by name, with or without `SIG`, or by number.
pub(super) fn kind(name: &str) -> Option<SignalKind> {
    let upper = name.to_ascii_uppercase();
    Some(match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "USR1" => SignalKind::user_defined1(),
        "USR2" => SignalKind::user_defined2(),
        "HUP" => SignalKind::hangup(),
        "INT" => SignalKind::interrupt(),
        "QUIT" => SignalKind::quit(),
        "TERM" => SignalKind::terminate(),
        "ALRM" => SignalKind::alarm(),
        "WINCH" => SignalKind::window_change(),
        number => SignalKind::from_raw(number.parse().ok().filter(|n| (1..=64).contains(n))?),
    })
}
