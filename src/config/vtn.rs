//! What `[[grid.vtn]]` means: servers of grid events that are polled. The secret never stands in the file.

use super::feeds::TYPES;
use super::site::bad;
use super::walk::Table;
use neap_model::job::is_name;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use neap_scheduler::config::{Config, FeedConfig, Level, PowerUnit, Service, Vtn};
use std::collections::BTreeMap;

/// Reads every `[[grid.vtn]]`. Zones, power domains and feeds of the site are known by now.
pub fn vtns(tables: Vec<Table<'_>>, site: &Config) -> Vec<Vtn> {
    let mut all: Vec<Vtn> = Vec::new();
    for table in tables {
        if let Some(vtn) = vtn(table, site, &all) {
            all.push(vtn);
        }
    }
    all
}

fn vtn(mut table: Table<'_>, site: &Config, known: &[Vtn]) -> Option<Vtn> {
    let name = table.text("name").unwrap_or_else(|| "openadr".to_owned());
    let of_feed = |feed: &FeedConfig| matches!(feed, FeedConfig::Service { service: Service::HttpJson(json), .. } if json.name == name);
    if !is_name(&name) {
        table.wrong("P013", "name", bad(format!("`{name}` cannot name a server of events")));
    } else if known.iter().any(|vtn| vtn.name == name) {
        table.wrong("P017", "name", bad(format!("the server of events `{name}` stands here twice")));
    } else if TYPES.contains(&name.as_str()) || site.grid.feeds.iter().any(of_feed) {
        table.wrong("P017", "name", bad(format!("`{name}` is the name of a feed: metrics could not tell them apart")));
    }
    let base = address(&mut table, "url");
    if base.is_none() && table.span("url").is_empty() {
        let refusal = bad("a server of events needs its `url`: \"https://vtn.example.org/openadr3/3.0.1\"");
        table.wrong("P013", "name", refusal);
    }
    let token_url = address(&mut table, "token_url");
    let program = table.text("program");
    let client_id = table.text("client_id");
    if client_id.is_none() && table.span("client_id").is_empty() {
        table.wrong(
            "P013",
            "name",
            bad(format!("the server of events `{name}` needs the `client_id` it gave to this site")),
        );
    }
    let secret = super::feeds::key(&mut table, "secret");
    let scope = table.text("scope");
    let place = table.text("site");
    let places: Vec<&str> = site.power_domains.iter().map(|domain| domain.name.as_str()).collect();
    let places: Vec<&str> = places.into_iter().chain(site.zones.iter().map(|zone| zone.name.as_str())).collect();
    if let Some(place) = place.as_deref().filter(|place| !places.contains(place)) {
        let refusal = bad(format!("no power domain and no zone is called `{place}`"));
        table.wrong(
            "P016",
            "site",
            refusal.note(format!("known here: {}; left out: the whole site", places.join(", "))),
        );
    }
    let targets = table.texts("targets");
    let poll = table.quantity("poll").unwrap_or(Seconds(60));
    if poll < Seconds(10) || poll > Seconds::hours(1) {
        table.wrong("P013", "poll", bad("a server of events is asked every 10 s to every hour"));
    }
    let max_cap_age = table.quantity("max_cap_age").unwrap_or(Seconds::hours(24));
    if max_cap_age < Seconds(poll.0.saturating_mul(2)) {
        let refusal = bad(format!("`max_cap_age` is at least two polls ({})", Seconds(poll.0.saturating_mul(2))));
        table.wrong("P013", "max_cap_age", refusal.note("what was announced holds so long after the last answer"));
    }
    let simple = levels(&mut table);
    let base_load = table.quantity("base_load").unwrap_or(Watts(0));
    let units = table.choice("units", &[("KW", PowerUnit::Kilowatts), ("W", PowerUnit::Watts)]);
    table.finish(&[]);
    Some(Vtn {
        name,
        base: base?,
        token_url,
        program,
        client_id: client_id?,
        secret: secret?,
        scope,
        site: place,
        targets,
        poll,
        max_cap_age,
        simple,
        base_load,
        units,
    })
}

/// An address. One that holds a password would be shown: it is refused, and neither it nor its line is repeated.
fn address(table: &mut Table<'_>, key: &'static str) -> Option<String> {
    let text = table.text(key)?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host.map(|rest| rest.split('/').next().unwrap_or_default()) {
        Some(host) if !host.is_empty() && !host.contains('@') && !text.contains(['#', '?', ' ']) => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            let message = format!("`{key}` of a server of events is an address without query or password");
            table.wrong("P013", "", bad(message).note("\"https://vtn.example.org/openadr3/3.0.1\""));
            None
        }
    }
}

/// `simple = { 1 = "80%", 2 = "10 kW" }`.
fn levels(table: &mut Table<'_>) -> BTreeMap<u8, Level> {
    let mut all = BTreeMap::new();
    for (level, text) in table.pairs("simple") {
        let meaning = if text.trim_end().ends_with('%') {
            text.parse::<Percent>().map(Level::Share)
        } else {
            text.parse::<Watts>().map(Level::Cap)
        };
        match (level.parse::<u8>(), meaning) {
            (_, Ok(Level::Share(share))) if share > Percent::whole(100) => {
                table.wrong("P013", "simple", bad(format!("level {level}: `{text}` is more than all")));
            }
            (Ok(level @ 1..=3), Ok(meaning)) => {
                all.insert(level, meaning);
            }
            (Ok(1..=3), Err(error)) => table.wrong("P013", "simple", bad(format!("level {level}: {error}"))),
            _ => {
                let refusal = bad(format!("`{level}` is no level of SIMPLE events"));
                table.wrong(
                    "P013",
                    "simple",
                    refusal.note("simple = { 1 = \"80%\", 2 = \"50%\", 3 = \"10 kW\" }; 0 is as usual"),
                );
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
