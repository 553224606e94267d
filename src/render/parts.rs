//! The parts of a job's energy by name, one field each, for those who want a number and no list. What nobody metered or
//! estimated is `null`, never zero.

use neap_model::fleet::Component;
use neap_model::protocol::JobReport;
use serde_json::{Value, json};

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
}
