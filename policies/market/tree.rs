//! A wavelet tree over the prices of all slots: the cheapest hours of any window, and the demand they make, in one descent.
//!
//! Positions are slots, values are ranks by price. Every level keeps how many of a node's slots are in its cheaper half,
//! the running sums of price, and a difference array for demand that one `flush` pushes down to the slots.

use super::window::Window;

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    slots: usize,
    levels: usize,
    slot_hours: f64,
    /// By rank: the price of an hour, and its slot.
    price: Vec<f64>,
    slot: Vec<u32>,
    /// By slot: its rank.
    rank: Vec<u32>,
    /// By level and position: slots of the cheaper half before it.
    cheaper: Vec<u32>,
    /// By level and position: prices before it.
    sums: Vec<f64>,
    /// By level and position: change of demand.
    change: Vec<f64>,
}

/// What the cheapest hours of a window cost, and the dearest price among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cheapest {
    pub cost: f64,
    pub marginal: f64,
}

impl Tree {
    /// From now on of those prices of an hour, by slot, in the memory it has.
    pub(super) fn rebuild(&mut self, prices: &[f64], slot_hours: f64) {
        let slots = prices.len();
        let levels = slots.max(1).next_power_of_two().trailing_zeros() as usize;
        (self.slots, self.levels, self.slot_hours) = (slots, levels, slot_hours);
        self.slot.clear();
        self.slot.extend(0..slots as u32);
        self.slot.sort_unstable_by(|a, b| prices[*a as usize].total_cmp(&prices[*b as usize]).then(a.cmp(b)));
        self.price.clear();
        self.price.extend(self.slot.iter().map(|slot| prices[*slot as usize]));
        self.rank.resize(slots, 0);
        for (rank, slot) in self.slot.iter().enumerate() {
            self.rank[*slot as usize] = rank as u32;
        }
        let stride = slots + 1;
        self.cheaper.resize(levels * stride, 0);
        self.sums.resize((levels + 1) * stride, 0.0);
        self.change.clear();
        self.change.resize((levels + 1) * stride, 0.0);
        let (mut order, mut next) = (self.rank.clone(), vec![0; slots]);
        for level in 0..=levels {
            let at = level * stride;
            let mut sum = 0.0;
            for (position, rank) in order.iter().enumerate() {
                self.sums[at + position] = sum;
                sum += self.price[*rank as usize];
            }
            self.sums[at + slots] = sum;
            if level == levels {
                break;
            }
            let half = 1 << (levels - 1 - level);
            let mut count = 0;
            let (mut node, mut in_node) = (0, 0);
            for (position, rank) in order.iter().enumerate() {
                self.cheaper[at + position] = count;
                let rank_at = *rank as usize;
                if position == node + 2 * half {
                    (node, in_node) = (position, 0);
                }
                if rank_at & half == 0 {
                    next[node + in_node] = *rank;
                    in_node += 1;
                    count += 1;
                } else {
                    next[node + half + (position - node - in_node)] = *rank;
                }
            }
            self.cheaper[at + slots] = count;
            std::mem::swap(&mut order, &mut next);
        }
    }

    /// The cheapest `need` hours of a window that has so many. With `demand`, that amount an hour is added where they are.
    pub(super) fn cheapest(&mut self, window: &Window, mut need: f64, demand: Option<f64>) -> Cheapest {
        let (stride, h) = (self.slots + 1, self.slot_hours);
        let ranked = |(slot, hours): (usize, f64)| (if hours > 0.0 { self.rank[slot] as usize } else { 0 }, hours);
        let parts = window.parts.map(ranked);
        let (mut left, mut right, mut node, mut cost) = (window.from, window.until, 0, 0.0);
        for level in 0..self.levels {
            let half = 1 << (self.levels - 1 - level);
            let middle = (node + half).min(self.slots);
            let cheaper = &self.cheaper[level * stride..];
            let (start, to_left, to_right) = (cheaper[node] as usize, cheaper[left] as usize, cheaper[right] as usize);
            let (low, high) = (node + to_left - start, node + to_right - start);
            let mut hours = (high - low) as f64 * h;
            for (rank, part) in parts {
                if rank >= node && rank < middle {
                    hours += part;
                }
            }
            if need <= hours {
                (left, right) = (low, high);
                continue;
            }
            let below = (level + 1) * stride;
            cost += (self.sums[below + high] - self.sums[below + low]) * h;
            need -= hours;
            if let Some(amount) = demand {
                self.change[below + low] += amount * h;
                self.change[below + high] -= amount * h;
            }
            for (rank, part) in parts {
                if part > 0.0 && rank >= node && rank < middle {
                    cost += self.price[rank] * part;
                    if let Some(amount) = demand {
                        self.add(rank, amount * part);
                    }
                }
            }
            (left, right) = (middle + (left - node) - (to_left - start), middle + (right - node) - (to_right - start));
            node = middle;
        }
        let marginal = self.price[node.min(self.slots - 1)];
        if let Some(amount) = demand {
            self.add(node.min(self.slots - 1), amount * need);
        }
        Cheapest { cost: cost + marginal * need, marginal }
    }

    /// The dearest price.
    pub(super) fn highest(&self) -> f64 {
        self.price.last().copied().unwrap_or(f64::INFINITY)
    }

    fn add(&mut self, rank: usize, amount: f64) {
        let leaf = self.levels * (self.slots + 1);
        self.change[leaf + rank] += amount;
        self.change[leaf + rank + 1] -= amount;
    }

    /// Hands out the demand added since the last time, by slot, and forgets it.
    pub(super) fn flush(&mut self, mut hand: impl FnMut(usize, f64)) {
        let stride = self.slots + 1;
        for level in 0..=self.levels {
            let at = level * stride;
            let half = if level < self.levels { 1 << (self.levels - 1 - level) } else { 0 };
            let (mut sum, mut node) = (0.0, 0);
            for position in 0..self.slots {
                let change = std::mem::take(&mut self.change[at + position]);
                sum += change;
                if level == self.levels {
                    hand(self.slot[position] as usize, sum);
                    continue;
                }
                if position == node + 2 * half {
                    node = position;
                }
                if sum == 0.0 {
                    continue;
                }
                let cheaper = &self.cheaper[at..];
                let before = (cheaper[position] - cheaper[node]) as usize;
                let goes_left = cheaper[position + 1] > cheaper[position];
                let child = if goes_left { node + before } else { node + half + (position - node - before) };
                self.change[at + stride + child] += sum;
                self.change[at + stride + child + 1] -= sum;
            }
            self.change[at + self.slots] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, Window};

    /// By sorting.
    fn plain(prices: &[f64], window: &Window, need: f64, h: f64) -> (f64, Vec<f64>) {
        let mut items: Vec<(f64, usize, f64)> =
            (window.from..window.until).map(|slot| (prices[slot], slot, h)).collect();
        items.extend(window.parts.iter().filter(|p| p.1 > 0.0).map(|p| (prices[p.0], p.0, p.1)));
        items.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut missing, mut cost, mut demand) = (need, 0.0, vec![0.0; prices.len()]);
        for (price, slot, hours) in items {
            let taken = missing.min(hours);
            cost += taken * price;
            demand[slot] += taken;
            missing -= taken;
        }
        (cost, demand)
    }

    #[test]
    fn one_descent_finds_what_sorting_finds() {
        let mut dice = 7_u64;
        let mut below = |limit: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % limit
        };
        for slots in 1..40_usize {
            let prices: Vec<f64> = (0..slots).map(|_| below(9) as f64).collect();
            let mut tree = Tree::default();
            tree.rebuild(&prices, 0.5);
            let mut demand = vec![0.0; slots];
            for _ in 0..20 {
                let from = below(slots as u64) as usize;
                let until = from + below((slots - from) as u64 + 1) as usize;
                let first = if from > 0 { (from - 1, below(8) as f64 / 16.0) } else { (0, 0.0) };
                let last = if until < slots { (until, below(8) as f64 / 16.0) } else { (0, 0.0) };
                let window = Window { from, until, parts: [first, last] };
                let need = window.hours(0.5) * below(65) as f64 / 64.0;
                let (cost, wanted) = plain(&prices, &window, need, 0.5);
                let found = tree.cheapest(&window, need, Some(2.0));
                assert!((found.cost - cost).abs() < 1e-9, "{found:?}, {cost}, {window:?} of {prices:?}");
                for (slot, hours) in wanted.iter().enumerate() {
                    demand[slot] += 2.0 * hours;
                }
            }
            let mut handed = vec![0.0; slots];
            tree.flush(|slot, amount| handed[slot] += amount);
            for slot in 0..slots {
                assert!((handed[slot] - demand[slot]).abs() < 1e-9, "slot {slot} of {slots}");
            }
        }
    }
}
