//! Every job alone at prices of room, with all that does not depend on the prices worked out once.

use super::bound::{Cells, RoomPrices};
use super::terms::{Standing, Terms};
use crate::replay::{Case, TraceJob};

/// An instant as a cell and the hours into it.
type Instant = (usize, f64);

/// A start of a job and what it costs where room is free.
struct Choice {
    cost: f64,
    place: usize,
    from: Instant,
    until: Instant,
}

/// One job's choices, cheapest first, and what it costs at least if it is late by more than its length.
struct Menu {
    width: f64,
    choices: Vec<Choice>,
    otherwise: f64,
}

/// The dual of a case.
pub(super) struct Dual {
    menus: Vec<Menu>,
    /// GPU-hours by place and cell that jobs may share, where they are limited.
    pub(super) room: Vec<Option<Vec<f64>>>,
    /// What the jobs cost that have started.
    fixed: f64,
}

impl Dual {
    /// `shape` says which cells there are.
    pub(super) fn new(case: &Case, terms: &Terms, standing: &Standing<'_>, shape: &RoomPrices) -> Self {
        let open = |shape: &Cells, gpus: f64| vec![gpus.floor() * shape.hours(); shape.values.len()];
        let limits = case.places.iter().zip(&shape.places);
        let mut room: Vec<_> = limits.map(|(place, shape)| place.gpus.map(|gpus| open(shape, gpus))).collect();
        let (mut menus, mut fixed) = (vec![], 0.0);
        for (index, job) in case.jobs.iter().enumerate() {
            let Some(run) = standing.run(index) else {
                menus.push(menu(case, terms, standing.now, shape, job));
                continue;
            };
            fixed += terms.cost(case, job, run.place, run.from);
            let cells = &shape.places[run.place];
            if let Some(room) = &mut room[run.place] {
                for (cell, taken) in hours_by_cell(cells, cells.locate(run.from), cells.locate(run.until)) {
                    room[cell] -= run.gpus * taken;
                }
            }
        }
        Self { menus, room, fixed }
    }

    /// The value of the dual at these prices, and the GPU-hours the jobs then ask for, by place and cell.
    pub(super) fn solve(&self, prices: &RoomPrices) -> (f64, Vec<Vec<f64>>) {
        let sums: Vec<Vec<f64>> = prices.places.iter().map(prefix).collect();
        // As differences, so that a long run costs no more steps than a short one.
        let mut demand: Vec<Vec<f64>> = prices.places.iter().map(|cells| vec![0.0; cells.values.len() + 1]).collect();
        let mut total = self.fixed;
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
        for ((asked, room), cells) in demand.iter_mut().zip(&self.room).zip(&prices.places) {
            let mut running = 0.0;
            for asked in asked.iter_mut() {
                running += *asked;
                *asked = running;
            }
            asked.pop();
            let Some(room) = room else { continue };
            total -= cells.values.iter().zip(room).map(|(price, room)| price * room).sum::<f64>();
        }
        (total, demand)
    }
}

impl Menu {
    /// The least cost at these prices and the choice that has it, none if the job had better be hopelessly late.
    fn cheapest(&self, prices: &RoomPrices, sums: &[Vec<f64>]) -> (f64, Option<&Choice>) {
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
fn prefix(cells: &Cells) -> Vec<f64> {
    let mut sum = 0.0;
    let before = cells.values.iter().map(|price| {
        let before = sum;
        sum += price * cells.hours();
        before
    });
    before.collect()
}

fn hours_by_cell(cells: &Cells, from: Instant, until: Instant) -> impl Iterator<Item = (usize, f64)> {
    let hours = cells.hours();
    (from.0..=until.0).map(move |cell| {
        let begin = if cell == from.0 { from.1 } else { 0.0 };
        let end = if cell == until.0 { until.1 } else { hours };
        (cell, end - begin)
    })
}

/// Between starts at which the start or the end falls on a cell edge, or lateness begins or stops to grow, the cost is
/// linear, so nothing cheaper is missed.
fn menu(case: &Case, terms: &Terms, now: f64, shape: &RoomPrices, job: &TraceJob) -> Menu {
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
