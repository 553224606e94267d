//! Derives a zone's climatology from hourly history: 288 numbers, the usual shape of each month's day in per mille.
//!
//! `cargo run --example climatology -- FILE.csv TIME_COLUMN VALUE_COLUMN ZONE UTC_OFFSET_HOURS LICENCE PROVENANCE >> scheduler/feeds/climatology.csv`
//!
//! `F[month][hour] = mean(value | local month, local hour) / mean of the 288 cells`, in the zone's standard time.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use std::io::{Error, Write};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, time, value, zone, offset, licence, provenance] = args.as_slice() else {
        return Err(Error::other("FILE TIME_COLUMN VALUE_COLUMN ZONE UTC_OFFSET_HOURS LICENCE PROVENANCE"));
    };
    let offset: i64 = offset.parse().map_err(Error::other)?;
    let text = std::fs::read_to_string(file)?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column =
        |name: &str| header.iter().position(|h| h == &name).ok_or_else(|| Error::other(format!("no column {name}")));
    let (time, value) = (column(time)?, column(value)?);
    let mut cells = [[(0.0f64, 0u32); 24]; 12];
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let Some(Ok(value)) = fields.get(value).map(|v| v.parse::<f64>()) else { continue };
        let at = parse(fields.get(time).copied().unwrap_or_default()).ok_or_else(|| Error::other(line.to_owned()))?;
        let local = at + TimeDelta::hours(offset);
        let cell = &mut cells[local.month0() as usize][local.hour() as usize];
        *cell = (cell.0 + value, cell.1 + 1);
    }
    let means: Vec<f64> = cells.iter().flatten().map(|(sum, count)| sum / f64::from(*count)).collect();
    let whole = means.iter().sum::<f64>() / means.len() as f64;
    let shape: Vec<String> = means.iter().map(|mean| format!("{:.0}", mean / whole * 1_000.0)).collect();
    writeln!(std::io::stdout(), "{zone},{offset},{licence},{provenance},{}", shape.join(" "))
}

fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim_end_matches('Z');
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S+00:00"];
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).map(|at| at.and_utc())
}
