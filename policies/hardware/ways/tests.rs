//! Histories that can be reckoned by hand.

use super::{Asked, Ran, ways};
use crate::power::Rung;
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use std::collections::BTreeMap;

fn ran(model: &str, gpus: u32, minutes: u64, watts: u64) -> Ran {
    Ran {
        model: model.to_owned(),
        gpus,
        took: Seconds::minutes(minutes),
        expect: None,
        watts: Some(Watts::whole(watts)),
    }
}

struct Case<'a> {
    widths: &'a [u32],
    models: &'a [&'a str],
    offered: &'a [(&'a str, u32)],
    expect: Option<u64>,
    objective: Objective,
    /// Model, limit, hundredths of the time and of the power at the highest.
    rungs: &'a [(&'a str, u64, u32, u32)],
}

const ANY: Case<'_> = Case {
    widths: &[2, 4, 8],
    models: &[],
    offered: &[("A100", 8), ("H100", 4)],
    expect: None,
    objective: Objective::None,
    rungs: &[],
};

/// `4×H100 60 min 500 W #0`.
fn check(case: &Case<'_>, runs: &[Ran], lines: &[&str]) {
    let models: Vec<String> = case.models.iter().map(|model| (*model).to_owned()).collect();
    let offered: Vec<(String, u32)> = case.offered.iter().map(|(model, most)| ((*model).to_owned(), *most)).collect();
    let mut rungs: BTreeMap<String, Vec<Rung>> = BTreeMap::new();
    for (model, limit, time, power) in case.rungs {
        let (time, power) = (f64::from(*time) / 100.0, f64::from(*power) / 100.0);
        rungs.entry((*model).to_owned()).or_default().push(Rung {
            limit: Watts::whole(*limit),
            time,
            power,
            short: false,
        });
    }
    let asked = Asked {
        rungs: &rungs,
        widths: case.widths,
        models: &models,
        offered: &offered,
        expect: case.expect.map(Seconds::minutes),
        limit: Seconds::hours(10),
        objective: case.objective,
    };
    let said = ways(&asked, runs).into_iter().map(|way| {
        let watts = way.watts.map_or(String::new(), |watts| format!(" {watts}"));
        let limit = way.limit.map_or(String::new(), |limit| format!(" at {limit}"));
        format!("{}×{}{limit} {} min{watts} #{}", way.gpus, way.model, (way.length.0 + 30) / 60, way.rank)
    });
    assert_eq!(said.collect::<Vec<_>>(), lines);
}

#[test]
fn without_a_run_the_slowest_takes_what_was_said_and_each_doubling_gains_what_is_assumed() {
    let one = Case { offered: &[("H100", 8)], expect: Some(324), ..ANY };
    check(&one, &[], &["2×H100 324 min #0", "4×H100 180 min #0", "8×H100 100 min #0"]);
    // Nobody said anything: the hard stop, whatever the width.
    check(&Case { expect: None, ..one }, &[], &["2×H100 600 min #0", "4×H100 333 min #0", "8×H100 185 min #0"]);
    // A node has four at most.
    check(
        &Case { offered: &[("H100", 4)], expect: Some(324), ..ANY },
        &[],
        &["2×H100 324 min #0", "4×H100 180 min #0"],
    );
}

#[test]
fn widths_that_were_measured_say_how_it_scales() {
    let runs = [ran("H100", 2, 100, 500), ran("H100", 2, 100, 500), ran("H100", 4, 80, 400)];
    // 1.25 times as fast with twice as many, and so it is taken to go on. All three as long as on two: 100, 100, 100.
    let lines = ["2×H100 100 min 500 W #0", "4×H100 80 min 400 W #0", "8×H100 64 min 500 W #0"];
    check(&Case { offered: &[("H100", 8)], ..ANY }, &runs, &lines);
    // What the person expects is what the slowest takes.
    let lines = ["2×H100 200 min 500 W #0", "4×H100 160 min 400 W #0", "8×H100 128 min 500 W #0"];
    check(&Case { offered: &[("H100", 8)], expect: Some(200), ..ANY }, &runs, &lines);
}

#[test]
fn large_and_small_jobs_of_one_name_do_not_pass_for_slow_and_fast_gpus() {
    let said = |ran: Ran, minutes| Ran { expect: Some(Seconds::minutes(minutes)), ..ran };
    // Both models are as fast: a small job ran on the one and a large one on the other.
    let runs = [said(ran("H100", 2, 30, 600), 40), said(ran("A100", 2, 300, 250), 400)];
    let fixed = Case { widths: &[2], expect: Some(100), ..ANY };
    check(&fixed, &runs, &["2×A100 100 min 250 W #0", "2×H100 100 min 600 W #0"]);
    // Where nothing was said of one of them only the time is left to go by.
    let runs = [said(ran("H100", 2, 30, 600), 40), ran("A100", 2, 300, 250)];
    check(&fixed, &runs, &["2×A100 100 min 250 W #0", "2×H100 10 min 600 W #0"]);
}

#[test]
fn one_width_is_a_choice_only_between_models_that_were_measured() {
    let fixed = Case { widths: &[2], models: &["A100", "H100"], expect: Some(120), ..ANY };
    check(&fixed, &[], &[]);
    check(&fixed, &[ran("H100", 2, 30, 600)], &[]);
    let both = [ran("H100", 2, 30, 600), ran("A100", 2, 60, 250)];
    // The person's order stands where it only wants to be done; the slowest takes what was expected.
    check(&fixed, &both, &["2×A100 120 min 250 W #0", "2×H100 60 min 600 W #1"]);
    let carbon = Case { objective: Objective::Carbon, ..fixed };
    check(&carbon, &both, &["2×A100 120 min 250 W #0", "2×H100 60 min 600 W #0"]);
    // With one that never ran there is nothing to judge by: it is taken to be as slow as the slowest.
    let three = Case { offered: &[("A100", 8), ("B200", 8), ("H100", 4)], models: &["B200", "A100", "H100"], ..carbon };
    check(&three, &both, &["2×A100 120 min #1", "2×B200 120 min #0", "2×H100 60 min #2"]);
}

#[test]
fn limits_that_are_known_are_ways_of_their_own() {
    let rungs = [("H100", 500, 100, 100), ("H100", 400, 105, 80)];
    let one = Case { widths: &[2], offered: &[("H100", 4)], expect: Some(100), rungs: &rungs, ..ANY };
    let runs = [ran("H100", 2, 90, 500)];
    // What the person expects is at the highest limit; slower ends later.
    check(&one, &runs, &["2×H100 at 500 W 100 min 500 W #0", "2×H100 at 400 W 105 min 400 W #0"]);
    // Nothing was measured: limits say nothing of power.
    check(&one, &[], &[]);
    // A model without limits beside one that has them.
    let two = Case { models: &[], offered: &[("A100", 4), ("H100", 4)], ..one };
    let both = [ran("H100", 2, 50, 500), ran("A100", 2, 100, 250)];
    let lines = ["2×A100 100 min 250 W #0", "2×H100 at 500 W 50 min 500 W #0", "2×H100 at 400 W 53 min 400 W #0"];
    check(&two, &both, &lines);
    check(&two, &runs, &[]);
    // Slower it would meet its hard stop, ten hours.
    check(&Case { expect: None, ..one }, &runs, &["2×H100 600 min 500 W #0"]);
}

#[test]
fn what_cannot_be_is_no_way() {
    check(&Case { widths: &[0], ..ANY }, &[], &[]);
    check(&Case { models: &["B200"], ..ANY }, &[], &[]);
    check(&Case { offered: &[], ..ANY }, &[], &[]);
    check(&Case { widths: &[16, 32], ..ANY }, &[], &[]);
    // Absurd figures stay in range.
    let runs = [ran("H100", 0, 5, 1), Ran { took: Seconds::ZERO, ..ran("H100", 4, 0, 1) }];
    check(&Case { offered: &[("H100", 4)], widths: &[4, 8], ..ANY }, &runs, &["4×H100 600 min #0"]);
}
