//! The ways to run a job, side by side.

use super::table::{Side, Table};
use super::{Style, escape, grid, numbers, times};
use chrono::{DateTime, Utc};
use neap_model::plan::{Alternative, Remark};
use neap_model::protocol::{PlanReport, ZoneGrid};
use neap_model::units::{GramsCo2e, Joules};
use std::fmt::Write as _;

/// The table of ways, and where its figures come from.
#[must_use]
pub fn plan(report: &PlanReport, style: &Style) -> String {
    let mut text = ways(&report.alternatives, report.now, &report.grid, style);
    if let (true, Some(because)) = (report.alternatives.is_empty(), report.decision.because()) {
        let _ = writeln!(text, "it would wait: {}", super::jobs::sentence(because, report.now, style));
    }
    if let Some(certificate) = &report.certificate {
        let _ = writeln!(text, "plan so far: {}", numbers::certified(certificate));
    }
    style.draw(text)
}

/// The same for a job that waits.
#[must_use]
pub fn ways(rows: &[Alternative], now: DateTime<Utc>, grids: &[ZoneGrid], style: &Style) -> String {
    if rows.is_empty() {
        return "no way to run it is open now\n".to_owned();
    }
    let most = |f: fn(&Alternative) -> u64| rows.iter().map(f).max().unwrap_or(0);
    let energy = numbers::energy_column(Joules(most(|row| row.outlook.energy.0)));
    let carbon = numbers::carbon_column(GramsCo2e(most(|row| row.outlook.emits.0)));
    let carbon_name = format!("{}CO2e", carbon.name);
    let costs = rows.iter().any(|row| row.cost.is_some());
    let mut heads = vec![
        ("#", Side::Left),
        ("START", Side::Left),
        ("END", Side::Left),
        ("ZONE", Side::Left),
        ("WHERE", Side::Left),
        ("WAIT", Side::Right),
        (energy.name, Side::Right),
        (carbon_name.as_str(), Side::Right),
        ("vs NOW", Side::Right),
    ];
    heads.extend(costs.then_some(("COST", Side::Right)));
    heads.push(("REMARK", Side::Left));
    let mut table = Table::new(&heads);
    let first = first(rows).map(|row| row.outlook.emits.in_base());
    for (n, row) in rows.iter().enumerate() {
        let outlook = &row.outlook;
        let wait = times::between(now, outlook.start);
        let versus = match first {
            Some(first) if first > 0.0 && (outlook.emits.in_base() - first).abs() > first * 0.0005 => {
                let change = outlook.emits.in_base() / first - 1.0;
                let sign = if change < 0.0 { "−" } else { "+" };
                format!("{sign}{}", numbers::percent(change.abs()))
            }
            _ => "–".to_owned(),
        };
        let mut cells = vec![
            format!("{} {}", n + 1, if row.chosen { "▸" } else { " " }),
            start(outlook.start, now, style),
            times::short(outlook.end, outlook.start, style),
            escape(&row.place.zone),
            row.width.as_ref().map_or_else(String::new, |width| format!("{} on ", numbers::width(width)))
                + &escape(&row.place.node),
            if wait.0 < 60 { "–".to_owned() } else { times::brief(wait) },
            energy.of(outlook.energy.in_base()),
            carbon.of(outlook.emits.in_base()),
            versus,
        ];
        let cost = row.cost.as_ref().map(|cost| numbers::money(cost.total(), &cost.currency));
        cells.extend(costs.then(|| cost.unwrap_or_else(|| "–".to_owned())));
        cells.push(remark(&row.remark, style));
        table.row(cells);
    }
    let zones: Vec<&ZoneGrid> =
        grids.iter().filter(|grid| rows.iter().any(|row| row.place.zone == grid.zone.name)).collect();
    let mut text = table.text(style);
    text.push_str(&paid(rows));
    for zone in zones {
        let _ = writeln!(
            text,
            "data: {}: {} · {} · PUE {}",
            escape(&zone.zone.name),
            grid::source(zone, now),
            grid::basis(&zone.basis),
            grid::pue(zone.zone.pue)
        );
    }
    style.draw(text)
}

/// What is counted in the costs.
fn paid(rows: &[Alternative]) -> String {
    let costs = || rows.iter().filter_map(|row| row.cost.as_ref());
    let known = |all: bool, any: bool, what: &str| match (all, any) {
        (true, _) => Some(what.to_owned()),
        (false, true) => Some(format!("{what} as far as a price is known")),
        _ => None,
    };
    let energy = known(costs().all(|c| c.energy.is_some()), costs().any(|c| c.energy.is_some()), "energy");
    let gpus = known(costs().all(|c| c.gpus.is_some()), costs().any(|c| c.gpus.is_some()), "GPU-hours");
    let parts: Vec<String> = energy.into_iter().chain(gpus).collect();
    if costs().next().is_none() { String::new() } else { format!("cost: {}\n", parts.join(" and ")) }
}

/// The way that needs no further consent and starts first: what *now* means for this job.
#[must_use]
pub fn first(rows: &[Alternative]) -> Option<&Alternative> {
    let open = rows.iter().filter(|row| !matches!(row.remark, Remark::Needs { .. }));
    open.min_by_key(|row| row.outlook.start)
}

fn start(at: DateTime<Utc>, now: DateTime<Utc>, style: &Style) -> String {
    let text = times::short(at, now, style);
    if text.contains(' ') { text } else { format!("today {text}") }
}

fn remark(remark: &Remark, style: &Style) -> String {
    match remark {
        Remark::FitsNow => "fits now".to_owned(),
        Remark::FirstRoom => "first room".to_owned(),
        Remark::Cleanest => "cleanest it allows".to_owned(),
        Remark::Cheapest => "cheapest it allows".to_owned(),
        Remark::OtherGpus => "other GPUs".to_owned(),
        Remark::LatestStart { finish_by: Some(by) } => format!("latest start for {}", times::clock(*by, style)),
        Remark::LatestStart { finish_by: None } => "latest start".to_owned(),
        Remark::Needs { flag } => format!("needs {}", escape(flag)),
    }
}
