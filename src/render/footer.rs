//! The end of every job's log: what it used, how sure that is, and what running at once would have been.

use super::{beside, escape, numbers};
use neap_model::fleet::{Component, Quality};
use neap_model::ledger::Account;
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::protocol::JobReport;
use neap_model::units::Joules;
use std::fmt::Write as _;

/// Width of the line above it.
const WIDE: usize = 90;

/// How it ended, as a sentence's end.
#[must_use]
pub fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded | Outcome::Expired => outcome.word().to_owned(),
        Outcome::Failed { exit: neap_model::lifecycle::Exit::Code(code) } => format!("failed with exit code {code}"),
        Outcome::Failed { exit: neap_model::lifecycle::Exit::Signal(signal) } => format!("failed by signal {signal}"),
        Outcome::Launch { error } => format!("failed: {}", escape(error)),
        Outcome::Cancelled { by, reason: Some(reason) } => format!("cancelled by {} ({})", escape(by), escape(reason)),
        Outcome::Cancelled { by, reason: None } => format!("cancelled by {}", escape(by)),
        Outcome::Timeout => "stopped at its time limit".to_owned(),
        Outcome::Lost => "lost with its node".to_owned(),
    }
}

/// The footer, with an empty line before it.
#[must_use]
pub fn footer(job: &JobReport) -> String {
    let Phase::Ended { outcome, at } = &job.phase else { return String::new() };
    let lasted = job.started.map(|started| super::times::between(started, *at));
    let mut head = format!("── job {} {}", job.id, ended(outcome));
    if let Some(lasted) = lasted {
        let _ = write!(head, " in {lasted}");
    }
    if let Some(place) = &job.place {
        let _ = write!(head, " · {}, {}", escape(&place.node), escape(&place.zone));
    }
    let rest = WIDE.saturating_sub(head.chars().count() + 1);
    format!("\n{head} {}\n{}", "─".repeat(rest), used(job))
}

/// The lines of energy, carbon and, for a job with GPUs, of their limits.
#[must_use]
pub fn used(job: &JobReport) -> String {
    let (account, pue) = (&job.account, job.pue);
    let total = account.actual.energy;
    let mut parts = vec![format!("energy  {}", numbers::energy(total))];
    let named = [
        (Component::Gpu, "GPUs"),
        (Component::Cpu, "processors"),
        (Component::Dram, "memory"),
        (Component::Other, "rest of node"),
    ];
    for (component, name) in named {
        let energy = account.component(component);
        if let Some(quality) = quality_of(account, component) {
            parts.push(format!("{name} {} {}", numbers::energy(energy), quality.word()));
        }
    }
    let facility = total.saturating_sub(account.it_energy());
    parts.push(match pue {
        Some(pue) => format!("facility {} (PUE {})", numbers::energy(facility), pue.ratio()),
        None => "PUE not stated, counted as 1".to_owned(),
    });
    parts.extend(super::metering::remarks(account));
    if account.gap_ms > 0 {
        parts.push(format!("{} s of readings were missing", account.gap_ms.div_ceil(1_000)));
    }
    let mut text = join(&parts);
    let footprint = &account.actual;
    let mut parts = vec![format!("carbon  {}", numbers::carbon(footprint.emits))];
    match (footprint.intensity(), footprint.worst) {
        (Some(intensity), Some(grade)) => {
            parts.push(format!("{intensity}, {}", grade.word()));
            parts.push(format!("run now {}", numbers::carbon(account.run_now.emits)));
            // A flat yearly mean cannot show a saving, and none is claimed on it.
            if grade.may_shift() {
                parts.push(numbers::saving(&account.savings(), true));
            } else {
                parts.push("no saving is claimed on a yearly mean".to_owned());
            }
        }
        _ => parts.push("no energy was booked".to_owned()),
    }
    if footprint.uncovered > Joules::ZERO {
        parts.push(format!("{} met no known intensity", numbers::energy(footprint.uncovered)));
    }
    if let Some(planned) = account.planned {
        parts.push(format!("planned was {}", numbers::carbon(planned)));
    }
    text.push_str(&join(&parts));
    for bill in account.bills.iter().filter(|bill| bill.priced > Joules::ZERO) {
        let mut parts = beside::cost(bill);
        parts[0].insert_str(0, "cost    ");
        text.push_str(&join(&parts));
    }
    if let Some(parts) = beside::hardware(job) {
        text.push_str(&join(&parts));
    }
    if let Some(parts) = super::capping::line(job) {
        text.push_str(&join(&parts));
    }
    text
}

fn quality_of(account: &Account, component: Component) -> Option<Quality> {
    account.parts.iter().filter(|p| p.component == component).map(|p| p.source.quality()).reduce(Quality::and)
}

/// The first part, then the others between dots.
fn join(parts: &[String]) -> String {
    match parts.split_first() {
        Some((first, rest)) if !rest.is_empty() => format!("{first:<18} {}\n", rest.join(" · ")),
        Some((first, _)) => format!("{first}\n"),
        None => String::new(),
    }
}
