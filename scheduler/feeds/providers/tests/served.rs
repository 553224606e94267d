//! Every provider over real HTTP, against a server that replays the recorded answers: pages, tokens that die, plans without a
//! forecast. The server looks at the decoded path and the parameters that matter, and refuses what a service would refuse.

use super::super::super::feed::{Ask, Feed, FeedError, Heard, Secret, Signal, Told, Values, Want};
use super::super::super::fetch::{Fetcher, Patience, Perform};
use super::super::super::mix::Factors;
use super::super::{
    carbon_aware, eia, electricity_maps, energi_data, energy_charts, entsoe, exporter, nord_pool, octopus,
    open_electricity, prometheus, tibber, uk, watttime,
};
use super::fixture;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Scope};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Params = BTreeMap<String, String>;
type Rule = dyn Fn(&str, &Params, &HeaderMap, usize) -> (u16, Vec<u8>) + Send + Sync;

/// Serves by that rule on loopback: path, parameters, headers, and the number of the request.
async fn serve(rule: Arc<Rule>) -> (String, Arc<Mutex<Vec<String>>>) {
    #[derive(Clone)]
    struct Shared(Arc<Rule>, Arc<Mutex<Vec<String>>>);
    async fn answer(
        State(Shared(rule, seen)): State<Shared>,
        Query(params): Query<Params>,
        request: Request,
    ) -> Response {
        let path = request.uri().path().to_owned();
        let number = {
            let mut seen = seen.lock().expect("not poisoned");
            seen.push(path.clone());
            seen.len() - 1
        };
        let (status, body) = rule(&path, &params, request.headers(), number);
        let kind = if body.starts_with(b"<?xml") { "application/xml" } else { "application/json" };
        (StatusCode::from_u16(status).expect("a status"), [("content-type", kind)], body).into_response()
    }
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().fallback(answer).with_state(Shared(rule, Arc::clone(&seen)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), seen)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn want(theirs: &str, signal: Signal, from: &str, until: &str) -> Want {
    Want { zone: "ours".into(), theirs: theirs.into(), signal, from: at(from), until: at(until) }
}

/// Asks until there is an answer, as the rounds do.
async fn drive(feed: &mut dyn Feed, want: &Want, now: DateTime<Utc>) -> Result<Told, FeedError> {
    let fetcher = Fetcher::new(Patience::default()).expect("a client");
    for _ in 0..16 {
        let request = match feed.ask(want, now) {
            Ask::Send(request) => request,
            Ask::NotBefore(then) => panic!("not before {then}"),
            Ask::Never(error) => return Err(error),
        };
        let reply = fetcher.perform(request).await?.reply;
        match feed.hear(want, &reply, now)? {
            Heard::Series(told) => return Ok(told),
            Heard::AskAgain => {}
        }
    }
    panic!("sixteen requests and no answer")
}

fn count(told: &Told) -> usize {
    match &told.values {
        Values::Intensity(series) => series.spans().len(),
        Values::Price(series, _) => series.spans().len(),
    }
}

fn value(told: &Told, time: &str) -> Option<(f64, Grade)> {
    match &told.values {
        Values::Intensity(series) => series.at(at(time)).map(|span| (span.value.in_base(), span.grade)),
        Values::Price(series, _) => series.at(at(time)).map(|span| (span.value.in_base(), span.grade)),
    }
}

/// A recorded answer, or 500 if it is not the one that was meant.
fn file(name: &str) -> (u16, Vec<u8>) {
    (200, fixture(name).expect("shared data"))
}

const WRONG: (u16, Vec<u8>) = (500, Vec::new());

macro_rules! served {
    ($name:ident, $first:literal, $body:expr) => {
        #[tokio::test]
        async fn $name() {
            if fixture($first).is_none() {
                return;
            }
            $body.await;
        }
    };
}

served!(c1_uk, "uk_range.json", async {
    let rule = |path: &str, _: &Params, _: &HeaderMap, _: usize| match path {
        "/intensity/2026-05-10T07:00Z/2026-05-11T07:00Z" => file("uk_range.json"),
        "/intensity/2026-05-11T07:00Z/fw48h" => file("uk_fw48h.json"),
        "/regional/intensity/2026-05-11T07:00Z/fw48h/regionid/13" => file("uk_regional_fw48h_regionid.json"),
        _ => (400, fixture("uk_400.json").unwrap_or_default()),
    };
    let (base, seen) = serve(Arc::new(rule)).await;
    let mut feed = uk::Uk::new(Some(base));
    let now = at("2026-05-11T07:00:00Z");
    let told =
        drive(&mut feed, &want("GB", Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-13T07:00:00Z"), now).await;
    let told = told.expect("both parts");
    assert_eq!(seen.lock().expect("fine").len(), 2);
    assert!(count(&told) >= 140, "a day behind and two ahead: {}", count(&told));
    assert_eq!(value(&told, "2026-05-11T07:10:00Z").map(|(_, grade)| grade), Some(Grade::Forecast));
    let told =
        drive(&mut feed, &want("13", Signal::Intensity, "2026-05-11T07:00:00Z", "2026-05-13T07:00:00Z"), now).await;
    assert_eq!(count(&told.expect("a region")), 13);
    let wrong =
        drive(&mut feed, &want("99", Signal::Intensity, "2026-05-11T07:00:00Z", "2026-05-13T07:00:00Z"), now).await;
    assert!(matches!(wrong, Err(FeedError::Misconfigured(_))), "{wrong:?}");
});

served!(c1_energy_charts, "ec_co2eq.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, number: usize| match path {
        "/co2eq" if number == 0 => (429, fixture("ec_429.json").unwrap_or_default()),
        "/co2eq" if params["country"] == "de" && params["start"] == "2026-05-10" => file("ec_co2eq.json"),
        "/co2eq" => (400, fixture("ec_400.txt").unwrap_or_default()),
        "/v2/price" if params["bzn"] == "DE-LU" => file("ec_price_v2.json"),
        _ => (404, fixture("ec_404.json").unwrap_or_default()),
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let mut feed = energy_charts::EnergyCharts::new(Some(base));
    let now = at("2026-05-11T07:00:00Z");
    let of = |zone: &str, signal| want(zone, signal, "2026-05-10T07:00:00Z", "2026-05-12T07:00:00Z");
    let busy = drive(&mut feed, &of("DE", Signal::Intensity), now).await;
    assert!(matches!(busy, Err(FeedError::TooMany(_))), "{busy:?}");
    let told = drive(&mut feed, &of("DE", Signal::Intensity), now).await.expect("known");
    assert_eq!((count(&told), value(&told, "2026-05-10T07:05:00Z")), (184, Some((214.2, Grade::Measured))));
    let prices = drive(&mut feed, &of("DE-LU", Signal::Price), now).await.expect("known");
    assert_eq!(value(&prices, "2026-05-10T07:00:00Z"), Some((100.0, Grade::Measured)));
    let none = drive(&mut feed, &of("xx", Signal::Intensity), now).await;
    assert!(matches!(none, Err(FeedError::Misconfigured(_))), "{none:?}");
    let none = drive(&mut feed, &of("XX", Signal::Price), now).await;
    assert!(matches!(none, Err(FeedError::NoData(_))), "{none:?}");
});

fn electricity_maps_at(base: &str) -> electricity_maps::ElectricityMaps {
    electricity_maps::ElectricityMaps::new(electricity_maps::Options {
        base: format!("{base}/v4"),
        key: Secret::new("em-key"),
        scope: Scope::Lifecycle,
        allow_synthetic: false,
    })
}

served!(c1_electricity_maps, "em_history.json", async {
    let rule = |path: &str, params: &Params, headers: &HeaderMap, _: usize| {
        if headers.get("auth-token").is_none_or(|key| key != "em-key") {
            return (401, fixture("em_401.json").unwrap_or_default());
        }
        if params["disableCallerLookup"] != "true" || params["emissionFactorType"] != "lifecycle" {
            return WRONG;
        }
        match (path, params["zone"].as_str()) {
            (_, "US-TYPO") => file("em_wrong_zone_fallback.json"),
            ("/v4/carbon-intensity/history", _) => file("em_history.json"),
            ("/v4/carbon-intensity/forecast", _) if params["horizonHours"] == "72" => file("em_forecast_72.json"),
            _ => WRONG,
        }
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let now = at("2026-05-11T07:00:00Z");
    let of = |zone: &str| want(zone, Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-14T07:00:00Z");
    let told = drive(&mut electricity_maps_at(&base), &of("US-CAL-CISO"), now).await.expect("known");
    assert!(count(&told) >= 90 && told.issued.is_some(), "{}", count(&told));
    let wrong = drive(&mut electricity_maps_at(&base), &of("US-TYPO"), now).await;
    assert!(matches!(wrong, Err(FeedError::Refused(_))), "{wrong:?}");
    // A plan without forecasts: what is measured comes alone.
    let free = |path: &str, _: &Params, _: &HeaderMap, _: usize| match path {
        "/v4/carbon-intensity/history" => file("em_history.json"),
        _ => (403, fixture("em_403_endpoint.json").unwrap_or_default()),
    };
    let (base, seen) = serve(Arc::new(free)).await;
    let mut feed = electricity_maps_at(&base);
    assert_eq!(count(&drive(&mut feed, &of("US-CAL-CISO"), now).await.expect("measured")), 24);
    seen.lock().expect("fine").clear();
    drive(&mut feed, &of("US-CAL-CISO"), now).await.expect("measured");
    assert_eq!(seen.lock().expect("fine").len(), 1, "it is not asked for a forecast again");
});

served!(c1_watttime_renews_its_token_once_and_never_for_a_plan_limit, "wt_forecast_24h.json", async {
    let rule = |path: &str, params: &Params, headers: &HeaderMap, number: usize| {
        let authorization =
            headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        match path {
            "/login" if authorization == "Basic dXNlcjpwYXNzd29yZA==" => file("wt_login.json"),
            "/login" => (403, fixture("wt_login_403.html").unwrap_or_default()),
            _ if !authorization.starts_with("Bearer eyJ") => WRONG,
            _ if params["region"] != "CAISO_NORTH" => (403, fixture("wt_403_scope.json").unwrap_or_default()),
            // The first token dies at once.
            _ if number == 1 => (401, fixture("wt_401.json").unwrap_or_default()),
            "/v3/historical" if params["start"].contains("+00:00") => file("wt_historical.json"),
            "/v3/forecast" => file("wt_forecast_24h.json"),
            _ => WRONG,
        }
    };
    let (base, seen) = serve(Arc::new(rule)).await;
    let logins = || seen.lock().expect("fine").iter().filter(|path| *path == "/login").count();
    let mut feed = watttime::WattTime::new(Some(base.clone()), &Secret::new("user"), &Secret::new("password"));
    let now = at("2026-05-11T07:00:00Z");
    let of = |zone: &str| want(zone, Signal::Intensity, "2026-05-10T17:00:00Z", "2026-05-14T07:00:00Z");
    let told = drive(&mut feed, &of("CAISO_NORTH"), now).await.expect("known");
    assert!(count(&told) >= 288 && logins() == 2, "{} logins", logins());
    assert_eq!(value(&told, "2026-05-11T07:00:00Z"), Some((247.162, Grade::Forecast)));
    for _ in 0..5 {
        let limit = drive(&mut feed, &of("PJM_DC"), now).await;
        assert!(matches!(limit, Err(FeedError::Plan(_))), "{limit:?}");
    }
    assert_eq!(logins(), 2, "a plan limit never logs in");
    drive(&mut feed, &of("CAISO_NORTH"), now + TimeDelta::minutes(26)).await.expect("known");
    assert_eq!(logins(), 3, "renewed after 25 minutes");
    let mut stranger = watttime::WattTime::new(Some(base), &Secret::new("user"), &Secret::new("wrong"));
    let refused = drive(&mut stranger, &of("CAISO_NORTH"), now).await;
    assert!(matches!(refused, Err(FeedError::Key(_))), "{refused:?}");
});

served!(c1_eia_by_pages, "eia_fuel.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| {
        if params.get("api_key").is_none_or(|key| key != "eia-key") {
            return (403, fixture("eia_403_invalid.json").unwrap_or_default());
        }
        if path != "/v2/electricity/rto/fuel-type-data/data/"
            || params.get("data[0]").is_none_or(|value| value != "value")
        {
            return WRONG;
        }
        // Two pages of ten rows each.
        let body = fixture("eia_fuel.json").unwrap_or_default();
        let mut answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let rows = answer["response"]["data"].as_array().expect("rows").clone();
        let offset: usize = params["offset"].parse().expect("a number");
        answer["response"]["data"] = rows.into_iter().skip(offset).take(10).collect();
        (200, answer.to_string().into_bytes())
    };
    let (base, seen) = serve(Arc::new(rule)).await;
    let factors = Factors::named("ar5-2014").expect("known");
    let now = at("2026-05-10T09:00:00Z");
    let of = want("CISO", Signal::Intensity, "2026-05-10T06:00:00Z", "2026-05-10T09:00:00Z");
    let mut feed = eia::Eia::new(Some(base.clone()), Secret::new("eia-key"), factors.clone());
    let told = drive(&mut feed, &of, now).await.expect("known");
    assert_eq!((count(&told), seen.lock().expect("fine").len()), (2, 2));
    assert_eq!(value(&told, "2026-05-10T07:30:00Z"), Some((245.219, Grade::Measured)));
    assert_eq!(told.basis.factors.as_deref(), Some("ar5-2014"));
    let mut stranger = eia::Eia::new(Some(base), Secret::new("another"), factors);
    let refused = drive(&mut stranger, &of, now).await;
    assert!(matches!(refused, Err(FeedError::Key(_))), "{refused:?}");
});

served!(c1_entsoe, "entsoe_a75.xml", async {
    let rule = |_: &str, params: &Params, _: &HeaderMap, _: usize| {
        if params.get("securityToken").is_none_or(|key| key != "entsoe-token") {
            return (401, fixture("entsoe_401.xml").unwrap_or_default());
        }
        match (params["documentType"].as_str(), params["in_Domain"].as_str()) {
            ("A75", "10YFI-1--------U") if params["processType"] == "A16" => file("entsoe_a75.xml"),
            ("A75", "10YNODATA------X") => file("entsoe_nodata_200.xml"),
            ("A44", zone) if params["out_Domain"] == zone => file("entsoe_a44_two_auctions.xml"),
            _ => (400, fixture("entsoe_400.xml").unwrap_or_default()),
        }
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let factors = Factors::named("ar5-2014").expect("known");
    let mut feed = entsoe::Entsoe::new(Some(format!("{base}/api")), Secret::new("entsoe-token"), factors.clone());
    let now = at("2026-05-10T14:00:00Z");
    let of = |zone: &str, signal| want(zone, signal, "2026-05-10T12:00:00Z", "2026-05-11T22:00:00Z");
    let told = drive(&mut feed, &of("10YFI-1--------U", Signal::Intensity), now).await.expect("known");
    assert_eq!((count(&told), value(&told, "2026-05-10T12:00:00Z").map(|(grams, _)| grams)), (8, Some(33.546)));
    let none = drive(&mut feed, &of("10YNODATA------X", Signal::Intensity), now).await;
    assert!(matches!(none, Err(FeedError::NoData(_))), "{none:?}");
    let prices = drive(&mut feed, &of("10Y1001A1001A82H", Signal::Price), now).await.expect("known");
    assert_eq!((count(&prices), value(&prices, "2026-05-10T22:00:00Z").map(|(price, _)| price)), (96, Some(66.1)));
    let wrong = drive(&mut feed, &of("nonsense", Signal::Intensity), now).await;
    assert!(matches!(wrong, Err(FeedError::Misconfigured(_))), "{wrong:?}");
    let mut stranger = entsoe::Entsoe::new(Some(format!("{base}/api")), Secret::new("another"), factors);
    let refused = drive(&mut stranger, &of("10YFI-1--------U", Signal::Intensity), now).await;
    assert!(matches!(refused, Err(FeedError::Key(_))), "{refused:?}");
});

served!(c1_energi_data, "eds_co2emis.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| {
        let asked =
            params["timezone"] == "utc" && params["limit"] == "0" && params["filter"] == "{\"PriceArea\":[\"DK1\"]}";
        match path {
            "/dataset/CO2Emis" if asked => file("eds_co2emis.json"),
            "/dataset/CO2EmisProg" if asked && params["sort"] == "Minutes5UTC asc" => file("eds_co2emisprog.json"),
            _ => WRONG,
        }
    };
    let (base, seen) = serve(Arc::new(rule)).await;
    let of = want("DK1", Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-12T00:00:00Z");
    let told =
        drive(&mut energi_data::EnergiData::new(Some(base)), &of, at("2026-05-10T08:00:00Z")).await.expect("known");
    assert_eq!((seen.lock().expect("fine").len(), count(&told)), (2, 288));
});

served!(c1_octopus, "octopus_agile.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| match path {
        "/v1/products/AGILE-24-10-01/electricity-tariffs/E-1R-AGILE-24-10-01-C/standard-unit-rates/"
            if params["period_from"].ends_with('Z') =>
        {
            file("octopus_agile.json")
        }
        _ => WRONG,
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let of =
        want("AGILE-24-10-01/E-1R-AGILE-24-10-01-C", Signal::Price, "2026-05-10T07:00:00Z", "2026-05-12T07:00:00Z");
    let told = drive(&mut octopus::Octopus::new(Some(base), true, None), &of, at("2026-05-11T07:00:00Z")).await;
    assert_eq!(count(&told.expect("known")), 96);
});

served!(c1_grid_intensity_exporter, "prom_grid_intensity.txt", async {
    let rule = |path: &str, _: &Params, _: &HeaderMap, _: usize| match path {
        "/metrics" => file("prom_grid_intensity.txt"),
        _ => WRONG,
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let of = want("FR", Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-12T07:00:00Z");
    let mut feed = exporter::Exporter::new(format!("{base}/metrics"), neap_model::grid::Kind::Average);
    assert_eq!(count(&drive(&mut feed, &of, at("2026-05-10T07:20:00Z")).await.expect("known")), 1);
});

served!(c1_nord_pool, "nordpool_dayahead.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| match (path, params["date"].as_str()) {
        // The day of Central European time, and the one after.
        ("/api/DayAheadPrices", "2026-05-11") if params["deliveryArea"] == "SE3" && params["currency"] == "EUR" => {
            file("nordpool_dayahead.json")
        }
        ("/api/DayAheadPrices", "2026-05-12") => (204, Vec::new()),
        _ => WRONG,
    };
    let (base, seen) = serve(Arc::new(rule)).await;
    let of = want("SE3", Signal::Price, "2026-05-10T22:00:00Z", "2026-05-13T00:00:00Z");
    let mut feed = nord_pool::NordPool::new(Some(base), "EUR".to_owned());
    // Half past midnight in Stockholm.
    let told = drive(&mut feed, &of, at("2026-05-10T22:30:00Z")).await.expect("known");
    assert_eq!(seen.lock().expect("fine").len(), 2);
    assert!(count(&told) > 0);
});

served!(c1_tibber, "tibber.json", async {
    let rule = |path: &str, _: &Params, headers: &HeaderMap, _: usize| {
        let asked = headers.get("authorization").is_some_and(|value| value == "Bearer sesame");
        match (path, asked && headers.get("content-type").is_some_and(|value| value == "application/json")) {
            ("/v1-beta/gql", true) => file("tibber.json"),
            _ => WRONG,
        }
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let of = want("0", Signal::Price, "2026-05-09T22:00:00Z", "2026-05-12T00:00:00Z");
    let mut feed = tibber::Tibber::new(Some(base), Secret::new("sesame"));
    assert_eq!(count(&drive(&mut feed, &of, at("2026-05-10T08:00:00Z")).await.expect("known")), 1);
});

served!(c1_open_electricity, "oe_emissions_energy.json", async {
    let rule = |path: &str, params: &Params, headers: &HeaderMap, _: usize| {
        let asked = headers.get("authorization").is_some_and(|value| value == "Bearer sesame");
        // The network's own clock, ten hours ahead.
        match (path, params["date_start"].as_str()) {
            ("/v4/data/network/NEM", "2026-05-10T17:00:00") if asked => file("oe_emissions_energy.json"),
            _ => WRONG,
        }
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let of = want("NEM/NSW1", Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-12T07:00:00Z");
    let mut feed = open_electricity::OpenElectricity::new(Some(base), Secret::new("sesame"));
    assert_eq!(count(&drive(&mut feed, &of, at("2026-05-10T10:00:00Z")).await.expect("known")), 2);
});

served!(c1_carbon_aware_sdk, "casdk_bylocation.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| match (path, params["location"].as_str()) {
        ("/emissions/bylocation", "westus") => file("casdk_bylocation.json"),
        ("/emissions/forecasts/current", "westus") => file("casdk_forecast_current.json"),
        ("/emissions/bylocation", "past") => file("casdk_bylocation.json"),
        ("/emissions/forecasts/current", "past") => (501, fixture("casdk_501.json").unwrap_or_default()),
        _ => (400, fixture("casdk_400.json").unwrap_or_default()),
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let mut feed = carbon_aware::CarbonAware::new(base, Basis::default());
    let of = |zone: &str| want(zone, Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-12T07:00:00Z");
    let now = at("2026-05-11T07:00:00Z");
    assert_eq!(count(&drive(&mut feed, &of("westus"), now).await.expect("known")), 49);
    assert_eq!(count(&drive(&mut feed, &of("past"), now).await.expect("measured")), 1);
    let wrong = drive(&mut feed, &of("nowhere"), now).await;
    assert!(matches!(wrong, Err(FeedError::Misconfigured(_))), "{wrong:?}");
});

served!(c1_prometheus, "prom_query_range.json", async {
    let rule = |path: &str, params: &Params, _: &HeaderMap, _: usize| match (path, params["query"].as_str()) {
        ("/api/v1/query", "timestamp(site_intensity)") => {
            let body = br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1778403700,"1778403600"]}]}}"#;
            (200, body.to_vec())
        }
        ("/api/v1/query_range", "site_intensity") if params["step"] == "1800" => file("prom_query_range.json"),
        _ => (400, fixture("prom_query_error.json").unwrap_or_default()),
    };
    let (base, _) = serve(Arc::new(rule)).await;
    let feed = || {
        prometheus::Prometheus::new(prometheus::Options {
            base: base.clone(),
            query: "site_intensity".to_owned(),
            step: TimeDelta::minutes(30),
            scale: None,
            basis: Basis::default(),
            max_age: Some(TimeDelta::minutes(10)),
            authorization: None,
            headers: Vec::new(),
        })
    };
    let of = want("x", Signal::Intensity, "2026-05-10T07:00:00Z", "2026-05-10T09:30:00Z");
    let told = drive(&mut feed(), &of, at("2026-05-10T09:01:00Z")).await.expect("known");
    assert_eq!((count(&told), value(&told, "2026-05-10T09:10:00Z")), (3, Some((198.75, Grade::Measured))));
    let dead = drive(&mut feed(), &of, at("2026-05-10T10:00:00Z")).await;
    assert!(matches!(dead, Err(FeedError::NoData(_))), "a dead exporter looks fresh and is not: {dead:?}");
});
