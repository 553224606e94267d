//! A plan in the making: who has what, what is left of every pool, and a task put back into that as well as it can be.

use super::alone::{Stretch, shares};
use super::desk::Desk;
use super::ground::{Ground, Section};
use super::shelf::{Level, Menu};
use crate::market::Share;

/// Room below this share of a GPU is no room.
const CRUMB: f64 = 1e-9;

#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// By task, in the order of time.
    pub shares: Vec<Vec<Share>>,
    /// Cost by task, in grams.
    pub bills: Vec<f64>,
    /// GPU-hours left, by pool and slot.
    pub room: Vec<Vec<f64>>,
}

impl Draft {
    /// Nobody has anything.
    pub fn new(ground: &Ground) -> Self {
        let market = ground.market;
        let bill = |index: usize| if ground.takes(index) { ground.bill(&market.tasks[index], &[]).cost } else { 0.0 };
        let room = |pool: &crate::market::Pool| pool.capacity.iter().map(|gpus| gpus * market.slot_hours).collect();
        Self {
            shares: vec![Vec::new(); market.tasks.len()],
            bills: (0..market.tasks.len()).map(bill).collect(),
            room: market.pools.iter().map(room).collect(),
        }
    }

    pub fn cost(&self) -> f64 {
        self.bills.iter().sum()
    }

    /// Takes away what a task has.
    pub fn lift(&mut self, ground: &Ground, task: usize) -> Vec<Share> {
        let shares = std::mem::take(&mut self.shares[task]);
        let job = &ground.market.tasks[task];
        let points = &ground.market.classes[job.class].points;
        for share in &shares {
            self.room[share.pool][share.slot] += share.hours * points[share.point].gpus;
        }
        self.bills[task] = ground.bill(job, &[]).cost;
        shares
    }

    /// Gives a task, which has nothing, these shares.
    pub fn place(&mut self, ground: &Ground, task: usize, shares: Vec<Share>) {
        let job = &ground.market.tasks[task];
        let points = &ground.market.classes[job.class].points;
        for share in &shares {
            self.room[share.pool][share.slot] -= share.hours * points[share.point].gpus;
        }
        self.bills[task] = ground.bill(job, &shares).cost;
        self.shares[task] = shares;
    }

    /// The cheapest shares for a task in the room that is left, at the prices in stock.
    pub fn best(&self, desk: &mut Desk, task: usize, level: Level) -> Vec<Share> {
        let ground = desk.ground;
        let job = &ground.market.tasks[task];
        let kind = &ground.kinds[job.class];
        let mut best: Option<(f64, Vec<Share>)> = None;
        for choice in 0..kind.choices.len() {
            let menus = self.menus(desk, task, choice, level);
            let stock = &desk.shelves[job.class][choice].menus;
            let mut stretches = Vec::with_capacity(menus.len());
            for (section, short) in desk.sections[task].iter().zip(&menus) {
                stretches.push(Stretch { section: *section, menu: short.as_ref().unwrap_or(&stock[section.slot]) });
            }
            let answer = desk.chooser.answer(&stretches, job, kind.unplaced);
            if best.as_ref().is_none_or(|(cost, _)| answer.cost < *cost) {
                best = Some((answer.cost, shares(ground, &stretches, &answer)));
            }
        }
        best.map(|(_, shares)| shares).unwrap_or_default()
    }

    /// Menus of the task's sections where those in stock do not do: room is short, or the section is late.
    fn menus(&self, desk: &mut Desk, task: usize, choice: usize, level: Level) -> Vec<Option<Menu>> {
        let ground = desk.ground;
        let class = ground.market.tasks[task].class;
        let points = &ground.market.classes[class].points;
        let mut before: Option<Section> = None;
        let mut found = Vec::with_capacity(desk.sections[task].len());
        for section in &desk.sections[task] {
            // Two sections of one slot share its room: the first has all it can use.
            let spent = before.filter(|b| b.slot == section.slot).map_or(0.0, |b| b.hours * ground.kinds[class].widest);
            let free = |pool: usize| {
                let gpus = (self.room[pool][section.slot] - spent) / section.hours;
                if gpus < CRUMB { 0.0 } else { gpus }
            };
            let fits = !section.late
                && desk.shelves[class][choice].menus[section.slot]
                    .iter()
                    .all(|corner| corner.parts.iter().flatten().all(|p| points[p.way.point].gpus <= free(p.way.pool)));
            let short = || desk.cook.short(ground, class, choice, section.slot, level, section.late, free);
            found.push((!fits).then(short));
            before = (!section.late).then_some(*section);
        }
        found
    }

    /// Every task in this order once more, in what the others leave, at these prices. Without prices nothing gets dearer.
    pub fn pass(&mut self, desk: &mut Desk, order: &[usize], level: Level) {
        desk.stock(level);
        for &task in order {
            let before = self.bills[task];
            let old = self.lift(desk.ground, task);
            let new = self.best(desk, task, level);
            self.place(desk.ground, task, new);
            if level.factor <= 0.0 && self.bills[task] > before {
                self.lift(desk.ground, task);
                self.place(desk.ground, task, old);
            }
        }
    }

    /// Whether some of the task's work is late or has no place.
    pub fn is_late(&self, ground: &Ground, task: usize) -> bool {
        ground.takes(task) && ground.bill(&ground.market.tasks[task], &self.shares[task]).late_gpu_hours > 0.0
    }
}
