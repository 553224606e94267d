use super::alternatives;
use crate::plan;
use crate::planner::tests::{at, clock, green, hourly, job, node, scene, zone};
use crate::problem::{Job, Policy, Problem};
use neap_model::grid::Grade;
use neap_model::plan::Remark;
use std::sync::Arc;

#[track_caller]
fn ways(problem: &Problem, job: &Job, lines: &[&str]) {
    let made = plan(problem, &Policy::default());
    let rows = alternatives(&made, &problem.site, &Policy::default(), job);
    let said: Vec<String> = rows
        .iter()
        .map(|row| {
            let remark = match &row.remark {
                Remark::FitsNow => "fits now".to_owned(),
                Remark::FirstRoom => "first room".to_owned(),
                Remark::OtherGpus => "other GPUs".to_owned(),
                Remark::Cleanest => "cleanest".to_owned(),
                Remark::Cheapest => "cheapest".to_owned(),
                Remark::LatestStart { .. } => "latest start".to_owned(),
                Remark::Needs { flag } => format!("needs {flag}"),
            };
            let mark = if row.chosen { " <" } else { "" };
            format!("{} {} {}: {remark}{mark}", clock(row.outlook.start), row.place.node, row.outlook.emits)
        })
        .collect();
    assert_eq!(said, lines);
}

#[test]
fn the_other_ways_are_listed_and_the_chosen_one_is_marked() {
    let mut two = scene(&[500, 400, 300, 350, 450, 500, 500], 1, []);
    two.site.zones.push(zone("SE3", false, hourly(&[60, 20, 60, 60, 60, 60, 60], Grade::Forecast)));
    two.site.nodes.push(node("n", "SE3", 1, "H100"));
    let mut mine = green(1, 60, 5);
    mine.finish_by = Some(at(300));
    let rows = [
        "0:00 a 500 g: fits now",
        "1:00 n 20.0 g: needs --zones DE,SE3",
        "2:00 a 300 g: cleanest <",
        "4:00 a 450 g: latest start",
    ];
    ways(&two, &mine, &rows);
    two.waiting = vec![Arc::new(mine.clone())];
    ways(&two, &mine, &rows);
    ways(
        &scene(&[500, 400, 300, 350], 1, []),
        &job(1, 60),
        &["0:00 a 500 g: fits now <", "2:00 a 300 g: needs --delay carbon"],
    );
    ways(&scene(&[500, 400, 300, 350], 0, []), &job(1, 60), &[]);
}
