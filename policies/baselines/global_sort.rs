//! The greedy that is called an oracle elsewhere: every slot of every job by intensity, allocated in that order.

use super::first_come::by_arrival;
use super::rooms::{Entry, Need, Rooms};
use crate::replay::{Case, Ran};

/// All (intensity, end of the window) entries of all jobs, sorted, allocated under capacity, no repair. It is no bound.
/// Work that finds no room in the window runs behind it as room appears, and is late.
pub fn run(case: &Case) -> Vec<Ran> {
    let mut rooms = Rooms::new(case);
    let mut needs: Vec<Need> = case.jobs.iter().map(Need::of).collect();
    let mut entries: Vec<(Entry, f64, usize)> = Vec::new();
    for index in by_arrival(case) {
        let job = &case.jobs[index];
        let due = job.arrival + job.length + job.slack;
        entries.extend(rooms.window(job).into_iter().map(|entry| (entry, due, index)));
    }
    entries.sort_by(|(a, a_due, _), (b, b_due, _)| {
        a.cost.total_cmp(&b.cost).then(a_due.total_cmp(b_due)).then(a.slot.cmp(&b.slot)).then(a.place.cmp(&b.place))
    });
    for (entry, _, index) in &entries {
        if !needs[*index].is_met() {
            rooms.take(&mut needs[*index], entry);
        }
    }
    for index in by_arrival(case) {
        if case.jobs[index].home < case.places.len() {
            rooms.take_late(&mut needs[index], &case.jobs[index]);
        }
    }
    let ends = |(need, job): (Need, _)| need.into_ran(job);
    let mut ran: Vec<Ran> = needs.into_iter().zip(&case.jobs).map(ends).collect();
    for (job, ran) in case.jobs.iter().zip(&mut ran) {
        if job.home >= case.places.len() {
            ran.clear();
        }
    }
    ran
}
