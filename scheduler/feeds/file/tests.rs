mod hostile;

use super::super::tests::{now, time};
use super::{Content, FileError, Place, parse};
use crate::config::FileLabels;
use crate::feeds::archive::Archive;
use chrono::TimeDelta;
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use neap_model::units::Intensity;
use std::collections::BTreeMap;
use std::path::PathBuf;

const LABELS: &str = "# kind=average scope=lifecycle unit=g/kWh\n";

/// A file of that site; a file without a zone means `only`.
fn place(only: Option<&str>) -> Place {
    Place {
        path: "/nowhere/intensity.csv".into(),
        names: BTreeMap::new(),
        labels: FileLabels::default(),
        usual: Basis::default(),
        only: only.map(str::to_owned),
        archive: Archive::new("/nowhere/grid".into()),
    }
}

fn read(text: &str) -> Result<Content, FileError> {
    parse(text.as_bytes(), &place(None), now(), now())
}

fn good(text: &str) -> Content {
    read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The one thing that is wrong, as people read it.
fn wrong(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

/// The recorded files are not part of the sources.
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn fixture(name: &str) -> Option<Vec<u8>> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/fixtures"));
    let found = std::fs::read(dir.join(name)).ok();
    if found.is_none() {
        eprintln!("SKIPPED: no ../shared/data/fixtures/{name}");
    }
    found
}

/// Start in minutes from 07:00Z, value in mg/kWh, grade.
fn told(content: &Content) -> Vec<(i64, u64, Grade)> {
    let start = time("2026-05-10T07:00:00Z");
    let spans = content.series["DE"].spans();
    spans.iter().map(|span| ((span.from - start).num_minutes(), span.value.0, span.grade)).collect()
}

/// What the recorded files say: 07:00Z 214.2, 08:00Z a hole, 09:00Z zero, 10:00Z 198.75.
const EXPECTED: [(i64, u64, Grade); 3] =
    [(0, 214_200, Grade::Measured), (120, 0, Grade::Forecast), (180, 198_750, Grade::Forecast)];

#[test]
fn the_recorded_files_say_what_is_expected_of_them() {
    let at = time("2026-05-10T08:30:00Z");
    let Some(expected) = fixture("expected.json") else { return };
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("it is JSON");
    for name in ["file_intensity.csv", "file_intensity.json"] {
        let Some(bytes) = fixture(name) else { return };
        let content = parse(&bytes, &place(None), at, at).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(told(&content), EXPECTED, "{name}");
        for (from, value) in expected[name]["intervals"].as_object().expect("an object") {
            let found = content.series["DE"].at(time(from)).map(|span| span.value.in_base());
            assert_eq!(found, value.as_f64(), "{name} at {from}");
        }
        assert_eq!(content.issued, Some(time("2026-05-10T06:30:00Z")), "{name}");
        let basis = Basis { accounting: Accounting::Production, ..Basis::default() };
        assert_eq!(content.basis, basis, "{name}");
    }
}

#[test]
fn lines_and_json_say_the_same_in_units_and_offsets_of_their_own() {
    let lines = "# neap intensity 1\n# kind=average scope=lifecycle unit=g/kWh zone=DE\nstart,end,value,grade\n\
                 2026-05-10T09:00:00+02:00,2026-05-10T10:00:00+02:00,214.2,measured\n\
                 2026-05-10T08:00:00Z,2026-05-10T09:00:00Z,,\n\
                 2026-05-10T09:00:00Z,2026-05-10T10:00:00Z,0,forecast\n\
                 2026-05-10T10:00:00Z,2026-05-10T11:00:00Z,198.75,forecast\n";
    let json = r#"{"kind":"average","scope":"lifecycle","unit":"kg/kWh","zone":"DE","remark":[1],"spans":[
        {"start":"2026-05-10T07:00Z","end":"2026-05-10T08:00Z","value":"0.2142","grade":"measured"},
        {"start":"2026-05-10T08:00Z","end":"2026-05-10T09:00Z","value":null},
        {"start":"2026-05-10T09:00Z","end":"2026-05-10T10:00Z","value":"0","grade":"forecast"},
        {"start":"2026-05-10T10:00Z","end":"2026-05-10T11:00Z","value":0.19875,"grade":"forecast"}]}"#;
    assert_eq!((told(&good(lines)), told(&good(json))), (EXPECTED.to_vec(), EXPECTED.to_vec()));
    // A mark of the byte order and lines of another system change nothing.
    assert_eq!(good(&format!("\u{feff}{}", lines.replace('\n', "\r\n"))), good(lines));
    assert_eq!(good(&format!("\u{feff}{json}")), good(json));
}

#[test]
fn a_wide_and_a_long_file_say_the_same() {
    let wide = "datetime_utc,DE,FR\n2026-11-23T16:00Z,400,50\n2026-11-23T17:00Z,410,\n2026-11-23T18:00Z,420,null\n";
    let long = "time,zone,value,grade\n2026-11-23T16:00:00Z,DE,400,measured\n2026-11-23T18:00:00+01:00,\"DE\",410,\n\
                2026-11-23 18:00:00Z,DE,420,\n# a remark\n2026-11-23T16:00Z,FR,50,\n";
    let (wide, long) = (good(&format!("{LABELS}{wide}")).series, good(&format!("{LABELS}{long}")).series);
    assert_eq!(wide["DE"], long["DE"]);
    assert_eq!(wide["DE"].spans().len(), 3);
    assert_eq!(wide["FR"].spans().len(), 1, "an empty cell and null are holes, not zero");
    assert_eq!(wide["DE"].at(now()).map(|s| (s.value, s.grade)), Some((Intensity::grams(410), Grade::Measured)));
    assert_eq!(wide["DE"].at(now() + TimeDelta::hours(1)).map(|s| s.grade), Some(Grade::Forecast));
}

#[test]
fn labels_come_from_the_file_or_its_site_and_nobody_guesses() {
    let rows = "time,zone,value\n2026-11-23T17:00Z,DE,400\n";
    let said = |labels: &FileLabels, head: &str| {
        let place =
            Place { labels: labels.clone(), usual: Basis { scope: Scope::Direct, ..Basis::default() }, ..place(None) };
        parse(format!("{head}{rows}").as_bytes(), &place, now(), now())
    };
    let none = FileLabels::default();
    let all = FileLabels {
        kind: Some(Kind::Average),
        scope: Some(Scope::Lifecycle),
        accounting: Some(Accounting::Consumption),
        unit: Some(453_592_370),
    };
    // The line to add, in the words of this site.
    let text = said(&none, "").expect_err("unlabelled").to_string();
    assert!(
        text.contains("nobody says its kind, scope, unit") && text.contains("`# kind=average scope=direct unit=g/kWh`"),
        "{text}"
    );
    let text = said(&none, "# kind=average unit=g/kWh\n").expect_err("no scope").to_string();
    assert!(text.contains("its scope: add the line `# scope=direct`"), "{text}");
    let json = wrong(r#"{"kind":"average","spans":[]}"#);
    assert!(json.contains(r#"`"scope": "lifecycle", "unit": "g/kWh",`"#), "{json}");
    // The site speaks for it.
    let content = said(&all, "").expect("labelled by its site");
    assert_eq!((content.basis.scope, content.basis.accounting), (Scope::Lifecycle, Accounting::Consumption));
    assert_eq!(content.series["DE"].at(now()).map(|span| span.value.0), Some(181_437));
    // Both speak, and alike or not.
    said(&all, "# made by cron\n# scope=lifecycle\n").expect("alike");
    let text = said(&all, "# scope=direct\n").expect_err("not alike").to_string();
    assert!(text.contains("`scope` is another one"), "{text}");
    for (head, part) in [
        ("# scope=direct scope=lifecycle\n", "line 1, column 16: `scope` is said twice"),
        ("# made by us\n# kind=mean\n", "line 2, column 3: `kind` is average or marginal, not `mean`"),
        ("# kind=average acounting=production\n", "line 1, column 16: `acounting` is no label"),
        ("# unit=percent\n", "no unit of intensity"),
        ("# unit=EUR/MWh\n", "a price"),
        ("# issued=2026-11-23T06:00\n", "no time with a zone"),
        ("# neap intensity 2\n", "no format that is read here"),
    ] {
        let text = said(&none, head).expect_err(head).to_string();
        assert!(text.contains(part), "{head}: {text}");
    }
    let text = wrong(&format!("# kind=marginal scope=direct unit=g/kWh\n{rows}"));
    assert!(text.contains("marginal values, this site reckons with average ones"), "{text}");
}

#[test]
fn a_file_without_a_zone_speaks_of_the_only_one_there_is() {
    let text = format!("{LABELS}start,end,value\n2026-11-23T17:00Z,2026-11-23T18:00Z,400\n");
    assert!(matches!(read(&text), Err(FileError::NoZone)));
    let content = parse(text.as_bytes(), &place(Some("DE")), now(), now()).expect("DE is meant");
    assert_eq!(content.series[""].spans().len(), 1);
    let named = text.replace("unit=", "zone=FR unit=");
    assert_eq!(good(&named).series["FR"].spans().len(), 1);
    // A column of zones and a label must not contradict each other.
    let long = format!("# zone=FR\n{LABELS}time,zone,value\n2026-11-23T17:00Z,DE,400\n");
    assert!(wrong(&long).contains("line 4, column 19: zone `DE` in a file of zone `FR`"), "{}", wrong(&long));
}

#[test]
fn what_was_written_before_a_step_began_is_a_forecast_of_it() {
    let rows = "time,zone,value\n2026-11-23T15:00Z,DE,1\n2026-11-23T16:00Z,DE,2\n2026-11-23T17:00Z,DE,3\n";
    let grades = |head: &str, written: &str| -> Vec<Grade> {
        let text = format!("{LABELS}{head}{rows}");
        let content = parse(text.as_bytes(), &place(None), time(written), now()).expect("good");
        content.series["DE"].spans().iter().map(|span| span.grade).collect()
    };
    use Grade::{Forecast, Measured};
    assert_eq!(grades("", "2026-11-23T17:05:00Z"), [Measured, Measured, Measured]);
    assert_eq!(grades("", "2026-11-23T15:30:00Z"), [Measured, Forecast, Forecast]);
    assert_eq!(grades("# issued=2026-11-23T16:30Z\n", "2026-11-23T15:30:00Z"), [Measured, Measured, Forecast]);
}
