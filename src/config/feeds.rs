//! What `[grid]` and its `[[grid.feed]]` mean. A key never stands in the file: it is kept in one of its own or in the
//! environment.

use super::site::{bad, is_zone, path};
use super::walk::Table;
use crate::diagnostic::did_you_mean;
use neap_model::grid::{Accounting, Kind, Scope};
use neap_model::seconds::Seconds;
use neap_scheduler::config::{FeedConfig, FileLabels, Grid, HttpJson, Key, Layout, Service, Unit, ZoneConfig};
use neap_scheduler::feeds::mix::Factors;
use std::collections::BTreeMap;

/// Types of feeds, as a file names them.
pub(super) const TYPES: [&str; 16] = [
    "file",
    "uk",
    "energy-charts",
    "energi-data",
    "octopus",
    "nord-pool",
    "tibber",
    "open-electricity",
    "electricity-maps",
    "watttime",
    "eia",
    "entsoe",
    "carbon-aware-sdk",
    "grid-intensity-exporter",
    "http-json",
    "prometheus",
];

const KINDS: [(&str, Kind); 2] = [("average", Kind::Average), ("marginal", Kind::Marginal)];
const SCOPES: [(&str, Scope); 2] = [("lifecycle", Scope::Lifecycle), ("direct", Scope::Direct)];

/// Reads `[grid]`.
pub fn grid(mut table: Table<'_>, zones: &[ZoneConfig]) -> Grid {
    let kind = table.choice("kind", &KINDS).unwrap_or_default();
    let scope = table.choice("scope", &SCOPES).unwrap_or_default();
    let max_forecast_age = table.quantity("max_forecast_age").unwrap_or(Seconds::hours(12));
    let feeds = table.tables("feed").into_iter().filter_map(|feed| feed_of(feed, zones)).collect();
    let show_private = table.choice("show", &[("open", false), ("internal", true)]).unwrap_or_default();
    table.finish(&[]);
    Grid { kind, scope, max_forecast_age, show_private, feeds }
}

fn feed_of(mut feed: Table<'_>, zones: &[ZoneConfig]) -> Option<FeedConfig> {
    let word = feed.text("type");
    let word = word.as_deref().unwrap_or_default();
    if !TYPES.contains(&word) {
        let what =
            if word.is_empty() { "a feed needs its `type`".to_owned() } else { format!("no feed is of type `{word}`") };
        let refusal = match did_you_mean(word, TYPES) {
            Some(near) if !word.is_empty() => bad(what).hint(format!("did you mean `{near}`?"), &[]),
            _ => bad(what).note(TYPES.join(", ")),
        };
        feed.wrong("P013", "type", refusal);
        return None;
    }
    let names: BTreeMap<String, String> = feed.pairs("zones").into_iter().collect();
    if word == "file" {
        let place = path(&mut feed, "path");
        if place.is_none() && feed.span("path").is_empty() {
            feed.wrong("P013", "path", bad("a feed of type file needs its `path`"));
        }
        let labels = labels(&mut feed);
        feed.finish(&[]);
        return Some(FeedConfig::File { path: place?, zones: names, labels });
    }
    let prices: BTreeMap<String, String> = feed.pairs("price_zones").into_iter().collect();
    for (key, names) in [("zones", &names), ("price_zones", &prices)] {
        for zone in names.keys() {
            is_zone(&feed, key, zone, zones);
        }
    }
    let base = address(&mut feed, word == "http-json");
    if matches!(word, "carbon-aware-sdk" | "grid-intensity-exporter" | "http-json" | "prometheus")
        && base.is_none()
        && feed.span("base").is_empty()
    {
        feed.wrong("P013", "base", bad(format!("a feed of type {word} needs its `base`: \"http://bridge:8090\"")));
    }
    let service = match word {
        "uk" => Some(Service::Uk),
        "energy-charts" => Some(Service::EnergyCharts),
        "energi-data" => Some(Service::EnergiData),
        "octopus" => Some(Service::Octopus { with_vat: feed.switch("with_vat").unwrap_or(true) }),
        "nord-pool" => {
            let currency = feed.text("currency").unwrap_or_else(|| "EUR".to_owned());
            if !["EUR", "DKK", "NOK", "SEK", "GBP", "PLN", "RON"].contains(&currency.as_str()) {
                feed.wrong("P013", "currency", bad(format!("its prices are not told in `{currency}`: EUR, SEK, …")));
            }
            Some(Service::NordPool { currency })
        }
        "tibber" => key(&mut feed, "key").map(|key| Service::Tibber { key }),
        "open-electricity" => key(&mut feed, "key").map(|key| Service::OpenElectricity { key }),
        "electricity-maps" => {
            let allow_synthetic = feed.switch("allow_synthetic").unwrap_or(false);
            key(&mut feed, "key").map(|key| Service::ElectricityMaps { key, allow_synthetic })
        }
        "watttime" => {
            let (user, password) = (key(&mut feed, "user"), key(&mut feed, "password"));
            user.zip(password).map(|(user, password)| Service::WattTime { user, password })
        }
        "eia" | "entsoe" => {
            let factors = factors(&mut feed);
            let key = key(&mut feed, "key");
            let make =
                |key| if word == "eia" { Service::Eia { key, factors } } else { Service::Entsoe { key, factors } };
            key.map(make)
        }
        "grid-intensity-exporter" => Some(Service::Exporter),
        "http-json" => http_json(&mut feed),
        "prometheus" => prometheus(&mut feed),
        _ => Some(Service::CarbonAware),
    };
    feed.finish(&[]);
    Some(FeedConfig::Service { service: service?, zones: names, price_zones: prices, base })
}

/// What a file's values are, where it does not say so itself.
fn labels(feed: &mut Table<'_>) -> FileLabels {
    let accountings = [
        ("production", Accounting::Production),
        ("consumption", Accounting::Consumption),
        ("unstated", Accounting::Unstated),
    ];
    let kind = feed.choice("kind", &KINDS);
    let scope = feed.choice("scope", &SCOPES);
    let accounting = feed.choice("accounting", &accountings);
    let unit = match unit(feed) {
        Some(Unit::Intensity(billionths)) => Some(billionths),
        Some(Unit::Price(..)) => {
            feed.wrong("P013", "unit", bad("prices from files are not read"));
            None
        }
        None => None,
    };
    FileLabels { kind, scope, accounting, unit }
}

/// Another address than the service's own. One that holds a password would be shown: it is refused, and as it may hold a key
/// by mistake, neither it nor its line is repeated.
fn address(feed: &mut Table<'_>, query: bool) -> Option<String> {
    let text = feed.text("base")?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host.map(|rest| rest.split('/').next().unwrap_or_default()) {
        Some(host) if host.contains('@') => {
            feed.wrong("P013", "", bad("the `base` of a feed cannot hold a password: keys have places of their own"));
            None
        }
        Some(host) if !host.is_empty() && !text.contains(['#', ' ']) && (query || !text.contains('?')) => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            feed.wrong(
                "P013",
                "",
                bad("the `base` of a feed is an address: \"https://api.example.org\", without a query"),
            );
            None
        }
    }
}

fn factors(feed: &mut Table<'_>) -> String {
    let name = feed.text("factors").unwrap_or_else(|| "ar5-2014".to_owned());
    if Factors::named(&name).is_none() {
        let refusal = bad(format!("no factors are named `{name}`")).note("ar5-2014, unece-2022, direct");
        feed.wrong("P013", "factors", refusal);
    }
    name
}

/// `key = { file = "/…" }` or `{ env = "NAME" }`.
pub(super) fn key(feed: &mut Table<'_>, name: &'static str) -> Option<Key> {
    if matches!(feed.get(name).map(|value| value.get_ref()), Some(toml::de::DeValue::String(_))) {
        // What stands there may be a key: neither it nor its line is repeated.
        let hint = format!("{name} = {{ file = \"/etc/neap/feed.key\" }}, or {{ env = \"NEAP_FEED_KEY\" }}");
        feed.wrong("P013", "", bad(format!("`{name}` of a feed cannot stand in this file")).note(hint));
        return None;
    }
    let mut place = feed.table(name);
    let found = key_in(&mut place);
    if found.is_none() {
        let message = format!(
            "this feed needs `{name} = {{ file = \"/…\" }}` or `{{ env = \"NAME\" }}`, the file by its whole path"
        );
        feed.wrong("P013", name, bad(message));
    }
    place.finish(&[]);
    found
}

/// Where a key is kept.
pub(super) fn key_in(place: &mut Table<'_>) -> Option<Key> {
    match (place.text("file"), place.text("env")) {
        (Some(file), None) if file.starts_with('/') => Some(Key::File(file.into())),
        (None, Some(variable)) => Some(Key::Env(variable)),
        _ => None,
    }
}

/// The unit of a service's values. Without one nothing is believed.
fn unit(feed: &mut Table<'_>) -> Option<Unit> {
    let text = feed.text("unit")?;
    let unit = Unit::named(&text);
    if unit.is_none() {
        let known = "g/kWh, kg/MWh, lb/MWh, kg/kWh, t/MWh, g/MJ; EUR/MWh, EUR/kWh, ct/kWh, p/kWh";
        feed.wrong("P013", "unit", bad(format!("`{text}` is no unit of grid data")).note(known));
    }
    unit
}

fn prometheus(feed: &mut Table<'_>) -> Option<Service> {
    let query = feed.text("query");
    if query.is_none() {
        feed.wrong("P013", "query", bad("a feed of type prometheus needs its `query`"));
    }
    let step = feed.quantity("step").unwrap_or(Seconds::minutes(5));
    if step < Seconds(15) {
        feed.wrong("P013", "step", bad("a `step` of a feed is 15 s or more"));
    }
    let unit = unit(feed);
    if matches!(unit, Some(Unit::Price(..))) {
        feed.wrong("P013", "unit", bad("prices from prometheus are not read"));
    }
    let max_age = feed.quantity("max_age");
    let authorization = (!feed.span("authorization").is_empty()).then(|| key(feed, "authorization")).flatten();
    Some(Service::Prometheus { query: query?, step, unit, max_age, authorization })
}

fn http_json(feed: &mut Table<'_>) -> Option<Service> {
    let unit = unit(feed);
    if unit.is_none() && feed.span("unit").is_empty() {
        feed.wrong("P013", "unit", bad("a feed of type http-json needs its `unit`: \"g/kWh\""));
    }
    let mut pointer = |name: &'static str| {
        let text = feed.text(name)?;
        let right = text.is_empty() || text.starts_with('/');
        if !right {
            feed.wrong("P013", name, bad(format!("`{text}` is no JSON pointer: \"/data/0/value\"")));
        }
        right.then_some(text)
    };
    let (list, time, value, end) = (pointer("points"), pointer("time"), pointer("value"), pointer("end"));
    let (grade, times, values, issued) = (pointer("grade"), pointer("times"), pointer("values"), pointer("issued"));
    let layout = match (list, time, value, times, values) {
        (Some(list), Some(time), Some(value), None, None) => Some(Layout::Points { list, time, value, end, grade }),
        (None, None, None, Some(times), Some(values)) => Some(Layout::Arrays { times, values }),
        _ => {
            let message = "a feed of type http-json needs `points`, `time` and `value`, or `times` and `values`";
            feed.wrong("P013", "type", bad(message));
            None
        }
    };
    let headers = feed.named("headers").into_iter().filter_map(|(name, mut place)| {
        let key = key_in(&mut place);
        if key.is_none() {
            place.wrong(
                "P013",
                "",
                bad(format!("header `{name}` of a feed needs {{ file = \"/…\" }} or {{ env = \"NAME\" }}")),
            );
        }
        place.finish(&[]);
        Some((name, key?))
    });
    let headers = headers.collect();
    let name = feed.text("name").unwrap_or_else(|| "http-json".to_owned());
    if !neap_model::job::is_name(&name) {
        feed.wrong("P013", "name", bad(format!("`{name}` cannot name a feed")));
    }
    let label_is_end = feed.choice("time_label", &[("start", false), ("end", true)]).unwrap_or_default();
    let step = feed.quantity("step");
    let poll = feed.quantity("poll").unwrap_or(Seconds::minutes(5));
    if poll < Seconds::minutes(1) {
        feed.wrong("P013", "poll", bad("a feed is asked once a minute at most"));
    }
    let missing = feed.whole("missing").into_iter().collect();
    let expect = feed.pairs("expect");
    let (layout, unit) = (layout?, unit?);
    let options = HttpJson { name, headers, layout, issued, label_is_end, step, unit, missing, expect, poll };
    Some(Service::HttpJson(Box::new(options)))
}

#[cfg(test)]
mod tests;
