//! Finds starts for one job in what is left: the first one, and the cleanest one.

use super::broken::{self, Begins, Broken, Terms, Window};
use super::priced::Curves;
use crate::integral::Cleanest;
use crate::machine::Shape;
use crate::order::length;
use crate::problem::Job;
use crate::room::{NodeRoom, Room, Slot, ZoneRoom};
use crate::stamp::{Stamp, millis};
use neap_model::units::Percent;

/// The unit of [`Percent`]: all of it.
pub(crate) const WHOLE: u128 = 100_000;

/// Nodes for which broken runs are searched in what is left on them, for one job.
const CLOSER_LOOKS: usize = 4;

/// What a run emits, up to one constant factor: mW × PUE in thousandths × mg CO2e per kWh × milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Price {
    pub emits: u128,
    /// Climatology took part.
    pub poor: bool,
}

impl Price {
    /// Whether this emits less than `other` by at least that share of it, and less at all.
    pub fn saves(self, other: Self, share: Percent) -> bool {
        let rest = WHOLE.saturating_sub(u128::from(share.0));
        self.emits < other.emits && self.emits.saturating_mul(WHOLE) <= other.emits.saturating_mul(rest)
    }
}

/// One way to run a job: where, how and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub node: usize,
    pub zone: usize,
    pub shape: Shape,
    pub start: Stamp,
    /// `None` where part of the run meets hours that nothing trustworthy is known of.
    pub price: Option<Price>,
}

impl Choice {
    pub fn slot(&self, job: &Job) -> Slot {
        let length = millis(length(job));
        Slot { node: self.node, need: self.shape.need, from: self.start, until: self.start.saturating_add(length) }
    }

    pub fn at(room: &Room, job: &Job, node: usize, zone: usize, shape: Shape, start: Stamp) -> Self {
        let cost = room.zones[zone].goes_by(job).1.cost(start, millis(length(job)));
        let price = cost.map(|cost| Price {
            emits: rate(&room.zones[zone], &shape).saturating_mul(cost.integral),
            poor: cost.poor,
        });
        Self { node, zone, shape, start, price }
    }

    /// What decides between places once start and price are equal: the better model, the fewer GPUs kept from others,
    /// the smaller node, the order of names, the rarer model.
    fn taste(&self, room: &Room, job: &Job) -> (usize, u32, u32, usize, u16) {
        let node = &room.nodes[self.node];
        let gpus = node.machine.gpus;
        (self.shape.rank, if job.gpus == 0 { gpus } else { 0 }, gpus, self.node, count(node, &self.shape))
    }
}

pub(crate) fn rate(zone: &ZoneRoom, shape: &Shape) -> u128 {
    u128::from(shape.watts.0) * ((zone.pue.ratio() * 1_000.0).round() as u128)
}

fn emits(choice: &Choice) -> u128 {
    choice.price.map_or(u128::MAX, |price| price.emits)
}

/// The earliest start from `from` on, anywhere the job may run. Of equal starts the better model wins, then the cleaner
/// place. `None`: no node that is up can run it.
pub(crate) fn earliest(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    let length = millis(length(job));
    let mut best: Option<Choice> = None;
    for (index, node, zone) in room.open(job) {
        for shape in node.machine.shapes(job) {
            let limit = match best {
                // It wins only by being earlier.
                Some(best) if best.zone == zone && shape.rank >= best.shape.rank && shape.watts >= best.shape.watts => {
                    let it = Choice { node: index, shape, ..best };
                    if it.taste(room, job) < best.taste(room, job) { best.start } else { best.start - 1 }
                }
                Some(best) => best.start,
                None => Stamp::MAX,
            };
            if limit < from {
                continue;
            }
            let Some(start) = node.earliest(&shape.need, from, length, limit) else {
                continue;
            };
            let found = Choice::at(room, job, index, zone, shape, start);
            // Zones that measure different things go by the order in which the site names them.
            let key = |c: &Choice| (c.start, c.shape.rank, room.kind(job, c.zone), emits(c), c.taste(room, job));
            if best.is_none_or(|best| key(&found) < key(&best)) {
                best = Some(found);
            }
        }
    }
    best
}

/// Whether the job could start at `from` somewhere; the place that `earliest` would take.
pub(crate) fn at_once(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    let length = millis(length(job));
    let possible =
        room.open(job).any(|(_, node, _)| node.machine.shapes(job).any(|s| node.fits(&s.need, from, length)));
    if possible { earliest(room, job, from) } else { None }
}

/// The cleanest starts in `[like.start, until]` on models not worse than `rank` and in zones that measure what the zone of
/// `like` does: without climatology, and of all.
pub(crate) fn cleanest(
    room: &Room,
    job: &Job,
    like: &Choice,
    until: Stamp,
    rank: usize,
    curves: &Curves<'_>,
) -> (Option<Choice>, Option<Choice>) {
    let (from, length) = (like.start, millis(length(job)));
    let (mut good, mut any): (Option<Choice>, Option<Choice>) = (None, None);
    for (index, node, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in node.machine.shapes(job).filter(|shape| shape.rank <= rank) {
            let integral = curves.of(room, zone, &shape, job);
            let mut found = Cleanest::default();
            node.gaps(&shape.need, from, until, length, |first, last| {
                integral.cleanest(first, last, length, &mut found)
            });
            let rate = rate(&room.zones[zone], &shape);
            let choice = |cost: u128, start, poor| Choice {
                node: index,
                zone,
                shape,
                start,
                price: Some(Price { emits: rate.saturating_mul(cost), poor }),
            };
            let better = |found: Choice, best: &mut Option<Choice>| {
                let key = |c: &Choice| (emits(c), c.start, c.taste(room, job));
                if best.is_none_or(|best| key(&found) < key(&best)) {
                    *best = Some(found);
                }
            };
            if let Some((cost, start)) = found.good {
                better(choice(cost, start, false), &mut good);
            }
            if let Some((cost, start, poor)) = found.any {
                better(choice(cost, start, poor), &mut any);
            }
        }
    }
    (good, any)
}

/// Whether no start in `[like.start, until]` in zones that measure what the zone of `like` does, and no runs with pauses either, could emit less than `below`, however much room
/// there were.
pub(crate) fn none_below(
    room: &Room,
    job: &Job,
    (like, until): (&Choice, Stamp),
    pauses: Option<(Terms, Window)>,
    below: u128,
) -> bool {
    let from = like.start;
    let length = millis(length(job));
    let mut least: Vec<Option<u128>> = vec![None; room.zones.len()];
    for (_, node, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in node.machine.shapes(job) {
            let rate = rate(&room.zones[zone], &shape);
            least[zone] = Some(least[zone].map_or(rate, |known| known.min(rate)));
        }
    }
    least.into_iter().enumerate().filter_map(|(zone, rate)| Some((zone, rate?))).all(|(zone, rate)| {
        let integral = room.zones[zone].goes_by(job).1;
        let mut found = Cleanest::default();
        integral.cleanest(from, until, length, &mut found);
        let whole = found.any.map_or(u128::MAX, |(cost, ..)| rate.saturating_mul(cost));
        whole >= below
            && pauses.is_none_or(|(terms, window)| {
                let free = |_: Stamp, _: Stamp| true;
                broken::cheapest(integral, free, window, length, terms, Begins::Waiting)
                    .is_none_or(|broken| rate.saturating_mul(broken.integral) >= below)
            })
    })
}

/// The cleanest way to run with pauses within `window`, on models not worse than that of `like` and in zones that measure
/// what its zone does. It stays on one node.
///
/// Nodes that can take what would be best if there were room are preferred; otherwise some of the nodes are looked at
/// one by one.
pub(crate) fn broken(
    room: &Room,
    job: &Job,
    terms: Terms,
    window: Window,
    like: &Choice,
    begins: Begins,
    curves: &Curves<'_>,
) -> Option<(Choice, Broken)> {
    let rank = like.shape.rank;
    let length = millis(length(job));
    let mut wished: Vec<Option<Option<Broken>>> = vec![None; room.zones.len()];
    let mut tries = CLOSER_LOOKS;
    let mut best: Option<(Choice, Broken)> = None;
    for (index, node, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in node.machine.shapes(job).filter(|shape| shape.rank <= rank) {
            let integral = &*curves.of(room, zone, &shape, job);
            let wish = wished[zone]
                .get_or_insert_with(|| broken::cheapest(integral, |_, _| true, window, length, terms, begins));
            let Some(wish) = wish else { continue };
            let free = |from: Stamp, until: Stamp| node.fits(&shape.need, from, until - from);
            let found = if wish.runs.iter().all(|(from, until)| free(*from, *until)) {
                wish.clone()
            } else if tries > 0 {
                tries -= 1;
                let Some(found) = broken::cheapest(integral, free, window, length, terms, begins) else { continue };
                found
            } else {
                continue;
            };
            let emits = rate(&room.zones[zone], &shape).saturating_mul(found.integral);
            let start = found.runs.first().map_or(window.from, |run| run.0);
            let choice = Choice { node: index, zone, shape, start, price: Some(Price { emits, poor: found.poor }) };
            let key = |c: &Choice| (self::emits(c), c.start, c.taste(room, job));
            if best.as_ref().is_none_or(|(best, _)| key(&choice) < key(best)) {
                best = Some((choice, found));
            }
        }
    }
    best
}

/// The runs that were planned before on the node of that name, if there is still room for all of them.
pub(crate) fn broken_there(
    room: &Room,
    job: &Job,
    terms: Terms,
    node: &str,
    runs: &[(Stamp, Stamp)],
    rank: usize,
) -> Option<(Choice, Broken)> {
    let (index, node, zone) = room.open(job).find(|(_, open, _)| open.machine.name == node)?;
    let fits = |shape: &Shape| runs.iter().all(|(from, until)| node.fits(&shape.need, *from, until - from));
    let shape = node.machine.shapes(job).filter(fits).min_by_key(|shape| plain(node, shape, rank))?;
    let found = Broken::of(&room.zones[zone].integral, runs.to_vec(), terms, Begins::Waiting, runs.first()?.0)?;
    let emits = rate(&room.zones[zone], &shape).saturating_mul(found.integral);
    let price = Some(Price { emits, poor: found.poor });
    Some((Choice { node: index, zone, shape, start: runs.first()?.0, price }, found))
}

/// Which of the models of one node is taken: one not worse than `rank`, the one that draws less, the better one, the one of
/// which there are fewer, so that wide jobs find the others together.
fn plain(node: &NodeRoom, shape: &Shape, rank: usize) -> (bool, u64, usize, u16) {
    (shape.rank > rank, shape.watts.0, shape.rank, count(node, shape))
}

/// How many GPUs of its model the node has.
fn count(node: &NodeRoom, shape: &Shape) -> u16 {
    let of = node.machine.models.iter().zip(&shape.need.gpus).filter(|(_, gpus)| **gpus > 0);
    of.map(|(model, _)| model.count).sum()
}

/// The place for a run that has to start at `start` on the node of that name; `None` where there is no room.
pub(crate) fn there(room: &Room, job: &Job, node: &str, start: Stamp, rank: usize) -> Option<Choice> {
    let length = millis(length(job));
    let (index, node, zone) = room.open(job).find(|(_, open, _)| open.machine.name == node)?;
    let fits = |shape: &Shape| node.fits(&shape.need, start, length);
    let shape = node.machine.shapes(job).filter(fits).min_by_key(|shape| plain(node, shape, rank))?;
    Some(Choice::at(room, job, index, zone, shape, start))
}

/// The last start in `[from, until]` at which there is room.
pub(crate) fn last(room: &Room, job: &Job, from: Stamp, until: Stamp) -> Option<Choice> {
    let length = millis(length(job));
    let mut best: Option<Choice> = None;
    for (index, node, zone) in room.open(job) {
        for shape in node.machine.shapes(job) {
            let mut latest = None;
            node.gaps(&shape.need, from, until, length, |_, last| latest = Some(last));
            let Some(start) = latest else { continue };
            let found = Choice::at(room, job, index, zone, shape, start);
            let key = |c: &Choice| (std::cmp::Reverse(c.start), c.shape.rank, emits(c), c.taste(room, job));
            if best.is_none_or(|best| key(&found) < key(&best)) {
                best = Some(found);
            }
        }
    }
    best
}
