//! First come, first served: each job on arrival takes its cheapest slots in what earlier jobs left.

use super::rooms::{Need, Rooms};
use crate::replay::{Case, Ran};

/// Divisible. Work that finds no room in the window runs behind it as room appears, and is late.
pub fn run(case: &Case) -> Vec<Ran> {
    let mut rooms = Rooms::new(case);
    let mut ran = vec![Ran::new(); case.jobs.len()];
    for index in by_arrival(case) {
        let job = &case.jobs[index];
        if job.home >= case.places.len() {
            continue;
        }
        let mut need = Need::of(job);
        let mut entries = rooms.window(job);
        entries.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        for entry in &entries {
            if need.is_met() {
                break;
            }
            rooms.take(&mut need, entry);
        }
        rooms.take_late(&mut need, job);
        ran[index] = need.into_ran(job);
    }
    ran
}

/// Indices of the jobs as they came.
pub fn by_arrival(case: &Case) -> Vec<usize> {
    let mut order: Vec<usize> = (0..case.jobs.len()).collect();
    order.sort_by(|&a, &b| case.jobs[a].arrival.total_cmp(&case.jobs[b].arrival));
    order
}
