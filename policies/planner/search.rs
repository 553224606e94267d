//! Finds starts for one job in what is left: the first one, and the cleanest one.

use super::broken::{self, Begins, Broken, Terms, Window};
use super::priced::Curves;
use super::short;
use crate::integral::Cleanest;
use crate::likely::Lengths;
use crate::machine::{Kit, Shape};
use crate::order::{length, slowed, start_by};
use crate::problem::Job;
use crate::room::{NodeRoom, Room, Slot};
use crate::stamp::{Stamp, millis, stamp};
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The unit of [`Percent`]: all of it.
pub(crate) const WHOLE: u128 = 100_000;

/// Nodes for which broken runs are searched in what is left on them, for one job.
const CLOSER_LOOKS: usize = 4;

/// What a run is expected to emit, up to one constant factor: mW × PUE in thousandths × mg CO2e per kWh × milliseconds. Of a job that
/// goes by money, what it is expected to cost in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Price {
    pub emits: u128,
    /// Climatology took part.
    pub poor: bool,
    /// The part of it that is paid for the GPUs, whenever it runs.
    pub hire: u128,
}

impl Price {
    pub const fn new(emits: u128, poor: bool) -> Self {
        Self { emits, poor, hire: 0 }
    }

    /// Whether this emits less than `other` by at least that share of it, and less at all. The share is one of what the hour decides on:
    /// GPUs that cost more than their energy are no reason to take the next best hour.
    pub fn saves(self, other: Self, share: Percent) -> bool {
        let saved = other.emits.saturating_sub(self.emits).saturating_mul(WHOLE);
        let asked = other.emits.saturating_sub(other.hire).saturating_mul(u128::from(share.0));
        self.emits < other.emits && saved >= asked
    }

    /// What saves just that share.
    pub fn less(self, share: Percent) -> u128 {
        let rest = WHOLE.saturating_sub(u128::from(share.0));
        self.hire.saturating_add(self.emits.saturating_sub(self.hire).saturating_mul(rest) / WHOLE)
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
    pub fn slot(&self) -> Slot {
        let Shape { need, draws, .. } = self.shape;
        Slot { node: self.node, need, draws, from: self.start, until: self.end() }
    }

    /// When it ends in one piece.
    pub fn end(&self) -> Stamp {
        self.start.saturating_add(self.shape.millis())
    }

    pub fn at(room: &Room, job: &Job, node: usize, zone: usize, shape: Shape, start: Stamp) -> Self {
        let lengths = Lengths::of(job, shape.length);
        let cost = room.zones[zone].goes_by(job).1.expected(start, &lengths);
        let price = cost.map(|cost| {
            let hire = room.hire(job, &room.nodes[node], &shape);
            let emits = room.zones[zone].rate(&shape).saturating_mul(cost.integral).saturating_add(hire);
            Price { emits, poor: cost.poor, hire }
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

fn emits(choice: &Choice) -> u128 {
    choice.price.map_or(u128::MAX, |price| price.emits)
}

/// The start that a job takes which does not wait for the grid. `None`: no node that is up can run it.
///
/// Where it has no choice of width or speed that is the earliest. Otherwise a job with nothing but its own end in mind takes
/// what ends first, and so does one whose finish-by is in danger; one that may wait for the grid, or wants little energy,
/// the best by that of what can start first.
pub(crate) fn earliest(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    if !job.ways.is_empty() && job.delay.objective == Objective::None {
        return first_end(room, job, from);
    }
    let first = first_start(room, job, from)?;
    let late = || job.finish_by.is_some_and(|by| first.end() > stamp(by));
    if !job.ways.is_empty() && late() { first_end(room, job, from) } else { Some(first) }
}

/// What ends first of what starts by the time that was asked for, as long as anything does; with a slowdown, of what ends so
/// much later at most what needs the least energy.
fn first_end(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    let by = start_by(job).map_or(Stamp::MAX, stamp);
    let mut choices = first_ends(room, job, from, by);
    if choices.is_empty() {
        choices = first_ends(room, job, from, Stamp::MAX);
    }
    let ends = |short: bool| {
        let some = choices.iter().filter(|choice| short || !choice.shape.short);
        let first = some.map(|choice| (choice.end(), Reverse(choice.shape.millis()))).min();
        first.map(|(end, Reverse(length))| slowed(job, end, length))
    };
    // Nobody consents to end later for a limit that is taken because watts are short.
    let end = ends(true)?.min(ends(false).unwrap_or(Stamp::MAX));
    let energy = |c: &Choice| room.zones[c.zone].rate(&c.shape).saturating_mul(u128::from(c.shape.length.0));
    let key = |c: &Choice| (c.shape.rank, energy(c), c.end(), c.start, c.taste(room, job));
    let best = choices.into_iter().filter(|choice| choice.end() <= end).min_by_key(key)?;
    Some(Choice::at(room, job, best.node, best.zone, best.shape, best.start))
}

/// The earliest start in `[from, by]` of every way on every node, without its price; less those that end too late to count.
fn first_ends(room: &Room, job: &Job, from: Stamp, by: Stamp) -> Vec<Choice> {
    let (mut found, mut last) = (Vec::new(), Stamp::MAX);
    for (node, _, zone) in room.open(job) {
        for shape in room.shapes(node, job) {
            let by = by.min(last.saturating_sub(shape.millis()));
            if by < from {
                continue;
            }
            let start = room.earliest(node, &shape, from, by);
            if let Some(start) = start.filter(|start| short::may(room, node, job, &shape, *start)) {
                let choice = Choice { node, zone, shape, start, price: None };
                // None consents to more than this one's end and its share of the longest.
                last = last.min(slowed(job, choice.end(), millis(length(job))));
                found.push(choice);
            }
        }
    }
    found
}

/// The earliest start from `from` on, anywhere the job may run. Of equal starts the better model wins, then the cleaner
/// place or way.
fn first_start(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    let mut best: Option<Choice> = None;
    for (index, _, zone) in room.open(job) {
        for shape in room.shapes(index, job) {
            let hire = |node: usize, shape: &Shape| room.hire(job, &room.nodes[node], shape);
            let limit = match best {
                // It wins only by being earlier.
                Some(best)
                    if best.zone == zone
                        && no_better(&shape, &best.shape)
                        && hire(index, &shape) >= hire(best.node, &best.shape) =>
                {
                    let it = Choice { node: index, shape, ..best };
                    if it.taste(room, job) < best.taste(room, job) { best.start } else { best.start - 1 }
                }
                Some(best) => best.start,
                None => Stamp::MAX,
            };
            if limit < from {
                continue;
            }
            let start = room.earliest(index, &shape, from, limit);
            let Some(start) = start.filter(|start| short::may(room, index, job, &shape, *start)) else {
                continue;
            };
            let found = Choice::at(room, job, index, zone, shape, start);
            // Zones that measure different things go by the order in which the site names them.
            let key = |c: &Choice| {
                let cost = if job.delay.objective == Objective::Energy { c.shape.energy() } else { emits(c) };
                // Where energy has no price the GPUs have.
                let hire = if c.price.is_some() { 0 } else { hire(c.node, &c.shape) };
                (c.start, c.shape.rank, room.kind(job, c.zone), cost, hire, c.taste(room, job))
            };
            if best.is_none_or(|best| key(&found) < key(&best)) {
                best = Some(found);
            }
        }
    }
    best
}

/// Whether that shape can cost no less than the other from the same start in the same zone.
fn no_better(shape: &Shape, than: &Shape) -> bool {
    shape.rank >= than.rank && shape.watts >= than.watts && shape.length >= than.length
}

/// Whether the job could start at `from` somewhere; the place that `earliest` would take.
pub(crate) fn at_once(room: &Room, job: &Job, from: Stamp) -> Option<Choice> {
    let fits = |index: usize, shape: &Shape| room.has_room(index, shape, from, from.saturating_add(shape.millis()));
    let possible = room.open(job).any(|(index, ..)| room.shapes(index, job).any(|shape| fits(index, &shape)));
    if possible { earliest(room, job, from) } else { None }
}

/// Whether the job could run at `at` for an instant somewhere.
pub(crate) fn any_room(room: &Room, job: &Job, at: Stamp) -> bool {
    room.open(job).any(|(index, ..)| room.shapes(index, job).any(|shape| room.has_room(index, &shape, at, at + 1)))
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
    let from = like.start;
    let (mut good, mut any): (Option<Choice>, Option<Choice>) = (None, None);
    for (index, node, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in room.shapes(index, job).filter(|shape| shape.rank <= rank) {
            let integral = curves.of(room, index, &shape, job);
            let (lengths, mut found) = (Lengths::of(job, shape.length), Cleanest::default());
            let dear = curves.dear(room, index);
            short::gaps(room, (index, dear), job, &shape, (from, until), |first, last| {
                integral.cleanest(first, last, &lengths, &mut found)
            });
            let (rate, hire) = (room.zones[zone].rate(&shape), room.hire(job, node, &shape));
            let choice = |cost: u128, start, poor| {
                let emits = rate.saturating_mul(cost).saturating_add(hire);
                Choice { node: index, zone, shape, start, price: Some(Price { emits, poor, hire }) }
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

/// Whether no start in `[like.start, until]` in zones that measure what the zone of `like` does, and no runs with pauses
/// either, could emit less than `below`, however much room there were.
pub(crate) fn none_below(
    room: &Room,
    job: &Job,
    (like, until): (&Choice, Stamp),
    pauses: Option<(Terms, Reach)>,
    below: u128,
) -> bool {
    let from = like.start;
    // The least power, and what its GPUs cost, by zone, length and that.
    let mut least: BTreeMap<(usize, Seconds, u128), u128> = BTreeMap::new();
    for (index, node, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in room.shapes(index, job).filter(|shape| !shape.short) {
            let rate = room.zones[zone].rate(&shape);
            let key = (zone, shape.length, room.hire(job, node, &shape));
            least.entry(key).and_modify(|known| *known = rate.min(*known)).or_insert(rate);
        }
    }
    least.into_iter().all(|((zone, length, hire), rate)| {
        let integral = room.zones[zone].goes_by(job).1;
        let (lengths, mut found) = (Lengths::of(job, length), Cleanest::default());
        integral.cleanest(from, until, &lengths, &mut found);
        let whole = found.any.map_or(u128::MAX, |(cost, ..)| rate.saturating_mul(cost).saturating_add(hire));
        whole >= below
            && pauses.is_none_or(|(terms, reach)| {
                let free = |_: Stamp, _: Stamp| true;
                broken::cheapest(integral, free, reach.window(lengths.planned), &lengths, terms, Begins::Waiting)
                    .is_none_or(|broken| rate.saturating_mul(broken.integral) >= below)
            })
    })
}

/// When a job with pauses may begin, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// It runs from then on.
    pub from: Stamp,
    /// Its last start in one piece.
    pub last: Stamp,
    /// It was eligible then.
    pub since: Stamp,
}

impl Reach {
    /// The window of a run of that many milliseconds.
    pub fn window(&self, length: i64) -> Window {
        let until = self.last.saturating_add(length);
        Window { from: self.from, until, whole: until.saturating_sub(self.since) }
    }
}

/// The cleanest way to run with pauses within `reach`, on models not worse than that of `like` and in zones that measure
/// what its zone does. It stays on one node.
///
/// Nodes that can take what would be best if there were room are preferred; otherwise some of the nodes are looked at
/// one by one.
pub(crate) fn broken(
    room: &Room,
    job: &Job,
    terms: Terms,
    reach: Reach,
    like: &Choice,
    begins: Begins,
    curves: &Curves<'_>,
) -> Option<(Choice, Broken)> {
    let rank = like.shape.rank;
    // What would be best if there were room, by zone and way: jobs without a choice of these draw alike per hour anywhere.
    let mut wished: BTreeMap<(usize, Watts, i64), Option<Broken>> = BTreeMap::new();
    let mut tries = CLOSER_LOOKS;
    let mut best: Option<(Choice, Broken)> = None;
    for (index, _, zone) in room.open(job).filter(|(.., zone)| room.alike(job, *zone, like.zone)) {
        for shape in room.shapes(index, job).filter(|shape| shape.rank <= rank && !shape.short) {
            let integral = &*curves.of(room, index, &shape, job);
            let lengths = Lengths::of(job, shape.length);
            let window = reach.window(lengths.planned);
            let power = if job.ways.is_empty() { Watts::ZERO } else { shape.watts };
            let wish = wished
                .entry((zone, power, lengths.planned))
                .or_insert_with(|| broken::cheapest(integral, |_, _| true, window, &lengths, terms, begins));
            let Some(wish) = wish else { continue };
            let free = |from: Stamp, until: Stamp| room.has_room(index, &shape, from, until);
            let found = if wish.runs.iter().all(|(from, until)| free(*from, *until)) {
                wish.clone()
            } else if tries > 0 {
                tries -= 1;
                let Some(found) = broken::cheapest(integral, free, window, &lengths, terms, begins) else { continue };
                found
            } else {
                continue;
            };
            // Nobody who goes by money runs in pieces.
            let emits = room.zones[zone].rate(&shape).saturating_mul(found.integral);
            let start = found.runs.first().map_or(window.from, |run| run.0);
            let choice = Choice { node: index, zone, shape, start, price: Some(Price::new(emits, found.poor)) };
            let key = |c: &Choice| (self::emits(c), c.start, c.taste(room, job));
            if best.as_ref().is_none_or(|(best, _)| key(&choice) < key(best)) {
                best = Some((choice, found));
            }
        }
    }
    best
}

/// The runs that were planned before on the node of that name and in that way, if there is still room for all of them.
pub(crate) fn broken_there(
    room: &Room,
    job: &Job,
    terms: Terms,
    (node, kit): (&str, Kit<'_>),
    runs: &[(Stamp, Stamp)],
    rank: usize,
) -> Option<(Choice, Broken)> {
    let (index, node, zone) = room.open_node(job, node)?;
    let all: i64 = runs.iter().map(|(from, until)| until - from).sum();
    let free = |shape: &Shape| runs.iter().all(|(from, until)| room.has_room(index, shape, *from, *until));
    let fits = |shape: &Shape| shape.millis() == all && free(shape);
    let shape = node.machine.shapes_of(job, kit).filter(fits).min_by_key(|shape| plain(node, shape, rank))?;
    let (integral, lengths) = (&room.zones[zone].integral, Lengths::of(job, shape.length));
    let found = Broken::of(integral, runs.to_vec(), terms, Begins::Waiting, runs.first()?.0, &lengths)?;
    let emits = room.zones[zone].rate(&shape).saturating_mul(found.integral);
    let price = Some(Price::new(emits, found.poor));
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

/// The place for a run that has to start at `start` on the node of that name and in that way; `None` where there is no room.
pub(crate) fn there(room: &Room, job: &Job, (node, kit): (&str, Kit<'_>), start: Stamp, rank: usize) -> Option<Choice> {
    let (index, node, zone) = room.open_node(job, node)?;
    let fits = |shape: &Shape| room.has_room(index, shape, start, start.saturating_add(shape.millis()));
    let shape = node.machine.shapes_of(job, kit).filter(fits).min_by_key(|shape| plain(node, shape, rank))?;
    Some(Choice::at(room, job, index, zone, shape, start))
}

/// The last start in `[from, until]` at which there is room.
pub(crate) fn last(room: &Room, job: &Job, from: Stamp, until: Stamp) -> Option<Choice> {
    let mut best: Option<Choice> = None;
    for (index, _, zone) in room.open(job) {
        for shape in room.shapes(index, job).filter(|shape| !shape.short) {
            let mut latest = None;
            room.gaps(index, &shape, (from, until), shape.millis(), |_, last| latest = Some(last));
            let Some(start) = latest else { continue };
            let found = Choice::at(room, job, index, zone, shape, start);
            let key = |c: &Choice| (Reverse(c.start), c.shape.rank, emits(c), c.taste(room, job));
            if best.is_none_or(|best| key(&found) < key(&best)) {
                best = Some(found);
            }
        }
    }
    best
}
