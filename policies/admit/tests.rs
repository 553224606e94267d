use super::{admit, gpus_divide};
use crate::planner::tests::{at, job, node, scene};
use crate::problem::{Job, Policy, Problem};
use neap_model::job::Resources;
use neap_model::refusal::{Code, Fact, Refusal};
use neap_model::units::Bytes;

/// Everything a refusal says, in a line.
fn said(refusal: &Refusal) -> String {
    let hints: Vec<&str> = refusal.hints.iter().map(|hint| hint.text.as_str()).collect();
    let note = refusal.note.as_deref().unwrap_or_default();
    format!("{refusal} | {note} | {}", hints.join(" · "))
}

#[track_caller]
fn check(problem: &Problem, job: &Job, lines: &[&str]) {
    let refusals = admit(&problem.site, &Policy::default(), job).err().unwrap_or_default();
    assert_eq!(refusals.iter().map(said).collect::<Vec<_>>(), lines);
}

fn asks(change: impl FnOnce(&mut Job)) -> Job {
    let mut job = job(1, 90);
    change(&mut job);
    job
}

#[test]
fn what_can_run_some_day_is_let_in() {
    let mut site = scene(&[400; 24], 8, []);
    check(&site, &asks(|_| ()), &[]);
    check(&site, &asks(|j| j.finish_by = Some(at(90))), &[]);
    check(&site, &asks(|j| j.start_by = Some(at(0))), &[]);
    // Down is not gone.
    site.site.nodes[0].up = false;
    check(&site, &asks(|j| j.gpus = 8), &[]);
    // Nothing was seen yet: it waits for an executor.
    site.site.nodes.clear();
    check(&site, &asks(|j| (j.gpus, j.gpu_model) = (512, vec!["H100".to_owned()])), &[]);
}

#[test]
fn unknown_places_are_named_with_the_known_ones() {
    let site = scene(&[400; 24], 8, []);
    check(
        &site,
        &asks(|j| j.zones = vec!["DE".to_owned(), "DK".to_owned()]),
        &["E041: no such zone: DK | zones here: DE | "],
    );
    check(
        &site,
        &asks(|j| j.gpu_model = vec!["B200".to_owned()]),
        &["E041: no such GPU model: B200 | models here: H100 | "],
    );
}

#[test]
fn what_is_too_large_is_told_the_largest() {
    let mut site = scene(&[400; 24], 8, []);
    site.site.nodes.push(node("b", "DE", 2, "A100"));
    check(
        &site,
        &asks(|j| j.gpus = 16),
        &[
            "E042: no node can ever run this | 16 GPUs of one model on one node asked; the largest have 8 (a) | --gpus 8",
        ],
    );
    check(
        &site,
        &asks(|j| (j.gpus, j.gpu_model) = (4, vec!["A100".to_owned()])),
        &["E042: no node can ever run this | 4 A100 GPUs on one node asked; the largest have 2 (b) | --gpus 2"],
    );
    check(
        &site,
        &asks(|j| j.cpus = Some(9)),
        &["E042: no node can ever run this | 9 cores on one node asked; the largest have 8 (a, b) | --cpus 8"],
    );
    check(
        &site,
        &asks(|j| j.memory = Bytes(65 << 30)),
        &[
            "E042: no node can ever run this | 65.0 GiB on one node asked; with the GPUs and cores asked for, the largest have 64.0 GiB | ",
        ],
    );
    site.site.zones.push(crate::planner::tests::zone("SE3", false, neap_model::grid::Series::default()));
    check(
        &site,
        &asks(|j| j.zones = vec!["SE3".to_owned()]),
        &[
            "E042: no node can ever run this | no node stands in a zone it may run in; there are nodes in DE | --zones DE",
        ],
    );
}

#[test]
fn promises_that_cannot_be_kept_are_refused_with_what_can() {
    let site = scene(&[400; 24], 8, []);
    let late = asks(|j| j.finish_by = Some(at(60)));
    check(
        &site,
        &late,
        &[
            "E044: cannot be finished by Tue 24 Nov 2026 01:00 UTC | earliest possible end: Tue 24 Nov 2026 01:30 UTC (takes 1 h 30 m) \
           | --finish-by 2026-11-24T01:30:00Z or later · --expect if it is shorter than that",
        ],
    );
    let refusals = admit(&site.site, &Policy::default(), &late).expect_err("it cannot be finished");
    assert_eq!(refusals[0].facts["earliest_end"], Fact::Text("2026-11-24T01:30:00Z".to_owned()));
    assert_eq!(refusals[0].facts["run_seconds"], Fact::Number(5_400));
    assert_eq!(refusals[0].field.as_deref(), Some("time.finish_by"));
    // Counted from the time it may start at all.
    check(
        &site,
        &asks(|j| (j.eligible, j.start_by) = (at(30), Some(at(20)))),
        &["E045: cannot be started by Tue 24 Nov 2026 00:20 UTC | earliest possible start: Tue 24 Nov 2026 00:30 UTC \
           | --start-by 2026-11-24T00:30:00Z or later"],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let site = scene(&[400; 24], 8, []);
    let wrong = asks(|j| {
        (j.zones, j.gpu_model) = (vec!["DK".to_owned()], vec!["B200".to_owned()]);
        (j.start_by, j.finish_by) = (Some(at(-5)), Some(at(5)));
    });
    let refusals = admit(&site.site, &Policy::default(), &wrong).expect_err("nothing of it can be");
    let codes: Vec<Code> = refusals.iter().map(|refusal| refusal.code).collect();
    assert_eq!(codes, [Code::NoSuchPlace, Code::NoSuchPlace, Code::FinishBy, Code::StartBy]);
}

#[test]
fn gpus_are_spread_evenly_or_not_at_all() {
    let asked =
        |gpus, nodes| gpus_divide(&Resources { gpus, nodes, ..Resources::default() }).map(|refusal| said(&refusal));
    assert_eq!(asked(8, 1), None);
    assert_eq!(asked(0, 1), None);
    assert_eq!(
        asked(9, 2).as_deref(),
        Some("E043: 9 GPUs do not divide by 2 nodes | GPUs are the total, spread evenly: 8 or 10 | --gpus 10")
    );
    assert_eq!(
        asked(8, 2).as_deref(),
        Some("E042: no node can ever run this | 2 nodes asked; a job runs on one node here | --nodes 1")
    );
    assert_eq!(asked(8, 0).map(|text| text.starts_with("E042")), Some(true));
}
