//! What a hostile or broken service may send, row by row, to every parser of intensities.

use super::super::super::feed::{FeedError, Reply};
use super::super::super::wire::points::Points;
use super::super::super::wire::{json, trouble};
use super::super::http_json::Layout;
use super::super::{carbon_aware, electricity_maps, energi_data, energy_charts, http_json, prometheus, uk, watttime};
use super::{any_json_options, fixture};
use chrono::{DateTime, Utc};
use neap_model::grid::Series;
use neap_model::units::Intensity;

type Read = fn(&[u8]) -> Result<Series<Intensity>, FeedError>;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_778_482_800, 0).expect("in range")
}

fn whole(points: Result<Points, FeedError>) -> Result<Series<Intensity>, FeedError> {
    points?.intensity(None)
}

fn any_json(body: &[u8]) -> Result<Series<Intensity>, FeedError> {
    let layout = Layout::Points {
        list: "/spans".to_owned(),
        time: "/start".to_owned(),
        value: "/value".to_owned(),
        end: None,
        grade: None,
    };
    let options = http_json::Options { layout, missing: Vec::new(), ..any_json_options() };
    match http_json::read(body, "X", &options, now())?.values {
        super::super::super::feed::Values::Intensity(series) => Ok(series),
        super::super::super::feed::Values::Price(..) => panic!("prices"),
    }
}

/// Name, recorded answer, the text of one value in it, and how it is read.
const PARSERS: [(&str, &str, &str, Read); 8] = [
    ("uk", "uk_fw48h.json", "129", |body| whole(uk::read(body, "GB"))),
    ("energy-charts", "ec_co2eq.json", "214.2", |body| match energy_charts::intensity(body)?.values {
        super::super::super::feed::Values::Intensity(series) => Ok(series),
        super::super::super::feed::Values::Price(..) => panic!("prices"),
    }),
    ("electricity-maps", "em_history.json", "\"carbonIntensity\": ", |body| {
        whole(electricity_maps::read(body, "US-CAL-CISO", false).map(|part| part.points))
    }),
    ("watttime", "wt_forecast_24h.json", "544.9", |body| {
        whole(watttime::read(body, "CAISO_NORTH", now()).map(|part| part.points))
    }),
    ("energi-data", "eds_co2emisprog.json", "95.0", |body| whole(energi_data::read(body, "DK1", true))),
    ("carbon-aware-sdk", "casdk_bylocation.json", "263.4", |body| {
        whole(carbon_aware::read(body, "westus").map(|(points, _)| points))
    }),
    ("prometheus", "prom_query_range.json", "\"214.2\"", |body| {
        whole(prometheus::read(body, None, None).map(|(points, _)| points))
    }),
    ("any json", "file_intensity.json", "214.2", any_json),
];

/// The body with its first value replaced.
pub(super) fn with(body: &[u8], value: &str, hostile: &str) -> Vec<u8> {
    let text = String::from_utf8(body.to_vec()).expect("text");
    if value.ends_with(": ") {
        let start = text.find(value).expect("it is there") + value.len();
        let end = start + text[start..].find([',', '\n', '}']).expect("it ends");
        return format!("{}{hostile}{}", &text[..start], &text[end..]).into_bytes();
    }
    let hostile =
        if value.starts_with('"') && hostile != "null" { format!("\"{hostile}\"") } else { hostile.to_owned() };
    assert!(text.contains(value), "{value}");
    text.replacen(value, &hostile, 1).into_bytes()
}

#[test]
fn c2_no_value_that_cannot_be_becomes_one() {
    for (name, file, value, read) in PARSERS {
        let Some(body) = fixture(file) else { return };
        let good = read(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        for hostile in ["-5", "-0.001", "6800", "1e9"] {
            match read(&with(&body, value, hostile)) {
                Err(FeedError::Refused(why)) => {
                    assert!(why.contains("no carbon intensity"), "{name}, {hostile}: {why}")
                }
                other => panic!("{name}, {hostile}: {other:?}"),
            }
        }
        for hostile in ["1e400", "NaN", "Infinity", "[1]", "{}", "true", "12,5", "0x10"] {
            match read(&with(&body, value, hostile)) {
                Err(FeedError::Refused(_)) => {}
                // In its own language NaN is a hole.
                Ok(series) if name == "prometheus" && hostile == "NaN" => {
                    assert!(series.spans().len() < good.spans().len())
                }
                other => panic!("{name}, {hostile}: {other:?}"),
            }
        }
        match read(&with(&body, value, "null")) {
            Ok(series) => assert!(series.spans().len() < good.spans().len(), "{name}: null is a hole"),
            Err(FeedError::NoData(_)) => assert_eq!(good.spans().len(), 1, "{name}"),
            // Values are texts there, and null is none.
            Err(FeedError::Refused(_)) if name == "prometheus" => {}
            other => panic!("{name}: {other:?}"),
        }
        let zero = read(&with(&body, value, "0")).unwrap_or_else(|error| panic!("{name}: zero is a value: {error}"));
        assert_eq!(zero.spans().len(), good.spans().len(), "{name}");
        assert!(zero.spans().iter().any(|span| span.value == Intensity(0)), "{name}");
    }
}

#[test]
fn c2_no_body_that_is_something_else_becomes_data() {
    for (name, file, _, read) in PARSERS {
        let Some(body) = fixture(file) else { return };
        for length in (0..body.len() - 1).step_by(body.len() / 97 + 1) {
            if body[length..].iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read(&body[..length]) {
                Err(FeedError::Down(_) | FeedError::Refused(_)) => {}
                other => panic!("{name}, cut at {length}: {other:?}"),
            }
        }
        let deep = "[".repeat(10_000);
        let deeper = "{\"data\":".repeat(10_000);
        for hostile in [
            "{}",
            "[]",
            "null",
            "0",
            "\"text\"",
            "{\"data\":[]}",
            "{\"error\":\"x\"}",
            &deep,
            &deeper,
            "\u{feff}{}",
            "\0\0\0",
        ] {
            match read(hostile.as_bytes()) {
                Err(
                    FeedError::NoData(_) | FeedError::Refused(_) | FeedError::Down(_) | FeedError::Misconfigured(_),
                ) => {}
                other => panic!("{name}, {}: {other:?}", &hostile[..hostile.len().min(20)]),
            }
        }
        assert!(read(&[0xff, 0xfe, 0x00, 0x80]).is_err(), "{name}");
    }
}

#[test]
fn c2_what_a_status_says_is_known_without_reading_the_body() {
    let reply = |status, content_type: &str, body: &str, retry_after: Option<&str>| Reply {
        status,
        content_type: content_type.to_owned(),
        retry_after: retry_after.map(str::to_owned),
        body: body.as_bytes().to_vec(),
    };
    let word = |reply: &Reply| trouble(reply, now()).map(|error| error.word());
    let json_type = "application/json";
    for (status, body, expected) in [
        (200, "{\"a\":1}", None),
        (200, "", Some("no_data")),
        (200, " \n", Some("no_data")),
        (204, "", Some("no_data")),
        (301, "", Some("refused")),
        (302, "{}", Some("refused")),
        (400, "{}", Some("misconfigured")),
        (401, "{}", Some("key")),
        (403, "{}", Some("plan")),
        (404, "{}", Some("misconfigured")),
        (422, "{}", Some("misconfigured")),
        (429, "{}", Some("too_many")),
        (500, "{}", Some("down")),
        (503, "", Some("down")),
        (200, "<!DOCTYPE html><html>captive portal</html>", Some("down")),
        (200, "  <HTML>", Some("down")),
        (403, "<html>edge</html>", Some("down")),
        (502, "<html>bad gateway</html>", Some("down")),
    ] {
        assert_eq!(word(&reply(status, json_type, body, None)), expected, "{status} {body}");
    }
    assert_eq!(word(&reply(200, "text/html; charset=utf-8", "{}", None)), Some("down"));
    let wait = |header| match trouble(&reply(429, json_type, "", Some(header)), now()) {
        Some(FeedError::TooMany(seconds)) => seconds,
        other => panic!("{other:?}"),
    };
    assert_eq!((wait("7"), wait("86400"), wait("tomorrow")), (Some(7), Some(3_600), None));
    assert!(json::<serde_json::Value>(b"{\"a\":NaN}").is_err());
}

#[test]
fn c2_unequal_arrays_and_other_units_are_refused_whole() {
    let Some(body) = fixture("ec_co2eq.json") else { return };
    let mut answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    drop(answer["co2eq"].as_array_mut().expect("values").pop());
    let unequal = energy_charts::intensity(answer.to_string().as_bytes());
    assert!(matches!(unequal, Err(FeedError::Refused(_))), "{unequal:?}");
    let Some(price) = fixture("ec_price_v2.json") else { return };
    let other = String::from_utf8(price).expect("text").replace("EUR / MWh", "ct / kWh");
    assert!(matches!(energy_charts::price(other.as_bytes()), Err(FeedError::Refused(_))));
    let Some(pounds) = fixture("wt_forecast_24h.json") else { return };
    let money = String::from_utf8(pounds).expect("text").replace("lbs_co2_per_mwh", "usd_per_mwh");
    assert!(matches!(watttime::read(money.as_bytes(), "CAISO_NORTH", now()), Err(FeedError::Refused(_))));
    let Some(series) = fixture("prom_query_range.json") else { return };
    let unlabelled = String::from_utf8(series).expect("text").replace("gCO2e per kWh", "percent");
    assert!(matches!(prometheus::read(unlabelled.as_bytes(), None, None), Err(FeedError::Refused(_))));
}

#[test]
fn c1_every_recorded_error_is_told_for_what_it_is() {
    let Some(index) = fixture("index.json") else { return };
    let index: Vec<serde_json::Value> = serde_json::from_slice(&index).expect("a list");
    let mut seen = 0;
    for entry in &index {
        let (file, status) = (entry["file"].as_str().expect("a name"), entry["status"].as_u64().expect("a status"));
        if status < 400 {
            continue;
        }
        let header = |name: &str| entry["headers"][name].as_str().map(str::to_owned);
        let reply = Reply {
            status: u16::try_from(status).expect("a status"),
            content_type: header("Content-Type").unwrap_or_default().to_lowercase(),
            retry_after: header("Retry-After"),
            body: fixture(file).expect("it is listed"),
        };
        let error = trouble(&reply, now()).unwrap_or_else(|| panic!("{file} is an error"));
        let expected = match status {
            _ if file.ends_with(".html") => "down",
            401 => "key",
            403 => "plan",
            429 => "too_many",
            400..=499 => "misconfigured",
            _ => "down",
        };
        assert_eq!(error.word(), expected, "{file}: {error}");
        if let (FeedError::TooMany(seconds), Some(header)) = (&error, &reply.retry_after) {
            assert_eq!(seconds.map(|seconds| seconds.to_string()).as_ref(), Some(header), "{file}");
        }
        assert!(!error.to_string().chars().any(char::is_control), "{file}: {error}");
        seen += 1;
    }
    assert!(seen > 20, "{seen} recorded errors");
}
