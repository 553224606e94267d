//! The lines of an intensity file as cells by zone, whichever of its two shapes it has.

use super::{Cell, Columns, Reading, stamp};
use crate::diagnostic::did_you_mean;
use crate::session::{Problems, problem};
use crate::simulate::text::{File, Mistakes, number};
use neap_model::refusal::{Code, Refusal};

/// Names of the first column.
const TIMES: &[&str] = &["datetime_utc", "utc time", "time", "datetime", "timestamp", "utc_hour_start", "start"];

/// Reads the lines.
pub fn columns(file: &File, reading: &Reading, mistakes: &mut Mistakes<'_>) -> Result<Columns, Problems> {
    let mut lines = file.lines().filter(|(_, line)| !line.starts_with('#'));
    let header = lines.next().map_or("", |(_, line)| line);
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let first = names.first().copied().unwrap_or_default().to_lowercase();
    let refused =
        |message: String, note: &str| Err(vec![file.wrong(header, Refusal::new(Code::Syntax, message).note(note))]);
    if first.contains("end") {
        return refused(format!("`{}` names the end of a step", names[0]), "stamps must name the start of a step");
    }
    if !TIMES.contains(&first.as_str()) {
        return refused(
            format!("the first column is `{}`, which is no time", names.first().copied().unwrap_or_default()),
            "wide: datetime_utc and a column a zone · long: time,zone,value and perhaps issued, kind, grade",
        );
    }
    if let Some(unit) = names.iter().find(|name| foreign_unit(name)) {
        return refused(format!("`{unit}` is in another unit"), "intensity is in g/kWh");
    }
    let long = names.contains(&"zone") && names.contains(&"value");
    let mut columns = Columns::default();
    if long {
        self::long(&names, lines, reading, mistakes, &mut columns);
    } else {
        wide(&names, lines, reading, file, mistakes, &mut columns)?;
    }
    columns.rows.sort_unstable();
    columns.rows.dedup();
    Ok(columns)
}

fn foreign_unit(name: &str) -> bool {
    let name = name.to_lowercase();
    ["lb/", "lbs", "lb_", "_lb", "mwh", "kg/", "kg_per", "kgco2", "t/mw"].iter().any(|unit| name.contains(unit))
}

/// A cell: empty or `null` is a hole.
fn cell(text: &str, name: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("null") || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    match number(text, name)? {
        value if value < 0.0 => Err(format!("`{name}` is {value}: an intensity is not negative")),
        value => Ok(Some(value)),
    }
}

/// Where each column goes.
fn roles(names: &[&str], reading: &Reading, file: &File) -> Result<Vec<(usize, String, bool)>, Problems> {
    let (Some(actual), forecast) = (&reading.actual, &reading.forecast) else {
        if reading.forecast.is_some() {
            let refusal = Refusal::new(Code::Contradiction, "--forecast-column without --actual-column");
            return Err(problem(refusal.hint("name both columns", &[])));
        }
        return Ok(names.iter().enumerate().skip(1).map(|(n, name)| (n, (*name).to_owned(), false)).collect());
    };
    // A pair of columns is one zone, named by --zones or by its column.
    let zone = reading.zones.first().cloned().unwrap_or_else(|| actual.clone());
    let find = |column: &String| {
        names.iter().position(|name| *name == column.as_str()).ok_or_else(|| {
            let refusal = Refusal::new(Code::BadValue, format!("{} has no column `{column}`", file.name));
            let refusal = refusal.note(format!("columns there: {}", names.join(", ")));
            problem(match did_you_mean(column, names.iter().copied()) {
                Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
                None => refusal,
            })
        })
    };
    let mut roles = vec![(find(actual)?, zone.clone(), false)];
    if let Some(forecast) = forecast {
        roles.push((find(forecast)?, zone, true));
    }
    Ok(roles)
}

fn wide<'a>(
    names: &[&str],
    lines: impl Iterator<Item = (usize, &'a str)>,
    reading: &Reading,
    file: &File,
    mistakes: &mut Mistakes<'_>,
    columns: &mut Columns,
) -> Result<(), Problems> {
    let roles = roles(names, reading, file)?;
    for (_, line) in lines {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != names.len() {
            mistakes.add(line, format!("{} fields under {} names", fields.len(), names.len()));
            continue;
        }
        let at = match stamp(fields[0], reading.naive_utc) {
            Ok(at) => at,
            Err(message) => {
                mistakes.add(line, message);
                continue;
            }
        };
        columns.rows.push(at);
        for (n, zone, forecast) in &roles {
            match cell(fields[*n], names[*n]) {
                Ok(value) => {
                    let of = if *forecast { &mut columns.forecast } else { &mut columns.actual };
                    let cell = Cell { at, issued: None, value };
                    match of.get_mut(zone) {
                        Some(cells) => cells.push(cell),
                        None => drop(of.insert(zone.clone(), vec![cell])),
                    }
                }
                Err(message) => mistakes.add(line, message),
            }
        }
    }
    Ok(())
}

fn long<'a>(
    names: &[&str],
    lines: impl Iterator<Item = (usize, &'a str)>,
    reading: &Reading,
    mistakes: &mut Mistakes<'_>,
    columns: &mut Columns,
) {
    let at = |name: &str| names.iter().position(|column| *column == name);
    let (zone_at, value_at) = (at("zone").unwrap_or(1), at("value").unwrap_or(2));
    let (issued_at, kind_at) = (at("issued"), at("kind"));
    for (_, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if fields.len() != names.len() {
            mistakes.add(line, format!("{} fields under {} names", fields.len(), names.len()));
            continue;
        }
        let optional = |at: Option<usize>| at.map(|n| fields[n]).filter(|text| !text.is_empty());
        let read = || -> Result<(Cell, bool), String> {
            let issued = optional(issued_at).map(|text| stamp(text, reading.naive_utc)).transpose()?;
            let forecast = match optional(kind_at) {
                Some("forecast") => true,
                Some("actual" | "measured" | "estimated") => false,
                Some(other) => return Err(format!("`kind` is `{other}`, not actual or forecast")),
                None => issued.is_some(),
            };
            let value = cell(fields[value_at], "value")?;
            let issued = issued.filter(|_| forecast);
            Ok((Cell { at: stamp(fields[0], reading.naive_utc)?, issued, value }, forecast))
        };
        match read() {
            Ok((cell, forecast)) => {
                columns.rows.extend((!forecast).then_some(cell.at));
                let of = if forecast { &mut columns.forecast } else { &mut columns.actual };
                of.entry(fields[zone_at].to_owned()).or_default().push(cell);
            }
            Err(message) => mistakes.add(line, message),
        }
    }
}
