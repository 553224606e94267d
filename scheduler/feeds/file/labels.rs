//! What the values of a file are: said in its head, in its `[[grid.feed]]`, or in both alike. Nothing is taken for granted;
//! a file that nobody labels is refused with the line to add.

use super::super::wire::{plain, time};
use super::FileError;
use crate::config::{FileLabels, Unit};
use chrono::{DateTime, Utc};
use neap_model::grid::{Accounting, Basis, Kind, Scope};

/// The format that files may name.
pub const FORMAT: &str = "neap intensity 1";
/// Names of labels, in the order in which they are asked for.
const NAMES: [&str; 6] = ["kind", "scope", "accounting", "unit", "zone", "issued"];

/// What was said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Kind, scope, accounting, unit.
    pub basis: FileLabels,
    /// The zone of all its values.
    pub zone: Option<String>,
    /// When its forecasts were issued.
    pub issued: Option<DateTime<Utc>>,
}

/// Whether a word names a label.
#[must_use]
pub fn is_label(word: &str) -> bool {
    NAMES.contains(&word)
}

/// What a site's file speaks of, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// What its values measure.
    pub basis: Basis,
    /// g/kWh that one of its values is.
    pub scale: f64,
}

impl Labels {
    /// Takes one label. Said twice, it must say the same.
    ///
    /// # Errors
    /// What is wrong with it, fit to follow a place.
    pub fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let before = self.clone();
        match name {
            "kind" => self.basis.kind = Some(kind(value)?),
            "scope" => self.basis.scope = Some(scope(value)?),
            "accounting" => self.basis.accounting = Some(accounting(value)?),
            "unit" => self.basis.unit = Some(unit(value)?),
            "zone" if value.is_empty() => return Err("`zone` is empty".to_owned()),
            "zone" => self.zone = Some(value.to_owned()),
            "issued" => {
                let at = time(value, false);
                self.issued = Some(at.ok_or_else(|| format!("`{}` is no time with a zone", plain(value)))?);
            }
            other => return Err(format!("`{}` is no label ({})", plain(other), NAMES.join(", "))),
        }
        let said = |labels: &Self| match name {
            "kind" => labels.basis.kind.is_some(),
            "scope" => labels.basis.scope.is_some(),
            "accounting" => labels.basis.accounting.is_some(),
            "unit" => labels.basis.unit.is_some(),
            "zone" => labels.zone.is_some(),
            _ => labels.issued.is_some(),
        };
        if said(&before) && before != *self { Err(format!("`{name}` is said twice, and not alike")) } else { Ok(()) }
    }

    /// Joins what the file says with what its site says of it.
    ///
    /// # Errors
    /// [`FileError::Unlabelled`] with what to add, [`FileError::Disagrees`] where the two contradict each other.
    pub fn with(&self, site: &FileLabels, usual: &Basis, json: bool) -> Result<Meaning, FileError> {
        let file = &self.basis;
        let kind = same("kind", file.kind, site.kind)?;
        let scope = same("scope", file.scope, site.scope)?;
        let accounting = same("accounting", file.accounting, site.accounting)?;
        let unit = same("unit", file.unit, site.unit)?;
        let (Some(kind), Some(scope), Some(unit)) = (kind, scope, unit) else {
            let word = if usual.kind == Kind::Average { "average" } else { "marginal" };
            let missing = [
                ("kind", word, kind.is_none()),
                ("scope", if usual.scope == Scope::Direct { "direct" } else { "lifecycle" }, scope.is_none()),
                ("unit", "g/kWh", unit.is_none()),
            ];
            let missing: Vec<_> = missing.into_iter().filter(|(.., missing)| *missing).collect();
            let pairs =
                missing.iter().map(
                    |(name, value, _)| {
                        if json { format!("\"{name}\": \"{value}\",") } else { format!("{name}={value}") }
                    },
                );
            let line = pairs.collect::<Vec<_>>().join(" ");
            let names = missing.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
            return Err(FileError::Unlabelled { names, line: if json { line } else { format!("# {line}") } });
        };
        let basis = Basis { kind, scope, accounting: accounting.unwrap_or_default(), factors: None };
        Ok(Meaning { basis, scale: unit as f64 / 1e9 })
    }
}

fn same<T: PartialEq>(name: &'static str, file: Option<T>, site: Option<T>) -> Result<Option<T>, FileError> {
    match (file, site) {
        (Some(file), Some(site)) if file != site => Err(FileError::Disagrees(name)),
        (file, site) => Ok(file.or(site)),
    }
}

fn kind(word: &str) -> Result<Kind, String> {
    match word {
        "average" => Ok(Kind::Average),
        "marginal" => Ok(Kind::Marginal),
        _ => Err(format!("`kind` is average or marginal, not `{}`", plain(word))),
    }
}

fn scope(word: &str) -> Result<Scope, String> {
    match word {
        "lifecycle" => Ok(Scope::Lifecycle),
        "direct" => Ok(Scope::Direct),
        _ => Err(format!("`scope` is lifecycle or direct, not `{}`", plain(word))),
    }
}

fn accounting(word: &str) -> Result<Accounting, String> {
    match word {
        "production" => Ok(Accounting::Production),
        "consumption" => Ok(Accounting::Consumption),
        "unstated" => Ok(Accounting::Unstated),
        _ => Err(format!("`accounting` is production, consumption or unstated, not `{}`", plain(word))),
    }
}

fn unit(word: &str) -> Result<u64, String> {
    match Unit::named(word) {
        Some(Unit::Intensity(billionths)) => Ok(billionths),
        Some(Unit::Price(..)) => Err(format!("`{}` is a price, not an intensity", plain(word))),
        None => Err(format!("`{}` is no unit of intensity (g/kWh, kg/MWh, lb/MWh, kg/kWh, t/MWh, g/MJ)", plain(word))),
    }
}
