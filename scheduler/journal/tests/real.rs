use crate::journal::disk::RealDisk;
use crate::journal::place::{Place, PlaceError};
use crate::journal::{Journal, Options, Record, unsalted};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_real_directory_keeps_what_was_written_over_many_segments() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::take(&dir.path().join("state")).expect("ours");
    let options = Options { segment: 64 << 10, spares: 1 };
    let open = |found: &mut Vec<Vec<u8>>| {
        Journal::open(RealDisk(place.path.clone()), options, 3, |frame| {
            assert_eq!(unsalted(frame.private), b"secret");
            found.push(frame.public.to_vec());
            Ok(())
        })
    };
    let mut journal = open(&mut Vec::new()).expect("empty");
    journal.keep_spares();
    let record =
        |n: usize| Record { public: format!("{n}-{}", "x".repeat(n)).into_bytes(), private: b"secret".to_vec() };
    let all: Vec<Record> = (0..800).map(record).collect();
    for batch in all.chunks(7) {
        journal.append_batch(1, batch).expect("written");
    }
    let head = journal.head();
    drop(journal);
    let mut found = Vec::new();
    let journal = open(&mut found).expect("whole");
    assert_eq!(found, all.into_iter().map(|r| r.public).collect::<Vec<_>>());
    assert_eq!(journal.head(), head);
    assert!(std::fs::read_dir(place.path.join("journal")).expect("there").count() > 5);
    for entry in std::fs::read_dir(place.path.join("journal")).expect("there").flatten() {
        assert_eq!(entry.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_directory_that_is_not_safe_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let first = Place::take(&path).expect("ours");
    assert!(matches!(Place::take(&path), Err(PlaceError::Held { holder, .. }) if holder.contains("pid")));
    drop(first);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).expect("set");
    assert!(matches!(Place::take(&path), Err(PlaceError::Lax { mode: 0o770, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    assert!(matches!(Place::take(&link), Err(PlaceError::Symlink(_))));
    Place::take(&path).expect("ours again");
}
