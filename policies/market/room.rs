//! What is left of the capacity, and the cheapest shares of one task in it at given prices.

use super::alone::dearest;
use super::shares::Tape;
use super::window::{NOTHING, Window, overlap, slots, touched};
use super::{Market, Point, Prices, Share, Shares, Task};

/// Whether a task may use any fraction of its width and of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    /// Any fraction, capacity on slot average.
    #[default]
    Divisible,
    /// The whole width for whole slots that its window covers; a last slot in part keeps its GPUs to the end.
    Whole,
}

/// GPU-hours left, by slot and pool.
#[derive(Clone, Debug)]
pub struct Room {
    grain: Grain,
    pools: usize,
    free: Vec<f64>,
}

impl Room {
    /// All of the market's capacity.
    #[must_use]
    pub fn all(market: &Market, grain: Grain) -> Self {
        let pools = market.pools.len();
        let of_slot = |slot| market.pools.iter().map(move |pool: &super::Pool| pool.capacity[slot] * market.slot_hours);
        Self { grain, pools, free: (0..slots(market)).flat_map(of_slot).collect() }
    }

    /// What those shares leave, one list a task.
    #[must_use]
    pub fn left(market: &Market, grain: Grain, shares: &[Shares]) -> Self {
        let mut room = Self::all(market, grain);
        for (task, shares) in market.tasks.iter().zip(shares) {
            room.book(market, task, shares, 1.0);
        }
        room
    }

    /// Takes room for shares, or with a sign of −1 gives it back.
    pub(super) fn book(&mut self, market: &Market, task: &Task, shares: &Shares, sign: f64) {
        let points = &market.classes[task.class].points;
        for share in shares {
            let hours = if self.grain == Grain::Whole { market.slot_hours } else { share.hours };
            let free = &mut self.free[share.slot * self.pools + share.pool];
            *free -= sign * hours * points[share.point].gpus;
            if self.grain == Grain::Divisible && free.abs() < NOTHING {
                *free = 0.0;
            }
        }
    }

    /// Hours that a point finds in a pool and slot of which its task has so many.
    fn hours(&self, slot: usize, pool: usize, point: Point, hours: f64, slot_hours: f64) -> f64 {
        let free = self.free[slot * self.pools + pool];
        match self.grain {
            _ if point.gpus <= 0.0 => hours,
            Grain::Divisible => (free / point.gpus).clamp(0.0, hours),
            Grain::Whole if hours >= slot_hours && free >= point.gpus * slot_hours - 1e-9 => slot_hours,
            Grain::Whole => 0.0,
        }
    }
}

/// What an hour of a class costs in each of its pools, by slot, the cheapest first.
#[derive(Clone, Debug)]
pub struct Menu {
    point: Point,
    stays: bool,
    pools: Vec<usize>,
    hour: Vec<f64>,
    pool: Vec<u32>,
    /// Place of each of them when all are sorted by price.
    rank: Vec<u32>,
}

impl Menu {
    /// Of one class at prices times `scale`.
    #[must_use]
    pub fn new(market: &Market, class: usize, prices: &Prices, scale: f64) -> Self {
        let class = &market.classes[class];
        let point = class.points[0];
        let (mut hour, mut pool) = (Vec::new(), Vec::new());
        let mut sorted: Vec<(f64, u32)> = Vec::new();
        for slot in 0..slots(market) {
            let cost =
                |p: &usize| point.kw * market.pools[*p].grams_per_kwh[slot] + scale * point.gpus * prices.0[*p][slot];
            sorted.clear();
            sorted.extend(class.pools.iter().map(|p| (cost(p), *p as u32)));
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            hour.extend(sorted.iter().map(|s| s.0));
            pool.extend(sorted.iter().map(|s| s.1));
        }
        let mut sorted: Vec<u32> = (0..hour.len() as u32).collect();
        sorted.sort_unstable_by(|a, b| hour[*a as usize].total_cmp(&hour[*b as usize]).then(a.cmp(b)));
        let mut rank = vec![0; hour.len()];
        for (place, index) in sorted.iter().enumerate() {
            rank[*index as usize] = place as u32;
        }
        Self { point, stays: class.stays, pools: class.pools.clone(), hour, pool, rank }
    }

    /// Pools of the class in a slot, the cheapest first, with what an hour costs there.
    pub(crate) fn slot(&self, slot: usize) -> impl Iterator<Item = (f64, usize)> + '_ {
        let range = slot * self.pools.len()..(slot + 1) * self.pools.len();
        self.hour[range.clone()].iter().copied().zip(self.pool[range].iter().map(|pool| *pool as usize))
    }

    /// Of all classes.
    #[must_use]
    pub fn all(market: &Market, prices: &Prices, scale: f64) -> Vec<Self> {
        (0..market.classes.len()).map(|class| Self::new(market, class, prices, scale)).collect()
    }
}

/// Hours to be had: the price of one, how many, slot and pool.
#[derive(Clone, Copy, Debug)]
struct Offer {
    price: f64,
    hours: f64,
    slot: u32,
    pool: u32,
}

/// Memory that is used again from task to task.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    offers: Vec<Offer>,
    taken: Vec<Offer>,
    ranks: Vec<u32>,
    open: Vec<u32>,
    tape: Tape,
}

/// Where one task was put.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// In the order of time.
    pub shares: Shares,
    /// Hours behind its due time, or without room before the last slot ends.
    pub late: f64,
}

/// Inserts one task at those prices into what is left: its cheapest shares in time, then the earliest room behind its due
/// time, in the order of time. What finds no room before the last slot ends has no share.
pub fn insert(market: &Market, menu: &Menu, room: &mut Room, task: &Task, desk: &mut Desk) -> Placed {
    let mut shares = Shares::default();
    if whole(market, menu, room, task, desk, &mut shares) {
        return Placed { shares, late: 0.0 };
    }
    let mut best: Option<(f64, Placed)> = None;
    let options = if menu.stays { menu.pools.len() } else { 1 };
    for option in 0..options {
        let only = menu.stays.then(|| menu.pools[option] as u32);
        let found = place(market, menu, room, task, only, desk);
        if best.as_ref().is_none_or(|best| found.0 < best.0) {
            best = Some(found);
        }
    }
    let placed = best.map_or_else(|| Placed { shares: Shares::default(), late: task.hours }, |best| best.1);
    room.book(market, task, &placed.shares, 1.0);
    placed
}

/// The usual case, fast: whole slots in any pool, waiting costs nothing, all in time; the shares replace those given.
/// Else nothing is done.
pub(super) fn whole(
    market: &Market,
    menu: &Menu,
    room: &mut Room,
    task: &Task,
    desk: &mut Desk,
    shares: &mut Shares,
) -> bool {
    let h = market.slot_hours;
    let width = menu.pools.len();
    if room.grain != Grain::Whole || menu.stays && width > 1 || task.waiting > 0.0 || menu.point.gpus <= 0.0 {
        return false;
    }
    let hours = task.hours / menu.point.speed;
    let count = (hours / h - 1e-9).ceil().max(0.0) as usize;
    let window = Window::of(task, h, slots(market));
    let gpu_hours = menu.point.gpus * h;
    let Desk { ranks, open, tape, .. } = desk;
    ranks.clear();
    open.clear();
    for slot in window.from..window.until {
        let free = &room.free[slot * room.pools..(slot + 1) * room.pools];
        let pools = &menu.pool[slot * width..(slot + 1) * width];
        if let Some(first) = pools.iter().position(|pool| free[*pool as usize] >= gpu_hours - 1e-9) {
            let index = slot * width + first;
            open.push(index as u32);
            ranks.push(menu.rank[index]);
        }
    }
    if ranks.len() < count || count == 0 {
        return false;
    }
    let (_, dearest, _) = ranks.select_nth_unstable(count - 1);
    let dearest = *dearest;
    for index in open.iter().map(|index| *index as usize) {
        if menu.rank[index] <= dearest {
            let (slot, pool) = (index / width, menu.pool[index] as usize);
            let hours = if menu.rank[index] == dearest { hours - (count - 1) as f64 * h } else { h };
            room.free[slot * room.pools + pool] -= gpu_hours;
            tape.push(Share { pool, slot, point: 0, hours });
        }
    }
    *shares = tape.take();
    true
}

/// What it costs at those prices, and the shares, in one pool or in all.
fn place(market: &Market, menu: &Menu, room: &Room, task: &Task, only: Option<u32>, desk: &mut Desk) -> (f64, Placed) {
    let (h, slots) = (market.slot_hours, slots(market));
    let need = task.hours / menu.point.speed;
    let Desk { offers, taken, .. } = desk;
    offers.clear();
    taken.clear();
    let in_time = touched(task.release, task.due, h, slots);
    for slot in in_time.clone() {
        offer(menu, room, slot, overlap(task.release, task.due, slot, h), only, h, offers);
    }
    let (mut cost, mut missing) =
        if task.waiting > 0.0 { with_waiting(offers, taken, need, task, h) } else { cheapest(offers, taken, need, h) };
    let late = missing;
    if missing > NOTHING {
        let from = touched(task.due.max(task.release), f64::INFINITY, h, slots).start;
        for slot in from..slots {
            offers.clear();
            offer(menu, room, slot, overlap(task.due.max(task.release), f64::INFINITY, slot, h), only, h, offers);
            for offer in offers.iter().filter(|o| o.hours > 0.0) {
                let used: f64 =
                    taken.iter().filter(|t| t.slot == offer.slot && t.pool == offer.pool).map(|t| t.hours).sum();
                let free = room.hours(slot, offer.pool as usize, menu.point, h, h) - used;
                let hours = missing.min(offer.hours).min(free);
                if hours > NOTHING {
                    taken.push(Offer { hours, ..*offer });
                    missing -= hours;
                    cost += hours * (offer.price + market.late * menu.point.gpus);
                }
            }
            if missing <= NOTHING {
                break;
            }
        }
        if missing > NOTHING {
            cost += missing * (market.late * menu.point.gpus + menu.point.kw * dearest(market));
        }
    }
    taken.sort_unstable_by_key(|offer| (offer.slot, offer.pool));
    let mut shares: Vec<Share> = Vec::with_capacity(taken.len());
    for offer in taken.iter() {
        let (pool, slot) = (offer.pool as usize, offer.slot as usize);
        match shares.last_mut() {
            Some(last) if (last.slot, last.pool) == (slot, pool) => last.hours += offer.hours,
            _ => shares.push(Share { pool, slot, point: 0, hours: offer.hours }),
        }
    }
    (cost, Placed { shares: shares.into_iter().collect(), late })
}

/// What may be had in a slot of which the task has so many hours, the cheapest pool first.
fn offer(menu: &Menu, room: &Room, slot: usize, mut hours: f64, only: Option<u32>, h: f64, offers: &mut Vec<Offer>) {
    let width = menu.pools.len();
    for index in slot * width..(slot + 1) * width {
        let pool = menu.pool[index];
        if only.is_some_and(|only| only != pool) {
            continue;
        }
        let free = room.hours(slot, pool as usize, menu.point, hours, h);
        if free > NOTHING {
            offers.push(Offer { price: menu.hour[index], hours: free, slot: slot as u32, pool });
            hours -= free;
            if hours <= NOTHING {
                break;
            }
        }
    }
}

fn by_price(a: &Offer, b: &Offer) -> std::cmp::Ordering {
    a.price.total_cmp(&b.price).then(a.slot.cmp(&b.slot)).then(a.pool.cmp(&b.pool))
}

/// Takes the cheapest hours: cost and what is missing.
fn cheapest(offers: &mut Vec<Offer>, taken: &mut Vec<Offer>, need: f64, h: f64) -> (f64, f64) {
    // No more than these can be among the cheapest when each is a whole slot; then the rest need not be sorted.
    let enough = (need / h).ceil() as usize + 1;
    if offers.len() > enough && offers.iter().all(|o| o.hours >= h) {
        offers.select_nth_unstable_by(enough, by_price);
        offers.truncate(enough);
    }
    offers.sort_unstable_by(by_price);
    let (mut cost, mut missing) = (0.0, need);
    for offer in offers {
        if missing <= NOTHING {
            break;
        }
        let hours = missing.min(offer.hours);
        cost += hours * offer.price;
        missing -= hours;
        taken.push(Offer { hours, ..*offer });
    }
    (cost, missing.max(0.0))
}

/// The same when an hour between release and end costs something: every slot may be the last.
fn with_waiting(offers: &mut [Offer], taken: &mut Vec<Offer>, need: f64, task: &Task, h: f64) -> (f64, f64) {
    let mut before: Vec<Offer> = Vec::new();
    let (mut best, mut last) = (f64::INFINITY, None);
    let mut trial = Vec::new();
    for group in offers.chunk_by(|a, b| a.slot == b.slot) {
        let waited = task.waiting * (f64::from(group[0].slot) * h - task.release).max(0.0);
        let mut all = before.clone();
        all.extend(group.iter().map(|o| Offer { price: o.price + task.waiting, ..*o }));
        trial.clear();
        let (cost, missing) = cheapest(&mut all, &mut trial, need, h);
        if missing <= NOTHING && waited + cost < best {
            (best, last) = (waited + cost, Some(trial.clone()));
        }
        before.extend(group);
        before.sort_by(by_price);
        let mut hours = 0.0;
        before.retain(|offer| {
            hours += offer.hours;
            hours - offer.hours <= need
        });
    }
    if let Some(found) = last {
        *taken = found;
        return (best, 0.0);
    }
    let waited = task.waiting * (task.due - task.release).max(0.0);
    let (cost, missing) = cheapest(&mut offers.to_vec(), taken, need, h);
    (waited + cost, missing)
}
