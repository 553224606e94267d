use super::{Store, seal, unseal};
use crate::controller::answers::Terms;
use crate::controller::state::{Job, State};
use crate::controller::{Answer, ArchiveQuery, Grouping, ReportQuery, Viewer};
use chrono::{DateTime, Utc};
use neap_model::fleet::{Component, Source};
use neap_model::footprint::Footprint;
use neap_model::job::{AttemptId, Epoch, Flex, JobId, JobSpec, Launch, Person, Resources, Retry, Task, TimeTerms};
use neap_model::ledger::{EnergySpan, Metering, Part};
use neap_model::lifecycle::{AttemptEnd, Event, Exit, JobEvent};
use neap_model::plan::{Decision, Place, Verdict};
use neap_model::protocol::{JobFilter, UsageReport, UsageRow};
use neap_model::reason::WhyNow;
use neap_model::units::{GramsCo2e, Joules};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_392_000 + second, 0).expect("in range")
}

/// Jobs that ran for a minute, made by the events themselves.
fn decision(job: JobId) -> Decision {
    let place = Place { zone: "DE".into(), node: "n".into() };
    Decision {
        width: None,
        job,
        verdict: Verdict::Start { place, because: WhyNow::NotAsked },
        blockers: Vec::new(),
        latest_start: None,
        expected: None,
        run_now: None,
        runs: Vec::new(),
    }
}

fn jobs(count: u64) -> Vec<Arc<Job>> {
    let mut state = State::default();
    for id in 1..=count {
        let spec = JobSpec {
            functional_unit: None,
            name: format!("n{}", id % 3),
            project: "p".into(),
            queue: Some("q".into()),
            task: Task { command: vec!["x".into()], workdir: "/".into(), ..Task::default() },
            resources: Resources::default(),
            launch: Launch::Job,
            time: TimeTerms::default(),
            flex: Flex::default(),
            after: Vec::new(),
            retry: Retry::default(),
            hold: false,
        };
        let owner = Person { uid: 1_000 + (id % 2) as u32, name: "x".into() };
        let epoch = Epoch(1);
        let end = AttemptEnd::Exited { exit: Exit::Code(u8::from(id % 5 == 0)) };
        let part = Part { component: Component::Cpu, source: Source::CpuTime, energy: Joules(1_000) };
        let span = EnergySpan {
            seq: 0,
            from: at(0),
            until: at(60),
            parts: vec![part],
            gap_ms: 0,
            metering: Metering::default(),
            cap: neap_model::cap::CapUse::default(),
            power: neap_model::ledger::Power::default(),
        };
        let print = Footprint { energy: Joules(1_000), emits: GramsCo2e(id), ..Footprint::default() };
        let happened = [
            JobEvent::Submitted { owner, spec: Box::new(spec), key: id.to_string(), digest: "d".into() },
            JobEvent::Leased {
                epoch,
                node: "n".into(),
                zone: "DE".into(),
                cpus: 1,
                gpus: vec![],
                decision: Box::new(decision(JobId(id))),
                slowed: None,
            },
            JobEvent::Started { epoch, log: "/l".into() },
        ];
        for happened in happened {
            state.apply(at(0), &Event::Job { job: JobId(id), happened }).expect("legal");
        }
        let attempt = AttemptId { job: JobId(id), epoch };
        state
            .apply(at(60), &Event::Metered { attempt, span, actual: print, run_now: print, beside: None })
            .expect("legal");
        let happened = JobEvent::AttemptEnded { epoch, end, at: at(60) };
        state.apply(at(60), &Event::Job { job: JobId(id), happened }).expect("legal");
    }
    state.jobs.values().cloned().collect()
}

fn ask(store: &Store, query: ArchiveQuery) -> Result<Answer, String> {
    let (send, receive) = channel();
    store.ask(query, move |answer| send.send(answer).expect("somebody waits"));
    let answer = receive.recv_timeout(Duration::from_secs(20)).expect("the store answers");
    answer.map_err(|refusals| refusals[0].message.clone())
}

fn everybody() -> Viewer {
    Viewer { person: Person { uid: 0, name: "root".into() }, all: true }
}

fn listed(store: &Store) -> Result<u64, String> {
    match ask(store, ArchiveQuery::List(JobFilter::default(), everybody()))? {
        Answer::Page(page) => Ok(page.total),
        other => panic!("{other:?}"),
    }
}

fn filled(dir: &Path) -> [u8; 32] {
    let store = Store::open(dir, true, Terms::default());
    assert_eq!(store.opened, None);
    store.push(jobs(50), (7, [7; 32]));
    assert_eq!(listed(&store), Ok(50));
    [7; 32]
}

#[test]
fn what_was_handed_over_is_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = filled(dir.path());
    let store = Store::open(dir.path(), true, Terms::default());
    assert_eq!(store.opened, Some((7, chain)));
    assert_eq!(listed(&store), Ok(50));
    let query = ReportQuery { by: Grouping::Name, ..ReportQuery::default() };
    let frame = UsageReport {
        since: None,
        until: None,
        rows: vec![],
        total: UsageRow::default(),
        basis: neap_model::grid::Basis::default(),
        credits: vec![],
        zones: vec![],
        now: at(0),
    };
    let Ok(Answer::Report(report)) = ask(&store, ArchiveQuery::Report(query, everybody(), Box::new(frame))) else {
        panic!("a report")
    };
    let groups: Vec<(&str, u64)> = report.rows.iter().map(|row| (row.group.as_str(), row.jobs)).collect();
    assert_eq!(groups.last(), Some(&("failed", 10)));
    assert_eq!(report.total.jobs, 50);
    assert_eq!(report.total.actual.emits.0, (1..=50).sum::<u64>());
    assert_eq!(report.rows.iter().map(|row| row.actual.emits.0).sum::<u64>(), (1..=50).sum::<u64>());
}

#[test]
fn nobody_finds_what_is_not_theirs() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    let store = Store::open(dir.path(), true, Terms::default());
    let viewer = Viewer { person: Person { uid: 1_000, name: "x".into() }, all: false };
    assert!(ask(&store, ArchiveQuery::Show(JobId(2), viewer.clone())).is_ok());
    let (other, absent) = (JobId(1), JobId(999));
    let message = |id| ask(&store, ArchiveQuery::Show(id, viewer.clone())).expect_err("not theirs");
    assert_eq!(message(other).replace('1', "#"), message(absent).replace("999", "#"));
}

#[test]
fn a7_a_store_that_belongs_elsewhere_or_is_damaged_is_built_again() {
    let strange = |dir: &Path| {
        let store = Store::open(dir, false, Terms::default());
        assert_eq!(store.opened, None);
        assert_eq!(listed(&store), Ok(0));
    };
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    strange(dir.path());
    // The marker says that the last open died.
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    std::fs::write(dir.path().join("store.opening"), b"").expect("written");
    assert_eq!(Store::open(dir.path(), true, Terms::default()).opened, None);
    assert!(!dir.path().join("store.opening").exists());
}

#[test]
fn a4_flipped_bits_in_the_store_are_never_served() {
    let flips: u64 = std::env::var("NEAP_STORE_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    let file = dir.path().join("store").join("db");
    let good = std::fs::read(&file).expect("sled keeps its data there");
    let expected = {
        let store = Store::open(dir.path(), true, Terms::default());
        ask(&store, ArchiveQuery::List(JobFilter::default(), everybody())).expect("listed")
    };
    for n in 0..flips {
        let mut bad = good.clone();
        let bit = (n * 2_654_435_761) as usize % (bad.len() * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &bad).expect("written");
        let store = Store::open(dir.path(), true, Terms::default());
        match store.opened {
            None => assert_eq!(listed(&store), Ok(0)),
            Some(_) => {
                let found = ask(&store, ArchiveQuery::List(JobFilter::default(), everybody()));
                assert!(found.is_err() || found.as_ref() == Ok(&expected), "bit {bit}: {found:?}");
            }
        }
        drop(store);
        drop(std::fs::remove_dir_all(dir.path().join("store")));
        drop(std::fs::remove_file(dir.path().join("store.opening")));
        filled(dir.path());
    }
}

#[test]
fn a_seal_knows_every_flip() {
    let value = seal(42, b"content");
    assert_eq!(unseal(&value), Some((42, b"content".as_slice())));
    for bit in 0..value.len() * 8 {
        let mut bad = value.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unseal(&bad), None, "bit {bit}");
    }
    assert_eq!(unseal(b""), None);
}
