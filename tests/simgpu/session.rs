//! What `nvmlInit` opens in this process, and the way of every call to a GPU: through time, faults and permission.

use crate::advance::{advance, events};
use crate::fault::Kind;
use crate::file::Mapped;
use crate::place::{Place, here};
use crate::state::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// NVML's return codes that are used here.
pub(crate) type Code = u32;
pub(crate) const UNINITIALIZED: Code = 1;
pub(crate) const INVALID: Code = 2;
pub(crate) const UNSUPPORTED: Code = 3;
pub(crate) const FORBIDDEN: Code = 4;
pub(crate) const NOT_FOUND: Code = 6;
pub(crate) const TOO_SMALL: Code = 7;
pub(crate) const NO_DRIVER: Code = 9;
pub(crate) const LOST: Code = 15;
pub(crate) const UNKNOWN: Code = 999;

/// What a call is about, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Who and what the board is: answered while a GPU is lost, too.
    Identity,
    /// Anything read.
    Read,
    /// Power limit or clocks set.
    Set,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub place: Place,
    privileged: bool,
    gpus: Vec<(Mapped<State>, u64)>,
}

static OPEN: Mutex<(u32, Option<Arc<Session>>)> = Mutex::new((0, None));

/// Opens the node, or counts one more user of it.
pub(crate) fn init() -> Result<(), Code> {
    let (dir, privileged) = here().ok_or(NO_DRIVER)?;
    let place = Place::open(&dir).map_err(|_| NO_DRIVER)?;
    let count = place.common.with(|common| common.gpus).map_err(|_| UNKNOWN)?;
    let now = place.now().map_err(|_| UNKNOWN)?;
    let open = |slot: u64| {
        let gpu = Mapped::<State>::open(&Place::gpu_file(place.dir(), slot as usize)).map_err(|_| NO_DRIVER)?;
        let (down, generation) = gpu
            .with(|gpu| {
                advance(gpu, now);
                (gpu.down_until > now, gpu.generation)
            })
            .map_err(|_| UNKNOWN)?;
        if down { Err(NO_DRIVER) } else { Ok((gpu, generation)) }
    };
    let gpus = (0..count).map(open).collect::<Result<_, _>>()?;
    let mut session = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *session = (session.0 + 1, Some(Arc::new(Session { place, privileged, gpus })));
    Ok(())
}

pub(crate) fn shutdown() -> Result<(), Code> {
    let mut session = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    session.0 = session.0.checked_sub(1).ok_or(UNINITIALIZED)?;
    if session.0 == 0 {
        session.1 = None;
    }
    Ok(())
}

pub(crate) fn current() -> Result<Arc<Session>, Code> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).1.clone().ok_or(UNINITIALIZED)
}

/// A device handle: slot + 1, and the MIG instance + 1 above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub slot: usize,
    pub instance: Option<u64>,
}

impl Handle {
    pub(crate) const fn raw(self) -> usize {
        let above = match self.instance {
            Some(instance) => (instance as usize + 1) << 16,
            None => 0,
        };
        above | (self.slot + 1)
    }

    pub(crate) fn read(raw: usize) -> Result<Self, Code> {
        let slot = (raw & 0xFFFF).checked_sub(1).ok_or(INVALID)?;
        Ok(Self { slot, instance: (raw >> 16).checked_sub(1).map(|n| n as u64) })
    }
}

enum Way<T> {
    Hangs(u64),
    Answers(Result<T, Code>, bool),
}

impl Session {
    pub(crate) fn count(&self) -> usize {
        self.gpus.len()
    }

    /// Lets a call through to a GPU, or lets it fail as scripted.
    pub(crate) fn call<T>(
        &self,
        handle: Handle,
        call: Call,
        answer: impl FnOnce(&mut State) -> Result<T, Code>,
    ) -> Result<T, Code> {
        let (gpu, generation) = self.gpus.get(handle.slot).ok_or(INVALID)?;
        let mut answer = Some(answer);
        let mut may_hang = true;
        loop {
            let now = self.place.now().map_err(|_| UNKNOWN)?;
            let way = gpu.with(|gpu| {
                advance(gpu, now);
                let touched = |gpu: &mut State, kind| {
                    gpu.faults.iter_mut().filter(|fault| fault.is(kind)).find_map(|fault| {
                        let value = fault.value;
                        fault.touches(now).then_some(value)
                    })
                };
                if may_hang {
                    count_towards_events(gpu, now);
                    if let Some(millis) = touched(gpu, Kind::Hang) {
                        return Way::Hangs(millis);
                    }
                }
                let fails = if gpu.generation != *generation {
                    Some(UNINITIALIZED)
                } else if gpu.down_until > now {
                    Some(NO_DRIVER)
                } else if call == Call::Identity {
                    None
                } else if touched(gpu, Kind::Lost).is_some() {
                    Some(LOST)
                } else {
                    touched(gpu, Kind::Returns).map(|code| code as Code)
                };
                if let Some(code) = fails {
                    return Way::Answers(Err(code), false);
                }
                let answer = answer.take().expect("a call is answered once");
                if call != Call::Set {
                    return Way::Answers(answer(gpu), false);
                }
                if touched(gpu, Kind::SetUnsupported).is_some() {
                    return Way::Answers(Err(UNSUPPORTED), false);
                }
                if !self.privileged || touched(gpu, Kind::NoPermission).is_some() {
                    return Way::Answers(Err(FORBIDDEN), false);
                }
                if touched(gpu, Kind::KillBeforeSet).is_some() {
                    return Way::Answers(Err(UNKNOWN), true);
                }
                let before = *gpu;
                let result = answer(gpu);
                if result.is_ok() {
                    if touched(gpu, Kind::SetIgnored).is_some() {
                        *gpu = State { faults: gpu.faults, ..before };
                    }
                    gpu.sets += 1;
                    let killed = touched(gpu, Kind::KillAfterSet).is_some();
                    return Way::Answers(result, killed);
                }
                Way::Answers(result, false)
            });
            match way.map_err(|_| UNKNOWN)? {
                Way::Hangs(millis) => {
                    // No lock is held: other processes and threads go on.
                    std::thread::sleep(Duration::from_millis(millis));
                    may_hang = false;
                }
                Way::Answers(_, true) => {
                    let me = rustix::process::getpid();
                    // What the set did, or did not do, is published already.
                    let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
                    loop {
                        std::thread::park();
                    }
                }
                Way::Answers(result, false) => return result,
            }
        }
    }
}

/// Events that wait for so many calls come nearer with each.
fn count_towards_events(gpu: &mut State, now: u64) {
    for fault in &mut gpu.faults {
        if (fault.is(Kind::Reload) || fault.is(Kind::ForeignSet)) && fault.open(now) && fault.skip > 0 {
            fault.skip -= 1;
        }
    }
    events(gpu);
}
