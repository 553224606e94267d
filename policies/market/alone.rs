//! Every task alone at given prices: what it costs at the least, and the demand that this makes.
//!
//! Tasks of a class share one tree over the prices of all slots. Where demand is wanted, late work is relaxed: as much as one
//! likes may be had at the least price behind the due time, so a cost is never above what the task alone would truly pay.

use super::tree::Tree;
use super::window::{NOTHING, Window, overlap, slots, touched};
use super::{Market, Point, Prices, Task};

/// The class's first point, and the places it may be taken in.
#[derive(Clone, Debug)]
struct Kind {
    point: Point,
    views: Vec<View>,
}

/// Pools between which a task of the class may choose in every slot anew.
#[derive(Clone, Debug, Default)]
struct View {
    pools: Vec<usize>,
    /// By slot: what an hour costs in the cheapest pool, and which that is.
    hour: Vec<f64>,
    pool: Vec<u32>,
    /// By slot: where an hour costs least from there on.
    behind: Vec<u32>,
    tree: Tree,
}

/// All classes of a market at the prices given last.
#[derive(Clone, Debug)]
pub(super) struct Alone<'a> {
    market: &'a Market,
    slots: usize,
    kinds: Vec<Kind>,
    /// What a kWh behind the last slot costs.
    dearest: f64,
}

/// An hour's price, hours of it, and the slot.
type Item = (f64, f64, usize);

impl<'a> Alone<'a> {
    pub(super) fn new(market: &'a Market) -> Self {
        let view = |pools: &[usize]| View { pools: pools.to_vec(), ..View::default() };
        let kind = |class: &super::Class| Kind {
            point: class.points[0],
            views: if class.stays {
                class.pools.iter().map(|pool| view(&[*pool])).collect()
            } else {
                vec![view(&class.pools)]
            },
        };
        Self {
            market,
            slots: slots(market),
            kinds: market.classes.iter().map(kind).collect(),
            dearest: dearest(market),
        }
    }

    /// From now on at those prices.
    pub(super) fn reprice(&mut self, prices: &Prices) {
        let (market, slots) = (self.market, self.slots);
        for kind in &mut self.kinds {
            let point = kind.point;
            for view in &mut kind.views {
                view.hour.clear();
                view.pool.clear();
                view.hour.resize(slots, f64::INFINITY);
                view.pool.resize(slots, 0);
                for pool in &view.pools {
                    let grid = &market.pools[*pool].grams_per_kwh;
                    for (slot, (grams, price)) in grid.iter().zip(&prices.0[*pool]).enumerate() {
                        let cost = point.kw * grams + point.gpus * price;
                        if cost < view.hour[slot] {
                            (view.hour[slot], view.pool[slot]) = (cost, *pool as u32);
                        }
                    }
                }
                view.behind.resize(slots, 0);
                let mut least = slots.saturating_sub(1);
                for slot in (0..slots).rev() {
                    if view.hour[slot] <= view.hour[least] {
                        least = slot;
                    }
                    view.behind[slot] = least as u32;
                }
                view.tree.rebuild(&view.hour, market.slot_hours);
            }
        }
    }

    /// What those tasks cost together. With `demand` (GPU-hours by pool × slots + slot), their demand is added to it.
    pub(super) fn cost<'t>(&mut self, tasks: impl Iterator<Item = &'t Task>, mut demand: Option<&mut [f64]>) -> f64 {
        let mut sum = 0.0;
        for task in tasks {
            sum += self.task(task, demand.as_deref_mut());
        }
        if let Some(demand) = demand {
            let slots = self.slots;
            for view in self.kinds.iter_mut().flat_map(|kind| &mut kind.views) {
                let pools = &view.pool;
                view.tree.flush(|slot, amount| demand[pools[slot] as usize * slots + slot] += amount);
            }
        }
        sum
    }

    fn task(&mut self, task: &Task, demand: Option<&mut [f64]>) -> f64 {
        let (h, slots, market, dearest) = (self.market.slot_hours, self.slots, self.market, self.dearest);
        let kind = &mut self.kinds[task.class];
        let point = kind.point;
        let need = task.hours / point.speed;
        let never = point.gpus * market.late + point.kw * dearest;
        if slots == 0 || kind.views.iter().all(|view| view.pools.is_empty()) {
            return need * never + task.waiting * ((slots as f64 * h - task.release).max(0.0) + need);
        }
        let window = Window::of(task, h, slots);
        let in_time = need.min(window.hours(h));
        if let ([view], Some(_)) = (kind.views.as_mut_slice(), &demand)
            && need <= in_time
            && task.waiting <= 0.0
            && view.tree.highest() <= view.hour[view.behind[0] as usize] + point.gpus * market.late
        {
            // The usual case: being late cannot pay, so cost and demand come from one descent.
            return view.tree.cheapest(&window, in_time, Some(point.gpus)).cost;
        }
        let mut best = (f64::INFINITY, 0, false, 0.0, 0);
        for (index, view) in kind.views.iter_mut().enumerate() {
            // Late work goes to the least price behind the due time.
            let late_from = touched(task.due.max(task.release), f64::INFINITY, h, slots).start;
            let behind = view.behind.get(late_from).copied();
            let late = behind.map_or(never, |slot| (view.hour[slot as usize] + point.gpus * market.late).min(never));
            let quick = if task.waiting > 0.0 {
                None
            } else {
                let found = view.tree.cheapest(&window, in_time, None);
                (in_time <= NOTHING || found.marginal <= late).then_some(found.cost)
            };
            let some_late = need > in_time || quick.is_none();
            let cost = match quick {
                _ if some_late && demand.is_none() && task.waiting <= 0.0 => {
                    view.with_late_slots(task, need, point.gpus * market.late, never, h)
                }
                Some(cost) => cost + (need - in_time) * late,
                None => view.thorough(task, need, late, h).0,
            };
            if cost < best.0 {
                best = (cost, index, quick.is_some(), late, behind.unwrap_or(0) as usize);
            }
        }
        let (cost, index, quick, late, behind) = best;
        if let Some(demand) = demand {
            let view = &mut kind.views[index];
            let mut add = |slot: usize, hours: f64| {
                demand[view.pool[slot] as usize * slots + slot] += hours * point.gpus;
            };
            if quick {
                if need > in_time {
                    add(behind, need - in_time);
                }
                view.tree.cheapest(&window, in_time, Some(point.gpus));
            } else {
                let (_, taken, late_hours) = view.thorough(task, need, late, h);
                for (_, hours, slot) in taken {
                    add(slot, hours);
                }
                if late_hours > 0.0 {
                    add(behind, late_hours);
                }
            }
        }
        cost
    }
}

impl View {
    /// Exact cost of a task of which some is late.
    fn with_late_slots(&self, task: &Task, need: f64, extra: f64, never: f64, h: f64) -> f64 {
        let mut items: Vec<Item> = Vec::new();
        let slots = self.hour.len();
        for slot in touched(task.release, task.due, h, slots) {
            items.push((self.hour[slot], overlap(task.release, task.due, slot, h), slot));
        }
        let from = task.due.max(task.release);
        for slot in touched(from, f64::INFINITY, h, slots) {
            items.push((self.hour[slot] + extra, overlap(from, f64::INFINITY, slot, h), slot));
        }
        items.retain(|item| item.0 < never);
        items.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        let (cost, _, missing) = take(&items, None, need);
        cost + missing * never
    }

    /// Cost, hours taken in time and hours taken late, by trying every slot of the window as the last one.
    fn thorough(&self, task: &Task, need: f64, late: f64, h: f64) -> (f64, Vec<Item>, f64) {
        let mut before: Vec<Item> = Vec::new();
        let (mut best, mut taken, mut after) = (f64::INFINITY, Vec::new(), 0.0);
        for slot in touched(task.release, task.due, h, self.hour.len()) {
            let hours = overlap(task.release, task.due, slot, h);
            if hours <= 0.0 {
                continue;
            }
            if task.waiting > 0.0 {
                let waited = task.waiting * (slot as f64 * h - task.release).max(0.0);
                if waited >= best && self.hour[slot] >= 0.0 {
                    break;
                }
                let last = (self.hour[slot] + task.waiting, hours, slot);
                let (cost, items, missing) = take(&before, Some(last), need);
                if missing <= NOTHING && waited + cost < best {
                    (best, taken) = (waited + cost, items);
                }
            }
            let item = (self.hour[slot], hours, slot);
            let at = before.partition_point(|other| (other.0, other.2) <= (item.0, item.2));
            before.insert(at, item);
        }
        // What finds no room is done behind the last slot, which may come before the due time.
        let end = task.due.min(self.hour.len() as f64 * h);
        let waited = task.waiting * (end - task.release).max(0.0);
        let cheap: Vec<Item> = before.into_iter().filter(|item| item.0 <= late).collect();
        let (cost, items, missing) = take(&cheap, None, need);
        let cost = if missing > 0.0 { cost + missing * late } else { cost };
        if task.waiting <= 0.0 || (missing > NOTHING && waited + cost < best) {
            (best, taken, after) = (waited + cost, items, missing);
        }
        (best, taken, after)
    }
}

/// The cheapest `need` hours of sorted items and one more: cost, what is taken, and what is missing.
fn take(sorted: &[Item], more: Option<Item>, need: f64) -> (f64, Vec<Item>, f64) {
    let at = more.map_or(sorted.len(), |item| sorted.partition_point(|other| other.0 <= item.0));
    let (mut cost, mut missing, mut taken) = (0.0, need, Vec::new());
    for item in sorted[..at].iter().chain(&more).chain(&sorted[at..]) {
        if missing <= 0.0 {
            break;
        }
        let hours = missing.min(item.1);
        cost += hours * item.0;
        missing -= hours;
        taken.push((item.0, hours, item.2));
    }
    (cost, taken, missing.max(0.0))
}

/// What a kWh behind the last slot costs: as much as the dearest of the market.
pub(super) fn dearest(market: &Market) -> f64 {
    market.pools.iter().flat_map(|pool| &pool.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b))
}
