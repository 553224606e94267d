//! What every job would do at given prices, room no object: its cheapest answer, the demand of all, the dual value.

use super::alone::{Answer, Chooser, Stretch, parts};
use super::ground::{Ground, Kind, Section};
use super::mean::Mean;
use super::shelf::{Cook, Level, Menu, Shelf};
use crate::market::{Prices, Share};

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
        let class = |(class, kind): (usize, &Kind)| {
            (0..kind.choices.len()).map(|choice| cook.shelf(ground, class, choice, level)).collect()
        };
        self.shelves = ground.kinds.iter().enumerate().map(class).collect();
    }

    /// The cheapest answer of a task at the prices in stock, room no object; `each` gets what it uses.
    pub fn ask(&mut self, task: usize, level: Level, each: impl FnMut(Share)) -> f64 {
        let job = &self.ground.market.tasks[task];
        let late: Vec<Vec<Menu>>;
        let mut best: Option<(Answer, Vec<Stretch>)> = None;
        let kind = &self.ground.kinds[job.class];
        let sections = &self.sections[task];
        let in_time = sections.iter().take_while(|section| !section.late).count();
        // Late sections matter only where an hour of late work can be cheaper than the last hour in time.
        let mut tempted = false;
        for shelf in &self.shelves[job.class] {
            let stretch = |section: &Section| Stretch { section: *section, menu: &shelf.menus[section.slot] };
            let stretches: Vec<Stretch> = sections[..in_time].iter().map(stretch).collect();
            let answer = self.chooser.answer(&stretches, job, kind.unplaced);
            let late_from = sections.get(in_time).map_or(f64::INFINITY, |first| shelf.late_from[first.slot]);
            tempted |= answer.rate > late_from || (job.waiting > 0.0 && in_time < sections.len());
            if best.as_ref().is_none_or(|(b, _)| answer.cost < b.cost) {
                best = Some((answer, stretches));
            }
        }
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
    pub fn all(&mut self, prices: &Prices, demand: &mut [Vec<f64>], mean: &mut Mean) -> f64 {
        let level = Level { prices, factor: 1.0 };
        self.stock(level);
        demand.iter_mut().for_each(|pool| pool.fill(0.0));
        let (market, mut value) = (self.ground.market, 0.0);
        for (index, task) in market.tasks.iter().enumerate() {
            if self.ground.takes(index) {
                let points = &market.classes[task.class].points;
                value += self.ask(index, level, |share| {
                    demand[share.pool][share.slot] += share.hours * points[share.point].gpus;
                    mean.take(index, share);
                });
            }
        }
        for (pool, prices) in market.pools.iter().zip(&prices.0) {
            let room = pool.capacity.iter().zip(prices).filter(|(_, price)| **price > 0.0);
            value -= room.map(|(gpus, price)| gpus * price * market.slot_hours).sum::<f64>();
        }
        value
    }
}
