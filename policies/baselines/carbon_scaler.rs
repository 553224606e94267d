//! CarbonScaler (Hanafy et al., 2023): one elastic job takes the cheapest next server of any slot until its work is done.
//!
//! The rule: repeatedly the (slot, next server) with the least `(e(k) − e(k−1))·I / (p(k) − p(k−1))`, server k only after
//! k − 1 in that slot, where e is power, p work per slot and I intensity, power and work both **marginal**; the last step
//! is used for a fraction. It looks one server ahead, so a server that adds little bars the way to better ones behind it,
//! and it does not know of others who want the same slots.

use crate::market::{Point, Share};

/// The next server of a slot.
#[derive(Clone, Copy, Debug)]
struct Next {
    slot: usize,
    rate: f64,
    speed: f64,
}

/// What a server adds to those before it; `None` if there is none or it adds no work.
fn next(points: &[Point], grams: f64, slot: usize, servers: usize) -> Option<Next> {
    let (kw, speed) = servers.checked_sub(1).map_or((0.0, 0.0), |last| (points[last].kw, points[last].speed));
    let point = points.get(servers)?;
    let (kw, speed) = (point.kw - kw, point.speed - speed);
    (speed > 0.0).then(|| Next { slot, rate: kw * grams / speed, speed })
}

/// The schedule of one job: `points[k − 1]` is the point of k servers, `grams_per_kwh` the intensity by slot from now, and
/// `room` the most servers by slot. Of equal steps the earliest is taken. What does not fit is left undone.
#[must_use]
pub fn schedule(
    points: &[Point],
    grams_per_kwh: &[f64],
    hours: f64,
    slot_hours: f64,
    room: impl Fn(usize) -> usize,
) -> Vec<Share> {
    let slots = grams_per_kwh.len();
    let mut servers = vec![0_usize; slots];
    let most: Vec<usize> = (0..slots).map(|slot| room(slot).min(points.len())).collect();
    let offer = |slot: usize, servers: usize| {
        if servers < most[slot] { next(points, grams_per_kwh[slot], slot, servers) } else { None }
    };
    let mut offers: Vec<Option<Next>> = (0..slots).map(|slot| offer(slot, 0)).collect();
    let (mut left, mut partial) = (hours, None);
    while left > 0.0 {
        let cheapest = offers.iter().flatten().min_by(|a, b| a.rate.total_cmp(&b.rate).then(a.slot.cmp(&b.slot)));
        let Some(&Next { slot, speed, .. }) = cheapest else { break };
        servers[slot] += 1;
        if speed * slot_hours > left {
            partial = Some((slot, left / speed));
        }
        left -= speed * slot_hours;
        offers[slot] = offer(slot, servers[slot]);
    }
    let mut shares = Vec::new();
    for (slot, &servers) in servers.iter().enumerate() {
        let mut add = |servers: usize, hours: f64| {
            if servers > 0 && hours > 0.0 {
                shares.push(Share { pool: 0, slot, point: servers - 1, hours });
            }
        };
        match partial {
            Some((at, hours)) if at == slot => {
                add(servers, hours);
                add(servers - 1, slot_hours - hours);
            }
            _ => add(servers, slot_hours),
        }
    }
    shares
}
