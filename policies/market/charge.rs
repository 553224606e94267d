//! What the shares of a task cost.

use super::alone::dearest;
use super::window::{overlap, slots};
use super::{Market, Share, Shares, Task};

/// Late hours of one task.
pub(super) fn late(market: &Market, task: &Task, shares: &Shares) -> f64 {
    let point = market.classes[task.class].points[0];
    let in_time = |share: Share| share.hours.min(overlap(task.release, task.due, share.slot, market.slot_hours));
    let missing = task.hours / point.speed - shares.iter().map(in_time).sum::<f64>();
    if missing > 1e-9 * task.hours { missing } else { 0.0 }
}

/// Grams and late GPU-hours of all tasks.
pub(super) fn charge(market: &Market, shares: &[Shares]) -> (f64, f64) {
    let behind = dearest(market);
    let (mut cost, mut late) = (0.0, 0.0);
    let mut mine: Vec<Share> = Vec::new();
    for (task, shares) in market.tasks.iter().zip(shares) {
        mine.clear();
        mine.extend(shares.iter());
        let (grams, gpu_hours) = of_task(market, behind, task, &mine);
        cost += grams;
        late += gpu_hours;
    }
    (cost, late)
}

/// Of one task. Work without a share is done behind the last slot and costs the market's dearest kWh.
fn of_task(market: &Market, dearest: f64, task: &Task, shares: &[Share]) -> (f64, f64) {
    let h = market.slot_hours;
    let points = &market.classes[task.class].points;
    let (mut energy, mut late, mut end, mut missing) = (0.0, 0.0, task.release, task.hours);
    for in_slot in shares.chunk_by(|a, b| a.slot == b.slot) {
        let slot = in_slot[0].slot;
        let hours: f64 = in_slot.iter().map(|share| share.hours).sum();
        let over = hours - overlap(task.release, task.due, slot, h);
        let gpu_hours: f64 = in_slot.iter().map(|share| share.hours * points[share.point].gpus).sum();
        if over > 1e-9 * h {
            late += gpu_hours * over / hours;
        }
        for share in in_slot {
            energy += share.hours * points[share.point].kw * market.pools[share.pool].grams_per_kwh[slot];
            missing -= share.hours * points[share.point].speed;
        }
        end = (slot as f64 * h).max(task.release) + hours;
    }
    let mut cost = energy + market.late * late;
    if missing > 1e-9 * task.hours {
        let hour = |p: &super::Point| (p.kw * dearest + p.gpus * market.late) / p.speed;
        cost += missing * points.iter().map(hour).fold(f64::INFINITY, f64::min);
        late += missing * points[0].gpus / points[0].speed;
        end = (slots(market) as f64 * h).max(task.release) + missing / points[0].speed;
    }
    (cost + task.waiting * (end - task.release), late)
}
