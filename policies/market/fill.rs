//! Places all tasks one after the other at given prices, and lifts and inserts them again.

use super::charge::late;
use super::room::{Desk, Grain, Menu, Room, insert, whole};
use super::{Market, Prices, Shares, Task};

/// Shares of all tasks in what room there is.
#[derive(Clone, Debug)]
pub(super) struct Filled<'a> {
    market: &'a Market,
    room: Room,
    /// The tightest first.
    order: Vec<u32>,
    pub shares: Vec<Shares>,
    /// Hours of each that are late.
    late: Vec<f64>,
}

impl<'a> Filled<'a> {
    /// Nothing placed yet.
    pub(super) fn nothing(market: &'a Market, grain: Grain) -> Self {
        Self::of(market, grain, vec![Shares::default(); market.tasks.len()])
    }

    /// With those shares.
    pub(super) fn of(market: &'a Market, grain: Grain, shares: Vec<Shares>) -> Self {
        let slack = |task: &Task| (task.due - task.release - task.hours) / task.hours.max(1e-9);
        let mut order: Vec<(f64, u32)> = market.tasks.iter().map(slack).zip(0..).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let order = order.into_iter().map(|(_, index)| index).collect();
        let late = market.tasks.iter().zip(&shares).map(|(task, shares)| late(market, task, shares)).collect();
        Self { market, room: Room::left(market, grain, &shares), order, shares, late }
    }

    /// Every task in turn is lifted and takes its cheapest at prices times `scale` in what is left; never to be later.
    pub(super) fn lift(&mut self, prices: &Prices, scale: f64) {
        let menus = Menu::all(self.market, prices, scale);
        let mut desk = Desk::default();
        for index in &self.order {
            let index = *index as usize;
            let task = &self.market.tasks[index];
            self.room.book(self.market, task, &self.shares[index], -1.0);
            if whole(self.market, &menus[task.class], &mut self.room, task, &mut desk, &mut self.shares[index]) {
                self.late[index] = 0.0;
                continue;
            }
            let before = std::mem::take(&mut self.shares[index]);
            let found = insert(self.market, &menus[task.class], &mut self.room, task, &mut desk);
            if !before.is_empty() && found.late > self.late[index] {
                self.room.book(self.market, task, &found.shares, -1.0);
                self.room.book(self.market, task, &before, 1.0);
                self.shares[index] = before;
            } else {
                self.shares[index] = found.shares;
                self.late[index] = found.late;
            }
        }
    }
}
