//! Feeds every parser of grid data with damaged answers: `cargo run --release -p neap-scheduler --example fuzz_feeds -- 10000000`.
//!
//! The seeds are the recorded answers of services where they are there, else small ones of its own. Each execution mutates one:
//! bits, bytes, numbers, cuts, repeats, pieces of other seeds. What is accepted must be finite, plausible and in order; a
//! panic or a broken promise ends the run with its seed; a name behind the number tries one parser alone. Prints executions by parser. No clock decides anything.
#![allow(clippy::print_stdout, reason = "it prints what it counted")]

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Kind, Series};
use neap_model::seconds::Seconds;
use neap_model::units::{Intensity, Price, Watts};
use neap_scheduler::config::{FileLabels, Key, Vtn};
use neap_scheduler::feeds::archive::Archive;
use neap_scheduler::feeds::feed::{FeedError, Told, Values};
use neap_scheduler::feeds::file::{self, Place};
use neap_scheduler::feeds::mix::Factors;
use neap_scheduler::feeds::openadr;
use neap_scheduler::feeds::providers::{
    carbon_aware, eia, electricity_maps, energi_data, energy_charts, entsoe, exporter, http_json, nord_pool, octopus,
    open_electricity, prometheus, tibber, uk, watttime,
};
use neap_scheduler::feeds::wire::points::Points;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

type Parser = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// Nothing that is accepted may be implausible, empty or out of order.
fn sound(series: &Series<Intensity>) -> Result<(), String> {
    let spans = series.spans();
    if spans.is_empty() {
        return Err("an empty series was accepted".to_owned());
    }
    let plausible = spans.iter().all(|span| span.value <= Intensity::grams(3_000) && span.from < span.until);
    let ordered = spans.windows(2).all(|pair| pair[0].until <= pair[1].from);
    if plausible && ordered && spans.len() <= 20_000 {
        Ok(())
    } else {
        Err("an implausible series was accepted".to_owned())
    }
}

fn sound_price(series: &Series<Price>) -> Result<(), String> {
    let ordered = series.spans().windows(2).all(|pair| pair[0].until <= pair[1].from);
    if ordered && !series.is_empty() { Ok(()) } else { Err("prices out of order were accepted".to_owned()) }
}

fn points(read: Result<Points, FeedError>) -> Result<(), String> {
    read.and_then(|points| points.intensity(None)).map_or(Ok(()), |series| sound(&series))
}

fn told(read: Result<Told, FeedError>) -> Result<(), String> {
    match read {
        Ok(Told { values: Values::Intensity(series), .. }) => sound(&series),
        Ok(Told { values: Values::Price(series, _), .. }) => sound_price(&series),
        Err(_) => Ok(()),
    }
}

fn vtn() -> Vtn {
    Vtn {
        name: "utility".to_owned(),
        base: "http://127.0.0.1:1".to_owned(),
        token_url: None,
        program: None,
        client_id: "site-7".to_owned(),
        secret: Key::Env("NOBODY_SETS_THIS".to_owned()),
        scope: None,
        site: None,
        targets: Vec::new(),
        poll: Seconds(60),
        max_cap_age: Seconds::hours(24),
        simple: BTreeMap::new(),
        base_load: Watts(1_000),
        units: None,
    }
}

/// Whatever a server of events says: what is announced begins before it ends.
fn events(vtn: &Vtn, body: &[u8], now: DateTime<Utc>) -> Result<(), String> {
    for shown in openadr::event::page(body, vtn.units).unwrap_or_default() {
        for notice in openadr::notices::notices(vtn, &shown, now).unwrap_or_default() {
            if notice.until.is_some_and(|until| until <= notice.from) {
                return Err(format!("an event without length was accepted: {notice:?}"));
            }
        }
    }
    Ok(())
}

fn parsers() -> Vec<(&'static str, &'static [&'static str], Parser)> {
    let now: DateTime<Utc> = DateTime::from_timestamp(1_778_482_800, 0).expect("in range");
    let factors = Factors::named("ar5-2014").expect("known");
    let options = http_json::Options {
        name: "any".to_owned(),
        url: String::new(),
        headers: Vec::new(),
        layout: http_json::Layout::Points {
            list: "/spans".to_owned(),
            time: "/start".to_owned(),
            value: "/value".to_owned(),
            end: Some("/end".to_owned()),
            grade: Some("/grade".to_owned()),
        },
        issued: Some("/issued".to_owned()),
        label_is_end: false,
        step: None,
        scale: 1.0,
        basis: Basis::default(),
        currency: None,
        missing: vec![-1.0],
        expect: Vec::new(),
        poll: TimeDelta::minutes(5),
    };
    let factors_of_entsoe = factors.clone();
    let place = Place {
        path: PathBuf::new(),
        names: BTreeMap::new(),
        labels: FileLabels::default(),
        usual: Basis::default(),
        only: Some("DE".to_owned()),
        archive: Archive::new(PathBuf::new()),
    };
    let file = move |body: &[u8]| {
        let content = file::parse(body, &place, now, now);
        content.map_or(Ok(()), |content| content.series.values().filter(|s| !s.is_empty()).try_for_each(sound))
    };
    vec![
        ("file", &["file_intensity.csv", "file_intensity.json"] as &[_], Box::new(file) as Parser),
        (
            "uk",
            &["uk_fw48h.json", "uk_range.json", "uk_regional_all.json", "uk_regional_current_regionid.json"],
            Box::new(|body: &[u8]| points(uk::read(body, "GB"))),
        ),
        ("energy-charts", &["ec_co2eq.json"], Box::new(|body| told(energy_charts::intensity(body)))),
        (
            "energy-charts prices",
            &["ec_price_v1.json", "ec_price_v2.json"],
            Box::new(|body| told(energy_charts::price(body))),
        ),
        (
            "electricity-maps",
            &["em_history.json", "em_forecast_24.json", "em_latest.json", "em_past_range_gap.json"],
            Box::new(|body| points(electricity_maps::read(body, "US-CAL-CISO", false).map(|part| part.points))),
        ),
        (
            "watttime",
            &["wt_forecast_24h.json", "wt_aoer.json", "wt_signal_index.json"],
            Box::new(move |body| points(watttime::read(body, "CAISO_NORTH", now).map(|part| part.points))),
        ),
        (
            "eia",
            &["eia_fuel.json", "eia_empty.json"],
            Box::new(move |body| {
                let mut hours = Default::default();
                if eia::read(body, "CISO", &mut hours).is_ok() {
                    for start in hours.keys().copied().collect::<Vec<_>>() {
                        if eia::hour(&hours, start, &factors).is_some_and(|(grams, share)| {
                            !(0.0..=3_000.0).contains(&grams) || !(0.0..=1.0).contains(&share)
                        }) {
                            return Err("an implausible mix was accepted".to_owned());
                        }
                    }
                }
                Ok(())
            }),
        ),
        (
            "entsoe",
            &["entsoe_a75.xml", "entsoe_nodata_200.xml"],
            Box::new(move |body| {
                told(
                    entsoe::document(body)
                        .and_then(|document| entsoe::generation(&document, "10YFI-1--------U", &factors_of_entsoe)),
                )
            }),
        ),
        (
            "entsoe prices",
            &["entsoe_a44_15min.xml", "entsoe_a44_two_auctions.xml"],
            Box::new(|body| told(entsoe::document(body).and_then(|document| entsoe::price(&document)))),
        ),
        (
            "energi-data",
            &["eds_co2emis.json", "eds_co2emisprog.json"],
            Box::new(|body| points(energi_data::read(body, "DK1", true))),
        ),
        (
            "carbon-aware-sdk",
            &["casdk_forecast_current.json", "casdk_bylocation.json", "casdk_missing_minus1.json"],
            Box::new(|body| points(carbon_aware::read(body, "westus").map(|(points, _)| points))),
        ),
        (
            "octopus",
            &["octopus_agile.json"],
            Box::new(|body| match octopus::read(body, true, None).and_then(|(points, _)| points.price(None)) {
                Ok(series) => sound_price(&series),
                Err(_) => Ok(()),
            }),
        ),
        (
            "nord-pool",
            &["nordpool_dayahead.json"],
            Box::new(|body| match nord_pool::read(body, "SE3").and_then(|points| points.price(None)) {
                Ok(series) => sound_price(&series),
                Err(_) => Ok(()),
            }),
        ),
        (
            "tibber",
            &["tibber.json"],
            Box::new(|body| match tibber::read(body, 0).and_then(|(points, _)| points.price(None)) {
                Ok(series) => sound_price(&series),
                Err(_) => Ok(()),
            }),
        ),
        (
            "open-electricity",
            &["oe_emissions_energy.json"],
            Box::new(|body| points(open_electricity::read(body, "NSW1"))),
        ),
        (
            "grid-intensity-exporter",
            &["prom_grid_intensity.txt"],
            Box::new(move |body| points(exporter::read(body, "FR", Kind::Average, now))),
        ),
        ("openadr", &["openadr_events.json"], Box::new(move |body| events(&vtn(), body, now))),
        (
            "prometheus",
            &["prom_query_range.json", "prom_query_vector.json", "prom_query_two_series.json"],
            Box::new(|body| points(prometheus::read(body, None, None).map(|(points, _)| points))),
        ),
        ("any json", &["file_intensity.json"], Box::new(move |body| told(http_json::read(body, "X", &options, now)))),
    ]
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// Words that parsers stumble over.
const WORDS: &[&str] = &[
    "null",
    "-1",
    "0",
    "1e400",
    "NaN",
    "\"NaN\"",
    "3000.1",
    "-0.0",
    "9223372036854775807",
    "[]",
    "{}",
    "\"\"",
    "true",
    "[[[[[[",
    "\\u0000",
    "2026-05-11T24:00Z",
    "2026-10-25T02:30:00",
    "9999-12-31T23:59:59Z",
    "<!DOCTYPE x [<!ENTITY a \"b\">]>",
    "&a;",
    "A03",
    "PT15M",
];

fn mutate(body: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let (at, length) = (random.below(body.len() + 1), random.below(24));
        let end = (at + length).min(body.len());
        match random.below(9) {
            0 if at < body.len() => body[at] ^= 1 << random.below(8),
            1 if at < body.len() => body[at] = random.next() as u8,
            2 => drop(body.drain(at..end)),
            3 => body.truncate(at),
            4 => {
                let piece = body[at..end].to_vec();
                body.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let until = (from + random.below(400)).min(other.len());
                body.splice(at..end, other[from..until].iter().copied());
            }
            6 => {
                // A number becomes another one.
                let start = body[at..].iter().position(u8::is_ascii_digit).map_or(at, |found| at + found);
                let stop =
                    body[start..].iter().position(|b| !b.is_ascii_digit()).map_or(body.len(), |found| start + found);
                let number = format!("{}", random.next() as i32 >> random.below(31));
                body.splice(start..stop, number.into_bytes());
            }
            _ => drop(body.splice(at..end.min(at + 4), WORDS[random.below(WORDS.len())].bytes())),
        }
        body.truncate(60_000);
    }
}

fn main() {
    let runs: u64 = std::env::args().nth(1).and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(100_000);
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fixtures");
    let only = std::env::args().nth(2);
    for (name, files, parse) in
        parsers().into_iter().filter(|(name, ..)| only.as_deref().is_none_or(|only| only == *name))
    {
        let mut seeds: Vec<Vec<u8>> = files.iter().filter_map(|file| std::fs::read(fixtures.join(file)).ok()).collect();
        let recorded = !seeds.is_empty();
        if !recorded {
            seeds = vec![
                b"{\"data\":[{\"from\":\"2026-05-11T07:00Z\",\"to\":\"2026-05-11T07:30Z\",\"value\":1}]}".to_vec(),
                b"<a><b>1</b></a>".to_vec(),
            ];
        }
        // Long answers cut short as well: most of the time would go into their length.
        for seed in &mut seeds {
            if seed.len() > 3_000 && !seed.starts_with(b"<") {
                let mut short = seed[..2_000].to_vec();
                if let Some(last) = short.iter().rposition(|byte| *byte == b'}') {
                    short.truncate(last + 1);
                    short.extend_from_slice(&seed[seed.len() - 120..]);
                    *seed = short;
                }
            }
        }
        let (mut random, began) = (Random(7), Instant::now());
        let mut body = Vec::new();
        for run in 0..runs {
            body.clear();
            body.extend_from_slice(&seeds[random.below(seeds.len())]);
            mutate(&mut body, &seeds, &mut random);
            if let Err(why) = parse(&body) {
                println!("{name}, run {run}: {why}\n{}", String::from_utf8_lossy(&body));
                std::process::exit(1);
            }
        }
        let rate = runs as f64 / began.elapsed().as_secs_f64();
        println!(
            "{name:22} {runs} executions from {} seeds ({}), {rate:.0}/s, 0 crashes",
            seeds.len(),
            if recorded { "recorded" } else { "its own" }
        );
    }
}
