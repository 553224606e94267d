use super::{Capacity, Forecast, Given, Idle, Model, Options, Pue, Slack, Start};
use std::collections::{BTreeMap, BTreeSet};

fn read(flags: &[(&'static str, &str)]) -> Result<Options, Vec<String>> {
    let mut values: BTreeMap<&'static str, String> =
        [("format", "gaia-s"), ("carbon", "ci.csv"), ("policy", "run-now")].map(|(k, v)| (k, v.to_owned())).into();
    values.extend(flags.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let switches = BTreeSet::new();
    Options::of(Given { trace: Some("jobs.csv"), values: &values, switches: &switches })
        .map_err(|problems| problems.into_iter().map(|p| p.refusal.message).collect())
}

#[test]
fn values_are_understood() {
    let options = read(&[
        ("capacity", "1.5x"),
        ("slack", "1h<30m,6h<2h,24h"),
        ("start", "2022-10-19T16:00:00Z"),
        ("idle", "off:300"),
        ("idle-watts", "60"),
        ("pue", "DE=1.2,FR=1.1"),
        ("pause-cost", "60s,0.02kWh"),
        ("assume-issued", "day-ahead:24"),
        ("arrivals", "online"),
        ("forecast", "blend"),
        ("model", "divisible"),
    ])
    .expect("options");
    assert_eq!(options.capacity, Capacity::Mean(1.5));
    let below = vec![(1800.0, 3600.0), (7200.0, 21600.0)];
    assert_eq!(options.slack, Slack { below, rest: 86400.0 });
    assert_eq!([600.0, 1800.0, 7200.0].map(|length| options.slack.of(length).0), [0, 1, 2]);
    assert!(matches!(options.start, Start::At(at) if at.to_rfc3339() == "2022-10-19T16:00:00+00:00"));
    assert_eq!((options.idle, options.idle_watts, options.pause_cost), (Idle::OffAfter(300.0), 60.0, (60.0, 0.02)));
    assert_eq!((options.pue.of("FR"), options.pue.of("PL")), (1.1, 1.0));
    assert_eq!((options.trusted, options.slot, options.forecast), (Some(86400.0), 900.0, Forecast::Blend));
    let usual = read(&[]).expect("options");
    assert_eq!((usual.capacity, usual.start, usual.model), (Capacity::Unlimited, Start::Natural, Model::Whole));
    assert_eq!((usual.slack.of(7199.0), usual.slack.of(7200.0)), ((0, 21600.0), (1, 86400.0)));
    assert_eq!((usual.pue, usual.slot, usual.seed, usual.timing), (Pue::All(1.0), 3600.0, 1, true));
    assert_eq!(read(&[("capacity", "28"), ("start", "7000")]).expect("options").start, Start::Row(7000));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let wrong = read(&[
        ("capacity", "many"),
        ("slack", "6h<2h"),
        ("start", "tomorrow"),
        ("idle", "on"),
        ("pue", "0.9"),
        ("model", "divisble"),
        ("policy", "run-nwo"),
        ("fail-if", "late_jbs>0"),
        ("slot", "7m"),
        ("watts-per-gpu", "0"),
    ])
    .expect_err("mistakes");
    for word in [
        "--capacity",
        "--slack",
        "--start",
        "--idle-watts",
        "--capacity: how",
        "--pue",
        "divisble",
        "run-nwo",
        "late_jbs",
        "--slot",
        "--watts",
    ] {
        assert!(wrong.iter().any(|message| message.contains(word)), "{word} in {wrong:?}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let (values, switches) = (BTreeMap::new(), BTreeSet::new());
    let wrong = Options::of(Given { trace: None, values: &values, switches: &switches }).expect_err("nothing");
    assert_eq!(wrong.len(), 3);
}
