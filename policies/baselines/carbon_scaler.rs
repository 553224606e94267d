//! CarbonScaler (Hanafy et al., 2023): one elastic job takes the cheapest next server of any slot until its work is done.
//!
//! The rule: repeatedly the (slot, next server) with the least `(e(k) − e(k−1))·I / (p(k) − p(k−1))`, server k only after
//! k − 1 in that slot, where e is power, p work per slot and I intensity, power and work both **marginal**; the last step
//! is used for a fraction. It looks one server ahead, so a server that adds little bars the way to better ones behind it,
//! and it does not know of others who want the same slots. Several jobs can share a pool in two ways: every job plans for
//! itself again in every slot and gets what is left (`side_by_side`), or plans once in what earlier jobs left
//! (`first_come`).

use crate::market::{Market, Point, Share};

/// The next server of a slot.
#[derive(Clone, Copy, Debug)]
struct Next {
    slot: usize,
    /// Cost of a unit of work.
    rate: f64,
    /// Work it adds in an hour.
    speed: f64,
}

/// Servers in use by slot, on the average of the slot: the last one for a fraction of the time.
type Levels = Vec<f64>;

/// The schedule of one job: `points[k − 1]` is the point of k servers, `grams_per_kwh` the cost of energy by slot from now,
/// and `room` the servers there are by slot. Of equal steps the earliest is taken. What does not fit is left undone.
#[must_use]
pub fn schedule(
    points: &[Point],
    grams_per_kwh: &[f64],
    hours: f64,
    slot_hours: f64,
    room: impl Fn(usize) -> usize,
) -> Vec<Share> {
    let levels = levels(points, grams_per_kwh, hours, slot_hours, room);
    levels.iter().enumerate().flat_map(|(slot, level)| shares(0, slot, *level, slot_hours)).collect()
}

fn levels(points: &[Point], grams: &[f64], hours: f64, slot_hours: f64, room: impl Fn(usize) -> usize) -> Levels {
    let next = |slot: usize, servers: usize| {
        let (kw, speed) = servers.checked_sub(1).map_or((0.0, 0.0), |last| (points[last].kw, points[last].speed));
        let point = points.get(servers).filter(|_| servers < room(slot))?;
        let (kw, speed) = (point.kw - kw, point.speed - speed);
        (speed > 0.0).then(|| Next { slot, rate: kw * grams[slot] / speed, speed })
    };
    let mut levels = vec![0.0; grams.len()];
    let mut servers = vec![0; grams.len()];
    let mut offers: Vec<Option<Next>> = (0..grams.len()).map(|slot| next(slot, 0)).collect();
    let mut left = hours;
    while left > 0.0 {
        let cheapest = offers.iter().flatten().min_by(|a, b| a.rate.total_cmp(&b.rate).then(a.slot.cmp(&b.slot)));
        let Some(&Next { slot, speed, .. }) = cheapest else { break };
        let part = (left / (speed * slot_hours)).min(1.0);
        levels[slot] += part;
        left -= part * speed * slot_hours;
        servers[slot] += 1;
        offers[slot] = next(slot, servers[slot]);
    }
    levels
}

/// A level as shares: the whole servers, and one more for a fraction of the slot.
fn shares(pool: usize, slot: usize, level: f64, slot_hours: f64) -> impl Iterator<Item = Share> {
    let whole = level.floor();
    let more = level - whole;
    let of = move |servers: f64, part: f64| {
        (servers >= 1.0 && part > 0.0).then(|| Share {
            pool,
            slot,
            point: servers as usize - 1,
            hours: part * slot_hours,
        })
    };
    of(whole + 1.0, more).into_iter().chain(of(whole, 1.0 - more))
}

/// A job of a market as this rule sees it: whole slots, one pool, as many servers as its class has points.
struct Job<'m> {
    points: &'m [Point],
    pool: usize,
    first: usize,
    due: usize,
    left: f64,
}

/// Jobs in order of release and index; those without a pool or a point are left out.
fn jobs(market: &Market) -> Vec<(usize, Job<'_>)> {
    let mut order: Vec<usize> = (0..market.tasks.len()).collect();
    order.sort_by(|&a, &b| market.tasks[a].release.total_cmp(&market.tasks[b].release).then(a.cmp(&b)));
    let job = |index: usize| {
        let task = &market.tasks[index];
        let class = &market.classes[task.class];
        let (first, due) = ((task.release / market.slot_hours).ceil(), (task.due / market.slot_hours).floor());
        let (pool, one) = (*class.pools.first()?, class.points.first()?);
        let job = Job { points: &class.points, pool, first: first as usize, due: due as usize, left: task.hours };
        (one.gpus > 0.0 && one.speed > 0.0).then_some((index, job))
    };
    order.into_iter().filter_map(job).collect()
}

/// What is used of a pool's slots, in GPUs. A server that is used for a fraction of a slot is nobody else's in it.
struct Used<'m>(&'m Market, Vec<Vec<f64>>);

impl<'m> Used<'m> {
    fn none(market: &'m Market) -> Self {
        Self(market, market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect())
    }

    /// Servers left for a job.
    fn left(&self, job: &Job, slot: usize) -> usize {
        let gpus = self.0.pools[job.pool].capacity[slot] - self.1[job.pool][slot];
        (gpus / job.points[0].gpus).max(0.0).floor() as usize
    }

    fn take(&mut self, job: &mut Job, slot: usize, servers: usize, shares: &[Share]) {
        self.1[job.pool][slot] += servers as f64 * job.points[0].gpus;
        job.left -= shares.iter().map(|share| share.hours * job.points[share.point].speed).sum::<f64>();
    }

    /// Gives a job the levels of its schedule, the first one in slot `from`.
    fn book(&mut self, job: &mut Job, from: usize, levels: &[f64], found: &mut Vec<Share>) {
        for (offset, level) in levels.iter().enumerate() {
            let shares: Vec<Share> = shares(job.pool, from + offset, *level, self.0.slot_hours).collect();
            self.take(job, from + offset, level.ceil() as usize, &shares);
            found.extend(shares);
        }
    }
}

/// Work below which a job is done, in hours.
const DONE: f64 = 1e-9;

/// Every job makes its own schedule again in every slot, as if it were alone, and gets of the servers that it wants now
/// what is left, in order of arrival. It runs with them for the whole slot, or until it is done. Behind its due time it
/// takes all it can use.
#[must_use]
pub fn side_by_side(market: &Market) -> Vec<Vec<Share>> {
    let (mut jobs, mut used) = (jobs(market), Used::none(market));
    let mut found = vec![Vec::new(); market.tasks.len()];
    for slot in 0..market.pools.first().map_or(0, |pool| pool.capacity.len()) {
        for (index, job) in jobs.iter_mut().filter(|(_, job)| job.first <= slot && job.left > DONE) {
            let grams = &market.pools[job.pool].grams_per_kwh;
            let ahead = &grams[slot..job.due.max(slot + 1).min(grams.len())];
            let wanted = levels(job.points, ahead, job.left, market.slot_hours, |_| usize::MAX)[0];
            let servers = (wanted.ceil() as usize).min(used.left(job, slot));
            if let Some(point) = servers.checked_sub(1) {
                let hours = (job.left / job.points[point].speed).min(market.slot_hours);
                let share = Share { pool: job.pool, slot, point, hours };
                used.take(job, slot, servers, &[share]);
                found[*index].push(share);
            }
        }
    }
    found
}

/// Every job makes its schedule once, on arrival, in what earlier jobs left; what does not fit runs behind its due time as
/// room appears.
#[must_use]
pub fn first_come(market: &Market) -> Vec<Vec<Share>> {
    let mut used = Used::none(market);
    let mut found = vec![Vec::new(); market.tasks.len()];
    for (index, mut job) in jobs(market) {
        let grams = &market.pools[job.pool].grams_per_kwh;
        let first = job.first.min(grams.len());
        let due = job.due.clamp(first, grams.len());
        let within = |job: &Job, used: &Used, from: usize, until: usize| {
            let room = |slot: usize| used.left(job, from + slot);
            levels(job.points, &grams[from..until], job.left, market.slot_hours, room)
        };
        let planned = within(&job, &used, first, due);
        used.book(&mut job, first, &planned, &mut found[index]);
        for slot in due..grams.len() {
            if job.left <= DONE {
                break;
            }
            let now = within(&job, &used, slot, slot + 1);
            used.book(&mut job, slot, &now, &mut found[index]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Point, schedule};

    fn points(of: &[(f64, f64)]) -> Vec<Point> {
        of.iter().enumerate().map(|(i, &(speed, kw))| Point { gpus: i as f64 + 1.0, speed, kw }).collect()
    }

    fn taken(points: &[Point], grams: &[f64], hours: f64, room: usize) -> Vec<(usize, usize, f64)> {
        let shares = schedule(points, grams, hours, 1.0, |_| room);
        shares.iter().map(|share| (share.slot, share.point + 1, share.hours)).collect()
    }

    #[test]
    fn the_cheapest_next_server_of_any_slot() {
        // Marginal speed 1, 0.5; marginal power 1, 1: a second server costs twice as much for the same work.
        let points = points(&[(1.0, 1.0), (1.5, 2.0)]);
        assert_eq!(taken(&points, &[300.0, 100.0, 250.0], 1.5, 9), [(1, 2, 1.0)], "200 before 250");
        assert_eq!(taken(&points, &[300.0, 100.0, 150.0], 1.5, 9), [(1, 1, 1.0), (2, 1, 0.5)], "150 before 200");
        assert_eq!(
            taken(&points, &[300.0, 100.0, 250.0], 1.25, 9),
            [(1, 2, 0.5), (1, 1, 0.5)],
            "the last for a fraction"
        );
        assert_eq!(taken(&points, &[300.0, 100.0, 250.0], 1.5, 1), [(1, 1, 1.0), (2, 1, 0.5)], "no room for two");
        assert_eq!(taken(&points, &[100.0, 100.0], 9.0, 9), [(0, 2, 1.0), (1, 2, 1.0)], "the rest is left undone");
    }

    #[test]
    fn it_does_not_see_what_is_behind_a_bad_step() {
        // Two servers add little, three much: the hull would go from one to three at 50 a unit of work.
        let points = points(&[(1.0, 1.0), (1.1, 1.9), (3.0, 2.0)]);
        assert_eq!(taken(&points, &[100.0, 300.0], 2.0, 9), [(0, 1, 1.0), (1, 1, 1.0)]);
    }
}
