//! The network of a market: task → its slot → pool in that slot → end, in GPU-hours and grams a GPU-hour.

use super::super::network::Network;
use super::super::window::{NOTHING, overlap, slots, touched};
use super::super::{Market, Prices, Share, Shares, Task};
use super::{Kept, late_hours, late_slots, never};

pub(super) struct Graph<'a> {
    network: Network,
    kept: &'a [Kept],
    slots: usize,
    pools: usize,
    /// Node of pool 0 in slot 0 is node 0; this is where everything ends.
    end: usize,
    tasks: Vec<Option<usize>>,
    uses: Vec<Use>,
    /// Largest and least cost of a GPU-hour's energy, and the least of a kWh.
    dearest: f64,
    cheapest: f64,
    late: f64,
}

/// An arc that stands for hours of a task in a pool and slot.
struct Use {
    task: u32,
    slot: u32,
    pool: u32,
    arc: u32,
}

/// Hours in a slot that may be bought, and what is charged on top for a GPU-hour.
struct Stretch {
    slot: usize,
    hours: f64,
    extra: f64,
}

impl<'a> Graph<'a> {
    /// With potentials from those prices; late slots for those tasks only.
    pub(super) fn new(market: &Market, prices: &Prices, kept: &'a [Kept], late: &[bool]) -> Self {
        let (slots, pools) = (slots(market), market.pools.len());
        let mut network = Network::default();
        for slot in 0..slots {
            for pool in 0..pools {
                network.node(0.0, -prices.0[pool][slot]);
            }
        }
        let flows = |task: &&Task| task.hours > 0.0 && market.classes[task.class].points[0].gpus > 0.0;
        let amount = |task: &Task| {
            let point = market.classes[task.class].points[0];
            task.hours / point.speed * point.gpus
        };
        let total: f64 = market.tasks.iter().filter(flows).map(amount).sum();
        let end = network.node(-total, 0.0);
        for slot in 0..slots {
            for pool in 0..pools {
                let capacity = market.pools[pool].capacity[slot] * market.slot_hours;
                // Never full, if there is no limit.
                network.arc(slot * pools + pool, end, capacity.min(2.0 * total), 0.0);
            }
        }
        let all = || market.pools.iter().flat_map(|pool| &pool.grams_per_kwh);
        let heaviest = market.classes.iter().map(|c| c.points[0].kw / c.points[0].gpus).filter(|k| k.is_finite());
        let mut graph = Self {
            network,
            kept,
            slots,
            pools,
            end,
            tasks: vec![None; market.tasks.len()],
            uses: Vec::new(),
            dearest: all().fold(0.0, |a: f64, b| a.max(b.abs())) * heaviest.fold(0.0, f64::max),
            cheapest: all().fold(0.0, |a: f64, b| a.min(*b)),
            late: market.late,
        };
        for (index, task) in market.tasks.iter().enumerate() {
            if flows(&task) {
                graph.task(market, prices, index, amount(task), late[index]);
            }
        }
        graph
    }

    fn task(&mut self, market: &Market, prices: &Prices, index: usize, amount: f64, late: bool) {
        let task = &market.tasks[index];
        let (class, kept) = (&market.classes[task.class], self.kept[index]);
        let point = class.points[0];
        let one = kept.pool.map(|pool| [pool]);
        let pools: &[usize] = one.as_ref().map_or(&class.pools, |one| one);
        let never = never(market, task) + task.waiting / point.gpus;

        let mut stretches: Vec<Stretch> = Vec::new();
        for slot in touched(task.release, task.due, market.slot_hours, self.slots) {
            if kept.last.is_none_or(|last| slot <= last) {
                let extra = if kept.last == Some(slot) { task.waiting / point.gpus } else { 0.0 };
                stretches.push(Stretch {
                    slot,
                    hours: overlap(task.release, task.due, slot, market.slot_hours),
                    extra,
                });
            }
        }
        if late {
            let behind = |slot| Stretch { slot, hours: late_hours(market, task, slot), extra: market.late };
            stretches.extend(late_slots(market, task).map(behind));
        }
        stretches.retain(|stretch| stretch.hours > NOTHING);

        let energy = |pool: usize, slot: usize| point.kw / point.gpus * market.pools[pool].grams_per_kwh[slot];
        let least = |s: &Stretch| {
            let prices = pools.iter().map(|pool| energy(*pool, s.slot) + prices.0[*pool][s.slot] + s.extra);
            prices.fold(f64::INFINITY, f64::min)
        };
        let mut paid: Vec<(f64, f64)> = stretches.iter().map(|s| (least(s), s.hours * point.gpus)).collect();
        paid.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut missing = amount;
        let enough = |(_, hours): &&(f64, f64)| {
            missing -= hours;
            missing <= 0.0
        };
        let wage = paid.iter().find(enough).map_or(never, |(price, _)| *price);

        let node = self.network.node(amount, -wage);
        self.tasks[index] = Some(node);
        self.network.arc(node, self.end, amount, never);
        for stretch in &stretches {
            let room = (stretch.hours * point.gpus).min(amount);
            let via = if pools.len() > 1 {
                let via = self.network.node(0.0, -least(stretch));
                self.network.arc(node, via, room, 0.0);
                via
            } else {
                node
            };
            for pool in pools {
                let cost = energy(*pool, stretch.slot) + stretch.extra;
                let arc = self.network.arc(via, stretch.slot * self.pools + pool, room, cost);
                let (task, slot, pool, arc) = (index as u32, stretch.slot as u32, *pool as u32, arc as u32);
                self.uses.push(Use { task, slot, pool, arc });
            }
        }
    }

    /// Whether the best flow was found.
    pub(super) fn settle(&mut self) -> bool {
        self.network.settle((self.dearest / 2.0).max(self.late / 20.0), self.finest())
    }

    /// Differences of cost below that are none.
    pub(super) fn finest(&self) -> f64 {
        // Far above the rounding of the largest potentials.
        (self.dearest * 1e-9).max(self.late * 1e-12).max(f64::MIN_POSITIVE * 1e20)
    }

    /// The cheapest kWh, at most 0.
    pub(super) const fn cheapest(&self) -> f64 {
        self.cheapest
    }

    pub(super) fn pool_of(&self, task: usize) -> Option<usize> {
        self.kept[task].pool
    }

    /// What a task pays for its dearest GPU-hour.
    pub(super) fn wage(&self, task: usize) -> Option<f64> {
        let late = self.kept[task].last.is_none();
        self.tasks[task].filter(|_| late).map(|node| self.network.potential(self.end) - self.network.potential(node))
    }

    pub(super) fn price(&self, pool: usize, slot: usize) -> f64 {
        (self.network.potential(self.end) - self.network.potential(slot * self.pools + pool)).max(0.0)
    }

    pub(super) fn prices(&self, market: &Market) -> Prices {
        let price = |pool: usize, slot: usize| {
            if market.pools[pool].capacity[slot].is_finite() { self.price(pool, slot) } else { 0.0 }
        };
        Prices((0..self.pools).map(|pool| (0..self.slots).map(|slot| price(pool, slot)).collect()).collect())
    }

    /// The flow as shares, in the order of time.
    pub(super) fn shares(&self, market: &Market, before: &[Shares]) -> Vec<Shares> {
        let mut shares: Vec<Vec<Share>> = vec![Vec::new(); market.tasks.len()];
        for used in &self.uses {
            let task = used.task as usize;
            let point = market.classes[market.tasks[task].class].points[0];
            let hours = self.network.flow(used.arc as usize) / point.gpus;
            if hours > 1e-10 * market.slot_hours {
                let (pool, slot) = (used.pool as usize, used.slot as usize);
                shares[task].push(Share { pool, slot, point: 0, hours });
            }
        }
        let kept = |(task, mut shares): (usize, Vec<Share>)| {
            if self.tasks[task].is_none() {
                shares = before[task].iter().collect();
            }
            shares.sort_by_key(|share| (share.slot, share.pool));
            shares.dedup_by(|next, kept| {
                let same = (next.slot, next.pool) == (kept.slot, kept.pool);
                if same {
                    kept.hours += next.hours;
                }
                same
            });
            shares.into_iter().collect()
        };
        shares.into_iter().enumerate().map(kept).collect()
    }
}
