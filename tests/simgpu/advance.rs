//! Moves a GPU from its last instant to another: energy, sensor, counter, work left, scripted events. Pure.
//!
//! Nothing ticks by itself. A step ends where something changes: every 25 ms of the sensor's 100 ms, at a counter tick, a
//! fault's edge, the end of a load's work. Long spans in which nothing changes are one step.

use crate::fault::Kind;
use crate::load::Load;
use crate::physics::{Standing, activity, pace, stand, taken};
use crate::state::{RING, State};

/// The sensor updates so often.
const UPDATE: u64 = 100_000;
/// It looks at the last part of that only: a quarter.
const WINDOW: u64 = 25_000;
/// A new limit comes into force with this time constant in seconds. Assumed.
const SETTLING: f64 = 0.2;
/// Spans longer than what the sensor remembers are jumped over.
const JUMP: u64 = UPDATE * (RING as u64 + 5);

/// Moves `gpu` to `now` (microseconds); an instant that has passed changes nothing.
pub(crate) fn advance(gpu: &mut State, now: u64) {
    events(gpu);
    let mut known: Option<(f64, Standing)> = None;
    let mut loads: Vec<Load> = gpu.running().copied().collect();
    while gpu.at < now {
        let standing = match known {
            Some((limit, standing)) if limit == gpu.effective => standing,
            _ => {
                let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
                stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock)
            }
        };
        known = Some((gpu.effective, standing));
        let horizon = horizon(gpu, standing, now);
        let settled = (gpu.effective - gpu.enforced() as f64).abs() < 0.5;
        let long = settled && horizon - gpu.at > 2 * JUMP;
        let until = if long { (horizon - JUMP) / UPDATE * UPDATE } else { horizon.min(next_look(gpu)) };
        pass(gpu, standing, until);
        if long {
            // What the sensor and the counter show is caught up with in the steps that follow.
            gpu.window =
                gpu.profile().base * ((gpu.at + gpu.phase) % UPDATE).saturating_sub(UPDATE - WINDOW) as f64 / 1e3;
            gpu.next_tick = gpu.at;
        }
        show(gpu);
        if events(gpu) {
            known = None;
            loads = gpu.running().copied().collect();
        }
    }
}

/// The next instant at which the course of things changes, at most `now`.
fn horizon(gpu: &State, standing: Standing, now: u64) -> u64 {
    let edges = gpu.faults.iter().filter(|fault| fault.kind != 0).flat_map(|fault| [fault.from, fault.until]);
    let ends = gpu.running().filter(|load| load.work.is_finite()).map(|load| {
        let seconds = load.work / pace(load, gpu.profile(), standing);
        gpu.at.saturating_add(((seconds * 1e6).ceil() as u64).max(1))
    });
    edges.chain(ends).filter(|at| *at > gpu.at).fold(now, u64::min)
}

fn next_look(gpu: &State) -> u64 {
    let look = (gpu.at + gpu.phase) / WINDOW * WINDOW + WINDOW - gpu.phase;
    if gpu.next_tick > gpu.at { look.min(gpu.next_tick) } else { look }
}

/// Lets time pass during which only the limit settles.
fn pass(gpu: &mut State, standing: Standing, until: u64) {
    let (from, to) = (gpu.at as f64 / 1e6, until as f64 / 1e6);
    let seconds = (until - gpu.at) as f64 / 1e6;
    let board = gpu.profile();
    let mut joules = board.base * seconds;
    let (mut busy, mut done) = (0.0, false);
    for n in 0..gpu.loads.len() {
        let load = gpu.loads[n];
        if load.present != 1 {
            continue;
        }
        let above = taken(&load, board, standing, from, to);
        joules += above;
        let active = activity(&load, board, standing) * seconds;
        busy += active;
        if let Some(instance) = gpu.instances.iter_mut().find(|i| i.present == 1 && i.id + 1 == load.instance) {
            instance.active += active * f64::from(board.sms) / instance.sms as f64;
        }
        gpu.loads[n].taken += above * 1e3;
        gpu.loads[n].work -= pace(&load, board, standing) * seconds;
        if gpu.loads[n].work <= 1e-9 {
            (gpu.loads[n].work, gpu.loads[n].present) = (0.0, 2);
            done = true;
        }
    }
    gpu.active += busy.min(seconds);
    gpu.truth += joules * 1e3;
    if standing.bound {
        gpu.bound_ns += seconds * 1e9;
    }
    if (gpu.at + gpu.phase) % UPDATE >= UPDATE - WINDOW {
        gpu.window += joules * 1e3;
    }
    let target = gpu.enforced() as f64;
    gpu.effective = target + (gpu.effective - target) * (-seconds / SETTLING).exp();
    if (gpu.effective - target).abs() < 0.5 {
        gpu.effective = target;
    }
    gpu.at = until;
    gpu.changed |= u64::from(done);
}

/// Publishes what is due.
fn show(gpu: &mut State) {
    if (gpu.at + gpu.phase).is_multiple_of(UPDATE) {
        let milliwatts = gpu.window * 1e6 / WINDOW as f64 * (1.0 + gpu.gain);
        gpu.ring[gpu.seen as usize % RING] = milliwatts.max(0.0).round() as u64;
        gpu.seen += 1;
        gpu.window = 0.0;
    }
    if gpu.at >= gpu.next_tick {
        gpu.counter = (raw_counter(gpu) - gpu.counter_zero).max(0.0) as u64;
        let tick = if gpu.tick > 0 { gpu.tick } else { 20_000 + gpu.draw() % 80_001 };
        gpu.next_tick = gpu.at + tick;
    }
}

fn raw_counter(gpu: &State) -> f64 {
    gpu.truth * (1.0 + gpu.gain) * (1.0 + gpu.counter_gain)
}

/// Carries out what a script says about this instant. Says whether anything about loads, lock or limit changed.
pub(crate) fn events(gpu: &mut State) -> bool {
    let mut changed = std::mem::take(&mut gpu.changed) == 1;
    let now = gpu.at;
    for n in 0..gpu.faults.len() {
        let fault = gpu.faults[n];
        if !fault.open(now) || fault.skip > 0 {
            continue;
        }
        if fault.is(Kind::Reload) {
            gpu.counter_zero = raw_counter(gpu);
            (gpu.counter, gpu.requested, gpu.lock) = (0, gpu.default, 0);
            gpu.generation += 1;
            gpu.down_until = now + fault.value * 1_000;
        } else if fault.is(Kind::ForeignSet) {
            gpu.requested = fault.value;
        } else {
            continue;
        }
        gpu.faults[n].kind = 0;
        changed = true;
    }
    let held = gpu.faults.iter().filter(|f| f.is(Kind::Controller) && f.open(now)).map(|f| f.value).min().unwrap_or(0);
    changed |= held != gpu.controller;
    gpu.controller = held;
    let freeze = gpu.faults.iter().any(|f| (f.is(Kind::Freeze) || f.is(Kind::FreezeAll)) && f.open(now));
    if freeze && gpu.frozen == 0 {
        (gpu.frozen_now, gpu.frozen_mean, gpu.frozen_counter) = (gpu.latest(), gpu.average(), gpu.counter);
    }
    gpu.frozen = u64::from(freeze);
    changed
}
