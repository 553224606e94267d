//! The menus of a class at given prices, slot by slot; and those of a single slot in which room is short.

use super::ground::{Ground, Way};
use crate::market::Prices;
use crate::menu::{Offer, hull_in_order};

/// A way that is run for a part of the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub way: Way,
    pub part: f64,
}

/// A corner of a slot's hull: mostly one way all the time; a mix of two where room is short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Corner {
    pub offer: Offer,
    pub parts: [Option<Part>; 2],
}

/// The corners of a slot by rising work, (0, 0) left out.
pub(super) type Menu = Vec<Corner>;

/// The menus of a class for one of its choices.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    /// In time, by slot.
    pub menus: Vec<Menu>,
    /// The least an hour of late work can cost in this slot or a later one.
    pub late_from: Vec<f64>,
}

/// Prices, or a part of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'p> {
    pub prices: &'p Prices,
    pub factor: f64,
}

impl Level<'_> {
    pub fn at(self, pool: usize, slot: usize) -> f64 {
        self.factor * self.prices.0[pool][slot]
    }
}

/// Builds menus; keeps its arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct Cook {
    offers: Vec<Offer>,
    corners: Vec<Corner>,
    order: Vec<usize>,
    found: Vec<usize>,
}

impl Cook {
    /// The shelf of a class's choice.
    pub fn shelf(&mut self, ground: &Ground, class: usize, choice: usize, level: Level) -> Shelf {
        let menus = (0..ground.slots).map(|slot| self.menu(ground, class, choice, slot, level, false)).collect();
        let mut late_from = vec![f64::INFINITY; ground.slots + 1];
        let points = &ground.market.classes[class].points;
        for slot in (0..ground.slots).rev() {
            let rate =
                |way: &Way| ground.cost(class, *way, slot, level.at(way.pool, slot), true) / points[way.point].speed;
            let ways = ground.kinds[class].choices[choice].iter().filter(|way| points[way.point].speed > 0.0);
            late_from[slot] = ways.map(rate).fold(late_from[slot + 1], f64::min);
        }
        Shelf { menus, late_from }
    }

    /// The menu of a slot with room for every way.
    pub fn menu(
        &mut self,
        ground: &Ground,
        class: usize,
        choice: usize,
        slot: usize,
        level: Level,
        late: bool,
    ) -> Menu {
        let (ways, points) = (&ground.kinds[class].choices[choice], &ground.market.classes[class].points);
        self.offers.clear();
        self.offers.extend(ways.iter().map(|&way| Offer {
            work: points[way.point].speed,
            cost: ground.cost(class, way, slot, level.at(way.pool, slot), late),
        }));
        self.order.clear();
        self.order.extend(0..ways.len());
        hull_in_order(&self.offers, &self.order, &mut self.found);
        let corner = |&index: &usize| Corner {
            offer: self.offers[index],
            parts: [Some(Part { way: ways[index], part: 1.0 }), None],
        };
        self.found.iter().map(corner).collect()
    }

    /// The menu of a slot with the GPUs given by pool, on the average of the section: every way as far as it fits, alone,
    /// and in every pair that uses up two limits. Any mix of such corners fits as well.
    #[allow(clippy::too_many_arguments, reason = "they name a section")]
    pub fn short(
        &mut self,
        ground: &Ground,
        class: usize,
        choice: usize,
        slot: usize,
        level: Level,
        late: bool,
        room: impl Fn(usize) -> f64,
    ) -> Menu {
        let points = &ground.market.classes[class].points;
        self.corners.clear();
        let part = |way: Way| {
            let gpus = points[way.point].gpus;
            if gpus <= 0.0 { 1.0 } else { (room(way.pool) / gpus).clamp(0.0, 1.0) }
        };
        let offer = |way: Way, part: f64| Offer {
            work: part * points[way.point].speed,
            cost: part * ground.cost(class, way, slot, level.at(way.pool, slot), late),
        };
        let both = |a: (Way, f64), b: (Way, f64)| {
            let (x, y) = (offer(a.0, a.1), offer(b.0, b.1));
            Corner {
                offer: Offer { work: x.work + y.work, cost: x.cost + y.cost },
                parts: [Some(Part { way: a.0, part: a.1 }), Some(Part { way: b.0, part: b.1 })],
            }
        };
        let ways = &ground.kinds[class].choices[choice];
        for (index, &way) in ways.iter().enumerate() {
            let fits = part(way);
            if fits <= 0.0 {
                continue;
            }
            let parts = [Some(Part { way, part: fits }), None];
            self.corners.push(Corner { offer: offer(way, fits), parts });
            for &other in &ways[..index] {
                let fits_too = part(other);
                if other.pool == way.pool {
                    // All of the time and all of the room: a wide way and a narrow one in turn.
                    let (wide, narrow) = if fits < 1.0 { (way, other) } else { (other, way) };
                    let (most, least) = (points[wide.point].gpus, points[narrow.point].gpus);
                    if fits.min(fits_too) < 1.0 && fits.max(fits_too) >= 1.0 && least > 0.0 {
                        let share = (room(way.pool) - least) / (most - least);
                        self.corners.push(both((wide, share), (narrow, 1.0 - share)));
                    }
                } else if fits_too > 0.0 {
                    if fits < 1.0 {
                        self.corners.push(both((way, fits), (other, fits_too.min(1.0 - fits))));
                    }
                    if fits_too < 1.0 {
                        self.corners.push(both((other, fits_too), (way, fits.min(1.0 - fits_too))));
                    }
                }
            }
        }
        self.offers.clear();
        self.offers.extend(self.corners.iter().map(|corner| corner.offer));
        self.order.clear();
        self.order.extend(0..self.offers.len());
        let offers = &self.offers;
        self.order.sort_by(|&a, &b| offers[a].work.total_cmp(&offers[b].work));
        hull_in_order(&self.offers, &self.order, &mut self.found);
        self.found.iter().map(|&index| self.corners[index]).collect()
    }
}
