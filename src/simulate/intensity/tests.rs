use super::{Grid, Reading, read, show, stamp};
use crate::session::Problems;
use crate::simulate::text::File;

fn lines(text: &str, reading: &Reading) -> Result<Grid, Problems> {
    read(&File::of("grid.csv", text.to_owned()), reading)
}

fn zones(names: &[&str]) -> Reading {
    Reading { zones: names.iter().map(|name| (*name).to_owned()).collect(), ..Reading::default() }
}

fn refused(text: &str, reading: &Reading) -> String {
    let problems = lines(text, reading).expect_err(text);
    problems.iter().map(|p| format!("{} {:?}", p.refusal.message, p.refusal.note)).collect::<Vec<_>>().join(" | ")
}

#[test]
fn a_wide_file_is_read_by_zone_and_its_holes_are_listed() {
    let text = "datetime_utc,DE,FR\n2022-01-01T00:00Z,400,50\n2022-01-01T01:00Z,,60\n2022-01-01T02:00Z,null,70\n\
                2022-01-01T04:00Z,410,80\n";
    let grid = lines(text, &zones(&["DE"])).expect("a grid");
    assert_eq!(grid.zones[0].actual.step, 3600);
    assert_eq!(grid.zones[0].actual.values, [Some(400.0), None, None, None, Some(410.0)]);
    let holes: Vec<_> = grid.holes.iter().map(|h| (h.zone.as_str(), show(h.from), show(h.until))).collect();
    assert_eq!(holes, [("DE", "2022-01-01T01:00Z".to_owned(), "2022-01-01T04:00Z".to_owned())]);
    assert_eq!(grid.rows.len(), 4);
    assert_eq!(lines(text, &zones(&["FR", "DE"])).expect("a grid").zones[0].name, "FR");
}

#[test]
fn a_zone_that_is_not_there_is_told_with_those_that_are() {
    let text = "datetime_utc,DE,FR\n2022-01-01T00:00Z,400,50\n2022-01-01T01:00Z,400,60\n";
    assert!(refused(text, &zones(&["PL"])).contains("DE, FR"));
    assert!(refused(text, &zones(&[])).contains("--zones"));
}

#[test]
fn a_long_file_has_truth_and_forecasts_with_their_issue() {
    let text = "time,zone,value,issued,kind\n\
        2022-01-01T00:00:00Z,DE,400,,actual\n2022-01-01T00:15:00Z,DE,390,,actual\n\
        2022-01-01T00:00:00Z,DE,410,2021-12-31T12:00:00Z,forecast\n2022-01-01T00:15:00Z,DE,420,2021-12-31T12:00:00Z,\n\
        2022-01-01T00:00:00Z,DE,405,2021-12-31T18:00:00Z,forecast\n2022-01-01T00:00:00Z,DE,333,,forecast\n";
    let zone = lines(text, &zones(&[])).expect("a grid").zones.remove(0);
    assert_eq!((zone.actual.step, zone.actual.values), (900, vec![Some(400.0), Some(390.0)]));
    assert_eq!(zone.issues.len(), 2);
    assert_eq!(zone.issues[0].1.values, [Some(410.0), Some(420.0)]);
    assert_eq!(zone.column.expect("a column without an issue").values, [Some(333.0)]);
}

#[test]
fn a_pair_of_columns_is_one_zone_and_naive_stamps_need_a_word() {
    let text = "UTC time,ci,fc\n2019-01-01 00:00:00,164.27,84.46\n2019-01-01 01:00:00,200.72,112.97\n";
    let pair = Reading { actual: Some("ci".to_owned()), forecast: Some("fc".to_owned()), ..zones(&["CISO"]) };
    assert!(refused(text, &pair).contains("--naive utc"));
    let zone = lines(text, &Reading { naive_utc: true, ..pair.clone() }).expect("a grid").zones.remove(0);
    assert_eq!((zone.name.as_str(), zone.column.map(|c| c.values[1])), ("CISO", Some(Some(112.97))));
    let wrong = Reading { actual: Some("ic".to_owned()), naive_utc: true, ..zones(&["CISO"]) };
    assert!(refused(text, &wrong).contains("no column `ic`"));
}

#[test]
fn other_units_ends_of_hours_and_padding_are_refused() {
    let day = |first: u32, value: &dyn Fn(u32) -> String| {
        let mut text = "datetime_utc,DE\n".to_owned();
        for hour in first..first + 24 {
            text += &format!("2022-01-{:02}T{:02}:00Z,{}\n", 1 + hour / 24, hour % 24, value(hour));
        }
        text
    };
    let fine = |_: u32| "400".to_owned();
    assert!(lines(&day(0, &fine), &zones(&[])).is_ok());
    assert!(refused(&day(1, &fine), &zones(&[])).contains("ends of steps"));
    assert!(lines(&day(1, &fine), &Reading { starts: true, ..Reading::default() }).is_ok());
    assert!(refused(&day(0, &|_| "1800".to_owned()), &zones(&[])).contains("lb/MWh"));
    assert!(refused(&day(0, &|_| "0.4".to_owned()), &zones(&[])).contains("kg/kWh"));
    let padded = day(0, &|hour| if hour > 20 { "0".to_owned() } else { "400".to_owned() });
    assert!(refused(&padded, &zones(&[])).contains("3 zeros, from 2022-01-01T21:00Z"));
    assert!(refused("period_end,DE\n2022-01-01T00:00Z,1\n", &zones(&[])).contains("end of a step"));
    assert!(refused("datetime_utc,DE lb/MWh\n2022-01-01T00:00Z,1\n", &zones(&[])).contains("another unit"));
    assert!(refused("datetime_utc,DE\n2022-01-01T00:59Z,400\n2022-01-01T01:59Z,400\n", &zones(&[])).contains("end of"));
}

#[test]
fn lines_that_cannot_be_are_told() {
    let text = "datetime_utc,DE\n2022-01-01T00:00Z,400\n2022-01-01T01:00Z,-3\n2022-01-01T02:00Z\nsoon,1\n2022-01-01T03:00Z,x\n";
    let problems = lines(text, &zones(&[])).expect_err("four bad lines");
    let numbers: Vec<usize> = problems.iter().filter_map(|p| Some(p.place.as_ref()?.line)).collect();
    assert_eq!(numbers, [3, 4, 5, 6]);
    let twice = "datetime_utc,DE\n2022-01-01T00:00Z,400\n2022-01-01T00:00Z,400\n";
    assert!(refused(twice, &zones(&[])).contains("twice"));
    let uneven =
        "datetime_utc,DE\n2022-01-01T00:00Z,400\n2022-01-01T01:00Z,400\n2022-01-01T02:00Z,4\n2022-01-01T02:30Z,4\n";
    assert!(refused(uneven, &zones(&[])).contains("step"));
}

#[test]
fn stamps_of_every_shape_are_one_moment() {
    for text in ["2022-03-01T12:00Z", "2022-03-01T13:00:00+01:00", "2022-03-01 08:30:00-0330", "2022-03-01T12:00:00.0Z"]
    {
        assert_eq!(stamp(text, false).map(show).as_deref(), Ok("2022-03-01T12:00Z"), "{text}");
    }
    assert!(stamp("2022-03-01T12:00", false).is_err());
    assert_eq!(stamp("2022-03-01 12:00", true).map(show).as_deref(), Ok("2022-03-01T12:00Z"));
    assert!(stamp("01/03/2022", true).is_err());
}
