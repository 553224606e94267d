//! What happened to a job, a line each.

use super::zone_of;
use crate::render::{Style, escape, footer, jobs, numbers, times};
use chrono::{DateTime, Utc};
use neap_model::job::JobId;
use neap_model::lifecycle::{AttemptEnd, JobEvent, StopCause};
use neap_model::plan::{Decision, Verdict};
use neap_model::protocol::{Happened, WhyReport};
use std::fmt::Write as _;

/// What happened, a line each; what the same moment brought stands in one.
#[must_use]
pub fn history(report: &WhyReport, style: &Style) -> String {
    let mut text = String::new();
    let mut told: Option<&Decision> = None;
    let mut entries = report.history.iter().peekable();
    while let Some(entry) = entries.next() {
        let (word, mut what) = happened(report.job.id, entry, told, report, style);
        if let JobEvent::Planned { decision } = &entry.event {
            told = Some(decision);
        }
        if matches!(entry.event, JobEvent::Submitted { .. })
            && let Some(next) =
                entries.next_if(|next| next.at == entry.at && matches!(next.event, JobEvent::Planned { .. }))
            && let JobEvent::Planned { decision } = &next.event
        {
            what = plan_of(decision, report.now, style);
            told = Some(decision);
        }
        let at = entry.at.with_timezone(&style.zone).format("%a %-d %b %H:%M:%S");
        let _ = writeln!(text, "{}", format!("{at}  {word:<10} {what}").trim_end());
    }
    style.draw(text)
}

fn plan_of(decision: &Decision, now: DateTime<Utc>, style: &Style) -> String {
    match (&decision.verdict, &decision.expected) {
        (Verdict::Start { because, .. }, _) => {
            format!("to start at once: {}", jobs::why_now(because, decision.expected.as_ref()))
        }
        (Verdict::Hold { because, .. }, None) => format!("waits: {}", jobs::sentence(because, now, style)),
        (Verdict::Hold { because, .. }, Some(expected)) => {
            let start = times::short(expected.start, now, style);
            let zone = zone_of(decision);
            if decision.is_planned() {
                let against = decision
                    .run_now
                    .map_or_else(String::new, |run| format!(" (run now {})", numbers::carbon(run.emits)));
                format!("planned {start}{zone}, {}{against}", numbers::carbon(expected.emits))
            } else {
                format!("expected ~{start}{zone}: {}", jobs::sentence(because, now, style))
            }
        }
    }
}

fn happened(
    id: JobId,
    entry: &Happened,
    told: Option<&Decision>,
    report: &WhyReport,
    style: &Style,
) -> (&'static str, String) {
    use JobEvent as E;
    let words = |by: &String, reason: &Option<String>| match reason {
        Some(reason) => format!("by {}: {}", escape(by), escape(reason)),
        None => format!("by {}", escape(by)),
    };
    match &entry.event {
        E::Submitted { owner, .. } => ("submitted", format!("by {}", escape(&owner.name))),
        E::Planned { decision } => {
            let moved = match (told.and_then(Decision::start), decision.start()) {
                (Some(from), Some(to)) if from != to && decision.is_planned() => {
                    format!("{} → ", times::short(from, to, style))
                }
                _ => String::new(),
            };
            let word = if moved.is_empty() { "planned" } else { "moved" };
            (word, moved + plan_of(decision, report.now, style).trim_start_matches("planned "))
        }
        E::Held { by } => ("held", format!("by {}", escape(by))),
        E::Released { by } => ("released", format!("by {}", escape(by))),
        E::Edited { by, .. } => ("edited", format!("by {}", escape(by))),
        E::Overridden { by, reason } => ("now", words(by, reason)),
        E::Leased { epoch, node, zone, decision, slowed, .. } => {
            let because = match &decision.verdict {
                Verdict::Start { because, .. } => jobs::why_now(because, decision.expected.as_ref()),
                Verdict::Hold { .. } => String::new(),
            };
            let slowed = slowed.map(|limit| format!("; none of its GPUs above {limit} when it starts"));
            let slowed = slowed.unwrap_or_default();
            ("leased", format!("attempt {} to {} in {}: {because}{slowed}", epoch.0, escape(node), escape(zone)))
        }
        E::Started { epoch, .. } => ("started", format!("attempt {}", epoch.0)),
        E::Capped { limit, clock_ceiling, because, .. } => {
            ("capped", super::super::capping::decided(*limit, *clock_ceiling, because))
        }
        E::StopAsked { cause: StopCause::Pause { domain: Some(domain), .. }, .. } => {
            ("pausing", format!("{} has too little power for all that runs there", escape(domain)))
        }
        E::StopAsked { cause: StopCause::Pause { until, savings, .. }, .. } => {
            let until = times::short(*until, report.now, style);
            ("pausing", format!("until {until}: {}", numbers::saving(savings, false)))
        }
        E::StopAsked { cause, .. } => ("stopping", footer::ended(&cause.outcome())),
        E::AttemptEnded { end, .. } if end.paused().is_some() => {
            let saved = end.paused() == Some(true);
            let what = if saved { "its work is saved" } else { "it did not save its work, and is not paused again" };
            ("paused", what.to_owned())
        }
        E::AttemptEnded { end: AttemptEnd::NotHeld { because }, .. } => {
            ("waits again", format!("it was to start at a limit, and was not started: {}", because.sentence()))
        }
        E::AttemptEnded { end, .. } => {
            let account = &report.job.account;
            let used = format!("{}, {}", numbers::energy(account.actual.energy), numbers::carbon(account.actual.emits));
            let (word, how) = (end.outcome().word(), footer::ended(&end.outcome()));
            (word, if how == word { used } else { format!("{how} · {used}") })
        }
        E::AttemptLost { epoch, retried } => {
            let then = if *retried { "it waits again" } else { "it is given up" };
            ("lost", format!("attempt {} of job {id} is gone with its node; {then}", epoch.0))
        }
        E::Cancelled { by, reason } => ("cancelled", words(by, reason)),
        E::Expired => ("expired", "its finish-by had become impossible".to_owned()),
    }
}
