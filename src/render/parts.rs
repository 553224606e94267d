//! The parts of a job's energy by name, one field each, for those who want a number and no list. What nobody metered or
//! estimated is `null`, never zero.

use neap_model::fleet::Component;
use neap_model::protocol::JobReport;
use neap_model::units::{Joules, Watts};
use serde_json::{Map, Value, json};

/// Why nobody knows how much of a job's GPU energy is idle energy.
const NO_IDLE: &str =
    "what its boards draw with nothing to do was not known all the time: half a minute of that shows it";

/// Puts the fields of `neap.job/1` that tell of the parts of the energy.
pub fn values(value: &mut Value, job: &JobReport) {
    let account = &job.account;
    let known = |component: Component| account.parts.iter().any(|part| part.component == component);
    let energy = |component| known(component).then(|| account.component(component).in_base());
    value["gpu_energy_joules"] = energy(Component::Gpu).into();
    value["cpu_energy_joules"] = energy(Component::Cpu).into();
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
    let power = if mean.is_some() { None } else { Some(no_power(job)) };
    let signal = if account.signals.is_empty() { Some(no_signal(job)) } else { None };
    let idle = if idle.is_none() && gpu > Joules::ZERO { Some(NO_IDLE) } else { None };
    let idle = [("gpu_idle_share_joules", idle), ("gpu_active_joules", idle)];
    let why = [("mean_power_watts", power), ("max_power_watts", power), ("signal_source", signal)];
    let why: Map<String, Value> =
        why.into_iter().chain(idle).filter_map(|(name, why)| Some((name.to_owned(), why?.into()))).collect();
    if !why.is_empty() {
        value["unknown_because"] = why.into();
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
