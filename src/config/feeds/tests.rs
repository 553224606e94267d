use super::super::paths::Paths;
use super::super::site;
use super::TYPES;
use neap_scheduler::config::{FeedConfig, Key, Service, Unit};
use std::collections::BTreeMap;

fn read(text: &str) -> Result<Vec<FeedConfig>, Vec<String>> {
    let paths = Paths::of(&BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]));
    let text = format!("[[zone]]\nname = \"DE\"\n{text}");
    let read = site::read(&text, "neap.toml", &paths);
    read.map(|(scheduler, _)| scheduler.grid.feeds).map_err(|wrong| {
        let text = |p: &crate::diagnostic::Problem| {
            let notes: Vec<String> = p.refusal.hints.iter().map(|hint| hint.text.clone()).collect();
            format!("{} {} {}", p.label.unwrap_or("?"), p.refusal.message, notes.join(" "))
        };
        wrong.iter().map(text).collect()
    })
}

fn service(lines: &str) -> Service {
    match read(&format!("[[grid.feed]]\n{lines}\n")).map(|mut feeds| feeds.remove(0)) {
        Ok(FeedConfig::Service { service, .. }) => service,
        other => panic!("{lines}: {other:?}"),
    }
}

#[test]
fn every_type_is_read() {
    let key = "key = { env = \"K\" }";
    for (kind, more) in [
        ("file", "path = \"/etc/neap/f.csv\""),
        (
            "file",
            "path = \"/etc/neap/f.csv\"\nkind = \"average\"\nscope = \"direct\"\nunit = \"lb/MWh\"\naccounting = \"production\"",
        ),
        ("uk", ""),
        ("energy-charts", "zones = { DE = \"de\" }\nprice_zones = { DE = \"DE-LU\" }"),
        ("energi-data", ""),
        ("octopus", "with_vat = false"),
        ("nord-pool", "currency = \"SEK\"\nprice_zones = { DE = \"SE3\" }"),
        ("tibber", key),
        ("open-electricity", key),
        ("electricity-maps", key),
        ("watttime", "user = { env = \"U\" }\npassword = { file = \"/etc/neap/w\" }"),
        ("eia", key),
        ("entsoe", "key = { file = \"/etc/neap/e\" }\nfactors = \"unece-2022\""),
        ("grid-intensity-exporter", "base = \"http://exporter:8000/metrics\""),
        ("carbon-aware-sdk", "base = \"http://bridge:8090/\""),
        ("http-json", "base = \"https://h/x?z={zone}\"\nunit = \"lb/MWh\"\ntimes = \"/t\"\nvalues = \"/v\""),
        ("prometheus", "base = \"http://p:9090\"\nquery = \"ci{zone='{zone}'}\""),
    ] {
        assert!(TYPES.contains(&kind));
        let feeds = read(&format!("[[grid.feed]]\ntype = \"{kind}\"\n{more}\n"));
        assert_eq!(feeds.as_ref().map(Vec::len), Ok(1), "{kind}: {feeds:?}");
    }
}

#[test]
fn what_a_feed_says_is_understood() {
    let entsoe = service("type = \"entsoe\"\nkey = { file = \"/etc/neap/e\" }");
    assert_eq!(entsoe, Service::Entsoe { key: Key::File("/etc/neap/e".into()), factors: "ar5-2014".into() });
    let json = service(
        "type = \"http-json\"\nname = \"desk\"\nbase = \"https://h/x\"\nunit = \"EUR / kWh\"\npoints = \"/data\"\ntime = \"/at\"\n\
         value = \"/p\"\nmissing = -1\nexpect = { \"/zone\" = \"{zone}\" }\nheaders = { x-key = { env = \"K\" } }",
    );
    let Service::HttpJson(json) = json else { panic!("{json:?}") };
    assert_eq!((json.name.as_str(), &json.unit), ("desk", &Unit::Price(1_000_000, "EUR".into())));
    assert_eq!(json.headers, [("x-key".to_owned(), Key::Env("K".into()))]);
    assert_eq!((json.missing.as_slice(), json.expect.len()), ([-1].as_slice(), 1));
}

#[test]
fn units_are_known_or_refused() {
    for (text, unit) in [
        ("g/kWh", Unit::Intensity(1_000_000_000)),
        ("gCO2e / kWh", Unit::Intensity(1_000_000_000)),
        ("lb/MWh", Unit::Intensity(453_592_370)),
        ("p/kWh", Unit::Price(10_000, "GBP".into())),
        ("USD/MWh", Unit::Price(1_000, "USD".into())),
    ] {
        assert_eq!(Unit::named(text), Some(unit), "{text}");
    }
    for text in ["", "percent", "g", "lb", "EUR", "EUR/MW", "euro/MWh", "/"] {
        assert_eq!(Unit::named(text), None, "{text}");
    }
}

/// One feed with a mistake, and a word of what is said about it.
fn wrong(lines: &str, word: &str) {
    let found = read(&format!("[[grid.feed]]\n{lines}\n")).expect_err(lines);
    assert!(found.iter().any(|text| text.contains(word)), "{lines}: {found:?}");
}

#[test]
fn mistakes_are_named_and_keys_are_never_repeated() {
    wrong("type = \"energycharts\"", "did you mean `energy-charts`?");
    wrong("path = \"/x\"", "a feed needs its `type`");
    wrong("type = \"uk\"\nzones = { GB = \"GB\" }", "zone `GB` is not defined");
    wrong("type = \"eia\"", "this feed needs `key");
    wrong("type = \"eia\"\nkey = { file = \"eia.key\" }", "by its whole path");
    wrong("type = \"eia\"\nkey = { env = \"K\" }\nfactors = \"mine\"", "no factors are named `mine`");
    wrong("type = \"carbon-aware-sdk\"", "needs its `base`");
    wrong("type = \"uk\"\nbase = \"ftp://x\"", "is an address");
    wrong("type = \"uk\"\nkey = { env = \"K\" }", "`key`");
    wrong("type = \"http-json\"\nbase = \"http://h\"\nunit = \"g/kWh\"", "`times` and `values`");
    wrong("type = \"http-json\"\nbase = \"http://h\"\ntimes = \"/t\"\nvalues = \"/v\"", "needs its `unit`");
    wrong(
        "type = \"http-json\"\nbase = \"http://h\"\nunit = \"pounds\"\ntimes = \"t\"\nvalues = \"/v\"",
        "is no JSON pointer",
    );
    wrong("type = \"file\"\npath = \"/f.csv\"\nunit = \"EUR/MWh\"", "prices from files are not read");
    wrong("type = \"file\"\npath = \"/f.csv\"\nscope = \"gas\"", "lifecycle, direct");
    wrong("type = \"prometheus\"\nbase = \"http://h\"\nquery = \"x\"\nunit = \"EUR/MWh\"", "are not read");
    for lines in [
        "type = \"eia\"\nkey = \"canary\"",
        "type = \"uk\"\nbase = \"http://me:canary@host\"",
        "type = \"uk\"\nbase = \"http://host/?token=canary\"",
    ] {
        let found = read(&format!("[[grid.feed]]\n{lines}\n")).expect_err(lines);
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }
}
