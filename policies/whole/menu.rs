//! What one job can do at prices of room: its starts, and the cheapest of them.

use super::bound::{Cells, RoomPrices};
use super::terms::Terms;
use crate::replay::{Case, TraceJob};

/// An instant as a cell and the hours into it.
pub(super) type Instant = (usize, f64);

/// A start of a job and what it costs where room is free.
pub(super) struct Choice {
    cost: f64,
    pub(super) place: usize,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// One job's choices, cheapest first, and what it costs at least if it is late by more than its length.
pub(super) struct Menu {
    pub(super) width: f64,
    choices: Vec<Choice>,
    otherwise: f64,
}

impl Menu {
    /// The least cost at these prices and the choice that has it, none if the job had better be hopelessly late.
    pub(super) fn cheapest(&self, prices: &RoomPrices, sums: &[Vec<f64>]) -> (f64, Option<&Choice>) {
        let (mut best, mut chosen) = (self.otherwise, None);
        for choice in &self.choices {
            // Prices only add to a cost, and the choices are in order.
            if choice.cost >= best {
                break;
            }
            let (sum, price) = (&sums[choice.place], &prices.places[choice.place].values);
            let up_to = |(cell, into): Instant| sum[cell] + price[cell] * into;
            let cost = choice.cost + self.width * (up_to(choice.until) - up_to(choice.from));
            if cost < best {
                (best, chosen) = (cost, Some(choice));
            }
        }
        (best, chosen)
    }
}

/// Price × hours before each cell.
pub(super) fn prefix(cells: &Cells) -> Vec<f64> {
    let mut sum = 0.0;
    let before = cells.values.iter().map(|price| {
        let before = sum;
        sum += price * cells.hours();
        before
    });
    before.collect()
}

/// All that a job can do from `now` on. Between starts at which the start or the end falls on a cell edge, or lateness begins or stops to grow, the cost is
/// linear, so nothing cheaper is missed.
pub(super) fn menu(case: &Case, terms: &Terms, now: f64, shape: &RoomPrices, job: &TraceJob) -> Menu {
    let earliest = job.arrival.max(now);
    let latest = job.arrival + job.slack;
    let hopeless = (latest + job.length).max(earliest);
    let mut choices = vec![];
    let mut cleanest = f64::INFINITY;
    for (place, zone) in case.places.iter().enumerate() {
        let allowed = place == job.home || case.anywhere;
        if !allowed || zone.gpus.is_some_and(|gpus| job.width > gpus.floor()) {
            continue;
        }
        let cells = &shape.places[place];
        cleanest = zone.curve.values().iter().fold(cleanest, |least, value| least.min(zone.pue * value));
        let mut starts = vec![earliest, latest.max(earliest), hopeless];
        for offset in [0.0, job.length] {
            let mut edge = ((earliest + offset - cells.start) / cells.cell).floor();
            while cells.start + edge * cells.cell - offset <= hopeless {
                starts.push((cells.start + edge * cells.cell - offset).max(earliest));
                edge += 1.0;
            }
        }
        starts.sort_by(f64::total_cmp);
        starts.dedup();
        choices.extend(starts.into_iter().map(|start| Choice {
            cost: terms.cost(case, job, place, start),
            place,
            from: cells.locate(start),
            until: cells.locate(start + job.length),
        }));
    }
    // The sort is stable: of equals the first place and the earliest start stay first.
    choices.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    if choices.is_empty() {
        // It never runs, and costs a plan nothing either.
        return Menu { width: job.width, choices, otherwise: 0.0 };
    }
    let waited = terms.waiting * (hopeless - job.arrival) / 3600.0;
    let gpu_hours = job.width * job.length / 3600.0;
    Menu { width: job.width, choices, otherwise: waited + gpu_hours * (cleanest * case.kw_per_gpu + terms.late) }
}
