//! One job at given costs, exactly: the cheapest marginal steps of all its slots until its work is done.

use super::ground::{Ground, Section};
use super::shelf::{Corner, Menu};
use crate::market::{Share, Task};
use crate::menu::Offer;

/// A section with its menu.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    pub section: Section,
    pub menu: &'a Menu,
}

/// How far a job goes in each of its stretches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Whole steps and the fraction of the next, by stretch.
    pub depth: Vec<(usize, f64)>,
    /// Cost at the menus' prices, work without a place and the wait for the last section included.
    pub cost: f64,
    /// Cost of an hour of work on the last step taken: what more work would cost at least.
    pub rate: f64,
}

/// Answers for one job after the other; keeps its arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct Chooser {
    edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    rate: f64,
    stretch: u32,
    step: u32,
    work: f64,
    cost: f64,
}

impl Chooser {
    /// The cheapest way to do `work` in these stretches, which are in order of time. What finds no place costs `unplaced`
    /// an hour.
    pub fn answer(&mut self, stretches: &[Stretch], task: &Task, unplaced: f64) -> Answer {
        if task.waiting <= 0.0 {
            return self.within(stretches, task.hours, unplaced);
        }
        // The wait is known once the last section is, up to its own length: try every one.
        let mut best = self.within(&[], task.hours, unplaced);
        for last in 1..=stretches.len() {
            let mut answer = self.within(&stretches[..last], task.hours, unplaced);
            answer.cost += task.waiting * (stretches[last - 1].section.begin - task.release);
            if answer.cost < best.cost {
                best = answer;
            }
        }
        best.depth.resize(stretches.len(), (0, 0.0));
        best
    }

    fn within(&mut self, stretches: &[Stretch], hours: f64, unplaced: f64) -> Answer {
        self.edges.clear();
        for (index, stretch) in stretches.iter().enumerate() {
            let mut before = Offer::default();
            for (step, corner) in stretch.menu.iter().enumerate() {
                let rate = corner.offer.rate_from(before);
                if rate >= unplaced {
                    break;
                }
                let (work, cost) = (corner.offer.work - before.work, corner.offer.cost - before.cost);
                let hours = stretch.section.hours;
                let (stretch, step) = (index as u32, step as u32);
                self.edges.push(Edge { rate, stretch, step, work: work * hours, cost: cost * hours });
                before = corner.offer;
            }
        }
        let by_rate =
            |a: &Edge, b: &Edge| a.rate.total_cmp(&b.rate).then((a.stretch, a.step).cmp(&(b.stretch, b.step)));
        self.edges.sort_unstable_by(by_rate);
        let mut answer = Answer { depth: vec![(0, 0.0); stretches.len()], cost: 0.0, rate: unplaced };
        let mut left = hours;
        for edge in &self.edges {
            let depth = &mut answer.depth[edge.stretch as usize];
            if edge.work <= left {
                depth.0 = edge.step as usize + 1;
                answer.cost += edge.cost;
                left -= edge.work;
            } else {
                depth.1 = left / edge.work;
                answer.cost += edge.cost * depth.1;
                left = 0.0;
            }
            if left <= 0.0 {
                answer.rate = edge.rate;
                break;
            }
        }
        answer.cost += left * unplaced;
        answer
    }
}

/// Calls `use_of` with every part of an answer: pool, point and hours, in order of time.
pub(super) fn parts(stretches: &[Stretch], answer: &Answer, mut use_of: impl FnMut(Share)) {
    for (stretch, &(whole, fraction)) in stretches.iter().zip(&answer.depth) {
        let mut corner = |corner: &Corner, share: f64| {
            for part in corner.parts.iter().flatten() {
                let hours = stretch.section.hours * share * part.part;
                if hours > 0.0 {
                    let (pool, point) = (part.way.pool, part.way.point);
                    use_of(Share { pool, slot: stretch.section.slot, point, hours });
                }
            }
        };
        if whole > 0 {
            corner(&stretch.menu[whole - 1], 1.0 - fraction);
        }
        if fraction > 0.0 {
            corner(&stretch.menu[whole], fraction);
        }
    }
}

/// Shares of the same way in the same section made one, in order of (slot, pool, point).
pub(super) fn shares(ground: &Ground, stretches: &[Stretch], answer: &Answer) -> Vec<Share> {
    let mut found: Vec<Share> = Vec::new();
    let dust = 1e-12 * ground.market.slot_hours;
    parts(stretches, answer, |share| {
        let same = |s: &&mut Share| (s.slot, s.pool, s.point) == (share.slot, share.pool, share.point);
        match found.iter_mut().rev().take_while(|s| s.slot == share.slot).find(same) {
            Some(before) => before.hours += share.hours,
            None if share.hours > dust => found.push(share),
            None => {}
        }
    });
    found
}
