//! A demo as text and as data: first that it is simulated, then what the ledger says, then answers of the scheduler.

use super::table::{Side, Table};
use super::{Style, data, numbers, times, why};
use crate::demo::told::{Share, Told, ZoneSum};
use chrono_tz::Tz;
use neap_model::units::{GramsCo2e, Joules};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What to type next; all of it works on a machine without a GPU.
const NEXT: [(&str, &str); 3] = [
    ("neap serve --dev &", "a scheduler and an executor of your own; NEAP_ZONE=DE before it says where you are"),
    ("neap submit --finish-by +12h --expect 1h -- sleep 5", "a job that may wait for cleaner hours"),
    ("neap why last", "why it waits or does not, what that gains, what you can do"),
];

/// For people. Times are UTC, so that the same demo is the same text everywhere.
#[must_use]
pub fn text(told: &Told, style: &Style) -> String {
    let style = &Style { zone: Tz::UTC, ..*style };
    let mut text = head(told, style);
    text.push_str(&style.draw(table(told).text(style)));
    let _ = writeln!(
        text,
        "run-now and saved: the same energy in the same zone, had each job started when it first could.\n"
    );
    text.push_str(&counts(told));
    text.push_str(&best(told, style));
    if let Some(first) = &told.waiting {
        let _ =
            writeln!(text, "\nneap why {}, as it was answered on {}:\n", first.job.id, times::full(first.now, style));
        text.push_str(&why::why(first, style));
    }
    for report in &told.over {
        let _ = writeln!(text, "\nneap why {}, at the end:\n", report.job.id);
        text.push_str(&why::why(report, style));
    }
    text.push_str("\nFrom here on it is not simulated:\n\n");
    for (command, what) in NEXT {
        let _ = writeln!(text, "  {command:<52} {what}");
    }
    style.draw(text)
}

fn head(told: &Told, style: &Style) -> String {
    let gpus: usize = told.gpus.values().sum();
    let models: Vec<String> = told.gpus.iter().map(|(model, count)| format!("{count} {model}")).collect();
    let zones: Vec<&str> = told.zones.iter().map(|zone| zone.zone.as_str()).collect();
    let day = told.from.with_timezone(&style.zone).format("%a %-d %b %Y");
    format!(
        "All of this is simulated, but for the scheduler: {} made-up jobs on {gpus} made-up GPUs ({}), {} nodes.\n\
         {} from {day}, UTC, seed {}; grids of {}: their usual hours under made-up weather, ahead of it Neap's forecast.\n\n",
        told.submitted,
        models.join(", "),
        told.nodes,
        days(told.options.days),
        told.options.seed,
        zones.join(", "),
    )
}

/// `1 day`, `3 days`.
#[must_use]
pub fn days(days: u32) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

fn table(told: &Told) -> Table {
    let energy = numbers::energy_column(Joules(told.all.energy.0.max(told.all.idle.0)));
    let carbon = numbers::carbon_column(told.all.emits.max(told.all.run_now));
    let carbon_name = format!("{}CO2e", carbon.name);
    let idle = format!("IDLE {}", energy.name);
    let mut table = Table::new(&[
        ("ZONE", Side::Left),
        ("JOBS", Side::Right),
        (energy.name, Side::Right),
        (carbon_name.as_str(), Side::Right),
        ("RUN-NOW", Side::Right),
        ("SAVED", Side::Right),
        (idle.as_str(), Side::Right),
    ]);
    for zone in told.zones.iter().chain([&told.all]) {
        let savings = zone.savings();
        let saved = match savings.ratio() {
            Some(ratio) if savings.grams() != 0.0 => {
                let sign = if ratio < 0.0 { "−" } else { "" };
                format!("{sign}{} ({sign}{})", carbon.of(savings.grams().abs()), numbers::percent(ratio.abs()))
            }
            _ => "0".to_owned(),
        };
        table.row([
            zone.zone.clone(),
            zone.jobs.to_string(),
            energy.of(zone.energy.in_base()),
            carbon.of(zone.emits.in_base()),
            carbon.of(zone.run_now.in_base()),
            saved,
            energy.of(zone.idle.in_base()),
        ]);
    }
    table
}

fn counts(told: &Told) -> String {
    let of = |share: Share, who: &str| format!("{} of {} {who}", share.did, share.of);
    let hours = told.waited_for.0 as f64 / 3_600.0;
    let mut finish = of(told.missed, "missed");
    if told.missed.did > 0 {
        let _ = write!(finish, ", {} of them past hope when they were submitted", told.hopeless);
    }
    let mut over = format!("{} of {} succeeded", told.succeeded, told.submitted);
    if told.failed > 0 {
        let _ = write!(over, ", {} did not", told.failed);
    }
    if told.live > 0 {
        let _ = write!(over, ", {} were not over yet", told.live);
    }
    let rows = [
        ("jobs", over),
        ("finish-by", finish),
        (
            "waited",
            format!(
                "{}, {} h in all",
                of(told.waited, "that consented to wait for cleaner hours"),
                numbers::digits(hours)
            ),
        ),
        ("paused", of(told.paused, "that can save themselves")),
        ("ran wide", of(told.wide, "that left their width open")),
        ("elsewhere", of(told.moved, "that named other zones than home")),
        ("held lower", of(told.capped, "that count their steps and consented to 10 % more time")),
    ];
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "  {name:<11} {value}");
        text
    })
}

fn best(told: &Told, style: &Style) -> String {
    let mut text = format!("  {:<11} {} in full", "plans", told.plans);
    if told.refused_plans > 0 {
        let _ = write!(text, ", {} refused by the audit", told.refused_plans);
    }
    text.push('\n');
    if let Some((at, certificate)) = &told.certificate {
        let at = times::day_clock(*at, style);
        let _ = writeln!(text, "  {:<11} {at}, most at once: {}", "how good", numbers::certified(certificate));
    }
    if let Some(gap) = told.widest {
        // Rounded up: what is printed is a bound as well.
        let gap = numbers::percent((gap * 1e3).ceil() / 1e3);
        let _ =
            writeln!(text, "  {:<11} looked at once an hour, no plan was more than {gap} above the best possible", "");
    }
    text
}

fn zone(sum: &ZoneSum) -> Value {
    let savings = sum.savings();
    json!({
        "zone": sum.zone,
        "jobs": sum.jobs,
        "energy_joules": sum.energy.in_base(),
        "idle_energy_joules": sum.idle.in_base(),
        "carbon_grams": sum.emits.in_base(),
        "run_now_carbon_grams": sum.run_now.in_base(),
        "saved_grams": savings.grams(),
        "saved_ratio": savings.ratio().map(|ratio| (ratio * 1e6).round() / 1e6),
    })
}

/// For programs: `neap.demo/1`.
#[must_use]
pub fn value(told: &Told) -> Value {
    let share = |share: Share| json!({"did": share.did, "of": share.of});
    let grams = |grams: GramsCo2e| grams.in_base();
    json!({
        "schema": "neap.demo/1",
        "simulated": true,
        "version": env!("CARGO_PKG_VERSION"),
        "seed": told.options.seed,
        "days": told.options.days,
        "from": told.from.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "until": told.until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "nodes": told.nodes,
        "gpus": told.gpus,
        "zones": told.zones.iter().map(zone).collect::<Vec<_>>(),
        "all": zone(&told.all),
        "node_energy_joules": told.node_energy.in_base(),
        "submitted": told.submitted,
        "succeeded": told.succeeded,
        "failed": told.failed,
        "live": told.live,
        "waited": share(told.waited),
        "waited_for_grid_seconds": told.waited_for.0,
        "paused": share(told.paused),
        "ran_wide": share(told.wide),
        "ran_elsewhere": share(told.moved),
        "capped": share(told.capped),
        "missed_finish_by": share(told.missed),
        "missed_past_hope": told.hopeless,
        "plans": told.plans,
        "refused_plans": told.refused_plans,
        "certificate": told.certificate.as_ref().map(|(at, certificate)| json!({
            "at": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "jobs": certificate.jobs,
            "carbon_grams": grams(certificate.emits),
            "bound_grams": grams(certificate.bound),
            "gap_ratio": certificate.gap(),
        })),
        "widest_gap_ratio": told.widest,
        "why_while_it_waited": told.waiting.as_ref().map(data::why),
        "why_at_the_end": told.over.iter().map(data::why).collect::<Vec<_>>(),
        "jobs": told.jobs.iter().map(data::job).collect::<Vec<_>>(),
        "next": NEXT.map(|(command, _)| command),
    })
}
