//! The parts of a job's energy by name, one field each, for those who want a number and no list. What nobody metered or
//! estimated is `null`, never zero.

use neap_model::fleet::{Board, Component, Source};
use neap_model::protocol::JobReport;
use neap_model::units::{Joules, Percent, Watts};
use serde_json::{Map, Value, json};

/// Why nobody knows how much of a job's GPU energy is idle energy.
const NO_IDLE: &str =
    "what its boards draw with nothing to do was not known all the time: half a minute of that shows it";

/// Why a board's model or driver is missing.
const NO_DRIVER: &str = "no driver said it, or an earlier version leased them";

/// Puts the fields of `neap.job/1` that tell of the parts of the energy.
pub fn values(value: &mut Value, job: &JobReport) {
    let account = &job.account;
    let known = |component: Component| account.parts.iter().any(|part| part.component == component);
    let energy = |component| known(component).then(|| account.component(component).in_base());
    value["gpu_energy_joules"] = energy(Component::Gpu).into();
    value["cpu_energy_joules"] = energy(Component::Cpu).into();
    value["dram_energy_joules"] = energy(Component::Dram).into();
    value["rest_energy_joules"] = energy(Component::Other).into();
    let mut sources = account.parts.iter().filter(|part| part.energy.0 > 0).map(|part| part.source);
    let first = sources.next();
    value["energy_source"] = match first {
        Some(source) if sources.all(|other| other == source) => json!(source.word()),
        Some(_) => json!("mixed"),
        None => Value::Null,
    };
    value["pue_source"] = job.pue.map(|_| "config").into();
    value["run_now_energy_joules"] = account.run_now.energy.in_base().into();
    let gpu = account.component(Component::Gpu);
    let idle = account.metering.idle_part(gpu);
    value["gpu_idle_share_joules"] = idle.map(Joules::in_base).into();
    value["gpu_active_joules"] = idle.map(|idle| gpu.saturating_sub(idle).in_base()).into();
    let (mean, most) = (account.power.mean(), account.power.highest());
    value["mean_power_watts"] = mean.map(Watts::in_base).into();
    value["max_power_watts"] = most.map(Watts::in_base).into();
    value["signal_source"] = match account.signals.as_slice() {
        [] => Value::Null,
        [feed] => feed.as_str().into(),
        [_, ..] => "mixed".into(),
    };
    if account.signals.len() > 1 {
        value["signal_sources"] = json!(account.signals);
    }
    let met: Joules = account.by_signal.iter().map(|(_, energy)| *energy).sum();
    let covered = account.actual.energy.saturating_sub(account.actual.uncovered);
    let by_signal: Map<String, Value> =
        account.by_signal.iter().map(|(feed, energy)| (feed.clone(), energy.in_base().into())).collect();
    value["signal_energy_joules"] = if by_signal.is_empty() { Value::Null } else { by_signal.into() };
    let boards = boards(job);
    value["gpu_boards"] = boards.iter().map(board).collect();
    let windows: Option<Vec<Percent>> = boards.iter().map(|board| board.sensor_window).collect();
    let window = windows.and_then(|windows| windows.into_iter().min());
    value["sensor_window_ratio"] = window.map(Percent::ratio).into();
    let dram = if known(Component::Dram) { None } else { Some(no_memory(job)) };
    let window = if window.is_some() { None } else { Some(no_window(job)) };
    let unsaid = boards.iter().any(|board| board.model.is_none() || board.driver.is_none());
    let parts = [
        ("dram_energy_joules", dram),
        ("sensor_window_ratio", window),
        ("gpu_boards", if unsaid { Some(NO_DRIVER) } else { None }),
        ("signal_energy_joules", no_share(job, met, covered)),
    ];
    let power = if mean.is_some() { None } else { Some(no_power(job)) };
    let signal = if account.signals.is_empty() { Some(no_signal(job)) } else { None };
    let idle = if idle.is_none() && gpu > Joules::ZERO { Some(NO_IDLE) } else { None };
    let idle = [("gpu_idle_share_joules", idle), ("gpu_active_joules", idle)];
    let why = [("mean_power_watts", power), ("max_power_watts", power), ("signal_source", signal)];
    let why: Map<String, Value> = why
        .into_iter()
        .chain(idle)
        .chain(parts)
        .filter_map(|(name, why)| Some((name.to_owned(), why?.into())))
        .collect();
    if !why.is_empty() {
        value["unknown_because"] = why.into();
    }
}

/// Its boards; of those that an earlier version leased only the names are known.
fn boards(job: &JobReport) -> Vec<Board> {
    if job.boards.len() == job.gpus.len() {
        return job.boards.clone();
    }
    job.gpus.iter().map(|uuid| Board { uuid: uuid.clone(), ..Board::default() }).collect()
}

fn board(board: &Board) -> Value {
    json!({"uuid": board.uuid, "model": board.model, "driver": board.driver})
}

/// Why nobody knows what memory used for a job.
fn no_memory(job: &JobReport) -> &'static str {
    let cpu = |part: &&neap_model::ledger::Part| part.component == Component::Cpu;
    match (job.account.parts.iter().find(cpu), job.started) {
        (_, None) => "it never started",
        (None, _) => "no meter told of its energy",
        (Some(part), _) if part.source == Source::Rapl => {
            "its node has no counter of memory, or an earlier version counted it with the processors"
        }
        (Some(_), _) => "no counter measures its node's memory, and the site states nothing about it",
    }
}

/// Why nobody knows for which share of the time the sensors of a job's boards look.
fn no_window(job: &JobReport) -> &'static str {
    match (job.started, job.gpus.is_empty(), job.boards.is_empty()) {
        (None, ..) => "it never started",
        (_, true, _) => "it holds no GPU",
        (_, _, true) => "an earlier version ran it",
        _ => "nobody measured that for the model of its boards",
    }
}

/// Why it is not known for all of a job's energy which feed's intensities it met.
fn no_share(job: &JobReport, met: Joules, covered: Joules) -> Option<&'static str> {
    match (job.account.signals.is_empty(), met == Joules::ZERO) {
        (true, _) => Some(no_signal(job)),
        (_, true) if covered > Joules::ZERO => Some("an earlier version accounted for it"),
        _ if met < covered => Some("of the rest no feed is known, or an earlier version accounted for it"),
        _ => None,
    }
}

/// Why nobody knows what a job drew.
fn no_power(job: &JobReport) -> &'static str {
    match (job.account.parts.is_empty(), job.started) {
        (_, None) => "it never started",
        (true, _) if !job.phase.is_final() => "its first energy is told a minute after its start",
        (true, _) => "no meter told of its energy",
        (false, _) => {
            "no two readings half a second or more apart lie within its run without a hole between them, or an earlier version ran it"
        }
    }
}

/// Why nobody knows whose intensities a job's energy met.
fn no_signal(job: &JobReport) -> &'static str {
    match (job.account.actual.energy > job.account.actual.uncovered, job.started) {
        (_, None) => "it never started",
        (false, _) if !job.phase.is_final() => "its energy met no intensity yet",
        (false, _) => "its energy met no intensity",
        (true, _) => "an earlier version accounted for it",
    }
}
