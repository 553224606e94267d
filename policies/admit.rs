//! Refuses at the door what can never run, every mistake at once. What only has to wait is not refused.

use crate::machine::{Machine, model_matches};
use crate::order::quickest;
use crate::problem::{Job, NodeState, Policy, Site};
use crate::stamp::{in_words, later, rfc3339};
use chrono::{DateTime, Utc};
use neap_model::job::Resources;
use neap_model::refusal::{Code, Fact, Refusal};
use neap_model::units::Bytes;

/// Names listed in a message before it says how many more there are.
const NAMED: usize = 4;

/// Whether the job can ever run at this site. A node that is down counts: it may come back. Before any node was seen
/// nothing is known about GPUs, cores and memory, and the job may wait for an executor.
///
/// # Errors
/// Every reason why it cannot: unknown zones and models (E041), no node that is large enough (E042), finish-by (E044) and
/// start-by (E045) that have to be missed.
pub fn admit(site: &Site, _policy: &Policy, job: &Job) -> Result<(), Vec<Refusal>> {
    let mut refusals: Vec<Refusal> = zones(site, job).into_iter().chain(models(site, job)).collect();
    if refusals.is_empty() {
        refusals.extend(size(site, job));
    }
    let soonest = site.now.max(job.eligible);
    refusals.extend(finish_by(job, soonest));
    refusals.extend(start_by(job, soonest));
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// What is wrong with GPUs and nodes asked for: a range that is none (E011), GPUs that do not divide by the nodes (E043), or
/// more than one node (E042), since this planner places a job on one. `None`: nothing.
#[must_use]
pub fn gpus_divide(resources: &Resources) -> Option<Refusal> {
    let (gpus, nodes) = (resources.gpus, resources.nodes);
    if let Some(most) = resources.gpus_up_to.filter(|most| gpus == 0 || *most <= gpus) {
        let refusal = Refusal::new(Code::BadValue, format!("{gpus}..{most} is no range of GPUs"))
            .about("resources.gpus", format!("{gpus}..{most}"))
            .note("the fewest, at least one, and the most, such as 4..16");
        return Some(refusal);
    }
    if nodes > 0 && !gpus.is_multiple_of(nodes) {
        let up = gpus.div_ceil(nodes).saturating_mul(nodes);
        let refusal = Refusal::new(Code::GpusDoNotDivide, format!("{gpus} GPUs do not divide by {nodes} nodes"))
            .about("resources.gpus", gpus.to_string())
            .note(format!("GPUs are the total, spread evenly: {} or {up}", gpus / nodes * nodes))
            .fact("gpus", number(u64::from(gpus)))
            .fact("nodes", number(u64::from(nodes)))
            .hint(format!("--gpus {up}"), &["--gpus", &up.to_string()]);
        return Some(refusal);
    }
    (nodes != 1).then(|| {
        Refusal::new(Code::NoNodeEver, "no node can ever run this")
            .about("resources.nodes", nodes.to_string())
            .note(format!("{nodes} nodes asked; a job runs on one node here"))
            .hint("--nodes 1", &["--nodes", "1"])
    })
}

fn number(value: u64) -> Fact {
    Fact::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
        None => names.join(", "),
    }
}

fn zones(site: &Site, job: &Job) -> Option<Refusal> {
    let known = |name: &String| site.zones.iter().any(|state| state.zone.name == *name);
    let unknown: Vec<&str> = job.zones.iter().filter(|name| !known(name)).map(String::as_str).collect();
    if unknown.is_empty() {
        return None;
    }
    let here = listed(site.zones.iter().map(|state| state.zone.name.as_str()));
    Some(
        Refusal::new(Code::NoSuchPlace, format!("no such zone: {}", unknown.join(", ")))
            .about("flex.zones", job.zones.join(","))
            .note(format!("zones here: {}", if here.is_empty() { "none" } else { &here }))
            .fact("zones", Fact::Text(here)),
    )
}

fn models(site: &Site, job: &Job) -> Option<Refusal> {
    if job.gpus == 0 || job.gpu_model.is_empty() || site.nodes.is_empty() {
        return None;
    }
    let mut here: Vec<&str> = site.nodes.iter().flat_map(|node| &node.gpus).map(|gpu| gpu.model.as_str()).collect();
    if here.iter().any(|model| model_matches(&job.gpu_model, model)) {
        return None;
    }
    here.sort_unstable();
    here.dedup();
    let (asked, here) = (job.gpu_model.join(", "), listed(here));
    Some(
        Refusal::new(Code::NoSuchPlace, format!("no such GPU model: {asked}"))
            .about("resources.gpu_model", asked)
            .note(format!("models here: {}", if here.is_empty() { "none" } else { &here }))
            .fact("models", Fact::Text(here)),
    )
}

/// The nodes in the zones that the job may run in.
fn allowed<'a>(site: &'a Site, job: &Job) -> Vec<&'a NodeState> {
    let home = site.zones.iter().find(|state| state.zone.home).or(site.zones.first()).map(|state| &state.zone.name);
    let open = |node: &NodeState| {
        if job.zones.is_empty() { Some(&node.zone) == home } else { job.zones.contains(&node.zone) }
    };
    site.nodes.iter().filter(|node| open(node)).collect()
}

fn size(site: &Site, job: &Job) -> Option<Refusal> {
    let nodes = allowed(site, job);
    if site.nodes.is_empty() || nodes.iter().any(|node| Machine::of(node).shapes(job).next().is_some()) {
        return None;
    }
    let refusal = Refusal::new(Code::NoNodeEver, "no node can ever run this");
    if nodes.is_empty() {
        let has = site.zones.iter().map(|state| state.zone.name.as_str());
        let has = listed(has.filter(|name| site.nodes.iter().any(|node| node.zone == **name)));
        let hint = if has.is_empty() { Vec::new() } else { vec!["--zones", has.as_str()] };
        return Some(
            refusal
                .about("flex.zones", job.zones.join(","))
                .note(format!("no node stands in a zone it may run in; there are nodes in {has}"))
                .hint(format!("--zones {has}"), &hint),
        );
    }
    Some(too_large(refusal, job, &nodes))
}

/// Says what is too much, in the order in which people look: GPUs, cores, memory.
fn too_large(refusal: Refusal, job: &Job, nodes: &[&NodeState]) -> Refusal {
    let gpus = |node: &NodeState| {
        let machine = Machine::of(node);
        machine
            .models
            .iter()
            .filter(|m| model_matches(&job.gpu_model, &m.name))
            .map(|m| u32::from(m.count))
            .max()
            .unwrap_or(0)
    };
    let with = |most: u32, of: &dyn Fn(&NodeState) -> u32| {
        listed(nodes.iter().filter(|node| of(node) == most).map(|node| node.name.as_str()))
    };
    let most = nodes.iter().map(|node| gpus(node)).max().unwrap_or(0);
    if job.gpus > most {
        let what = job.gpu_model.first().map_or("GPUs of one model".to_owned(), |model| format!("{model} GPUs"));
        let refusal = refusal
            .about("resources.gpus", job.gpus.to_string())
            .note(format!("{} {what} on one node asked; the largest have {most} ({})", job.gpus, with(most, &gpus)))
            .fact("gpus", number(u64::from(job.gpus)))
            .fact("largest_gpus", number(u64::from(most)));
        return if most > 0 { refusal.hint(format!("--gpus {most}"), &["--gpus", &most.to_string()]) } else { refusal };
    }
    let fitting: Vec<&&NodeState> = nodes.iter().filter(|node| gpus(node) >= job.gpus).collect();
    let cpus = |node: &NodeState| node.cpus;
    let (cores, largest) = (job.cpus.unwrap_or(1), fitting.iter().map(|node| node.cpus).max().unwrap_or(0));
    if cores > largest {
        return refusal
            .about("resources.cpus", cores.to_string())
            .note(format!("{cores} cores on one node asked; the largest have {largest} ({})", with(largest, &cpus)))
            .fact("cpus", number(u64::from(cores)))
            .fact("largest_cpus", number(u64::from(largest)))
            .hint(format!("--cpus {largest}"), &["--cpus", &largest.to_string()]);
    }
    let most = fitting.iter().filter(|node| node.cpus >= cores).map(|node| node.memory).max().unwrap_or(Bytes(0));
    refusal
        .about("resources.memory", job.memory.to_string())
        .note(format!("{} on one node asked; with the GPUs and cores asked for, the largest have {most}", job.memory))
        .fact("memory_bytes", number(job.memory.0))
        .fact("largest_memory_bytes", number(most.0))
}

fn finish_by(job: &Job, soonest: DateTime<Utc>) -> Option<Refusal> {
    let (by, end) = (job.finish_by?, later(soonest, quickest(job)));
    if end <= by {
        return None;
    }
    Some(
        Refusal::new(Code::FinishBy, format!("cannot be finished by {}", in_words(by)))
            .about("time.finish_by", rfc3339(by))
            .note(format!("earliest possible end: {} (takes {})", in_words(end), quickest(job)))
            .fact("earliest_end", Fact::Text(rfc3339(end)))
            .fact("run_seconds", number(quickest(job).0))
            .hint(format!("--finish-by {} or later", rfc3339(end)), &["--finish-by", &rfc3339(end)])
            .hint("--expect if it is shorter than that", &[]),
    )
}

fn start_by(job: &Job, soonest: DateTime<Utc>) -> Option<Refusal> {
    let by = job.start_by.filter(|by| *by < soonest)?;
    Some(
        Refusal::new(Code::StartBy, format!("cannot be started by {}", in_words(by)))
            .about("time.start_by", rfc3339(by))
            .note(format!("earliest possible start: {}", in_words(soonest)))
            .fact("earliest_start", Fact::Text(rfc3339(soonest)))
            .hint(format!("--start-by {} or later", rfc3339(soonest)), &["--start-by", &rfc3339(soonest)]),
    )
}

#[cfg(test)]
mod tests;
