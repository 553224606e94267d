//! The grid for people.

use super::chart;
use super::table::{Side, Table};
use super::{Style, escape, times};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Kind, Scope};
use neap_model::protocol::ZoneGrid;
use neap_model::units::{Intensity, Pue};
use std::fmt::Write as _;

/// Hours that are drawn.
const HOURS: i32 = 24;

fn age(from: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let age = times::between(from, now);
    match age.0 {
        0..90 => "just read".to_owned(),
        _ => format!("{} old", neap_model::seconds::Seconds::minutes((age.0 + 30) / 60)),
    }
}

/// Where a zone's present figure comes from.
#[must_use]
pub fn source(zone: &ZoneGrid, now: DateTime<Utc>) -> String {
    let Some(best) = zone.origins.first() else { return "nothing is known".to_owned() };
    let grade = zone.grade.map_or("unknown", |grade| grade.word());
    let what = match best.feed.as_str() {
        "table" => "built-in table".to_owned(),
        feed => format!("{}, {}", escape(feed), age(best.issued.unwrap_or(best.fetched), now)),
    };
    let error = zone.origins.iter().find_map(|origin| origin.usual_error).map_or_else(String::new, |error| {
        format!(", ±{} over the next day", error.to_string().trim_end_matches(" g/kWh"))
    });
    let terms = if best.private { "; its terms forbid to show it" } else { "" };
    format!("{what}, {grade} now{error}{terms}")
}

/// The prices of a zone in a line: now, lowest and highest of the next day.
fn prices(zone: &ZoneGrid, now: DateTime<Utc>, style: &Style) -> Option<String> {
    let prices = zone.prices.as_ref()?;
    let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    let next: Vec<_> = prices.series.within(hour, hour + TimeDelta::hours(i64::from(HOURS))).collect();
    let amount = |thousandths: i64| format!("{:.1}", thousandths as f64 / 1e3);
    let at = |span: &neap_model::grid::Span<neap_model::units::Price>| {
        format!("{} at {}", amount(span.value.0), times::clock(span.from, style))
    };
    let present = prices.series.at(now).map_or_else(|| "unknown".to_owned(), |span| amount(span.value.0));
    let low = next.iter().min_by_key(|span| span.value.0).map_or_else(|| "–".to_owned(), at);
    let high = next.iter().max_by_key(|span| span.value.0).map_or_else(|| "–".to_owned(), at);
    let (name, currency, feed) = (escape(&zone.zone.name), escape(&prices.currency), escape(&prices.origin.feed));
    Some(format!("price {name}: now {present}, lowest {low}, highest {high} {currency}/MWh, {feed}; for --delay price"))
}

/// What the figures measure.
#[must_use]
pub fn basis(basis: &Basis) -> String {
    let kind = match basis.kind {
        Kind::Average => "average",
        Kind::Marginal => "marginal",
    };
    let scope = match basis.scope {
        Scope::Lifecycle => "lifecycle",
        Scope::Direct => "direct",
        Scope::Unstated => "scope not stated",
    };
    let accounting = match basis.accounting {
        Accounting::Production => ", of production",
        Accounting::Consumption => ", of consumption",
        Accounting::Unstated => "",
    };
    format!("{kind}, {scope}{accounting}, location-based")
}

/// What must be equal for two figures to be compared.
fn measure(basis: &Basis) -> String {
    let kind = if basis.kind == Kind::Average { "average" } else { "marginal" };
    match basis.scope {
        Scope::Lifecycle => format!("{kind}, lifecycle"),
        Scope::Direct => format!("{kind}, direct"),
        Scope::Unstated => format!("{kind}, scope not stated"),
    }
}

/// A PUE, or that there is none.
#[must_use]
pub fn pue(pue: Option<Pue>) -> String {
    pue.map_or_else(|| "not stated".to_owned(), |pue| pue.ratio().to_string())
}

/// The table of zones with their next 24 hours.
#[must_use]
pub fn carbon(zones: &[ZoneGrid], now: DateTime<Utc>, style: &Style) -> String {
    let mut table = Table::new(&[
        ("ZONE", Side::Left),
        ("NOW", Side::Left),
        ("NEXT 24 H, ONE MARK AN HOUR", Side::Left),
        ("LOW", Side::Left),
        ("HIGH", Side::Left),
        ("DATA", Side::Left),
    ]);
    let from = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    for zone in zones {
        let hours = chart::slices(&zone.series, from, TimeDelta::hours(1), HOURS);
        let grams = |value: u64| Intensity(value).to_string().trim_end_matches(" g/kWh").to_owned();
        let present =
            zone.now.map_or_else(|| "unknown".to_owned(), |now| format!("{:>4} {}", grams(now.0), now.word()));
        let (low, high) = match chart::range(&hours) {
            Some((low, high)) if low != high => {
                let at = |value: u64| {
                    let hour = hours.iter().position(|h| *h == Some(value)).unwrap_or(0);
                    let at = from + TimeDelta::hours(hour as i64);
                    format!("{:>4} at {}", grams(value), times::clock(at, style))
                };
                (at(low), at(high))
            }
            _ => ("–".to_owned(), "–".to_owned()),
        };
        table.row([escape(&zone.zone.name), present, chart::sparkline(&hours), low, high, source(zone, now)]);
    }
    let mut text = table.text(style);
    for line in zones.iter().filter_map(|zone| prices(zone, now, style)) {
        let _ = writeln!(text, "{line}");
    }
    let mut measures: Vec<String> = zones.iter().map(|zone| measure(&zone.basis)).collect();
    measures.sort_unstable();
    measures.dedup();
    if measures.len() > 1 {
        let all = measures.join(" · ");
        let _ = writeln!(text, "zones are measured differently ({all}): compare each with itself only");
    }
    let mut credits: Vec<&str> =
        zones.iter().flat_map(|z| z.origins.iter().filter_map(|o| o.credit.as_deref())).collect();
    credits.sort_unstable();
    credits.dedup();
    if !credits.is_empty() {
        let _ = writeln!(text, "g CO2e/kWh. credit: {}", escape(&credits.join(" · ")));
    }
    style.draw(text)
}

/// What the figures measure and where they come from, zone by zone.
#[must_use]
pub fn factors(zones: &[ZoneGrid], now: DateTime<Utc>, style: &Style) -> String {
    let mut text = String::new();
    for zone in zones {
        let _ = writeln!(text, "{}  {} · PUE {}", escape(&zone.zone.name), basis(&zone.basis), pue(zone.zone.pue));
        for origin in &zone.origins {
            let known = age(origin.issued.unwrap_or(origin.fetched), now);
            let _ = write!(text, "  {}: {}, {known}", escape(&origin.feed), basis(&origin.basis));
            for extra in [&origin.basis.factors, &origin.note, &origin.credit].into_iter().flatten() {
                let _ = write!(text, "\n      {}", escape(extra));
            }
            text.push('\n');
        }
    }
    text.push_str("Neap computes no factors of its own: a feed's figures are used as they are, the table's are published yearly means.\n");
    style.draw(text)
}
