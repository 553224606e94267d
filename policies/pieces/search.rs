//! One job among others: its cheapest pieces in the room that is left, at any prices.

use super::room::{Room, Span};
use super::work::Work;
use super::{HOUR, Piece};
use crate::market::Menu;

/// Time that may be had in one slot of one pool, all at the same price.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// Of an hour.
    price: f64,
    slot: usize,
    pool: usize,
    /// Its spans on the desk.
    first: usize,
    until: usize,
    time: i64,
}

/// Memory that is used again from job to job.
#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    spans: Vec<Span>,
    groups: Vec<Group>,
    order: Vec<usize>,
    covered: Vec<(i64, i64)>,
    /// What was found last, in the order of time.
    pub taken: Vec<Piece>,
}

/// Finds the cheapest pieces of a job at the menu's prices, in one pool or in all; the rest as early as there is room behind
/// its due time. They lie on the desk; answered is what has no room before the last slot ends.
pub(super) fn search(room: &Room, menu: &Menu, work: &Work, only: Option<usize>, desk: &mut Desk) -> i64 {
    desk.spans.clear();
    desk.groups.clear();
    desk.taken.clear();
    let ready = work.release.max(0);
    for slot in slots(room, ready, work.due) {
        desk.gather(room, menu, work.gpus, slot, (ready, work.due), only);
    }
    let mut missing =
        if work.waiting > 0.0 { desk.cheapest_with_end(room, work) } else { desk.cheapest(room, work.length) };
    if missing > 0 {
        let from = work.due.max(ready);
        for slot in slots(room, from, i64::MAX) {
            desk.spans.clear();
            desk.groups.clear();
            desk.gather(room, menu, work.gpus, slot, (from, i64::MAX), only);
            for index in 0..desk.groups.len() {
                let group = desk.groups[index];
                missing -= desk.part(room, &group, missing);
            }
            if missing <= 0 {
                break;
            }
        }
    }
    desk.join();
    missing.max(0)
}

/// Takes so much of one slot and pool for a job, where most is free; answered is what it took. What the job has in there
/// already lies on the desk.
pub(super) fn part(room: &Room, work: &Work, slot: usize, pool: usize, most: i64, desk: &mut Desk) -> i64 {
    desk.spans.clear();
    desk.covered.clear();
    desk.covered.extend(desk.taken.iter().map(|piece| (piece.from, piece.until)));
    let window = (work.release, work.due);
    let time = desk.offer(room, work.gpus, slot, pool, window);
    let group = Group { price: 0.0, slot, pool, first: 0, until: desk.spans.len(), time };
    desk.part(room, &group, most)
}

/// Slots that `[from, until)` touches.
pub(super) fn slots(room: &Room, from: i64, until: i64) -> std::ops::Range<usize> {
    let first = ((from.max(0) / room.slot) as usize).min(room.slots);
    let end =
        if until >= room.slots as i64 * room.slot { room.slots } else { ((until - 1).max(0) / room.slot) as usize + 1 };
    first..if until <= from { first } else { end.max(first) }
}

impl Desk {
    /// Puts what is free in a slot on the desk, the cheapest pool of every instant.
    fn gather(&mut self, room: &Room, menu: &Menu, gpus: i64, slot: usize, window: (i64, i64), only: Option<usize>) {
        self.covered.clear();
        for (price, pool) in menu.slot(slot) {
            if only.is_some_and(|only| only != pool) {
                continue;
            }
            let first = self.spans.len();
            let time = self.offer(room, gpus, slot, pool, window);
            let until = self.spans.len();
            if time > 0 {
                self.groups.push(Group { price, slot, pool, first, until, time });
                self.covered.extend(self.spans[first..until].iter().map(|span| (span.from, span.until)));
            }
        }
    }

    /// Puts what is free in one pool on the desk, without what is covered; answered is how much.
    fn offer(&mut self, room: &Room, gpus: i64, slot: usize, pool: usize, (from, until): (i64, i64)) -> i64 {
        let mut time = 0;
        for span in room.spans(slot, pool).filter(|span| span.free >= gpus) {
            let first = self.spans.len();
            self.spans.push(Span { from: span.from.max(from), until: span.until.min(until), free: span.free });
            for index in 0..self.covered.len() {
                let (begin, end) = self.covered[index];
                for at in first..self.spans.len() {
                    let span = self.spans[at];
                    if begin < span.until && end > span.from {
                        self.spans[at].until = begin;
                        self.spans.push(Span { from: end, ..span });
                    }
                }
            }
            let mut kept = first;
            for at in first..self.spans.len() {
                let span = self.spans[at];
                if span.until > span.from {
                    time += span.until - span.from;
                    self.spans[kept] = span;
                    kept += 1;
                }
            }
            self.spans.truncate(kept);
        }
        time
    }

    /// Takes the cheapest; answered is what is missing.
    fn cheapest(&mut self, room: &Room, need: i64) -> i64 {
        self.order.clear();
        self.order.extend(0..self.groups.len());
        let groups = &self.groups;
        // Those of the same price in the order of time.
        self.order.sort_unstable_by(|a, b| groups[*a].price.total_cmp(&groups[*b].price).then(a.cmp(b)));
        self.take(room, need)
    }

    /// Takes groups in their order; of the last a part.
    fn take(&mut self, room: &Room, mut need: i64) -> i64 {
        for place in 0..self.order.len() {
            if need <= 0 {
                break;
            }
            let group = self.groups[self.order[place]];
            need -= self.part(room, &group, need);
        }
        need
    }

    /// The same where every hour until the end costs: each slot is tried as the last one.
    fn cheapest_with_end(&mut self, room: &Room, work: &Work) -> i64 {
        let hours = |time: i64| time as f64 / HOUR;
        let mut sorted: Vec<usize> = Vec::new();
        let mut best: Option<(f64, Vec<usize>)> = None;
        for index in 0..self.groups.len() {
            let group = self.groups[index];
            let begin = (group.slot as i64 * room.slot).max(work.release);
            let waited = work.waiting * hours(begin - work.release);
            let price = |other: usize| self.groups[other].price + if other == index { work.waiting } else { 0.0 };
            let at = sorted.partition_point(|other| self.groups[*other].price <= price(index));
            let (mut cost, mut need) = (waited, work.length);
            for other in sorted[..at].iter().chain(&[index]).chain(&sorted[at..]) {
                let time = self.groups[*other].time.min(need);
                cost += hours(time) * price(*other);
                need -= time;
                if need <= 0 {
                    break;
                }
            }
            if need <= 0 && best.as_ref().is_none_or(|best| cost < best.0) {
                best = Some((cost, [&sorted[..at], &[index], &sorted[at..]].concat()));
            }
            let at = sorted.partition_point(|other| self.groups[*other].price <= group.price);
            sorted.insert(at, index);
        }
        let Some((_, order)) = best else { return self.cheapest(room, work.length) };
        self.order = order;
        self.take(room, work.length)
    }

    /// Takes so much of a group at most: beside a piece that is there already, then where most is free.
    fn part(&mut self, room: &Room, group: &Group, most: i64) -> i64 {
        if most <= 0 {
            return 0;
        }
        let spans = &mut self.spans[group.first..group.until];
        if group.time <= most {
            self.taken.extend(spans.iter().map(|span| Piece { pool: group.pool, from: span.from, until: span.until }));
            return group.time;
        }
        let (begin, end) = (group.slot as i64 * room.slot, (group.slot as i64 + 1) * room.slot);
        let here = || self.taken.iter().filter(|piece| piece.pool == group.pool);
        let (before, after) = (here().any(|piece| piece.until == begin), here().any(|piece| piece.from == end));
        let beside = |span: &Span| before && span.from == begin || after && span.until == end;
        spans.sort_unstable_by_key(|span| (!beside(span), -span.free, span.from));
        let mut need = most;
        for span in spans.iter() {
            let time = need.min(span.until - span.from);
            let last = after && span.until == end && !(before && span.from == begin);
            let from = if last { span.until - time } else { span.from };
            self.taken.push(Piece { pool: group.pool, from, until: from + time });
            need -= time;
            if need <= 0 {
                break;
            }
        }
        most - need.max(0)
    }

    /// Puts what was taken in the order of time, pieces that touch as one.
    pub(super) fn join(&mut self) {
        self.taken.sort_unstable_by_key(|piece| piece.from);
        self.taken.dedup_by(|next, before| {
            let same = next.pool == before.pool && next.from == before.until;
            if same {
                before.until = next.until;
            }
            same
        });
    }
}
