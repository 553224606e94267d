//! Energy and emissions of jobs that ended, by group.

use super::table::{Side, Table};
use super::{Style, escape, grid, numbers};
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::protocol::{UsageReport, UsageRow};
use std::fmt::Write as _;

fn day(at: DateTime<Utc>, style: &Style) -> String {
    at.with_timezone(&style.zone).format("%-d %b %Y %H:%M").to_string()
}

fn table(report: &UsageReport) -> Table {
    let energy = numbers::energy_column(report.total.actual.energy);
    let carbon = numbers::carbon_column(report.total.actual.emits.max(report.total.run_now.emits));
    let carbon_name = format!("{}CO2e", carbon.name);
    // A column of money where all of it has one currency.
    let currency = match report.total.bills.as_slice() {
        [bill] if bill.priced.0 > 0 => Some(escape(&bill.currency)),
        _ => None,
    };
    let mut heads = vec![
        ("", Side::Left),
        ("JOBS", Side::Right),
        ("GPU-h", Side::Right),
        (energy.name, Side::Right),
        (carbon_name.as_str(), Side::Right),
        ("RUN-NOW", Side::Right),
        ("SAVED", Side::Right),
        ("WAITED FOR IT", Side::Right),
    ];
    heads.extend(currency.as_deref().map(|name| (name, Side::Right)));
    let mut table = Table::new(&heads);
    for row in report.rows.iter().chain([&report.total]) {
        let savings = Savings { emits: row.actual.emits, instead_of: row.run_now.emits };
        let saved = match savings.ratio() {
            Some(ratio) if savings.grams() != 0.0 => {
                let sign = if ratio < 0.0 { "−" } else { "" };
                format!("{sign}{} ({sign}{})", carbon.of(savings.grams().abs()), numbers::percent(ratio.abs()))
            }
            _ => "0".to_owned(),
        };
        let waited = if row.waited_for_grid.0 == 0 { "–".to_owned() } else { row.waited_for_grid.to_string() };
        let cells = [
            escape(&row.group),
            row.jobs.to_string(),
            numbers::digits(row.gpu_seconds.in_hours()),
            energy.of(row.actual.energy.in_base()),
            carbon.of(row.actual.emits.in_base()),
            carbon.of(row.run_now.emits.in_base()),
            saved,
            waited,
        ];
        let cost = currency.as_ref().map(|currency| {
            let paid = row.bills.iter().find(|bill| bill.currency == *currency && bill.priced.0 > 0);
            paid.map_or_else(|| "–".to_owned(), |bill| numbers::amount(bill.paid))
        });
        table.row(cells.into_iter().chain(cost));
    }
    table
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "none".to_owned() } else { numbers::percent(part as f64 / whole as f64) }
}

fn title(report: &UsageReport, project: Option<&str>, style: &Style) -> String {
    let span = match (report.since, report.until) {
        (None, None) => format!("all jobs that ended before {}", day(report.now, style)),
        (Some(since), None) => format!("ended since {}", day(since, style)),
        (None, Some(until)) => format!("ended before {}", day(until, style)),
        (Some(since), Some(until)) => format!("ended {} to {}", day(since, style), day(until, style)),
    };
    let zones: Vec<String> =
        report.zones.iter().map(|zone| format!("{} {}", escape(&zone.name), grid::pue(zone.pue))).collect();
    let project = project.map_or_else(String::new, |project| format!("{} · ", escape(project)));
    format!("{project}{span} · {} · PUE: {}", grid::basis(&report.basis), zones.join(", "))
}

fn notes(report: &UsageReport) -> String {
    let UsageRow { actual, missed, overrides, measured_energy, .. } = &report.total;
    let mut text = format!(
        "measured: {} of energy, {} of intensity; the rest estimated. {missed} finish-by missed, {overrides} overrides.\n",
        share(measured_energy.0, actual.energy.0),
        share(actual.measured.0, actual.energy.0),
    );
    if actual.uncovered.0 > 0 {
        let _ =
            writeln!(text, "{} met no known intensity and are in no carbon figure.", numbers::energy(actual.uncovered));
    }
    if let Some(failed) = report.rows.iter().find(|row| row.group == "failed") {
        let _ = writeln!(
            text,
            "work that did not succeed: {} of the energy.",
            share(failed.actual.energy.0, actual.energy.0)
        );
    }
    for bill in report.total.bills.iter().filter(|bill| bill.priced.0 > 0) {
        let _ = writeln!(text, "cost {}", super::beside::cost(bill).join(" · "));
    }
    if let Some(embodied) = &report.total.embodied {
        let (emits, source) = (numbers::carbon(embodied.emits), escape(&embodied.source));
        let _ = writeln!(text, "making of the hardware held: {emits} ({source}), in no other figure.");
    }
    if let Some(market) = report.total.market.filter(|market| !market.is_empty()) {
        let _ = writeln!(text, "market-based: {}, never added to the location-based.", super::beside::market(&market));
    }
    if !report.credits.is_empty() {
        let _ = writeln!(text, "credit: {}", escape(&report.credits.join(" · ")));
    }
    text
}

/// For a terminal.
#[must_use]
pub fn report(report: &UsageReport, project: Option<&str>, style: &Style) -> String {
    let text = format!("{}\n{}{}", title(report, project, style), table(report).text(style), notes(report));
    style.draw(text)
}

/// For a paper or an audit.
#[must_use]
pub fn markdown(report: &UsageReport, project: Option<&str>, style: &Style) -> String {
    format!("{}\n\n{}\n{}", title(report, project, style), table(report).markdown(), notes(report))
}
