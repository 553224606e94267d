//! The dual problem: every job alone at prices of room, less what the room is worth.

use super::bound::{Cells, RoomPrices};
use super::menu::{Instant, Menu, menu, prefix};
use super::terms::{Standing, Terms};
use crate::replay::{Case, Segment};

/// The dual of a case, or of a sample of it with room in proportion, with all that no price changes worked out once.
pub(super) struct Dual {
    menus: Vec<Menu>,
    /// GPU-hours by place and cell that the jobs may share, where they are limited.
    pub(super) room: Vec<Option<Vec<f64>>>,
    /// What the jobs cost that have started.
    fixed: f64,
    /// The share of the work that it stands for.
    pub(super) share: f64,
}

impl Dual {
    /// Every `stride`-th job that has not started; `shape` says which cells there are.
    pub(super) fn new(case: &Case, terms: &Terms, standing: &Standing<'_>, shape: &RoomPrices, stride: usize) -> Self {
        let open =
            || case.jobs.iter().enumerate().filter(|(index, _)| standing.run(*index).is_none()).map(|(_, job)| job);
        let work = |jobs: &mut dyn Iterator<Item = &crate::replay::TraceJob>| -> f64 {
            jobs.map(|job| job.width * job.length).sum()
        };
        let share = if stride == 1 { 1.0 } else { work(&mut open().step_by(stride)) / work(&mut open()) };
        let mut room = free_room(case, standing, shape);
        room.iter_mut().flatten().flatten().for_each(|hours| *hours *= share);
        Self {
            menus: open().step_by(stride).map(|job| menu(case, terms, standing.now, shape, job)).collect(),
            room,
            fixed: share * fixed(case, terms, standing),
            share,
        }
    }

    /// The value of the dual at these prices, and the GPU-hours the jobs then ask for, by place and cell.
    pub(super) fn solve(&self, prices: &RoomPrices) -> (f64, Vec<Vec<f64>>) {
        let sums: Vec<Vec<f64>> = prices.places.iter().map(prefix).collect();
        // As differences, so that a long run costs no more steps than a short one.
        let mut demand: Vec<Vec<f64>> = prices.places.iter().map(|cells| vec![0.0; cells.values.len() + 1]).collect();
        let mut total = self.fixed - worth(&self.room, prices);
        for menu in &self.menus {
            let (cost, chosen) = menu.cheapest(prices, &sums);
            total += cost;
            let Some(choice) = chosen else { continue };
            let (asked, hours) = (&mut demand[choice.place], prices.places[choice.place].hours());
            for ((cell, into), width) in [(choice.from, menu.width), (choice.until, -menu.width)] {
                asked[cell] += width * (hours - into);
                asked[cell + 1] += width * into;
            }
        }
        for asked in &mut demand {
            let mut running = 0.0;
            for asked in asked.iter_mut() {
                running += *asked;
                *asked = running;
            }
            asked.pop();
        }
        (total, demand)
    }
}

/// The value of the dual of all jobs at these prices, one job at a time.
pub(super) fn value(case: &Case, terms: &Terms, standing: &Standing<'_>, prices: &RoomPrices) -> f64 {
    let sums: Vec<Vec<f64>> = prices.places.iter().map(prefix).collect();
    let open = case.jobs.iter().enumerate().filter(|(index, _)| standing.run(*index).is_none());
    let alone =
        open.map(|(_, job)| menu(case, terms, standing.now, prices, job).cheapest(prices, &sums).0).sum::<f64>();
    fixed(case, terms, standing) + alone - worth(&free_room(case, standing, prices), prices)
}

fn fixed(case: &Case, terms: &Terms, standing: &Standing<'_>) -> f64 {
    let runs = case.jobs.iter().enumerate().filter_map(|(index, job)| Some((job, standing.run(index)?)));
    runs.map(|(job, run)| terms.cost(case, job, run.place, run.from)).sum()
}

fn worth(room: &[Option<Vec<f64>>], prices: &RoomPrices) -> f64 {
    let place = |(room, cells): (&Option<Vec<f64>>, &Cells)| -> f64 {
        room.as_ref().map_or(0.0, |room| cells.values.iter().zip(room).map(|(price, room)| price * room).sum())
    };
    room.iter().zip(&prices.places).map(place).sum()
}

/// GPU-hours by place and cell that the jobs leave which have started.
fn free_room(case: &Case, standing: &Standing<'_>, shape: &RoomPrices) -> Vec<Option<Vec<f64>>> {
    let runs: Vec<Segment> = (0..case.jobs.len()).filter_map(|job| standing.run(job)).collect();
    let place = |(place, cells): (usize, &Cells)| -> Option<Vec<f64>> {
        let limit = case.places[place].gpus?.floor();
        let here = || runs.iter().filter(|run| run.place == place);
        let mut changes = vec![(cells.start, 0.0), (f64::INFINITY, 0.0)];
        changes.extend(
            here().flat_map(|run| [(run.from.max(cells.start), run.gpus), (run.until.max(cells.start), -run.gpus)]),
        );
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut used, mut free) = (0.0, vec![0.0; cells.values.len()]);
        for pair in changes.windows(2) {
            used += pair[0].1;
            for (cell, hours) in hours_by_cell(cells, cells.locate(pair[0].0), cells.locate(pair[1].0)) {
                // A place may have lost GPUs that are still in use: then nothing is free, but not less.
                free[cell] += f64::max(limit - used, 0.0) * hours;
            }
        }
        Some(free)
    };
    shape.places.iter().enumerate().map(place).collect()
}

fn hours_by_cell(cells: &Cells, from: Instant, until: Instant) -> impl Iterator<Item = (usize, f64)> {
    let hours = cells.hours();
    (from.0..=until.0).map(move |cell| {
        let begin = if cell == from.0 { from.1 } else { 0.0 };
        let end = if cell == until.0 { until.1 } else { hours };
        (cell, end - begin)
    })
}
