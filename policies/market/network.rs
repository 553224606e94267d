//! The cheapest flow through a network, exactly: cost scaling with pushes and relabels (Goldberg and Tarjan 1990).
//!
//! Amounts are real numbers. A push takes all of an excess or all of an arc, so nothing but rounding is ever left over, and
//! the potentials at the end prove the flow: no arc with room left is cheaper than `finest`.

use std::collections::VecDeque;

/// Nodes and arcs with capacities and costs; each arc has its mate in the other direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    excess: Vec<f64>,
    potential: Vec<f64>,
    /// As they were added: from, to, capacity, cost.
    given: Vec<(u32, u32, f64, f64)>,
    first: Vec<u32>,
    arcs: Vec<Arc>,
    /// Where a given arc lies.
    place: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Arc {
    to: u32,
    mate: u32,
    room: f64,
    cost: f64,
}

/// Amounts below that are rounding, relative to all that flows: it adds up over many pushes, and what exceeds it must find
/// a place to go or the search would never end.
const DUST: f64 = 1e-12;

/// Looks at each arc on average after which a flow is given up; some hundreds are usual.
const PATIENCE: usize = 50_000;

impl Network {
    /// A node with what it sends into the network, negative for what it takes out, and a first guess of its potential.
    pub(super) fn node(&mut self, excess: f64, potential: f64) -> usize {
        self.excess.push(excess);
        self.potential.push(potential);
        self.excess.len() - 1
    }

    /// An arc of a finite capacity, and its index.
    pub(super) fn arc(&mut self, from: usize, to: usize, capacity: f64, cost: f64) -> usize {
        self.given.push((from as u32, to as u32, capacity, cost));
        self.given.len() - 1
    }

    /// How much flows along an arc.
    pub(super) fn flow(&self, arc: usize) -> f64 {
        self.arcs[self.arcs[self.place[arc] as usize].mate as usize].room
    }

    /// Minus the price of a node, up to a constant.
    pub(super) fn potential(&self, node: usize) -> f64 {
        self.potential[node]
    }

    /// Finds the cheapest flow: errors of `coarse` a unit are removed first, then finer ones down to `finest`. Whether it was
    /// found within `PATIENCE` looks at each arc.
    pub(super) fn settle(&mut self, coarse: f64, finest: f64) -> bool {
        self.lay_out();
        let total: f64 = self.excess.iter().map(|e| e.abs()).sum();
        let dust = total * DUST;
        let mut grain = coarse.max(finest);
        let mut looks = PATIENCE.saturating_mul(self.arcs.len());
        loop {
            if !self.refine(grain, dust, &mut looks) {
                return false;
            }
            if grain <= finest {
                return true;
            }
            grain = (grain / 5.0).max(finest);
        }
    }

    /// Puts the arcs of a node beside each other.
    fn lay_out(&mut self) {
        let nodes = self.excess.len();
        let mut first = vec![0_u32; nodes + 1];
        for (from, to, ..) in &self.given {
            first[*from as usize + 1] += 1;
            first[*to as usize + 1] += 1;
        }
        for node in 0..nodes {
            first[node + 1] += first[node];
        }
        let mut next = first.clone();
        self.arcs = vec![Arc { to: 0, mate: 0, room: 0.0, cost: 0.0 }; 2 * self.given.len()];
        self.place.clear();
        for (from, to, capacity, cost) in &self.given {
            let (there, back) = (next[*from as usize], next[*to as usize]);
            next[*from as usize] += 1;
            next[*to as usize] += 1;
            self.arcs[there as usize] = Arc { to: *to, mate: back, room: *capacity, cost: *cost };
            self.arcs[back as usize] = Arc { to: *from, mate: there, room: 0.0, cost: -cost };
            self.place.push(there);
        }
        self.first = first;
    }

    fn push(&mut self, from: usize, arc: usize, amount: f64) {
        let Arc { to, mate, room, .. } = self.arcs[arc];
        self.arcs[arc].room = if amount >= room { 0.0 } else { room - amount };
        self.arcs[mate as usize].room += amount;
        self.excess[from] = if amount >= self.excess[from] { 0.0 } else { self.excess[from] - amount };
        self.excess[to as usize] += amount;
    }

    /// Makes a flow in which no arc with room is cheaper than `-grain`, from one in which that may be.
    fn refine(&mut self, grain: f64, dust: f64, looks: &mut usize) -> bool {
        let nodes = self.excess.len();
        for from in 0..nodes {
            for index in self.first[from] as usize..self.first[from + 1] as usize {
                let arc = self.arcs[index];
                if arc.room > 0.0 && self.reduced(from, &arc) < -grain {
                    self.arcs[index].room = 0.0;
                    self.arcs[arc.mate as usize].room += arc.room;
                    self.excess[from] -= arc.room;
                    self.excess[arc.to as usize] += arc.room;
                }
            }
        }
        let mut queue: VecDeque<u32> = (0..nodes as u32).filter(|n| self.excess[*n as usize] > dust).collect();
        let mut queued: Vec<bool> = self.excess.iter().map(|e| *e > dust).collect();
        let mut current = self.first.clone();
        while let Some(node) = queue.pop_front() {
            let from = node as usize;
            queued[from] = false;
            let degree = (self.first[from + 1] - self.first[from]) as usize;
            *looks = looks.saturating_sub(degree);
            if *looks == 0 {
                return false;
            }
            self.discharge(from, grain, dust, &mut current, |to| {
                if !queued[to] {
                    queued[to] = true;
                    queue.push_back(to as u32);
                }
            });
        }
        true
    }

    fn reduced(&self, from: usize, arc: &Arc) -> f64 {
        arc.cost + self.potential[from] - self.potential[arc.to as usize]
    }

    fn discharge(&mut self, from: usize, grain: f64, dust: f64, current: &mut [u32], mut wake: impl FnMut(usize)) {
        let (first, end) = (self.first[from], self.first[from + 1]);
        while self.excess[from] > dust {
            if current[from] == end {
                // Nowhere cheaper to go: its potential falls until there is.
                let arcs = &self.arcs[first as usize..end as usize];
                let ways = arcs.iter().filter(|arc| arc.room > 0.0);
                let highest =
                    ways.map(|arc| self.potential[arc.to as usize] - arc.cost).fold(f64::NEG_INFINITY, f64::max);
                if highest == f64::NEG_INFINITY {
                    return;
                }
                self.potential[from] = highest - grain;
                current[from] = first;
            }
            let index = current[from] as usize;
            let arc = self.arcs[index];
            if arc.room > 0.0 && self.reduced(from, &arc) < 0.0 {
                self.push(from, index, self.excess[from].min(arc.room));
                if self.excess[arc.to as usize] > dust {
                    wake(arc.to as usize);
                }
                if self.arcs[index].room > 0.0 {
                    continue;
                }
            }
            current[from] += 1;
        }
    }
}
