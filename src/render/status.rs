//! Is all well?

use super::{Style, escape, numbers, times};
use chrono::{DateTime, Utc};
use neap_model::notice::{Call, Notice};
use neap_model::protocol::{StatusReport, VtnReport};
use std::fmt::Write as _;

/// The scheduler, its nodes, its queue, and every reduced mode of work as a line of its own.
#[must_use]
pub fn status(status: &StatusReport, server: &str, style: &Style) -> String {
    let up = times::between(status.started, status.now);
    let mut text = format!(
        "ok    server    {} · version {} · start {} · up {up}\n",
        escape(server),
        escape(&status.version),
        status.incarnation
    );
    let jobs: Vec<String> = status.jobs.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let jobs = if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") };
    let _ = writeln!(text, "ok    jobs      {jobs}");
    let lag =
        if status.store_lag < 100 { String::new() } else { format!(" · archive {} turns behind", status.store_lag) };
    let _ = writeln!(text, "ok    journal   turn {}{lag}", status.journal_seq);
    if let Some(certificate) = &status.certificate {
        let _ = writeln!(text, "ok    plan      {}", numbers::certified(certificate));
    }
    for node in &status.nodes {
        let level = if node.up { "ok  " } else { "warn" };
        let heard = match (node.up, node.heard) {
            (true, _) => String::new(),
            (false, Some(at)) => format!(" · silent since {}", times::short(at, status.now, style)),
            (false, None) => " · not heard of since the start".to_owned(),
        };
        let gpus = match node.inventory.gpus.first() {
            Some(gpu) => format!("{}×{}", node.inventory.gpus.len(), escape(&gpu.model)),
            None => "no GPU".to_owned(),
        };
        let meters: Vec<String> = node
            .inventory
            .meters
            .iter()
            .map(|m| format!("{} {} ({})", m.component.word(), m.source.quality().word(), m.source.word()))
            .collect();
        let _ = writeln!(
            text,
            "{level}  node      {} in {} · {} cores · {} · {gpus} · {} at work · {}{heard}",
            escape(&node.name),
            escape(&node.zone),
            node.inventory.cpus,
            node.inventory.memory,
            node.attempts,
            meters.join(", "),
        );
    }
    for group in &status.power {
        let over = group.limit.is_some_and(|limit| group.committed > limit);
        let limit = group.limit.map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
        let event = group.event.as_ref().map_or_else(String::new, |id| format!(" (event {})", escape(id)));
        let _ = writeln!(
            text,
            "{}  power     {}: {limit}{event}, up to {} could be drawn{}",
            if over { "warn" } else { "ok  " },
            escape(&group.name),
            group.committed,
            if over { ": nothing starts there" } else { "" },
        );
    }
    for vtn in &status.vtns {
        vtn_lines(&mut text, vtn, status.now, style);
    }
    for notice in &status.notices {
        let _ = writeln!(text, "ok    event     {}", said(notice, status.now, style));
    }
    for mode in &status.degraded {
        let _ = writeln!(text, "warn  {:<9} {}", escape(&mode.mode), escape(&mode.detail));
    }
    style.draw(text)
}

/// A server of grid events: when it answered last, what it shows, what is wrong.
fn vtn_lines(text: &mut String, vtn: &VtnReport, now: DateTime<Utc>, style: &Style) {
    let answered = vtn.answered.map_or_else(
        || "not answered yet".to_owned(),
        |at| format!("answered {} ago ({})", times::between(at, now), times::short(at, now, style)),
    );
    let events = if vtn.events == 1 { "1 event".to_owned() } else { format!("{} events", vtn.events) };
    let _ = writeln!(
        text,
        "{}  openadr   {}: {answered} · {events}, {} announced here{}",
        if vtn.trouble.is_some() { "warn" } else { "ok  " },
        escape(&vtn.name),
        vtn.announced,
        vtn.trouble.as_ref().map_or_else(String::new, |trouble| format!(" · {}", escape(trouble))),
    );
    for refused in &vtn.refused {
        let _ = writeln!(text, "warn  openadr   {}: {}", escape(&vtn.name), escape(refused));
    }
}

/// An announcement in a line: `cap 14.0 kW for row-a until 18:00, utility call 7741 (webhook, dr-1)`.
fn said(notice: &Notice, now: DateTime<Utc>, style: &Style) -> String {
    let what = match notice.call {
        Call::Cap { limit } => format!("cap {limit}"),
        Call::GpuCap { limit } => format!("{limit} for every GPU"),
        Call::DemandResponse { share } => format!("at most {share} of the usual power"),
        Call::Plenty => "plenty: nothing waits for cleaner hours".to_owned(),
        Call::Alert => "alert".to_owned(),
        Call::HoldAgain => "holds jobs for the grid again".to_owned(),
    };
    let place = notice.place.as_ref().map_or_else(|| "the whole site".to_owned(), |place| escape(place));
    let from =
        if notice.from > now { format!(" from {}", times::short(notice.from, now, style)) } else { String::new() };
    let until = match notice.until {
        Some(until) => format!(" until {}", times::short(until, now, style)),
        None => " until it is cancelled".to_owned(),
    };
    let reason = if notice.reason.is_empty() { String::new() } else { format!(", {}", escape(&notice.reason)) };
    format!("{what} for {place}{from}{until}{reason} ({}, {})", escape(&notice.source), escape(&notice.id))
}

/// What became of an announcement.
#[must_use]
pub fn announced(notice: &Notice, now: DateTime<Utc>, style: &Style) -> String {
    let line = if notice.cancelled {
        format!("taken back: {}\n", escape(&notice.id))
    } else {
        format!("{}\n", said(notice, now, style))
    };
    style.draw(line)
}
