//! Why a job waits, runs there, or ended so: every blocker, the gain, the latest start, and the commands that help. It
//! only words what the planner decided and what was written down.

mod history;
mod picture;

pub use history::history;

use super::{Style, data, escape, footer, grid, jobs, numbers, times};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::Objective;
use neap_model::lifecycle::{JobEvent, Phase};
use neap_model::plan::{Decision, Remark, Run, Verdict};
use neap_model::protocol::{Happened, WhyReport};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::Intensity;
use std::fmt::Write as _;

/// Columns of a line's name.
const NAME: usize = 18;
/// Where the reason's code stands in the first line.
const CODE: usize = 92;

/// The whole answer.
#[must_use]
pub fn why(report: &WhyReport, style: &Style) -> String {
    let job = &report.job;
    let text = match (&job.phase, &job.decision) {
        (Phase::Ended { .. }, _) => ended(report, style),
        (Phase::Running { .. } | Phase::Leased { .. } | Phase::Stopping { .. }, _) => running(report, style),
        (_, Some(decision)) if decision.is_planned() => planned(report, decision, style),
        (_, decision) => queued(report, decision.as_ref(), style),
    };
    style.draw(text)
}

fn name(report: &WhyReport) -> String {
    format!("job {} {}", report.job.id, escape(&report.job.spec.name))
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<NAME$} {value}");
}

fn headline(sentence: &str, code: Option<&str>) -> String {
    match code {
        Some(code) => {
            let pad = " ".repeat(CODE.saturating_sub(sentence.chars().count()).max(2));
            format!("{sentence}{pad}[{code}]\n")
        }
        None => format!("{sentence}\n"),
    }
}

fn planned(report: &WhyReport, decision: &Decision, style: &Style) -> String {
    let (job, now) = (&report.job, report.now);
    let Some(expected) = decision.expected else { return queued(report, Some(decision), style) };
    let zone = zone_of(decision);
    let wait = times::between(now, expected.start);
    let (state, starts) = match job.phase {
        Phase::Paused { .. } => ("paused", "goes on"),
        _ => ("planned", "starts"),
    };
    let start = times::full(expected.start, style);
    let sentence = format!("{} is {state}: {starts} {start}{zone}, {wait} from now.", name(report));
    let mut text = headline(&sentence, data::reason_code(job).as_deref());
    if let Some(run_now) = &decision.run_now {
        let (is, at) = (run_now.start <= now + TimeDelta::seconds(60), times::short(run_now.start, now, style));
        let answer = match (is, node_of(report)) {
            (true, Some(node)) => {
                format!("yes: there is room for {} on {}.", numbers::resources(&job.spec), escape(&node))
            }
            (true, None) => format!("yes: there is room for {}.", numbers::resources(&job.spec)),
            (false, _) => format!("no: there is no room before {at}."),
        };
        line(&mut text, "could it run now?", &answer);
    }
    if let Some(Reason::CleanerLater { savings, now: grid_now, then, grade, asks, max_delay }) = decision.because() {
        let asked = if job.spec.time.finish_by.is_some() { "it has a finish-by" } else { "it consents to wait" };
        let queue =
            job.spec.queue.as_deref().map_or_else(|| "it".to_owned(), |queue| format!("queue {}", escape(queue)));
        let waits = format!("{asked}, and {queue} then waits up to {max_delay} if that saves {asks} or more.");
        line(&mut text, "why it does not", &waits);
        let gain = format!(
            "{} → {}: {}; the grid averages {} instead of {} over the run.",
            numbers::carbon(savings.instead_of),
            numbers::carbon(savings.emits),
            numbers::saving(savings, false),
            number(*then),
            grid_now
        );
        line(&mut text, "what that gains", &gain);
        if !decision.runs.is_empty() {
            let run = |run: &Run| {
                let ends = run.until.with_timezone(&style.zone).format("%H:%M");
                format!("{} → {ends}", times::short(run.from, now, style))
            };
            let runs: Vec<String> = decision.runs.iter().map(run).collect();
            line(&mut text, "in pieces", &format!("{}.", runs.join(" · ")));
        }
        line(&mut text, "latest start", &latest(report, decision, style));
        line(&mut text, "re-planned", &replanned(&report.history));
        let data = report.grid.as_ref().map_or_else(|| "nothing".to_owned(), |zone| grid::source(zone, now));
        if let Some(certificate) = &report.certificate {
            line(&mut text, "best possible", &format!("{}.", numbers::certified(certificate)));
        }
        if let Some(kinds) = &report.not_compared {
            line(&mut text, "not compared", &format!("{}.", escape(kinds)));
        }
        line(&mut text, "how sure", &format!("{} over the run; data: {data}.", grade.word()));
    }
    if let Some(Reason::CheaperLater { costs, asks, max_delay }) = decision.because() {
        let of = if costs.gpus.is_some() { " of what energy costs" } else { "" };
        let waits =
            format!("it consents to wait up to {max_delay} for cheaper hours, if that saves {asks}{of} or more.");
        line(&mut text, "why it does not", &waits);
        let prices = format!(
            "{} instead of {}",
            numbers::price(costs.then, &costs.currency),
            numbers::price(costs.now, &costs.currency)
        );
        let alone = if costs.gpus.is_some() { "" } else { ", energy alone" };
        let gain = format!("{}: {prices} over the run{alone}.", numbers::costs(costs));
        line(&mut text, "what that gains", &gain);
        line(&mut text, "latest start", &latest(report, decision, style));
        line(&mut text, "re-planned", &replanned(&report.history));
    }
    text.push_str(&picture::picture(report, &expected, style));
    text.push_str(&can(report, &[format!("neap now {}", job.id)]));
    text
}

fn number(intensity: Intensity) -> String {
    intensity.to_string().trim_end_matches(" g/kWh").to_owned()
}

fn zone_of(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Start { place, .. } | Verdict::Hold { place: Some(place), .. } => {
            format!(" in {}", escape(&place.zone))
        }
        Verdict::Hold { place: None, .. } => String::new(),
    }
}

/// The node that would take it now.
fn node_of(report: &WhyReport) -> Option<String> {
    let now = |row: &&neap_model::plan::Alternative| matches!(row.remark, Remark::FitsNow);
    report.alternatives.iter().find(now).map(|row| row.place.node.clone())
}

fn latest(report: &WhyReport, decision: &Decision, style: &Style) -> String {
    let Some(latest) = decision.latest_start else { return "none: it promised nothing.".to_owned() };
    let at = times::short(latest, report.now, style);
    let what = match (report.job.spec.time.finish_by, report.job.spec.time.start_by) {
        (Some(by), _) if by > latest && !binds(decision, latest, by) => {
            format!(" ({} after it was submitted, the longest wait)", times::between(report.job.submitted, latest))
        }
        (Some(by), _) if by > latest => format!(" ({} before {})", times::between(latest, by), times::clock(by, style)),
        (_, Some(_)) => " (start-by)".to_owned(),
        _ => " (the longest wait it consents to)".to_owned(),
    };
    format!("{at}{what}. From then on it starts whatever the grid does.")
}

/// Whether the finish-by is what sets the latest start, and not the longest wait.
fn binds(decision: &Decision, latest: DateTime<Utc>, by: DateTime<Utc>) -> bool {
    decision.expected.is_none_or(|run| latest + (run.end - run.start) + TimeDelta::seconds(60) >= by)
}

fn replanned(history: &[Happened]) -> String {
    let told = history.iter().filter(|entry| matches!(entry.event, JobEvent::Planned { .. })).count();
    match told.saturating_sub(1) {
        0 => "not yet.".to_owned(),
        1 => "once (--history).".to_owned(),
        times => format!("{times} times (--history)."),
    }
}

fn queued(report: &WhyReport, decision: Option<&Decision>, style: &Style) -> String {
    let (job, now) = (&report.job, report.now);
    let state = data::state(job);
    let until = match decision.map(|d| &d.verdict) {
        Some(Verdict::Hold { until: Some(until), .. }) => format!(": expected ~{}", times::short(*until, now, style)),
        _ => String::new(),
    };
    let mut text = headline(&format!("{} is {state}{until}.", name(report)), data::reason_code(job).as_deref());
    let blockers = decision.map(|d| d.blockers.as_slice()).unwrap_or_default();
    for (n, blocker) in blockers.iter().enumerate() {
        let clears = match blocker.clears {
            Some(at) if at > now => format!("; clears ~{}", times::short(at, now, style)),
            Some(_) => String::new(),
            None => match &blocker.reason {
                Reason::Hold { .. } => "; a person clears it",
                Reason::Dependency { .. } => "; clears when that is over",
                Reason::NoExecutor { .. } => "; clears when one connects",
                _ => "; nobody can say when it clears",
            }
            .to_owned(),
        };
        let code = blocker.reason.code();
        let _ = writeln!(text, "  {} {code:<20} {}{clears}", n + 1, jobs::sentence(&blocker.reason, now, style));
    }
    if let Some(latest) = decision.and_then(|d| d.latest_start) {
        line(
            &mut text,
            "latest start",
            &format!("{}: from then on the grid plays no part.", times::short(latest, now, style)),
        );
    }
    let asks = job.spec.flex.delay.unwrap_or(Objective::None) != Objective::None;
    if !asks {
        let could = could_save(report);
        let _ = writeln!(text, "  not waiting for the grid: it did not ask for --delay carbon{could}");
    }
    if let Some(kinds) = &report.not_compared {
        line(&mut text, "not compared", &format!("{}.", escape(kinds)));
    }
    let mut commands = Vec::new();
    for blocker in blockers {
        match &blocker.reason {
            Reason::Hold { .. } => commands.push(format!("neap release {}", job.id)),
            Reason::Dependency { on } => commands.extend(on.first().map(|on| format!("neap why {on}"))),
            Reason::Reserved { job: other } => commands.push(format!("neap why {other}")),
            Reason::NoExecutor { .. } => commands.push("neap status".to_owned()),
            _ => {}
        }
    }
    commands.dedup();
    text.push_str(&can(report, &commands));
    text
}

/// What waiting could save that it did not consent to.
fn could_save(report: &WhyReport) -> String {
    let first = super::plan::first(&report.alternatives);
    let best = report
        .alternatives
        .iter()
        .filter(|row| matches!(&row.remark, Remark::Needs { flag } if flag.contains("--delay carbon")))
        .min_by_key(|row| row.outlook.emits);
    match (first, best) {
        (Some(first), Some(best)) if best.outlook.emits < first.outlook.emits && best.outlook.grade.may_shift() => {
            let saved = first.outlook.emits.saturating_sub(best.outlook.emits);
            format!(" (waiting could save ~{}: neap plan {})", numbers::carbon(saved), report.job.id)
        }
        _ => String::new(),
    }
}

/// Commands that help, and ways that need another consent.
fn can(report: &WhyReport, first: &[String]) -> String {
    let id = report.job.id;
    let mut all = first.to_vec();
    for row in &report.alternatives {
        if let Remark::Needs { flag } = &row.remark {
            all.push(format!("neap edit {id} {}", escape(flag)));
        }
    }
    all.push(format!("neap plan {id}"));
    all.push(format!("neap cancel {id}"));
    format!("  you can   {}\n", all.join(" · "))
}

/// What was decided before it started, and who forced it.
fn started_because(report: &WhyReport, style: &Style) -> String {
    let forced = report.history.iter().rev().find_map(|entry| match &entry.event {
        JobEvent::Overridden { by, reason } => Some((by, reason)),
        _ => None,
    });
    if let Some((by, reason)) = forced {
        let words = reason.as_ref().map_or_else(String::new, |reason| format!(" ({})", escape(reason)));
        return format!("{} said neap now{words}.", escape(by));
    }
    let before = |entry: &&Happened| matches!(entry.event, JobEvent::Planned { .. });
    let planned = report.history.iter().rev().find(before).and_then(|entry| match &entry.event {
        JobEvent::Planned { decision } => Some(decision.as_ref()),
        _ => None,
    });
    let started = report.history.iter().rev().find_map(|entry| match &entry.event {
        JobEvent::Leased { decision, .. } => Some((entry.at, decision.as_ref())),
        _ => None,
    });
    let to = |decision: &Decision| {
        decision.start().map_or_else(String::new, |at| format!(" for {}", times::day_clock(at, style)))
    };
    // A plan that was overtaken by news did not start it.
    if let (Some((at, decision)), Some(told)) = (started, planned)
        && let Verdict::Start { because, .. } = &decision.verdict
        && told.start().is_some_and(|start| start > at + TimeDelta::seconds(60))
    {
        let why = jobs::why_now(because, decision.expected.as_ref());
        return format!("{why} Before that it was planned{}.", to(told));
    }
    match planned.or(started.map(|(_, decision)| decision)).map(|decision| (&decision.verdict, decision)) {
        Some((Verdict::Start { because, .. }, decision)) => jobs::why_now(because, decision.expected.as_ref()),
        Some((Verdict::Hold { because: Reason::CleanerLater { savings, .. }, .. }, decision)) => {
            format!("it waited for cleaner hours, planned{}: {}.", to(decision), numbers::saving(savings, false))
        }
        Some((Verdict::Hold { because: Reason::CheaperLater { costs, .. }, .. }, decision)) => {
            format!("it waited for cheaper hours, planned{}: {}.", to(decision), numbers::costs(costs))
        }
        Some((Verdict::Hold { because, .. }, _)) => {
            format!("before that it waited: {}.", jobs::sentence(because, report.now, style))
        }
        None => "nothing was written down about it.".to_owned(),
    }
}

fn place(report: &WhyReport) -> String {
    report
        .job
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(" on {} in {}", escape(&place.node), escape(&place.zone)))
}

fn running(report: &WhyReport, style: &Style) -> String {
    let (job, now) = (&report.job, report.now);
    let state = data::state(job);
    let since = job.started.map_or_else(String::new, |at| format!(" since {}", times::short(at, now, style)));
    let mut text =
        headline(&format!("{} is {state}{}{since}.", name(report), place(report)), data::reason_code(job).as_deref());
    line(&mut text, "why then", &started_because(report, style));
    if let Some(started) = job.started {
        let waited = times::between(job.submitted, started);
        let for_it = if job.waited_for_grid > Seconds::ZERO {
            format!(", {} of it for the grid", job.waited_for_grid)
        } else {
            String::new()
        };
        line(&mut text, "waited", &format!("{waited}{for_it}"));
        if let Some(run) = job.decision.as_ref().and_then(|decision| decision.expected) {
            let end = times::short(run.end, now, style);
            line(&mut text, "expected", &format!("ends ~{end}, ~{} in all", numbers::carbon(run.emits)));
        }
        if let Some(limit) = job.spec.time.limit {
            line(
                &mut text,
                "stopped at",
                &format!(
                    "{} (its limit of {limit}), if it runs that long",
                    times::short(started + limit.delta(), now, style)
                ),
            );
        }
    }
    if let Some(held) = super::capping::now(job) {
        line(&mut text, "power", &held);
    }
    line(&mut text, "attempt", &job.attempts.to_string());
    let account = &job.account;
    let so_far = if account.actual.energy.0 == 0 {
        "nothing booked yet: the first span comes after a minute".to_owned()
    } else {
        format!(
            "{} and {} so far, energy {}",
            numbers::energy(account.actual.energy),
            numbers::carbon(account.actual.emits),
            numbers::quality(account.quality())
        )
    };
    line(&mut text, "used", &so_far);
    let _ = writeln!(text, "  you can   neap logs -f {0} · neap wait {0} · neap cancel {0}", job.id);
    text
}

fn ended(report: &WhyReport, style: &Style) -> String {
    let job = &report.job;
    let Phase::Ended { outcome, at } = &job.phase else { return String::new() };
    let sentence =
        format!("{} {}{}, {}.", name(report), footer::ended(outcome), place(report), times::full(*at, style));
    let mut text = headline(&sentence, Some(outcome.code()));
    match job.started {
        Some(started) => {
            line(
                &mut text,
                "started",
                &format!(
                    "{}, {} after it was submitted",
                    times::full(started, style),
                    times::between(job.submitted, started)
                ),
            );
            line(&mut text, "why then", &started_because(report, style));
            if job.waited_for_grid > Seconds::ZERO {
                line(&mut text, "waited for grid", &job.waited_for_grid.to_string());
            }
        }
        None => line(&mut text, "started", "never"),
    }
    if let Some(by) = job.spec.time.finish_by {
        let kept = if *at <= by {
            format!("kept, {} before it", times::between(*at, by))
        } else {
            format!("missed by {}", times::between(by, *at))
        };
        line(&mut text, "finish-by", &format!("{} {kept}", times::full(by, style)));
    }
    for used in footer::used(job).lines() {
        let (what, rest) = used.split_at(used.find("  ").unwrap_or(used.len()));
        line(&mut text, what, rest.trim());
    }
    let _ = writeln!(text, "  you can   neap logs {0} · neap why {0} --history · neap show {0} -o json", job.id);
    text
}
