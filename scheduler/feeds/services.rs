//! From what a site configures to the services that are asked. Keys are read here, once, and nothing else looks at them.

use super::feed::{Feed, Secret, Signal};
use super::mix::Factors;
use super::providers::carbon_aware::CarbonAware;
use super::providers::eia::Eia;
use super::providers::electricity_maps::{self, ElectricityMaps};
use super::providers::energi_data::EnergiData;
use super::providers::energy_charts::EnergyCharts;
use super::providers::entsoe::Entsoe;
use super::providers::exporter::Exporter;
use super::providers::http_json::{self, HttpJson};
use super::providers::nord_pool::NordPool;
use super::providers::octopus::Octopus;
use super::providers::open_electricity::OpenElectricity;
use super::providers::prometheus::{self, Prometheus};
use super::providers::tibber::Tibber;
use super::providers::uk::Uk;
use super::providers::watttime::WattTime;
use super::rounds::Source;
use crate::config::{Config, FeedConfig, Grid, Key, Service, Unit};
use chrono::TimeDelta;
use neap_model::grid::Basis;
use neap_model::seconds::Seconds;
use std::collections::BTreeMap;

/// A service that is configured, whether or not it can be asked.
#[derive(Debug)]
pub struct Configured {
    /// As shown to people.
    pub name: String,
    /// The service with its zones, or why it cannot be asked.
    pub source: Result<Source, String>,
}

/// The services of a site, in the order of its file.
#[must_use]
pub fn configured(config: &Config) -> Vec<Configured> {
    let services = config.grid.feeds.iter().filter_map(|feed| match feed {
        FeedConfig::File { .. } => None,
        FeedConfig::Service { service, zones, price_zones, base } => {
            let mut lanes: BTreeMap<_, _> =
                zones.iter().map(|(ours, theirs)| ((ours.clone(), Signal::Intensity), theirs.clone())).collect();
            lanes.extend(price_zones.iter().map(|(ours, theirs)| ((ours.clone(), Signal::Price), theirs.clone())));
            if lanes.is_empty() {
                // Nothing said: the site's zones by their own names.
                let own = config.zones.iter().map(|zone| ((zone.name.clone(), service.signal()), zone.name.clone()));
                lanes.extend(own);
            }
            let source = made(service, base.clone(), &config.grid).map(|feed| Source { feed, lanes });
            Some(Configured { name: service.name().to_owned(), source })
        }
    });
    services.collect()
}

impl Service {
    /// The word that a configuration uses, and everything that is shown.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Uk => "uk",
            Self::EnergyCharts => "energy-charts",
            Self::EnergiData => "energi-data",
            Self::Octopus { .. } => "octopus",
            Self::NordPool { .. } => "nord-pool",
            Self::Tibber { .. } => "tibber",
            Self::OpenElectricity { .. } => "open-electricity",
            Self::ElectricityMaps { .. } => "electricity-maps",
            Self::WattTime { .. } => "watttime",
            Self::Eia { .. } => "eia",
            Self::Entsoe { .. } => "entsoe",
            Self::CarbonAware => "carbon-aware-sdk",
            Self::Exporter => "grid-intensity-exporter",
            Self::HttpJson(options) => &options.name,
            Self::Prometheus { .. } => "prometheus",
        }
    }

    fn signal(&self) -> Signal {
        match self {
            Self::Octopus { .. } | Self::NordPool { .. } | Self::Tibber { .. } => Signal::Price,
            Self::HttpJson(options) if matches!(options.unit, Unit::Price(..)) => Signal::Price,
            _ => Signal::Intensity,
        }
    }
}

/// A key from where it is kept. The text of an error names the place, never the key.
fn secret(key: &Key) -> Result<Secret, String> {
    let (bytes, place) = crate::keys::read(key)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the key in {place} is no text"))?;
    let secret = Secret::new(&text);
    if secret.reveal().is_empty() { Err(format!("the key in {place} is empty")) } else { Ok(secret) }
}

fn factors(name: &str) -> Result<Factors, String> {
    Factors::named(name).ok_or_else(|| format!("no factors are named `{name}`"))
}

fn delta(time: Seconds) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(time.0.min(1 << 40)).unwrap_or(0))
}

/// The factor to g/kWh or to currency units per MWh, and the currency.
fn scale(unit: &Unit) -> (f64, Option<String>) {
    match unit {
        Unit::Intensity(billionths) => (*billionths as f64 / 1e9, None),
        Unit::Price(thousandths, currency) => (*thousandths as f64 / 1e3, Some(currency.clone())),
    }
}

fn made(service: &Service, base: Option<String>, grid: &Grid) -> Result<Box<dyn Feed>, String> {
    // What these services measure is for the site to say: it says so for all of its grid data.
    let basis = Basis { kind: grid.kind, scope: grid.scope, ..Basis::default() };
    let own = |base: Option<String>| base.ok_or_else(|| "it needs its `base`".to_owned());
    Ok(match service {
        Service::Uk => Box::new(Uk::new(base)),
        Service::EnergyCharts => Box::new(EnergyCharts::new(base)),
        Service::EnergiData => Box::new(EnergiData::new(base)),
        Service::Octopus { with_vat } => Box::new(Octopus::new(base, *with_vat, None)),
        Service::NordPool { currency } => Box::new(NordPool::new(base, currency.clone())),
        Service::Tibber { key } => Box::new(Tibber::new(base, secret(key)?)),
        Service::OpenElectricity { key } => Box::new(OpenElectricity::new(base, secret(key)?)),
        Service::ElectricityMaps { key, allow_synthetic } => {
            Box::new(ElectricityMaps::new(electricity_maps::Options {
                base: base.unwrap_or_else(|| electricity_maps::BASE.to_owned()),
                key: secret(key)?,
                scope: grid.scope,
                allow_synthetic: *allow_synthetic,
            }))
        }
        Service::WattTime { user, password } => Box::new(WattTime::new(base, &secret(user)?, &secret(password)?)),
        Service::Eia { key, factors: name } => Box::new(Eia::new(base, secret(key)?, factors(name)?)),
        Service::Entsoe { key, factors: name } => Box::new(Entsoe::new(base, secret(key)?, factors(name)?)),
        Service::Exporter => Box::new(Exporter::new(own(base)?, grid.kind)),
        Service::CarbonAware => Box::new(CarbonAware::new(own(base)?, basis)),
        Service::HttpJson(options) => {
            let (scale, currency) = scale(&options.unit);
            let header = |(name, key): &(String, Key)| Ok::<_, String>((name.clone(), secret(key)?));
            Box::new(HttpJson::new(http_json::Options {
                name: options.name.clone(),
                url: own(base)?,
                headers: options.headers.iter().map(header).collect::<Result<_, _>>()?,
                layout: options.layout.clone(),
                issued: options.issued.clone(),
                label_is_end: options.label_is_end,
                step: options.step.map(delta),
                scale,
                basis,
                currency,
                missing: options.missing.iter().copied().map(f64::from).collect(),
                expect: options.expect.clone(),
                poll: delta(options.poll),
            }))
        }
        Service::Prometheus { query, step, unit, max_age, authorization } => {
            Box::new(Prometheus::new(prometheus::Options {
                base: own(base)?,
                query: query.clone(),
                step: delta(*step),
                scale: unit.as_ref().map(|unit| scale(unit).0),
                basis,
                max_age: max_age.map(delta),
                authorization: authorization.as_ref().map(secret).transpose()?,
                headers: Vec::new(),
            }))
        }
    })
}
