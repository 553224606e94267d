//! Grid services, seen through the real binary: two that need no key, none that can be reached, and twenty keys that must
//! appear nowhere.
#![expect(clippy::print_stderr, reason = "what was measured is said")]

mod support;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::Site;
use support::service::{Service, answer, energy_charts, uk};

fn ran(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

fn feed(kind: &str, base: &str, more: &str) -> String {
    format!("[[grid.feed]]\ntype = \"{kind}\"\nbase = \"{base}\"\n{more}\n")
}

fn zones(names: &[&str]) -> String {
    names.iter().map(|name| format!("[[zone]]\nname = \"{name}\"\n")).collect()
}

/// DE by Energy-Charts with its prices, GB by the British service.
fn two(energy_charts: &str, uk: &str) -> Site {
    let first = feed("energy-charts", energy_charts, "zones = { DE = \"de\" }\nprice_zones = { DE = \"DE-LU\" }");
    let second = feed("uk", uk, "zones = { GB = \"GB\" }");
    let mut site = Site::new(&format!("{}{first}{second}", zones(&["DE", "GB"])));
    site.env.push(("NO_PROXY".to_owned(), "127.0.0.1".to_owned()));
    site
}

fn sources(grid: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let zones = grid.as_array().expect("zones");
    zones.iter().map(|zone| (text(&zone["origins"][0]["feed"]), text(&zone["grade"]))).collect()
}

#[test]
fn services_without_a_key_tell_the_curve_and_what_they_said_outlives_a_restart_without_them() {
    let (charts, british) = (Service::new(energy_charts), Service::new(uk));
    let mut site = two(&charts.address, &british.address);
    site.start_scheduler();
    site.until("both services are heard", Duration::from_secs(20), |connection| {
        let (_, grid) = connection.json("GET", "/v1/grid", &Value::Null).expect("an answer");
        let feeds: Vec<String> = sources(&grid).into_iter().map(|(feed, _)| feed).collect();
        feeds == ["energy-charts", "uk"] && !grid[0]["prices"].is_null()
    });
    let (code, text) = ran(site.neap().arg("carbon"));
    assert_eq!(code, 0, "{text}");
    for word in [
        "DE",
        "GB",
        "energy-charts",
        "uk",
        "measured now",
        "NESO Carbon Intensity API",
        "Energy-Charts, Fraunhofer ISE",
        "EUR/MWh",
        "compare each with itself only",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let (_, text) = ran(site.neap().args(["carbon", "DE", "-o", "json"]));
    let zone: Value = serde_json::from_str(&text).expect("JSON");
    let zone = &zone["zones"][0];
    assert!(zone["spans"].as_array().is_some_and(|spans| spans.len() >= 90), "{zone}");
    assert_eq!(zone["price_currency"], "EUR");
    assert!(zone["prices"][0]["price_per_mwh"].as_f64().is_some(), "{}", zone["prices"]);
    let (_, text) = ran(site.neap().args(["carbon", "--factors"]));
    assert!(text.contains("average, direct, of consumption") && text.contains("neap/"), "{text}");
    let (_, page) = site.connect().call("GET", "/metrics", b"").expect("a page");
    let page = String::from_utf8_lossy(&page).into_owned();
    for line in [
        "neap_feed_requests_total{feed=\"energy-charts\",outcome=\"ok\"} 2",
        "neap_feed_requests_total{feed=\"uk\",outcome=\"ok\"} 1",
        "neap_feed_age_seconds{feed=\"uk\",zone=\"GB\"}",
        "neap_feed_circuit_open{feed=\"uk\"} 0",
        "neap_grid_intensity_grams_per_kwh{zone=\"DE\",kind=\"average\",grade=\"measured\"}",
        "neap_degraded{mode=\"no_grid_data\"} 0",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    let head = charts.requests()[0].to_ascii_lowercase();
    assert!(head.contains("user-agent: neap/"), "{head}");
    site.kill_scheduler();
    // The same site without any network: what was said is there before anybody is answered.
    drop((charts, british));
    let config = std::fs::read_to_string(site.path("neap.toml")).expect("the configuration");
    let dead: String = config
        .lines()
        .map(|l| if l.starts_with("base") { "base = \"http://127.0.0.1:1\"\n".to_owned() } else { format!("{l}\n") })
        .collect();
    std::fs::write(site.path("neap.toml"), dead).expect("written");
    site.start_scheduler();
    let (_, grid) = site.connect().json("GET", "/v1/grid", &Value::Null).expect("an answer");
    let measured = |feed: &str| (feed.to_owned(), "measured".to_owned());
    assert_eq!(sources(&grid)[0], measured("energy-charts"), "{grid}");
    assert_eq!(sources(&grid)[1].0, "uk", "{grid}");
    site.until("the failure shows", Duration::from_secs(20), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        let text = status["degraded"].to_string();
        text.contains("uk: GB: it cannot be connected to") && text.contains("energy-charts: DE:")
    });
    let (_, text) = ran(site.neap().arg("status"));
    assert!(text.contains("uk: GB: it cannot be connected to"), "{text}");
}

#[test]
fn c5_a_site_without_a_network_starts_as_fast_as_one_with() {
    let (charts, british) = (Service::new(energy_charts), Service::new(uk));
    let hanging = Service::new(|_| None);
    let mut times = Vec::new();
    for (name, first, second) in [
        ("reached", charts.address.as_str(), british.address.as_str()),
        ("refused", "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("hanging", hanging.address.as_str(), hanging.address.as_str()),
        ("no such name", "http://service.invalid", "https://service.invalid"),
    ] {
        let mut took: Vec<Duration> = (0..5).map(|_| two(first, second).start_scheduler()).collect();
        took.sort_unstable();
        times.push((name, took[2]));
    }
    eprintln!("C5: median of 5 starts until the first answer: {times:?}");
    let reached = times[0].1;
    for (name, took) in &times[1..] {
        assert!(*took < reached * 3 / 2 + Duration::from_millis(60), "{name}: {took:?} instead of {reached:?}");
    }
}

/// Everything in a directory, as one text.
fn all_under(place: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(place).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &all_under(&path);
        } else if path.is_file() {
            text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default());
        }
    }
    text
}

/// A service that repeats whatever it is sent, in as many ways as there are, and breaks the connection in others.
fn parrot(head: &str) -> Option<String> {
    let echo = head.replace("\r\n", " ").replace('"', "'");
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = format!("{{\"error\":{{\"message\":\"{echo}\"}},\"detail\":\"{path}\"}}");
    Some(match head.len() % 9 {
        0 => answer("401 Unauthorized", "application/json", &body),
        1 => answer("403 Forbidden", "application/json", &body),
        2 => answer("400 Bad Request", "application/json", &body),
        3 => answer("500 Internal Server Error", "text/plain", &echo),
        4 => {
            format!("HTTP/1.1 302 Found\r\nlocation: http://{path}@example.invalid{path}\r\ncontent-length: 0\r\n\r\n")
        }
        5 => answer("200 OK", "text/html", &format!("<html>{echo}</html>")),
        6 => answer(
            "200 OK",
            "application/json",
            &format!("{{\"zone\":\"{echo}\",\"token\":\"{echo}\",\"warnings\":[\"{echo}\"]}}"),
        ),
        7 => format!("HTTP/1.1 {echo}\r\n\r\n"),
        _ => format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{body}"),
    })
}

#[test]
fn c7_twenty_keys_appear_in_no_log_error_answer_metric_archive_or_process_list() {
    let canary = |n: usize| format!("canary{n:02}{}", "x".repeat(3 + n % 9));
    let service = Service::new(parrot);
    let mut site = Site::new("");
    site.env.push(("NO_PROXY".to_owned(), "127.0.0.1".to_owned()));
    let mut secrets = Vec::new();
    let mut key = |site: &mut Site| {
        let n = secrets.len();
        secrets.push(canary(n));
        if n.is_multiple_of(2) {
            let path = site.path(&format!("{n}.key"));
            std::fs::write(&path, format!("{}\n", canary(n))).expect("a key");
            format!("{{ file = \"{}\" }}", path.display())
        } else {
            site.env.push((format!("NEAP_FEED_{n}"), canary(n)));
            format!("{{ env = \"NEAP_FEED_{n}\" }}")
        }
    };
    let mut feeds = String::new();
    for (kind, count) in [("electricity-maps", 4), ("eia", 3), ("entsoe", 3), ("open-electricity", 3), ("watttime", 2)]
    {
        for n in 0..count {
            let keys = match kind {
                "open-electricity" => format!("zones = {{ DE = \"NEM/NSW1\" }}\nkey = {}", key(&mut site)),
                "watttime" => format!("user = {}\npassword = {}", key(&mut site), key(&mut site)),
                _ => format!("key = {}", key(&mut site)),
            };
            // Addresses of different lengths are answered in different ways.
            feeds += &feed(kind, &format!("{}/{}", service.address, "p".repeat(n)), &keys);
        }
    }
    // Servers of events are logged in to with a form.
    for n in 0..3 {
        let (url, secret) = (format!("{}/{}", service.address, "v".repeat(n + 1)), key(&mut site));
        feeds += &format!(
            "[[grid.vtn]]\nname = \"vtn{n}\"\nurl = \"{url}\"\nclient_id = \"site\"\nsecret = {secret}\nunits = \"KW\"\n"
        );
    }
    assert_eq!(secrets.len(), 20);
    let config = std::fs::read_to_string(site.path("neap.toml")).expect("the configuration");
    std::fs::write(site.path("neap.toml"), config + &zones(&["DE"]) + &feeds).expect("written");
    site.start_scheduler();
    site.start_executor();
    let base64 = |text: &str| {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for part in text.as_bytes().chunks(3) {
            let n = part.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
            out.extend((0..=part.len()).map(|at| char::from(DIGITS[(n >> (18 - 6 * at) & 63) as usize])));
        }
        out
    };
    let logins: Vec<String> =
        secrets[13..17].chunks(2).map(|pair| base64(&format!("{}:{}", pair[0], pair[1]))).collect();
    // All of them were sent, or this test would prove nothing.
    site.until("every key was sent", Duration::from_secs(30), |_| {
        let sent = service.requests().join("\n");
        secrets[..13].iter().chain(&secrets[17..]).chain(&logins).all(|secret| sent.contains(secret.as_str()))
    });
    site.until("every service showed its trouble", Duration::from_secs(30), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        let text = status["degraded"].to_string();
        ["electricity-maps", "eia", "entsoe", "watttime", "vtn0"].iter().all(|name| text.contains(name))
    });
    // Some more rounds: retries have paths of their own.
    std::thread::sleep(Duration::from_secs(5));
    let mut seen = Vec::new();
    let mut connection = site.connect();
    for path in ["/v1/status", "/v1/grid", "/metrics", "/v1/report", "/v1/jobs"] {
        let (_, body) = connection.call("GET", path, b"").expect("an answer");
        seen.push((path.to_owned(), String::from_utf8_lossy(&body).into_owned()));
    }
    for verb in ["status", "carbon", "doctor", "report", "queue"] {
        seen.push((verb.to_owned(), ran(site.neap().arg(verb)).1));
        seen.push((format!("{verb} as JSON"), ran(site.neap().args([verb, "-o", "json"])).1));
    }
    seen.push(("serve --check".to_owned(), ran(site.neap().args(["serve", "--check"])).1));
    let (code, environment) = ran(site.neap().args(["run", "--", "env"]));
    assert!(code == 0 && environment.contains("NEAP_ZONE="), "{environment}");
    seen.push(("the environment of a job".to_owned(), environment));
    seen.push(("logs of the scheduler".to_owned(), site.log("serve")));
    seen.push(("logs of the executor".to_owned(), site.log("executor")));
    seen.push(("state".to_owned(), all_under(&site.path("state"))));
    let list = Command::new("ps").args(["-ww", "-e", "-o", "args"]).output().expect("a process list");
    seen.push(("process list".to_owned(), String::from_utf8_lossy(&list.stdout).into_owned()));
    // A key that was put into the file by mistake is not repeated either.
    let wrong = format!(
        "[[grid.feed]]\ntype = \"eia\"\nkey = \"{}\"\n[[grid.feed]]\ntype = \"uk\"\nbase = \"http://me:{}@host\"\n",
        secrets[0], secrets[1]
    );
    std::fs::write(site.path("wrong.toml"), wrong).expect("written");
    let (code, text) = ran(site.neap().args(["serve", "--check", "--config"]).arg(site.path("wrong.toml")));
    assert!(
        code != 0 && text.contains("cannot stand in this file") && text.contains("cannot hold a password"),
        "{text}"
    );
    seen.push(("a mistaken configuration".to_owned(), text));
    let found: Vec<String> = seen
        .iter()
        .flat_map(|(place, text)| {
            let hits = secrets.iter().chain(&logins).filter(|secret| text.contains(secret.as_str()));
            hits.map(move |secret| format!("{secret} in {place}"))
        })
        .collect();
    eprintln!(
        "C7: {} places of {} bytes looked at, {} keys found",
        seen.len(),
        seen.iter().map(|(_, t)| t.len()).sum::<usize>(),
        found.len()
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_limit_that_a_server_of_events_announces_is_in_force_and_outlives_the_server() {
    let service = Service::new(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
        Some(match path {
            "/vtn/auth/token" if head.contains("client_secret=sesame") => answer(
                "200 OK",
                "application/json",
                "{\"access_token\":\"ticket\",\"token_type\":\"Bearer\",\"expires_in\":3600}",
            ),
            "/vtn/events" if head.to_lowercase().contains("authorization: bearer ticket") => answer(
                "200 OK",
                "application/json",
                "[{\"id\":\"dr-7\",\"programID\":\"p\",\"intervalPeriod\":{\"start\":\"0001-01-01T00:00:00Z\",\"duration\":\"PT2H\"},\
                 \"payloadDescriptors\":[{\"payloadType\":\"IMPORT_CAPACITY_LIMIT\",\"units\":\"KW\"}],\
                 \"intervals\":[{\"id\":0,\"payloads\":[{\"type\":\"IMPORT_CAPACITY_LIMIT\",\"values\":[450]}]}]}]",
            ),
            _ => answer("404 Not Found", "application/json", "{}"),
        })
    });
    let mut site = Site::new(&zones(&["DE"]));
    site.env.push(("NO_PROXY".to_owned(), "127.0.0.1".to_owned()));
    site.env.push(("NEAP_VTN".to_owned(), "sesame".to_owned()));
    let vtn = format!(
        "[[grid.vtn]]\nname = \"utility\"\nurl = \"{}/vtn\"\nclient_id = \"site-7\"\nsecret = {{ env = \"NEAP_VTN\" }}\n",
        service.address
    );
    let config = std::fs::read_to_string(site.path("neap.toml")).expect("the configuration");
    std::fs::write(site.path("neap.toml"), config + &vtn).expect("written");
    site.start_scheduler();
    let in_force = |site: &Site| {
        let (_, status) = site.connect().json("GET", "/v1/status", &Value::Null).expect("an answer");
        status["notices"].to_string()
    };
    site.until("the limit is in force", Duration::from_secs(20), |_| in_force(&site).contains("utility/dr-7"));
    let (code, said) = ran(site.neap().arg("status"));
    assert!(code == 0 && said.contains("450 kW") && said.contains("utility"), "{said}");
    // The server is gone, and so is the scheduler for a moment: nothing lifts the limit.
    let there = site.path("neap.toml");
    let config =
        std::fs::read_to_string(&there).expect("the configuration").replace(&service.address, "http://127.0.0.1:1");
    std::fs::write(there, config).expect("written");
    site.kill_scheduler();
    site.start_scheduler();
    assert!(in_force(&site).contains("utility/dr-7"));
}
