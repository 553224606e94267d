//! Plays a case slot by slot: at each slot a solver sees the jobs that have come, what is left of their work and what
//! could be known of the hours to come; what it gives to the slot in progress is done, and nothing else.
//!
//! The truth stays here. A solver gets a `Market` and nothing beside it, so that it cannot look ahead.

mod coming;
mod outlook;

use coming::{releases, streams};
use outlook::Memory;
pub use outlook::{HISTORY_DAYS, Issue, Outlook, Sight, View};

use super::{Case, Ran, Segment, TraceJob};
use crate::market::{Class, Market, Mode, Point, Pool, Prices, Share, Solution, Task};

/// Hours below which no work is left.
const NOTHING: f64 = 1e-9;
/// Hours behind the last window that late work may use.
const OVERFLOW: f64 = 24.0;
/// Late work costs that multiple of the dirtiest hour.
const LATE: f64 = 10.0;

/// How a case is played.
#[derive(Clone, Debug)]
pub struct Online<'a> {
    /// Length of a slot, in seconds.
    pub slot: f64,
    /// What is known of the hours to come.
    pub sight: Sight<'a>,
    /// Whether jobs may be broken.
    pub mode: Mode,
    /// Whether a job stays in one zone.
    pub stays: bool,
    /// What an hour of waiting costs a job, in grams.
    pub waiting: f64,
    /// What share of the arrivals of jobs so far is expected to go on: later slots are priced as if they came. 0: none.
    pub expected: f64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// By job, what ran.
    pub ran: Vec<Ran>,
    /// By plan, how far its cost lay above its own bound, as a share of the bound.
    pub gaps: Vec<f64>,
}

/// Jobs that are known and not done.
struct Live {
    job: usize,
    left: f64,
}

/// Plays it. `solve` gets a market that begins with the slot in progress, and the prices of the plan before, moved on to
/// it; `step` hears how many seconds of the case are done.
pub fn play(
    case: &Case,
    online: &Online<'_>,
    solve: &mut dyn FnMut(&Market, Option<&Prices>) -> Solution,
    step: &mut dyn FnMut(f64),
) -> Played {
    let mut played = Played { ran: vec![Ran::new(); case.jobs.len()], gaps: Vec::new() };
    let mut coming = order(case).into_iter().peekable();
    let mut live: Vec<Live> = Vec::new();
    let mut prices: Option<(f64, Prices)> = None;
    let mut memory = Memory::default();
    let mut now = coming.peek().map_or(0.0, |&job| (case.jobs[job].arrival / online.slot).floor() * online.slot);
    let first = now;
    loop {
        step(now);
        while let Some(job) = coming.next_if(|&job| case.jobs[job].arrival <= now) {
            live.push(Live { job, left: case.jobs[job].length / 3600.0 });
        }
        let mut used = vec![0.0; case.places.len()];
        if !live.is_empty() {
            let market = market(case, online, &live, (first, now), &mut memory);
            let before =
                prices.take().map(|(at, prices)| moved(prices, ((now - at) / online.slot).round() as usize, &market));
            let solution = solve(&market, before.as_ref());
            if solution.bound.abs() > NOTHING {
                played.gaps.push((solution.cost - solution.bound) / solution.bound.abs());
            }
            perform(case, online, &mut live, &solution, now, &mut used, &mut played.ran);
            prices = Some((now, solution.prices));
        }
        // Who comes within the slot and cannot wait for the next starts in what is left of this one.
        while let Some(job) = coming.next_if(|&job| case.jobs[job].arrival < now + online.slot) {
            let mut new = Live { job, left: case.jobs[job].length / 3600.0 };
            if case.jobs[job].slack < now + online.slot - case.jobs[job].arrival {
                at_once(case, online, &mut new, now, &mut used, &mut played.ran);
            }
            live.push(new);
        }
        live.retain(|live| live.left > NOTHING);
        now = match (live.is_empty(), coming.peek()) {
            (true, None) => return played,
            // Nothing is known until the next job: the slot in which it comes.
            (true, Some(&job)) => (case.jobs[job].arrival / online.slot).floor() * online.slot,
            (false, _) => now + online.slot,
        };
    }
}

/// Jobs by arrival, then by index.
fn order(case: &Case) -> Vec<usize> {
    let mut order: Vec<usize> = (0..case.jobs.len()).filter(|&job| case.jobs[job].length > 0.0).collect();
    order.sort_by(|&a, &b| case.jobs[a].arrival.total_cmp(&case.jobs[b].arrival).then(a.cmp(&b)));
    order
}

fn due(job: &TraceJob) -> f64 {
    job.arrival + job.length + job.slack
}

/// What is known now, as a market that begins with the slot in progress.
fn market(case: &Case, online: &Online<'_>, live: &[Live], (first, now): (f64, f64), memory: &mut Memory) -> Market {
    let slot_hours = online.slot / 3600.0;
    let mut classes: Vec<Class> = Vec::new();
    let mut tasks: Vec<Task> = live
        .iter()
        .map(|live| {
            let job = &case.jobs[live.job];
            let due = (due(job) - now) / 3600.0;
            Task {
                class: class(case, online, job, &mut classes),
                hours: live.left,
                release: 0.0,
                due,
                waiting: online.waiting,
            }
        })
        .collect();
    let last = tasks.iter().map(|task| task.due.max(task.hours)).fold(0.0, f64::max);
    let slots = ((last + OVERFLOW) / slot_hours).ceil() as usize;
    expect(case, online, (first, now), slots as f64 * slot_hours, &mut classes, &mut tasks);
    let most: f64 = tasks.iter().map(|task| classes[task.class].points[0].gpus).sum();
    let pools: Vec<Pool> = (0..case.places.len())
        .map(|place| Pool {
            capacity: vec![case.places[place].gpus.unwrap_or(most); slots],
            grams_per_kwh: online
                .sight
                .ahead_with(memory, case, place, now, online.slot, slots)
                .into_iter()
                .map(|grams| grams * case.places[place].pue)
                .collect(),
        })
        .collect();
    let dirtiest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).copied().fold(0.0, f64::max);
    Market { slot_hours, pools, classes, tasks, late: LATE * dirtiest * case.kw_per_gpu }
}

/// Adds what is expected to come, behind the jobs that are known.
fn expect(
    case: &Case,
    online: &Online<'_>,
    (first, now): (f64, f64),
    horizon: f64,
    classes: &mut Vec<Class>,
    tasks: &mut Vec<Task>,
) {
    if online.expected <= 0.0 {
        return;
    }
    for home in 0..case.places.len() {
        let came = case.jobs.iter().filter(|job| job.arrival <= now && job.home == home);
        for stream in streams(came, (now - first) / 3600.0, online.expected) {
            let pools = if case.anywhere { (0..case.places.len()).collect() } else { vec![home] };
            let point = Point { gpus: stream.gpus, speed: 1.0, kw: stream.gpus * case.kw_per_gpu };
            classes.push(Class { pools, points: vec![point], mode: Mode::Interruptible, stays: online.stays });
            for release in releases().filter(|release| release + stream.hours + stream.slack < horizon) {
                let (class, hours) = (classes.len() - 1, stream.hours);
                tasks.push(Task {
                    class,
                    hours,
                    release,
                    due: release + hours + stream.slack,
                    waiting: online.waiting,
                });
            }
        }
    }
}

/// The class of a job, made if there is none yet.
fn class(case: &Case, online: &Online<'_>, job: &TraceJob, classes: &mut Vec<Class>) -> usize {
    let pools: Vec<usize> = if case.anywhere { (0..case.places.len()).collect() } else { vec![job.home] };
    let point = Point { gpus: job.width, speed: 1.0, kw: job.width * case.kw_per_gpu };
    let new = Class { pools, points: vec![point], mode: online.mode, stays: online.stays };
    classes.iter().position(|class| *class == new).unwrap_or_else(|| {
        classes.push(new);
        classes.len() - 1
    })
}

/// Prices so many slots later, on the market's slots; behind their end the last one holds nothing.
fn moved(prices: Prices, slots: usize, market: &Market) -> Prices {
    let of = |(pool, market): (Vec<f64>, &Pool)| {
        (0..market.capacity.len()).map(|slot| pool.get(slot + slots).copied().unwrap_or(0.0)).collect()
    };
    Prices(prices.0.into_iter().zip(&market.pools).map(of).collect())
}

/// Does what the solution gives to the slot in progress, as far as there is work and room.
fn perform(
    case: &Case,
    online: &Online<'_>,
    live: &mut [Live],
    solution: &Solution,
    now: f64,
    used: &mut [f64],
    ran: &mut [Ran],
) {
    for (live, shares) in live.iter_mut().zip(&solution.shares) {
        let job = &case.jobs[live.job];
        for Share { pool, hours, .. } in shares.iter().filter(|share| share.slot == 0 && share.hours > 0.0) {
            // Work that must end within the slot is done by then, unless that is no longer possible.
            let until =
                (now + online.slot).min(if due(job) - now > hours * 3600.0 - 1e-6 { due(job) } else { f64::INFINITY });
            run(case, live, pool, (now, until), hours, used, online, ran);
        }
    }
}

/// A job that came within the slot starts at once in the room that is left at home.
fn at_once(case: &Case, online: &Online<'_>, live: &mut Live, now: f64, used: &mut [f64], ran: &mut [Ran]) {
    let job = &case.jobs[live.job];
    let until = (now + online.slot).min(job.arrival + job.length);
    run(case, live, job.home, (job.arrival, until), (until - job.arrival) / 3600.0, used, online, ran);
}

#[allow(clippy::too_many_arguments, reason = "one deed, told once")]
fn run(
    case: &Case,
    live: &mut Live,
    place: usize,
    (from, until): (f64, f64),
    hours: f64,
    used: &mut [f64],
    online: &Online<'_>,
    ran: &mut [Ran],
) {
    let job = &case.jobs[live.job];
    let room = case.places[place].gpus.map_or(f64::INFINITY, |gpus| gpus * online.slot / 3600.0 - used[place]);
    let length = (until - from) / 3600.0;
    let hours = hours.min(live.left).min(length).min((room / job.width).max(0.0));
    if hours <= NOTHING {
        return;
    }
    live.left -= hours;
    used[place] += hours * job.width;
    // It takes its share of the slot evenly; without a limit, and with the last of its work, it runs at its width.
    let (until, gpus) = if case.places[place].gpus.is_none() || live.left <= NOTHING {
        (from + hours * 3600.0, job.width)
    } else {
        (until, job.width * hours / length)
    };
    ran[live.job].push(Segment { from, until, gpus, place });
}

#[cfg(test)]
mod tests;
