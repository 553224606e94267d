//! Bodies without a server: the recorded ones against answers that were worked out apart, and what a hostile one may send.

use super::super::super::feed::FeedError;
use super::super::super::providers::tests::fixture;
use super::super::event::{Said, Shown, page};
use super::super::notices::notices;
use super::*;
use neap_model::notice::{Call, Notice};
use neap_model::units::Intensity;
use proptest::prelude::*;
use serde_json::{Value, json};

fn one(event: &Value) -> Shown {
    let mut all = page(json!([event]).to_string().as_bytes(), None).expect("a list of events");
    all.remove(0)
}

/// An event of one interval of two hours with that payload.
fn event(kind: &str, units: &str, value: Value) -> Value {
    json!({
        "id": "e", "programID": "p", "payloadDescriptors": [{"payloadType": kind, "units": units, "currency": "EUR"}],
        "intervalPeriod": {"start": "2026-05-10T16:00:00Z", "duration": "PT2H"},
        "intervals": [{"id": 0, "payloads": [{"type": kind, "values": [value]}]}],
    })
}

fn first() -> DateTime<Utc> {
    at("2026-05-10T15:03:20Z")
}

fn told(event: &Value) -> Result<Vec<Notice>, String> {
    notices(&vtn("http://x"), &one(event), first())
}

#[test]
fn c4_the_recorded_events_are_read_as_they_were_worked_out() {
    let Some(body) = fixture("openadr_events.json") else { return };
    let all = page(&body, None).expect("events");
    assert_eq!(all.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["event-ghg-1", "event-cap-1", "event-alert-1"]);
    assert_eq!(all[0].read.as_ref().expect("read").unused(), ["GHG"], "read, and nothing is done about it");
    let spans = all[0].read.as_ref().expect("read").spans(first(), "x").expect("spans");
    let grams: Vec<_> = spans.iter().map(|(span, said)| (span.from.format("%H").to_string(), said.to_vec())).collect();
    let expected =
        [("07", 238_000), ("08", 216_300), ("09", 202_000), ("10", 198_700), ("11", 195_100), ("12", 206_800)];
    assert_eq!(grams, expected.map(|(hour, mg)| (hour.to_owned(), vec![Said::Intensity(Intensity(mg))])));
    let cap = notices(&vtn("http://x"), &all[1], first()).expect("read").remove(0);
    assert_eq!(
        (cap.call, cap.from, cap.until, cap.priority, cap.reason.as_str()),
        (
            Call::Cap { limit: Watts::whole(450_000) },
            at("2026-05-10T16:00:00Z"),
            Some(at("2026-05-10T18:00:00Z")),
            Some(0),
            "site import cap"
        )
    );
    let alert = notices(&vtn("http://x"), &all[2], first()).expect("read").remove(0);
    assert_eq!((alert.call, alert.from, alert.until), (Call::Alert, first(), Some(at("2026-05-10T16:03:20Z"))));
    assert_eq!(alert.reason, "ALERT_GRID_EMERGENCY Stage 2");
}

#[test]
fn units_are_those_that_are_known_and_no_others() {
    let limit = |kind: &str, units: &str, value: Value| match told(&event(kind, units, value))
        .map(|mut all| all.remove(0).call)
    {
        Ok(Call::Cap { limit }) => Ok(limit),
        Ok(other) => panic!("{other:?}"),
        Err(why) => Err(why),
    };
    assert_eq!(limit("IMPORT_CAPACITY_LIMIT", "KW", json!(450)), Ok(Watts::whole(450_000)));
    assert_eq!(limit("IMPORT_CAPACITY_LIMIT", "W", json!(450.5)), Ok(Watts(450_500)));
    assert_eq!(limit("DISPATCH_SETPOINT", "KW", json!(0)), Ok(Watts(0)));
    // Never above what was said: a thousandth of a milliwatt is cut off.
    assert_eq!(limit("DISPATCH_SETPOINT", "W", json!(1.000_999_9)), Ok(Watts(1_000)));
    for units in ["KWH", "MW", "kW", "kw", "KVA", "GHG"] {
        let why = limit("IMPORT_CAPACITY_LIMIT", units, json!(450)).expect_err(units);
        assert!(why.contains(units), "{why}");
    }
    let nameless = limit("IMPORT_CAPACITY_LIMIT", "", json!(450)).expect_err("no unit");
    assert!(nameless.contains("names no unit"), "{nameless}");
    for wrong in [json!(-1), json!("450"), json!(null), json!(true), json!([1]), json!(1e13), json!(-0.001)] {
        assert!(limit("IMPORT_CAPACITY_LIMIT", "KW", wrong.clone()).is_err(), "{wrong}");
    }
    for wrong in [
        event("GHG", "KWH", json!(100)),
        event("GHG", "GHG", json!(3_001)),
        event("GHG", "GHG", json!(-1)),
        event("PRICE", "KW", json!(0.1)),
        event("PRICE", "KWH", json!(1e9)),
    ] {
        assert!(told(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_unit_that_the_site_states_stands_where_an_event_names_none() {
    let bare = json!([{"id": "e", "intervals": [{"payloads": [{"type": "IMPORT_CAPACITY_LIMIT", "values": [2]}]}]}]);
    let all = page(bare.to_string().as_bytes(), Some(crate::config::PowerUnit::Kilowatts)).expect("events");
    let notice = notices(&vtn("http://x"), &all[0], first()).expect("read").remove(0);
    assert_eq!((notice.call, notice.from, notice.until), (Call::Cap { limit: Watts::whole(2_000) }, first(), None));
}

#[test]
fn levels_mean_what_the_site_says_and_the_base_load_is_taken_off_first() {
    let call = |level: i32| told(&event("SIMPLE", "", json!(level))).map(|all| all.first().map(|notice| notice.call));
    assert_eq!(call(0), Ok(None));
    assert_eq!(call(1), Ok(Some(Call::DemandResponse { share: Percent::whole(80) })));
    assert_eq!(call(2), Ok(Some(Call::Alert)), "the site says nothing of it");
    assert_eq!(call(3), Ok(Some(Call::Cap { limit: Watts::whole(5_000) })));
    assert!(call(4).is_err() && told(&event("SIMPLE", "", json!(1.5))).is_err());
    let behind = Vtn { base_load: Watts::whole(200_000), ..vtn("http://x") };
    let shown = |kw: u64| one(&event("IMPORT_CAPACITY_LIMIT", "KW", json!(kw)));
    let left = |kw| notices(&behind, &shown(kw), first()).expect("read").remove(0).call;
    assert_eq!(left(450), Call::Cap { limit: Watts::whole(250_000) });
    assert_eq!(left(150), Call::Cap { limit: Watts(0) });
}

#[test]
fn targets_are_objects_or_texts_and_priorities_whole_numbers() {
    let with = |key: &str, value: Value| {
        let mut event = event("SIMPLE", "", json!(1));
        event[key] = value;
        one(&event).read
    };
    let targets =
        |value: Value| with("targets", value).map(|event| event.targets.into_iter().collect::<Vec<_>>().join(" "));
    assert_eq!(targets(json!([{"type": "GROUP", "values": ["north", "south"]}])), Ok("north south".to_owned()));
    assert_eq!(targets(json!(["north"])), Ok("north".to_owned()));
    assert_eq!((targets(json!(null)), targets(json!([]))), (Ok(String::new()), Ok(String::new())));
    for wrong in [json!("north"), json!([1]), json!([{"type": "GROUP"}])] {
        assert!(targets(wrong.clone()).is_err(), "{wrong}");
    }
    let priority = |value: Value| with("priority", value).map(|event| event.priority);
    assert_eq!(priority(json!(0)), Ok(Some(0)));
    assert_eq!(priority(json!(5.0)), Ok(Some(5)));
    assert_eq!(priority(json!(null)), Ok(None));
    assert!(priority(json!(-1)).is_err() && priority(json!(0.5)).is_err() && priority(json!(1e30)).is_err());
}

#[test]
fn what_nothing_is_done_about_is_named_and_an_event_that_cannot_be_read_is_still_there() {
    let mut mixed = event("IMPORT_CAPACITY_LIMIT", "KW", json!(1));
    mixed["intervals"][0]["payloads"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"type": "CURVE", "values": [{"x": 1}]}));
    let read = one(&mixed).read.expect("read");
    assert_eq!(read.ignored.iter().map(String::as_str).collect::<Vec<_>>(), ["CURVE"]);
    assert_eq!(told(&mixed).expect("read").len(), 1);
    for broken in [
        json!({"id": "e", "intervals": 7}),
        json!({"id": "e", "priority": "high"}),
        json!({"id": "e", "intervalPeriod": {"start": "soon"}}),
    ] {
        let shown = one(&broken);
        assert!(shown.id == "e" && shown.read.is_err(), "{shown:?}");
    }
}

#[test]
fn a_body_that_is_no_list_of_events_is_refused_as_a_whole() {
    for body in [
        "{}",
        "null",
        "7",
        "[7]",
        "[{}]",
        r#"[{"id": 7}]"#,
        r#"[{"id": ""}]"#,
        r#"[{"id": "a/b"}]"#,
        r#"[{"id": "a", "objectType": "REPORT"}]"#,
        "[NaN]",
        r#"[{"id": "a", "priority": 1e400}]"#,
    ] {
        assert!(matches!(page(body.as_bytes(), None), Err(FeedError::Refused(_))), "{body}");
    }
    assert!(matches!(page(br#"[{"id": "a"#, None), Err(FeedError::Down(_))));
    assert!(page("[".repeat(10_000).as_bytes(), None).is_err());
    assert_eq!(page(b"[]", None), Ok(Vec::new()));
    let many = json!([{"id": "a", "intervals": vec![json!({"payloads": []}); 1_001]}]);
    assert!(page(many.to_string().as_bytes(), None).expect("a list")[0].read.is_err());
}

/// Any JSON, with the words that this parser looks for more often than chance would have it.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "id",
        "programID",
        "priority",
        "targets",
        "payloadDescriptors",
        "payloadType",
        "units",
        "currency",
        "KW",
        "W",
        "KWH",
        "GHG",
        "EUR",
        "intervalPeriod",
        "start",
        "duration",
        "randomizeStart",
        "intervals",
        "payloads",
        "type",
        "values",
        "IMPORT_CAPACITY_LIMIT",
        "DISPATCH_SETPOINT",
        "SIMPLE",
        "PRICE",
        "ALERT_X",
        "PT1H",
        "P9999Y",
        "0001-01-01T00:00:00Z",
        "2026-05-10T16:00:00Z",
        "2999-12-31T23:59:59Z",
        "P999Y11M",
        "-1",
        "EVENT",
        "objectType",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5i32..2_000).prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..7)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

/// An event of the right shape with arbitrary parts in it.
fn nearly_an_event() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "IMPORT_CAPACITY_LIMIT",
        "DISPATCH_SETPOINT",
        "SIMPLE",
        "PRICE",
        "GHG",
        "ALERT_Y",
        "Z",
    ]);
    let unit =
        prop::sample::select(vec![json!("KW"), json!("W"), json!("KWH"), json!("GHG"), json!(null), json!("MW")]);
    let number = prop_oneof![any::<f64>().prop_map(Value::from), (-3.0..3e3).prop_map(Value::from), any_json()];
    let period = prop_oneof![
        Just(json!({"start": "2026-05-10T16:00:00Z", "duration": "PT2H", "randomizeStart": "PT5M"})),
        Just(json!({"start": "0001-01-01T00:00:00Z", "duration": "P9999Y"})),
        Just(json!({"start": "2999-05-10T16:00:00Z", "duration": "P999Y"})),
        any_json(),
    ];
    (kind, unit, number, period.clone(), period, any_json()).prop_map(|(kind, unit, number, one, two, any)| {
        json!({
            "id": "e", "priority": any, "payloadDescriptors": [{"payloadType": kind, "units": unit, "currency": "EUR"}],
            "intervalPeriod": one,
            "intervals": [{"payloads": [{"type": kind, "values": [number]}]}, {"intervalPeriod": two, "payloads": []}],
        })
    })
}

proptest! {
    #[test]
    fn whatever_comes_nothing_falls_over_and_no_limit_is_beyond_belief(
        any in any_json(), near in nearly_an_event(), bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(page(&bytes, None).map_or(true, |all| all.is_empty()));
        drop(page(any.to_string().as_bytes(), None));
        for event in [json!({"id": "e", "intervals": any.clone()}), any, near] {
            let Ok(all) = page(json!([event]).to_string().as_bytes(), Some(crate::config::PowerUnit::Kilowatts)) else { continue };
            for shown in &all {
                let Ok(list) = notices(&vtn("http://x"), shown, first()) else { continue };
                for notice in list {
                    prop_assert!(notice.until.is_none_or(|until| until > notice.from));
                    prop_assert!(notice.reason.len() <= 200);
                    if let Call::Cap { limit } = notice.call {
                        prop_assert!(limit.in_base().is_finite() && limit <= Watts::whole(1_000_000_000_000));
                    }
                    // It goes into the journal and comes back as it was.
                    let text = serde_json::to_string(&notice).expect("plain data");
                    prop_assert_eq!(serde_json::from_str::<Notice>(&text).expect("the same"), notice);
                }
            }
        }
    }
}
