//! `neap doctor --gpu`: what a board's meter shows over some seconds, and whether a limit that is set holds and is given back.
//! For the owner of a machine, who is asked first: a limit is set through the helper for about a second. One trial at a time, and
//! none while anybody holds a board: two would take each other's limits for their own.

use super::{Finding, Level};
use crate::cap::{Helper, Socket};
use crate::config::Config;
use crate::domains::PowerDomain;
use crate::domains::nvml::Gpus;
use crate::powerd::{Held, Refusal, Request};
use neap_model::units::Watts;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Meters are watched for so long: some hundred ticks of a counter.
const WATCHED: Duration = Duration::from_secs(10);
/// What is set or given back is there within that.
const SETTLES: Duration = Duration::from_secs(2);
/// The lease ends by itself after so long, should this be killed.
const LEASE: u64 = 10;
/// A counter and the integral of power that are so far apart are worth a look, in percent.
const APART: f64 = 10.0;

/// Why there is no trial now. Nothing was set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Somebody else tries these boards.
    #[error("another `neap doctor --gpu` sets limits on this machine now (it holds {})", .0.display())]
    Trial(PathBuf),
    /// Leases are on boards.
    #[error("{}", held(.0))]
    Held(Vec<(String, String)>),
}

fn held(boards: &[(String, String)]) -> String {
    let boards: Vec<String> = boards.iter().map(|(gpu, attempt)| format!("{gpu} for {attempt}")).collect();
    format!("limits of GPUs are held now: {}", boards.join(", "))
}

/// The right to try the boards of a machine, until it is dropped: one at a time, whoever runs it. `None`: nobody's helper is there.
///
/// # Errors
/// [`Busy::Trial`] if somebody else has it.
fn alone(config: &Config) -> Result<Option<File>, Busy> {
    // The directory that all users share who may speak to the helper. It is locked, and nothing is written.
    let Some(Ok(directory)) = config.power_socket.parent().map(File::open) else { return Ok(None) };
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Busy::Trial(config.power_socket.with_file_name(""))),
        // Without locks the helper's leases alone keep two apart: the second is refused at the board.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(directory)),
    }
}

/// Meters and, where `may_set`, limits. Takes ten seconds and about two a board.
///
/// # Errors
/// [`Busy`] if limits may be set and somebody else is at it; known at once.
pub fn trial(config: &Config, may_set: bool) -> Result<Vec<Finding>, Busy> {
    let _alone = if may_set { alone(config)? } else { None };
    let mut socket = Socket(config.power_socket.clone());
    if may_set {
        let held = socket.status().unwrap_or_default().into_iter().filter(|held| held.state == "leased");
        let held: Vec<(String, String)> =
            held.map(|held| (held.gpu, held.attempt.unwrap_or_else(|| "somebody".to_owned()))).collect();
        if !held.is_empty() {
            return Err(Busy::Held(held));
        }
    }
    let Ok(mut gpus) = Gpus::find(config.nvml_library()) else { return Ok(Vec::new()) };
    let before = gpus.live();
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        gpus.tend();
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut all: Vec<Finding> = gpus
        .live()
        .into_iter()
        .zip(before)
        .map(|((uuid, now), (_, then))| meter(&uuid, &now.tally().since(&then.tally())))
        .collect();
    if !may_set {
        let text = "no limit was set; say --yes to have one set and given back on every board".to_owned();
        all.push(Finding { level: Level::Ok, topic: "cap", text });
        return Ok(all);
    }
    match socket.status() {
        Ok(held) => all.extend(held.iter().map(|held| limit(&gpus, &mut socket, held))),
        Err(_) => {
            let at = config.power_socket.display();
            let text = format!("nobody answers at {at}, or not to this user: `neap powerd` sets limits");
            all.push(Finding { level: Level::Warn, topic: "cap", text });
        }
    }
    Ok(all)
}

fn meter(uuid: &str, tally: &crate::meter::track::Tally) -> Finding {
    let seconds = tally.window.as_secs_f64();
    let warn = |text| Finding { level: Level::Warn, topic: "meter", text };
    if seconds < WATCHED.as_secs_f64() / 2.0 {
        return warn(format!("{uuid}: only {seconds:.1} of {} s could be read", WATCHED.as_secs()));
    }
    let (counter, integral) = (tally.compared.0.in_base(), tally.compared.1.in_base());
    let apart = (integral > 0.0).then(|| (counter - integral) / integral * 100.0);
    let covered = tally.covered.as_secs_f64() / seconds * 100.0;
    let mut text = format!("{uuid}: {:.1} W over {seconds:.1} s", tally.energy().in_base() / seconds);
    text += &match apart {
        Some(apart) => format!("; the counter says {apart:+.1} % of the integral of its power"),
        None => "; no counter to compare its power with".to_owned(),
    };
    text += &format!("; readings cover {covered:.0} %, {} cannot be true", tally.implausible);
    let sound = apart.is_none_or(|apart| apart.abs() < APART) && covered > 90.0 && tally.implausible == 0;
    Finding { level: if sound { Level::Ok } else { Level::Warn }, topic: "meter", text }
}

/// The whole watts a trial asks for: a fifth below what was found, within what may be asked for.
fn asked(found: Watts, held: &Held) -> Option<u64> {
    let range = held.settable()?;
    let fifth = found.scaled(4, 5).0 / 1_000 * 1_000;
    let limit = Watts(fifth.clamp(range.least.0, range.most.0));
    (limit < found).then_some(limit.0 / 1_000)
}

fn limit(gpus: &Gpus, socket: &mut Socket, held: &Held) -> Finding {
    let (gpu, topic) = (held.gpu.clone(), "cap");
    let warn = |text| Finding { level: Level::Warn, topic, text };
    let mut domain = gpus.domain(&gpu);
    let Ok(found) = domain.cap().map(|state| state.requested) else {
        return warn(format!("{gpu}: the driver does not say its limit"));
    };
    if held.state != "free" {
        return warn(format!("{gpu}: it is {} now; a trial needs a board that nobody holds", held.state));
    }
    let Some(watts) = asked(found, held) else {
        return warn(format!("{gpu}: no limit below the {found} it is at may be set"));
    };
    let began = Instant::now();
    let acquire = Request::Acquire {
        gpu: gpu.clone(),
        limit_watts: Some(watts),
        clock_ceiling_megahertz: None,
        ttl_seconds: LEASE,
        // A name of its own: a lease of the same name would be gone on with.
        attempt: format!("doctor-{}", std::process::id()),
    };
    let answer = socket.ask(&acquire);
    if answer.as_ref().is_some_and(|answer| answer.error == Some(Refusal::Held)) {
        return warn(format!("{gpu}: somebody took a lease on it meanwhile; nothing was set"));
    }
    let Some(lease) = answer.filter(|answer| answer.ok).and_then(|answer| answer.lease) else {
        return warn(format!("{gpu}: the helper did not set {watts} W; its log says why"));
    };
    let mut stands = |at: Watts| {
        let deadline = Instant::now() + SETTLES;
        loop {
            let state = domain.cap().ok();
            if state.is_some_and(|state| state.requested == at) || Instant::now() >= deadline {
                return state.map(|state| (state.requested == at, state.enforced));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let held_at = stands(Watts::whole(watts));
    let took = began.elapsed().as_millis();
    let released = socket.ask(&Request::Release { lease, to_found: true }).is_some_and(|answer| answer.ok);
    let back = stands(found).is_some_and(|(there, _)| there);
    match (held_at, released && back) {
        (_, false) => Finding {
            level: Level::Fail,
            topic,
            text: format!(
                "{gpu}: {found} did not come back within {} s; the lease ends in {LEASE} s",
                SETTLES.as_secs()
            ),
        },
        (Some((true, enforced)), true) => Finding {
            level: Level::Ok,
            topic,
            text: format!("{gpu}: {watts} W set and read back in {took} ms, {enforced} in force, {found} given back"),
        },
        (_, true) => warn(format!("{gpu}: {watts} W was granted and is not what the driver says; {found} given back")),
    }
}
