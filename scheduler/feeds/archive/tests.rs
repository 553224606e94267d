use super::*;
use proptest::prelude::*;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).expect("in range")
}

fn span(from: i64, until: i64, grams: u64, grade: Grade) -> Span {
    Span { from: at(from), until: at(until), value: Intensity::grams(grams), grade }
}

fn entry(fetched: i64, spans: &[Span]) -> Entry {
    let values = Values::Intensity(Series::new(spans.iter().copied()));
    Entry { fetched: at(fetched), issued: Some(at(fetched - 3)), basis: Basis::default(), values }
}

fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().expect("a directory");
    let archive = Archive::new(dir.path().join("grid"));
    (dir, archive)
}

fn all(archive: &Archive) -> Vec<Entry> {
    archive.read("uk", "GB", Signal::Intensity, at(-1_000_000), at(1_000_000))
}

#[test]
fn what_was_said_is_read_again_with_its_holes_and_grades() {
    let (_dir, archive) = archive();
    let first = entry(
        0,
        &[span(-60, -30, 0, Grade::Measured), span(30, 60, 150, Grade::Forecast), span(60, 90, 151, Grade::Forecast)],
    );
    let second = entry(30, &[span(-60, -30, 1, Grade::Estimated)]);
    archive.append("uk", "GB", &first).expect("kept");
    archive.append("uk", "GB", &second).expect("kept");
    assert_eq!(all(&archive), [first.clone(), second]);
    // Nothing that came later is shown to somebody who asks about an earlier time.
    assert_eq!(archive.read("uk", "GB", Signal::Intensity, at(-1_000), at(29)), [first]);
    assert_eq!(archive.read("uk", "FR", Signal::Intensity, at(-1_000), at(1_000)), []);
}

#[test]
fn the_last_answers_are_found_however_old_and_however_many_there_are() {
    let (_dir, archive) = archive();
    let spans: Vec<Span> = (0..2_000).map(|n| span(n * 5, n * 5 + 5, 100_000 + n as u64, Grade::Measured)).collect();
    for n in 0..80 {
        archive.append("uk", "GB", &entry(n - 400 * 24 * 60, &spans)).expect("kept");
    }
    let last = archive.last("uk", "GB", Signal::Intensity, at(0));
    assert!((40..79).contains(&last.len()), "a mebibyte of them: {}", last.len());
    assert_eq!(last.last().map(|entry| entry.fetched), Some(at(79 - 400 * 24 * 60)));
    assert!(archive.last("uk", "GB", Signal::Intensity, at(-401 * 24 * 60)).is_empty());
}

#[test]
fn prices_are_kept_beside_with_their_currency_and_sign() {
    let (_dir, archive) = archive();
    let price =
        |from, value| Span { from: at(from), until: at(from + 15), value: Price(value), grade: Grade::Forecast };
    let values = Values::Price(Series::new([price(0, -12_500), price(15, 80_010)]), "EUR".to_owned());
    let kept = Entry { values, ..entry(0, &[]) };
    archive.append("uk", "GB", &kept).expect("kept");
    assert_eq!(archive.read("uk", "GB", Signal::Price, at(-10), at(10)), [kept]);
    assert_eq!(all(&archive), []);
}

#[test]
fn a_torn_line_is_dropped_and_the_next_one_is_whole() {
    let (_dir, archive) = archive();
    let (first, last) =
        (entry(0, &[span(0, 30, 100, Grade::Measured)]), entry(60, &[span(30, 60, 120, Grade::Measured)]));
    archive.append("uk", "GB", &first).expect("kept");
    archive.append("uk", "GB", &entry(30, &[span(0, 30, 110, Grade::Measured)])).expect("kept");
    let path = archive.place("uk", "GB").join(month(at(0), Signal::Intensity));
    let text = std::fs::read(&path).expect("lines");
    std::fs::write(&path, &text[..text.len() - 20]).expect("torn");
    assert_eq!(all(&archive), std::slice::from_ref(&first));
    archive.append("uk", "GB", &last).expect("kept");
    assert_eq!(all(&archive), [first, last]);
}

#[test]
fn a_changed_line_and_foreign_lines_are_left_out() {
    let (_dir, archive) = archive();
    archive.append("uk", "GB", &entry(0, &[span(0, 30, 100, Grade::Measured)])).expect("kept");
    let path = archive.place("uk", "GB").join(month(at(0), Signal::Intensity));
    let text = std::fs::read_to_string(&path).expect("lines");
    std::fs::write(&path, format!("{}{{}}\nnonsense\n\n", text.replace("100000", "1"))).expect("changed");
    assert_eq!(all(&archive), []);
}

#[test]
fn old_months_go_and_names_stay_inside() {
    let (dir, archive) = archive();
    for months in [0, 12, 14] {
        archive.append("uk", "GB", &entry(-months * 30 * 24 * 60, &[span(0, 30, 100, Grade::Measured)])).expect("kept");
    }
    archive.prune("uk", "GB", at(0));
    assert_eq!(months(&archive.place("uk", "GB"), Signal::Intensity).len(), 2);
    for odd in ["..", ".", "", "../../etc", "a/b", "\0"] {
        let place = archive.place(odd, odd);
        assert!(
            place.starts_with(dir.path().join("grid"))
                && place.components().count() == dir.path().components().count() + 3,
            "{place:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_series_comes_back_as_it_was(
        points in proptest::collection::vec((0i64..2_000, 1i64..9, 0u64..3_000, 0usize..5), 1..80),
    ) {
        let grades = [Grade::Measured, Grade::Estimated, Grade::Forecast, Grade::Climatology, Grade::Static];
        let spans = points.iter().map(|(from, length, grams, grade)| span(from * 5, (from + length) * 5, *grams, grades[*grade]));
        let kept = entry(0, &spans.collect::<Vec<_>>());
        let (_dir, archive) = archive();
        archive.append("f", "z", &kept).expect("kept");
        let read = archive.read("f", "z", Signal::Intensity, at(-1), at(1));
        let (Values::Intensity(before), Values::Intensity(after)) = (&kept.values, &read[0].values) else { panic!("no prices") };
        for minute in 0..2_010 {
            let value = |series: &Series| series.at(at(minute * 5)).map(|span| (span.value, span.grade));
            prop_assert_eq!(value(before), value(after));
        }
    }
}
