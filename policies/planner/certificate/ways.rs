//! Every way a job could run if it were alone, priced in emissions; and the room that occupants leave.

use crate::likely::Lengths;
use crate::machine::{Amount, Shape};
use crate::order::by_price;
use crate::problem::Job;
use crate::room::{Counts, Room};
use crate::stamp::Stamp;
use neap_model::seconds::Seconds;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Room has one price for so long, in milliseconds.
pub(in crate::planner) const CELL: i64 = 3_600_000;

/// Windows are looked at up to so many cells from now.
const MOST_CELLS: i64 = 24 * 40;

/// Grams × 10⁶ (the unit of [`neap_model::units::GramsCo2e`]) for mW × PUE in thousandths × mg/kWh × ms: one is
/// 10⁻³ W × 10⁻³ × 10⁻³ g/kWh × 10⁻³ s = 10⁻¹² g·W·s/kWh, and a kWh has 3.6 × 10⁶ W·s.
const UNIT: f64 = 1e-12 / 3.6e6 * 1e6;

/// When a job may run, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// First start.
    pub from: Stamp,
    /// Last start in one piece.
    pub last: Stamp,
    /// Last instant of pieces.
    pub end: Stamp,
    /// Length of the longest run that it may be, planned or not.
    pub longest: i64,
}

/// A cell, and the hours into it.
pub(super) type Instant = (usize, f64);

/// A stretch of time in which intensity and the price of room are constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub cell: usize,
    pub hours: f64,
    pub emits: f64,
}

/// A way to run, with the room it takes.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Which kind of room in which zone.
    pub supply: usize,
    /// How much of it.
    pub units: f64,
    /// What is shared, too, and how much of it.
    pub also: Rc<[(usize, f64)]>,
    pub how: How,
}

impl Way {
    /// All kinds of room it takes of, each with how much.
    pub fn takes(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        std::iter::once((self.supply, self.units)).chain(self.also.iter().copied())
    }
}

#[derive(Clone, Debug)]
pub(super) enum How {
    /// In one piece.
    Once { from: Instant, until: Instant, emits: f64 },
    /// In any stretches that add up to so many hours. Of a job whose length is not known: how many of these it comes to, each as
    /// likely as the others, and what it emits at least beyond them in the mean; none: all of them.
    Pieces { stretches: Vec<Stretch>, hours: f64, likely: Vec<f64>, beyond: f64 },
}

/// What a node shares with others.
type Under<'a> = &'a [(usize, Counts)];

/// The least that a job needs and draws on some nodes.
struct Least {
    /// mW.
    watts: u64,
    cpus: u32,
    /// What its GPUs cost, as it is weighed.
    hire: u128,
    /// Of what they share, in its order.
    takes: Vec<u64>,
}

impl Default for Least {
    fn default() -> Self {
        Self { watts: u64::MAX, cpus: u32::MAX, hire: u128::MAX, takes: Vec::new() }
    }
}

impl Least {
    fn note(&mut self, shape: &Shape, hire: u128, takes: impl Iterator<Item = u64>) {
        (self.watts, self.cpus) = (self.watts.min(shape.watts.0), self.cpus.min(shape.need.cpus));
        self.hire = self.hire.min(hire);
        for (index, takes) in takes.enumerate() {
            match self.takes.get_mut(index) {
                Some(known) => *known = takes.min(*known),
                None => self.takes.push(takes),
            }
        }
    }
}

/// The room and the curves.
pub(super) struct Ground<'a> {
    room: &'a Room,
    start: Stamp,
    cells: usize,
}

impl<'a> Ground<'a> {
    pub fn new(room: &'a Room, now: Stamp, end: Stamp) -> Self {
        let start = now.div_euclid(CELL) * CELL;
        let cells = (end.saturating_sub(start) / CELL + 1).clamp(1, MOST_CELLS);
        Self { room, start, cells: usize::try_from(cells).unwrap_or(1) }
    }

    /// Beginning of the first cell.
    pub fn start(&self) -> Stamp {
        self.start
    }

    /// Unit-hours by cell of every kind of room: GPUs and cores of each zone, then what nodes share, GPUs or kW.
    pub fn supplies(&self) -> Vec<Vec<f64>> {
        let gpus = |free: &Amount| free.gpus.iter().map(|count| f64::from(*count)).sum::<f64>();
        let cores = |free: &Amount| f64::from(free.cpus);
        let zones = 2 * self.room.zones.len();
        let mut supplies = vec![vec![0.0; self.cells]; zones + self.room.shared.len()];
        for (shared, supply) in self.room.shared.iter().zip(&mut supplies[zones..]) {
            shared.supply.each_step(self.start, self.edge(self.cells), |from, until, free| {
                self.hours(from, until).for_each(|(cell, hours)| supply[cell] += shared.unit() * *free as f64 * hours);
            });
        }
        for node in self.room.nodes.iter().filter(|node| node.machine.up) {
            let Some(zone) = node.zone else { continue };
            node.free.each_step(self.start, self.edge(self.cells), |from, until, free| {
                for (cell, hours) in self.hours(from, until) {
                    supplies[2 * zone][cell] += gpus(free) * hours;
                    supplies[2 * zone + 1][cell] += cores(free) * hours;
                }
            });
        }
        supplies
    }

    fn edge(&self, cell: usize) -> Stamp {
        self.start + CELL * i64::try_from(cell).unwrap_or(0)
    }

    fn instant(&self, at: Stamp) -> Instant {
        let cell = usize::try_from((at - self.start) / CELL).unwrap_or(0).min(self.cells - 1);
        (cell, (at - self.edge(cell)) as f64 / CELL as f64)
    }

    /// The hours of `[from, until)` in each cell.
    fn hours(&self, from: Stamp, until: Stamp) -> impl Iterator<Item = (usize, f64)> + '_ {
        let first = self.instant(from).0;
        (first..self.cells).map_while(move |cell| {
            let (begin, end) = (from.max(self.edge(cell)), until.min(self.edge(cell + 1)));
            (begin < end).then(|| (cell, (end - begin) as f64 / CELL as f64))
        })
    }

    /// Every way the job could run; `None` if nothing is known of any, or its window is too long to be looked at.
    pub fn ways(&self, job: &Job, window: Window) -> Option<Vec<Way>> {
        if window.end > self.edge(self.cells) {
            return None;
        }
        let mut ways = Vec::new();
        for zone in 0..self.room.zones.len() {
            // What a job needs and draws in a zone at the least, on any node there that shares the same, by length and
            // number of GPUs.
            let mut least: BTreeMap<(Seconds, u32, Under<'_>), Least> = BTreeMap::new();
            for (index, node, _) in self.room.open(job).filter(|(_, _, of)| *of == zone) {
                for shape in self.room.shapes(index, job) {
                    let known = least.entry((shape.length, shape.gpus(), &node.under)).or_default();
                    let hire = self.room.hire(job, node, &shape);
                    known.note(&shape, hire, node.under.iter().map(|(_, counts)| counts.of(&shape.need, shape.draws)));
                }
            }
            for ((length, gpus, under), Least { watts, cpus, hire, takes }) in least {
                let also = under.iter().zip(takes).filter(|(_, takes)| *takes > 0).map(|((shared, _), takes)| {
                    (2 * self.room.zones.len() + shared, self.room.shared[*shared].unit() * takes as f64)
                });
                let also: Rc<[(usize, f64)]> = also.collect();
                let (supply, units) =
                    if gpus > 0 { (2 * zone, f64::from(gpus)) } else { (2 * zone + 1, f64::from(cpus)) };
                let rate = watts as f64 * (self.room.zones[zone].pue.ratio() * 1_000.0).round() * UNIT;
                let hows = if job.pause.is_some() && !by_price(job) {
                    self.pieces(zone, job, window, &Lengths::of(job, length), rate).into_iter().collect()
                } else {
                    self.once(zone, job, window, &Lengths::of(job, length), (rate, hire as f64 * UNIT))
                };
                ways.extend(hows.into_iter().map(|how| Way { supply, units, also: Rc::clone(&also), how }));
            }
        }
        (!ways.is_empty()).then_some(ways)
    }

    /// Instants in the window at which the curve or the price of room may change.
    fn edges(&self, zone: usize, job: &Job, from: Stamp, until: Stamp) -> Vec<Stamp> {
        let mut edges: Vec<Stamp> =
            self.room.zones[zone].goes_by(job).1.edges().filter(|at| from < *at && *at < until).collect();
        let cells = (self.instant(from).0 + 1..=self.cells).map(|cell| self.edge(cell));
        edges.extend(cells.take_while(|at| *at < until));
        edges.extend([from, until]);
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// Costs are linear in the start between those at which it or the end of a likely length meets an edge of the curve, or
    /// either end of the promised room one of its prices, so these are enough. Room is taken for the planning length.
    fn once(&self, zone: usize, job: &Job, window: Window, lengths: &Lengths, (rate, hire): (f64, f64)) -> Vec<How> {
        let (integral, length) = (self.room.zones[zone].goes_by(job).1, lengths.planned);
        let edges = self.edges(zone, job, window.from, window.last.saturating_add(length));
        let mut starts: Vec<Stamp> = edges.iter().flat_map(|at| [*at, *at - length]).collect();
        let others = lengths.likely().iter().filter(|likely| **likely != length);
        starts.extend(others.flat_map(|likely| integral.edges().map(move |at| at.saturating_sub(*likely))));
        starts.push(window.last);
        starts.retain(|start| (window.from..=window.last).contains(start));
        starts.sort_unstable();
        starts.dedup();
        let way = |start: Stamp| {
            let emits = integral.expected(start, lengths)?.integral as f64 * rate + hire;
            let (from, until) = (self.instant(start), self.instant(start + length));
            Some(How::Once { from, until, emits })
        };
        starts.into_iter().filter_map(way).collect()
    }

    fn pieces(&self, zone: usize, job: &Job, window: Window, lengths: &Lengths, rate: f64) -> Option<How> {
        let integral = self.room.zones[zone].goes_by(job).1;
        let edges = self.edges(zone, job, window.from, window.end);
        let stretch = |pair: &[Stamp]| {
            let emits = integral.cost(pair[0], pair[1] - pair[0])?.integral as f64 * rate;
            Some(Stretch { cell: self.instant(pair[0]).0, hours: (pair[1] - pair[0]) as f64 / CELL as f64, emits })
        };
        let stretches: Vec<Stretch> = edges.windows(2).filter_map(stretch).collect();
        let in_hours = |length: i64| length as f64 / CELL as f64;
        let hours = in_hours(lengths.planned);
        let known: f64 = stretches.iter().map(|stretch| stretch.hours).sum();
        let (mut likely, mut beyond) = (Vec::new(), 0.0);
        if !lengths.is_known() {
            // Who takes longer than planned goes on where the last piece ends, after its first possible end.
            let after = window.from.saturating_add(lengths.planned);
            let least = integral.least(after).unwrap_or(0) as f64 * CELL as f64 * rate;
            let over = lengths.likely().iter().map(|length| in_hours(length - lengths.planned).max(0.0));
            beyond = over.sum::<f64>() * least / lengths.likely().len() as f64;
            likely = lengths.likely().iter().map(|length| in_hours(*length).min(hours)).collect();
        }
        (known >= hours - 1e-9).then_some(How::Pieces { stretches, hours, likely, beyond })
    }
}
