//! Prices of room by averaged subgradient steps: they rise where more is wanted than there is, and prove a bound.

use super::alone::{Answer, Chooser, Stretch, parts};
use super::ground::{Ground, Section};
use super::shelf::{Cook, Level, Menu, Shelf};
use crate::market::Prices;

/// The best answer of every task at given prices, one at a time.
#[derive(Debug)]
pub(super) struct Desk<'g, 'm> {
    pub ground: &'g Ground<'m>,
    /// By class and choice.
    pub shelves: Vec<Vec<Shelf>>,
    /// By task.
    pub sections: Vec<Vec<Section>>,
    pub cook: Cook,
    pub chooser: Chooser,
}

impl<'g, 'm> Desk<'g, 'm> {
    pub fn new(ground: &'g Ground<'m>) -> Self {
        let sections = ground.market.tasks.iter().map(|task| ground.sections(task)).collect();
        Self { ground, shelves: Vec::new(), sections, cook: Cook::default(), chooser: Chooser::default() }
    }

    /// Builds the menus of all classes at these prices.
    pub fn stock(&mut self, level: Level) {
        let (ground, cook) = (self.ground, &mut self.cook);
        let class = |(class, kind): (usize, &super::ground::Kind)| {
            (0..kind.choices.len()).map(|choice| cook.shelf(ground, class, choice, level)).collect()
        };
        self.shelves = ground.kinds.iter().enumerate().map(class).collect();
    }

    /// The cheapest answer of a task at the prices in stock, room no object; `each` gets what it uses.
    pub fn ask(&mut self, task: usize, level: Level, each: impl FnMut(crate::market::Share)) -> f64 {
        let job = &self.ground.market.tasks[task];
        let late: Vec<Vec<Menu>>;
        let mut best: Option<(Answer, Vec<Stretch>)> = None;
        let kind = &self.ground.kinds[job.class];
        let sections = &self.sections[task];
        let in_time = sections.iter().take_while(|section| !section.late).count();
        for shelf in &self.shelves[job.class] {
            let stretch = |section: &Section| Stretch { section: *section, menu: &shelf.menus[section.slot] };
            let stretches: Vec<Stretch> = sections[..in_time].iter().map(stretch).collect();
            let answer = self.chooser.answer(&stretches, job, kind.unplaced);
            if best.as_ref().is_none_or(|(b, _)| answer.cost < b.cost) {
                best = Some((answer, stretches));
            }
        }
        let tempted = sections.get(in_time).is_some_and(|first| {
            let least = self.shelves[job.class].iter().map(|s| s.late_from[first.slot]).fold(f64::INFINITY, f64::min);
            best.as_ref().is_none_or(|(answer, _)| job.waiting > 0.0 || answer.rate > least)
        });
        if tempted {
            let (ground, cook) = (self.ground, &mut self.cook);
            late = (0..kind.choices.len())
                .map(|choice| {
                    let menu = |s: &Section| cook.menu(ground, job.class, choice, s.slot, level, true);
                    sections[in_time..].iter().map(menu).collect()
                })
                .collect();
            for (shelf, late) in self.shelves[job.class].iter().zip(&late) {
                let stretch = |(index, section): (usize, &Section)| Stretch {
                    section: *section,
                    menu: if section.late { &late[index - in_time] } else { &shelf.menus[section.slot] },
                };
                let stretches: Vec<Stretch> = sections.iter().enumerate().map(stretch).collect();
                let answer = self.chooser.answer(&stretches, job, kind.unplaced);
                if best.as_ref().is_none_or(|(b, _)| answer.cost < b.cost) {
                    best = Some((answer, stretches));
                }
            }
        }
        let Some((answer, stretches)) = best else { return job.hours * kind.unplaced };
        parts(&stretches, &answer, each);
        answer.cost
    }

    /// Demand in GPU-hours by pool and slot, and the dual value, at these prices.
    pub fn all(&mut self, prices: &Prices, demand: &mut [Vec<f64>]) -> f64 {
        let level = Level { prices, factor: 1.0 };
        self.stock(level);
        demand.iter_mut().for_each(|pool| pool.fill(0.0));
        let (market, mut value) = (self.ground.market, 0.0);
        for (index, task) in market.tasks.iter().enumerate() {
            if self.ground.takes(index) {
                let points = &market.classes[task.class].points;
                value += self.ask(index, level, |s| demand[s.pool][s.slot] += s.hours * points[s.point].gpus);
            }
        }
        for (pool, prices) in market.pools.iter().zip(&prices.0) {
            let room = pool.capacity.iter().zip(prices).filter(|(_, price)| **price > 0.0);
            value -= room.map(|(gpus, price)| gpus * price * market.slot_hours).sum::<f64>();
        }
        value
    }
}

/// Prices after some rounds, and the bound they prove. `cost` is that of the best plan known.
pub(super) fn climb(desk: &mut Desk, start: &Prices, rounds: usize, cost: f64) -> (Prices, f64) {
    let market = desk.ground.market;
    let mut demand: Vec<Vec<f64>> = market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect();
    let mut best = start.clone();
    let mut bound = desk.all(&best, &mut demand);
    let mut mean = demand.clone();
    let (mut pace, mut failures) = (0.5, 0);
    for round in 0..rounds {
        let excess = |pool: usize, slot: usize, mean: &[Vec<f64>], best: &Prices| {
            let over = mean[pool][slot] - market.pools[pool].capacity[slot] * market.slot_hours;
            if over < 0.0 && best.0[pool][slot] <= 0.0 { 0.0 } else { over }
        };
        let cells = || best.0.iter().enumerate().flat_map(|(pool, row)| (0..row.len()).map(move |slot| (pool, slot)));
        let norm: f64 = cells().map(|(pool, slot)| excess(pool, slot, &mean, &best).powi(2)).sum();
        if norm <= 0.0 {
            break;
        }
        let step = pace * (cost - bound).max(1e-5 * bound.abs()) / norm;
        let mut next = best.clone();
        for (pool, slot) in cells() {
            next.0[pool][slot] = (best.0[pool][slot] + step * excess(pool, slot, &mean, &best)).max(0.0);
        }
        let value = desk.all(&next, &mut demand);
        let fresh = if round < 10 { 0.3 } else { 0.15 };
        for (mean, now) in mean.iter_mut().flatten().zip(demand.iter().flatten()) {
            *mean += fresh * (now - *mean);
        }
        if value > bound {
            (best, bound) = (next, value);
            pace = f64::min(2.0, 1.1 * pace);
            failures = 0;
        } else {
            failures += 1;
            if failures >= 3 {
                pace *= 0.7;
                failures = 0;
            }
        }
    }
    (best, bound)
}
