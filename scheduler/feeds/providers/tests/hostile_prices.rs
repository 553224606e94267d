//! The same rows for parsers of prices and of mixes: what cannot be is refused or a hole, and a price below zero is a price.

use super::super::super::feed::{FeedError, Values};
use super::super::super::mix::Factors;
use super::super::super::wire::points::Points;
use super::super::{eia, energy_charts, entsoe, exporter, nord_pool, octopus, open_electricity, tibber};
use super::fixture;
use super::hostile::with;
use neap_model::grid::{Kind, Series};
use neap_model::units::Price;

type Read = fn(&[u8]) -> Result<Series<Price>, FeedError>;

fn whole(points: Result<Points, FeedError>) -> Result<Series<Price>, FeedError> {
    points?.price(None)
}

/// Name, recorded answer, the text of one value in it, and how it is read.
const PARSERS: [(&str, &str, &str, Read); 4] = [
    ("energy-charts", "ec_price_v2.json", "100.0", |body| match energy_charts::price(body)?.values {
        Values::Price(series, _) => Ok(series),
        Values::Intensity(_) => panic!("intensities"),
    }),
    ("octopus", "octopus_agile.json", "22.4146", |body| {
        whole(octopus::read(body, true, None).map(|(points, _)| points))
    }),
    ("nord-pool", "nordpool_dayahead.json", "25.0", |body| whole(nord_pool::read(body, "SE3"))),
    ("tibber", "tibber.json", "0.29,", |body| whole(tibber::read(body, 0).map(|(points, _)| points))),
];

/// Puts a text in the place of the first value.
fn changed(body: &[u8], value: &str, hostile: &str) -> Vec<u8> {
    match value.strip_suffix(',') {
        Some(_) => with(body, value, &format!("{hostile},")),
        None => with(body, value, hostile),
    }
}

#[test]
fn c2_no_price_that_cannot_be_becomes_one() {
    for (name, file, value, read) in PARSERS {
        let Some(body) = fixture(file) else { return };
        let good = read(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        for hostile in ["1e9", "-1e9", "1e400", "NaN", "Infinity", "[1]", "{}", "true"] {
            let read = read(&changed(&body, value, hostile));
            assert!(matches!(read, Err(FeedError::Refused(_))), "{name}, {hostile}: {read:?}");
        }
        for price in ["0", "-5"] {
            let read = read(&changed(&body, value, price)).unwrap_or_else(|error| panic!("{name}, {price}: {error}"));
            assert_eq!(read.spans().len(), good.spans().len(), "{name}: {price} is a price");
        }
        match read(&changed(&body, value, "null")) {
            Ok(series) => assert!(series.spans().len() < good.spans().len(), "{name}: null is a hole"),
            Err(FeedError::NoData(_)) => assert_eq!(good.spans().len(), 1, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Whether a body is read.
type Reads = Box<dyn Fn(&[u8]) -> Result<(), FeedError>>;

/// Parsers that [`super::hostile`] does not try: name, recorded answer, and how it is read.
fn others() -> Vec<(&'static str, &'static str, Reads)> {
    let factors = Factors::named("ar5-2014").expect("known");
    let mut all: Vec<(_, _, Reads)> = vec![
        (
            "open-electricity",
            "oe_emissions_energy.json",
            Box::new(|body| open_electricity::read(body, "NSW1").map(drop)),
        ),
        (
            "grid-intensity-exporter",
            "prom_grid_intensity.txt",
            Box::new(|body| exporter::read(body, "FR", Kind::Average, chrono::DateTime::UNIX_EPOCH).map(drop)),
        ),
        ("eia", "eia_fuel.json", Box::new(|body| eia::read(body, "CISO", &mut Default::default()).map(drop))),
        (
            "entsoe",
            "entsoe_a75.xml",
            Box::new(move |body| {
                let document = entsoe::document(body)?;
                entsoe::generation(&document, "10YFI-1--------U", &factors).map(drop)
            }),
        ),
        (
            "entsoe prices",
            "entsoe_a44_15min.xml",
            Box::new(|body| entsoe::document(body).and_then(|document| entsoe::price(&document)).map(drop)),
        ),
    ];
    all.extend(
        PARSERS.map(|(name, file, _, read)| (name, file, Box::new(move |body: &[u8]| read(body).map(drop)) as Reads)),
    );
    all
}

#[test]
fn c2_no_body_that_is_something_else_becomes_prices_or_a_mix() {
    for (name, file, read) in others() {
        let Some(body) = fixture(file) else { return };
        read(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Lines of text may end anywhere and be whole; a document may not.
        if name != "grid-intensity-exporter" {
            let end = body.iter().rposition(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
            for length in (0..end).step_by(body.len() / 97 + 1) {
                let read = read(&body[..length]);
                assert!(matches!(read, Err(FeedError::Down(_) | FeedError::Refused(_))), "{name}, {length}: {read:?}");
            }
        }
        let deep = "[".repeat(10_000);
        let tags = "<a>".repeat(10_000);
        for hostile in ["", "{}", "[]", "null", "0", "{\"data\":[]}", &deep, &tags, "<a/>", "\0\0\0", "\u{feff}{}"] {
            assert!(read(hostile.as_bytes()).is_err(), "{name}, {}", &hostile[..hostile.len().min(20)]);
        }
        assert!(read(&[0xff, 0xfe, 0x00, 0x80]).is_err(), "{name}");
    }
}
