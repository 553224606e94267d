//! The curve of the grid with the planned run under it.

use super::number;
use crate::render::{Style, chart, times};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use neap_model::plan::Outlook;
use neap_model::protocol::WhyReport;
use neap_model::units::Intensity;
use std::fmt::Write as _;

/// The curve over the time that matters, with the run under it.
pub(super) fn picture(report: &WhyReport, expected: &Outlook, style: &Style) -> String {
    let Some(zone) = &report.grid else { return String::new() };
    let from = report.now.duration_trunc(TimeDelta::hours(1)).unwrap_or(report.now);
    let last = report
        .job
        .spec
        .time
        .finish_by
        .or(report.job.decision.as_ref().and_then(|d| d.latest_start))
        .unwrap_or(expected.end)
        .max(expected.end);
    let hours = (last - from).num_hours() + 1;
    // At most 60 columns, at least 12: an hour is one, two or three columns, or a column several hours.
    let (columns_an_hour, hours_a_column) = match hours {
        ..=20 => (3, 1),
        21..=30 => (2, 1),
        31..=60 => (1, 1),
        more => (1, (more + 59) / 60),
    };
    let step = TimeDelta::minutes(60 * hours_a_column / columns_an_hour);
    let count = i32::try_from((last - from).num_minutes() / step.num_minutes().max(1) + 1).unwrap_or(60).clamp(1, 61);
    let values = chart::slices(&zone.series, from, step, count);
    let Some((low, high)) = chart::range(&values) else { return String::new() };
    let column =
        |at: DateTime<Utc>| usize::try_from((at - from).num_minutes() / step.num_minutes().max(1)).unwrap_or(0);
    let rows = chart::picture(&values, low, high);
    let mut text = String::from("\n");
    for (n, row) in rows.iter().enumerate() {
        let label = match n {
            0 => format!("{:>5} ┤", number(Intensity(high))),
            2 => format!("{:>5} ┤", number(Intensity(low))),
            _ => "      │".to_owned(),
        };
        let _ = writeln!(text, "{}", format!("  {label} {row}").trim_end());
    }
    let every = (12 / columns_an_hour * hours_a_column).max(1);
    let mut axis = String::new();
    let mut hour = 0;
    while hour * columns_an_hour / hours_a_column < i64::from(count) {
        let at = usize::try_from(hour * columns_an_hour / hours_a_column).unwrap_or(0);
        while axis.chars().count() < at {
            axis.push(' ');
        }
        axis.push_str(&times::clock(from + TimeDelta::hours(hour), style)[..2]);
        hour += every;
    }
    let _ = writeln!(text, "          {axis}");
    let (start, end) = (column(expected.start), column(expected.end).max(column(expected.start) + 1));
    let mut under = String::from("now");
    let pad = |under: &mut String, to: usize| {
        while under.chars().count() < to {
            under.push(' ');
        }
    };
    if start >= 4 {
        pad(&mut under, start);
    } else {
        under = " ".repeat(start);
    }
    let run = " run ";
    let wide = end - start;
    under.push('╰');
    if wide > run.len() + 2 {
        let rest = wide - run.len() - 1;
        under.push_str(&"─".repeat(rest / 2));
        under.push_str(run);
        under.push_str(&"─".repeat(rest - rest / 2));
    } else {
        under.push_str(&"─".repeat(wide.saturating_sub(1)));
    }
    under.push('╯');
    if let Some(by) = report.job.spec.time.finish_by.filter(|by| column(*by) > end + 1) {
        pad(&mut under, column(by));
        under.push_str("┆ finish-by");
    }
    let _ = writeln!(text, "          {under}");
    text
}
