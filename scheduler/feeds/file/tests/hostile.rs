//! Files that lie, break off, vanish or are no files: nothing of them becomes data, and what was known stays.

use super::super::super::tests::{now, site, time};
use super::super::super::{Grid, troubles};
use super::super::{FileError, LARGEST, Place, parse};
use super::{LABELS, place, read, wrong};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Grade;
use neap_model::units::Intensity;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const HEAD: &str = "# kind=average scope=lifecycle unit=g/kWh zone=germany\nstart,end,value,grade\n";

#[test]
fn hostile_lines_are_refused_with_their_place_and_all_of_the_file_with_them() {
    for (line, part) in [
        ("2026-11-23T16:00:00,2026-11-23T17:00Z,4,", "line 4, column 1: `2026-11-23T16:00:00` names no zone"),
        ("2026-11-23T16:00Z,2026-11-23T17:00,4,", "line 4, column 19: `2026-11-23T17:00` names no zone"),
        ("yesterday,2026-11-23T17:00Z,4,", "no time"),
        ("2626-11-23T16:00Z,2626-11-23T17:00Z,4,", "1990 to 2200"),
        ("2026-11-23T16:00Z,2026-11-23T16:00Z,4,", "line 4, column 19: it ends before it begins"),
        ("2026-11-23T16:00Z,2027-11-23T16:00Z,4,", "one value for 8760 h"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,-1,", "line 4, column 37: `-1` is no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,NaN,", "no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,inf,", "no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,1e400,", "no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,3000.1,", "no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,about 400,", "no intensity"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,214,2,", "5 fields where 4 belong (a decimal comma"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,214,2", "line 4, column 41: `2` is no grade"),
        ("2026-11-23T16:00Z;2026-11-23T17:00Z;214,2;", "line 4, column 18: a semicolon"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,4", "3 fields where 4 belong"),
        ("2026-11-23T16:00Z,2026-11-23T17:00Z,4,guess", "`guess` is no grade"),
    ] {
        let text = format!("{HEAD}2026-11-23T15:00Z,2026-11-23T16:00Z,390,\n{line}\n");
        let told = wrong(&text);
        assert!(told.starts_with("line 4, column ") && told.contains(part), "{line}: {told}");
    }
    for header in
        ["", "a,b", "start,value", "time,value", "datetime_utc", "start,end,value,value", "time,zone,end,value"]
    {
        assert!(matches!(read(&format!("{LABELS}{header}\n")), Err(FileError::Header(_))), "{header}");
    }
    assert!(wrong(&format!("{LABELS}start;end;value\n")).contains("line 2, column 6: a semicolon"));
    assert!(matches!(parse(&[0xff, 0xfe], &place(None), now(), now()), Err(FileError::NotText)));
    let many = HEAD.to_owned() + &"x,y,1,\n".repeat(1_000);
    assert_eq!(wrong(&many).matches("line ").count(), 5, "not a thousand lines of complaint");
    let many: String =
        (0..20_001).map(|n| format!("{},DE,1\n", (now() + TimeDelta::minutes(n)).to_rfc3339())).collect();
    assert!(wrong(&format!("{LABELS}time,zone,value\n{many}")).contains("more than 20000 values of one zone"));
}

#[test]
fn hostile_json_is_refused_with_its_place() {
    let json = |spans: &str| {
        format!(
            "{{\"kind\":\"average\",\"scope\":\"lifecycle\",\"unit\":\"g/kWh\",\"zone\":\"DE\",\n\"spans\":[\n{spans}]}}"
        )
    };
    let span =
        |value: &str| format!("{{\"start\":\"2026-11-23T16:00Z\",\"end\":\"2026-11-23T17:00Z\",\"value\":{value}}}");
    assert_eq!(read(&json(&span("0"))).expect("zero is a value").series["DE"].spans()[0].value, Intensity(0));
    for (spans, part) in [
        (span("NaN"), "expected"),
        (span("\"NaN\""), "line 3, column 64: `NaN` is no intensity"),
        (span("1e400"), "`1e400` is no intensity"),
        (span("-0.5"), "`-0.5` is no intensity"),
        (span("true"), "`true` is no intensity"),
        (span("[1]"), "is no intensity"),
        (span("\"214,2\""), "`214,2` is no intensity"),
        (format!("{},\n{}", span("1"), span("4000")), "line 4, column 64: `4000` is no intensity"),
        (span("1").replace(":00Z\",\"end", ":00\",\"end"), "line 3, column 10: `2026-11-23T16:00` names no zone"),
        (span("1,\"grade\":\"good\""), "`good` is no grade"),
        (span("1,\"value\":2"), "duplicate field"),
        ("{}".to_owned(), "missing field `start`"),
        ("[".repeat(10_000), "line 3, column"),
    ] {
        let told = wrong(&json(&spans));
        assert!(told.contains(part), "{}: {told}", spans.chars().take(100).collect::<String>());
    }
    // Cut anywhere, it is nothing.
    let whole = json(&span("214.2"));
    (1..whole.len()).for_each(|end| assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]));
    assert!(
        wrong(&whole.replace("{\"kind", "{\"format\":\"neap price 1\",\"kind")).contains("no format that is read here")
    );
    assert!(wrong(&whole.replace("\"unit\":\"g/kWh\"", "\"unit\":\"percentile\"")).contains("no unit of intensity"));
}

#[test]
fn of_duplicates_the_later_line_wins_unless_there_are_many_and_order_does_not_matter() {
    let row =
        |hour: usize, value: usize| format!("{},DE,{value}\n", (now() + TimeDelta::hours(hour as i64)).to_rfc3339());
    let mut rows: Vec<String> = (0..40).rev().map(|hour| row(hour, hour)).collect();
    rows.push(row(3, 300));
    let text = |rows: &[String]| format!("{LABELS}time,zone,value\n{}", rows.concat());
    let content = read(&text(&rows)).expect("one of forty");
    let values: Vec<u64> = content.series["DE"].spans().iter().map(|s| s.value.0 / 1_000).collect();
    assert_eq!((values.len(), &values[..5]), (40, [0, 1, 2, 300, 4].as_slice()));
    rows.extend([row(4, 0), row(5, 0), row(6, 0)]);
    assert!(wrong(&text(&rows)).contains("contradict"));
    // Steps that overlap are cut where the next one begins.
    let text = format!("{HEAD}2026-11-23T10:00Z,2026-11-23T20:00Z,1,\n2026-11-23T12:00Z,2026-11-23T13:00Z,2,\n");
    let spans = read(&text).expect("good").series["germany"].spans().to_vec();
    assert_eq!(spans.iter().map(|s| (s.until - s.from).num_hours()).collect::<Vec<_>>(), [2, 1]);
}

/// A site with that file, read at that time; its troubles and the value now.
fn looked(grid: &mut Grid, at: DateTime<Utc>) -> (Vec<String>, u64, Grade) {
    let told = troubles(&grid.refresh(at));
    let span = *grid.curves(at)[0].1.series.at(at).expect("a curve has no hole");
    (told, span.value.0 / 1_000, span.grade)
}

fn write(path: &Path, rows: &str) {
    std::fs::write(path, format!("{HEAD}{rows}")).expect("written");
}

fn feed() -> (tempfile::TempDir, PathBuf, Grid) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("feed.csv");
    let mut config = site(&["DE"], Some(&path));
    config.state_dir = dir.path().join("state");
    (dir, path, Grid::new(&config).0)
}

const GOOD: &str = "2026-11-23T15:00Z,2026-11-23T16:00Z,123,measured\n2026-11-23T16:00Z,2026-11-23T18:00Z,124,measured\n\
                    2026-11-23T18:00Z,2026-11-25T18:00Z,125,forecast\n";

#[test]
fn a_broken_new_version_leaves_the_last_good_one_and_says_so() {
    let (_dir, path, mut grid) = feed();
    write(&path, GOOD);
    assert_eq!(looked(&mut grid, now()), (vec![], 124, Grade::Measured));
    write(&path, "nonsense,2026-11-23T18:00Z,0,\n");
    let (told, value, _) = looked(&mut grid, now());
    assert!(told.len() == 1 && told[0].starts_with("file feed.csv: line 3, column 1: `nonsense`"), "{told:?}");
    assert_eq!(value, 124, "what was known stays known");
    // Labels that go missing are no less of a mistake.
    std::fs::write(&path, "time,zone,value\n2026-11-23T17:00Z,germany,0\n").expect("written");
    let (told, value, _) = looked(&mut grid, now());
    assert!(told.is_empty() && value == 0, "the site of this test labels it: {told:?}");
}

#[test]
fn a_file_that_is_half_written_is_not_read_before_it_was_left_alone() {
    let (_dir, path, mut grid) = feed();
    write(&path, GOOD);
    looked(&mut grid, now());
    // Its last value is going to be 900.
    write(&path, "2026-11-23T16:00Z,2026-11-23T18:00Z,333,measured\n2026-11-23T18:00Z,2026-11-23T19:00Z,9");
    let (told, value, _) = looked(&mut grid, now());
    assert!(told.len() == 1 && told[0].contains("half written"), "{told:?}");
    assert_eq!(value, 124);
    write(&path, "2026-11-23T16:00Z,2026-11-23T18:00Z,333,measured\n2026-11-23T18:00Z,2026-11-23T19:00Z,900,");
    assert_eq!(looked(&mut grid, now() + TimeDelta::seconds(9)).1, 124);
    // Ten seconds without a touch: some programs leave out the last line's end.
    assert_eq!(looked(&mut grid, now() + TimeDelta::seconds(19)), (vec![], 333, Grade::Measured));
}

#[test]
fn a_file_that_is_gone_or_no_file_speaks_for_twelve_hours_more() {
    let (_dir, path, mut grid) = feed();
    write(&path, GOOD);
    looked(&mut grid, now());
    std::fs::remove_file(&path).expect("removed");
    let hour = |hours: i64| now() + TimeDelta::hours(hours);
    for hours in [1, 12] {
        let (told, value, grade) = looked(&mut grid, hour(hours));
        assert!(told.len() == 1 && told[0].contains("cannot read it"), "{told:?}");
        assert_eq!((value, grade), (125, Grade::Forecast), "{hours} h");
    }
    // Then whatever is better than an old forecast goes before it; here only the table is there, which is not.
    looked(&mut grid, hour(13));
    let origins = grid.curves(hour(13)).remove(0).1.origins;
    assert!(origins[0].note.as_deref().is_some_and(|note| note.contains("older than allowed")), "{origins:?}");
    std::fs::create_dir(&path).expect("a directory in its place");
    let (told, ..) = looked(&mut grid, hour(14));
    assert!(told.len() == 1 && told[0].contains("not a plain file"), "{told:?}");
    std::fs::remove_dir(&path).expect("removed");
    // It comes back, as large as it must not be, then as it should.
    let large = std::fs::File::create(&path).expect("a file");
    large.set_len(1 << 30).expect("a hole of 1 GiB");
    let (told, ..) = looked(&mut grid, hour(15));
    assert!(told.len() == 1 && told[0].contains(&format!("{LARGEST} are the limit")), "{told:?}");
    write(&path, GOOD);
    assert_eq!(looked(&mut grid, hour(16)), (vec![], 125, Grade::Forecast));
    assert!(grid.curves(hour(16))[0].1.origins[0].note.is_none());
}

#[test]
fn what_states_when_it_was_issued_grows_old_where_it_lies() {
    let (_dir, path, mut grid) = feed();
    std::fs::write(&path, format!("# issued=2026-11-23T12:00Z\n{HEAD}{GOOD}")).expect("written");
    assert_eq!(looked(&mut grid, now()), (vec![], 124, Grade::Measured));
    assert_eq!(grid.curves(now())[0].1.origins[0].issued, Some(time("2026-11-23T12:00:00Z")));
    let (told, ..) = looked(&mut grid, now() + TimeDelta::hours(8));
    assert!(told.len() == 1 && told[0].contains("issued 13 h ago"), "{told:?}");
}

#[test]
fn a_change_that_size_and_time_do_not_show_is_seen_at_the_next_poll() {
    let (_dir, path, mut grid) = feed();
    write(&path, GOOD);
    looked(&mut grid, now());
    let changed = std::fs::metadata(&path).and_then(|known| known.modified()).expect("a time");
    write(&path, &GOOD.replace("124", "224"));
    std::fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(changed)).expect("set back");
    assert_eq!(looked(&mut grid, now() + TimeDelta::seconds(15)).1, 124);
    assert_eq!(looked(&mut grid, now() + TimeDelta::seconds(60)).1, 224);
}

#[test]
fn a_day_of_zeros_is_held_back_until_somebody_says_that_it_is_right() {
    let (dir, path, mut grid) = feed();
    let row = |hour: i64, value: u32| {
        let at = |hour: i64| (time("2026-11-22T00:00:00Z") + TimeDelta::hours(hour)).to_rfc3339();
        format!("{},{},{value},\n", at(hour), at(hour + 1))
    };
    let known: String = (0..41).map(|hour| row(hour, 300)).collect();
    write(&path, &(known.clone() + &row(41, 310)));
    assert_eq!(looked(&mut grid, now()), (vec![], 310, Grade::Measured));
    // A single zero is a value; a day of nothing else is not believed.
    write(&path, &(known.clone() + &row(41, 0)));
    assert_eq!(looked(&mut grid, now()), (vec![], 0, Grade::Measured));
    write(&path, &(known + &(41..66).map(|hour| row(hour, 0)).collect::<String>()));
    let ahead = now() + TimeDelta::hours(2);
    let (told, value, _) = looked(&mut grid, ahead);
    assert!(told.len() == 1 && told[0].contains("held back: a whole day of zeros"), "{told:?}");
    assert!(value > 0);
    let confirm = told[0].split_once("touch ").expect("what to do").1;
    assert!(confirm.starts_with(&dir.path().display().to_string()), "{confirm}");
    std::fs::create_dir_all(Path::new(confirm).parent().expect("a place")).expect("made");
    std::fs::write(confirm, "").expect("touched");
    assert_eq!(looked(&mut grid, ahead).1, 0);
}

#[test]
fn another_zone_than_wanted_is_named_with_it() {
    let (_dir, path, mut grid) = feed();
    std::fs::write(&path, format!("{HEAD}{GOOD}").replace("germany", "FR")).expect("written");
    let (told, ..) = looked(&mut grid, now());
    assert_eq!(told, ["file feed.csv: nothing about zone DE (`germany` there), only about FR"]);
}

/// Nothing that is accepted may be implausible or out of order.
fn sound(bytes: &[u8], place: &Place) -> Result<(), TestCaseError> {
    if let Ok(content) = parse(bytes, place, now(), now()) {
        for series in content.series.values() {
            prop_assert!(series.spans().iter().all(|s| s.value <= Intensity::grams(3_000) && s.from < s.until));
            prop_assert!(series.spans().windows(2).all(|pair| pair[0].until <= pair[1].from));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall_over_or_say_what_cannot_be(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        sound(&bytes, &place(Some("DE")))?;
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_say_what_cannot_be(
        json in any::<bool>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<proptest::sample::Index>(),
        pieces in proptest::collection::vec("(,|;|\"|-|e|9{1,30}|24:00|:60|\n|NaN|null|measured|T|Z|[+]14:00|value)", 0..3),
    ) {
        let text = if json {
            "{\"kind\":\"average\",\"scope\":\"direct\",\"unit\":\"t/MWh\",\"issued\":\"2026-11-23T06:00Z\",\"spans\":[{\"start\":\
             \"2026-11-23T16:00:00Z\",\"end\":\"2026-11-23T17:00Z\",\"value\":\"0.3\",\"grade\":\"estimated\"}]}".to_owned()
        } else {
            format!("{HEAD}{GOOD}")
        };
        let mut bytes = text.into_bytes();
        for piece in pieces {
            let at = cut.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        sound(&bytes, &place(Some("DE")))?;
        let end = cut.index(bytes.len());
        sound(&bytes[..end], &place(Some("DE")))?;
    }
}
