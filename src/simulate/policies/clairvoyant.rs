//! A case as one market in which everything is known: the bound of every replay, and the plan of one with no surprises.

use super::super::options::{Moves, Options};
use neap_policies::market::{Class, Effort, Grain, Market, Mode, Point, Pool, Share, Shares, Solution, Task, solve};
use neap_policies::pieces::{self, Laid, Pause};
use neap_policies::replay::{Case, Ran, Segment};
use neap_policies::whole::price_of_waiting;

/// Hours behind the last window that late work may use.
const OVERFLOW: f64 = 24.0;
/// Late work costs that multiple of the dirtiest hour.
const LATE: f64 = 10.0;
/// Hours below which two instants are the same.
const SAME: f64 = 1e-9;

/// Grams that no plan of these jobs stays below, if they may pause and take fractions; late work is charged in it.
#[must_use]
pub fn bound(case: &Case, options: &Options) -> f64 {
    let free = Options { wait_price: 0.0, ..options.clone() };
    let effort = Effort { grain: Grain::Divisible, ..Effort::default() };
    solved(case, &Options { slot: step(case), ..free }, effort).0.bound
}

/// The longest slot, up to an hour, over which no intensity changes: averages over it hide nothing.
#[must_use]
pub fn step(case: &Case) -> f64 {
    let constant = |slot: &f64| {
        case.places.iter().all(|place| place.curve.step() % slot == 0.0 && place.curve.start() % slot == 0.0)
    };
    [3600.0, 1800.0, 900.0].into_iter().find(constant).unwrap_or(300.0)
}

/// The market, solved.
#[must_use]
pub fn solved(case: &Case, options: &Options, effort: Effort) -> (Solution, Market) {
    let market = market(case, options);
    (solve(&market, effort, None), market)
}

fn market(case: &Case, options: &Options) -> Market {
    let slot = options.slot;
    let slot_hours = slot / 3600.0;
    let waiting = price_of_waiting(case, options.wait_price);
    let mut classes: Vec<Class> = Vec::new();
    let tasks: Vec<Task> = case
        .jobs
        .iter()
        .map(|job| {
            let pools: Vec<usize> = if case.anywhere { (0..case.places.len()).collect() } else { vec![job.home] };
            let point = Point { gpus: job.width, speed: 1.0, kw: job.width * case.kw_per_gpu };
            let stays = options.moves == Moves::Choose;
            let new = Class { pools, points: vec![point], mode: Mode::Interruptible, stays };
            let class = classes.iter().position(|class| *class == new).unwrap_or_else(|| {
                classes.push(new);
                classes.len() - 1
            });
            let release = job.arrival / 3600.0;
            let hours = job.length / 3600.0;
            Task { class, hours, release, due: release + hours + job.slack / 3600.0, waiting }
        })
        .collect();
    let last = tasks.iter().map(|task| task.due).fold(0.0, f64::max);
    let slots = ((last + OVERFLOW) / slot_hours).ceil() as usize;
    let most: f64 = case.jobs.iter().map(|job| job.width).sum();
    let pool = |place: &neap_policies::replay::Place| Pool {
        capacity: vec![place.gpus.unwrap_or(most); slots],
        grams_per_kwh: (0..slots)
            .map(|n| place.pue * place.curve.integral(n as f64 * slot, (n + 1) as f64 * slot) / slot_hours)
            .collect(),
    };
    let pools: Vec<Pool> = case.places.iter().map(pool).collect();
    let dirtiest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).copied().fold(0.0, f64::max);
    Market { slot_hours, pools, classes, tasks, late: LATE * dirtiest * case.kw_per_gpu }
}

/// The market planned in pieces of whole width on whole GPUs. Its slots are no longer than intensities stay the same.
#[must_use]
pub fn laid(case: &Case, options: &Options) -> Laid {
    let (seconds, kwh) = options.pause_cost;
    let options = Options { slot: options.slot.min(step(case)), ..options.clone() };
    pieces::plan(&market(case, &options), Pause { hours: seconds / 3600.0, kwh }, pieces::Effort::default())
}

/// What ran, piece by piece.
#[must_use]
pub fn in_pieces(case: &Case, laid: &Laid) -> Vec<Ran> {
    let seconds = |microseconds: i64| microseconds as f64 / 1e6;
    let of = |(job, run): (&neap_policies::replay::TraceJob, &Vec<pieces::Piece>)| {
        let segment = |piece: &pieces::Piece| Segment {
            from: seconds(piece.from),
            until: seconds(piece.until),
            gpus: job.width,
            place: piece.pool,
        };
        if job.length <= 0.0 {
            return vec![Segment { from: job.arrival, until: job.arrival, gpus: job.width, place: job.home }];
        }
        run.iter().map(segment).collect()
    };
    case.jobs.iter().zip(&laid.runs).map(of).collect()
}

/// What ran, to the second: fractions evenly over their slot; where there is no limit, and the last of a job's work, whole
/// widths from its beginning on.
#[must_use]
pub fn ran(case: &Case, market: &Market, solution: &Solution) -> Vec<Ran> {
    let of = |(task, shares): (usize, &Shares)| {
        let shares: Vec<Share> = shares.iter().collect();
        let (job, mine) = (&case.jobs[task], &market.tasks[task]);
        let mut ran: Vec<Segment> = Vec::new();
        let last = shares.iter().rposition(|share| share.hours > SAME);
        for (n, share) in shares.iter().enumerate().filter(|(_, share)| share.hours > SAME) {
            let begins = share.slot as f64 * market.slot_hours;
            let ends = begins + market.slot_hours;
            let from = begins.max(mine.release);
            let due = ends.min(mine.due);
            let until = if due - from > share.hours - SAME { due } else { ends };
            let unlimited = case.places[share.pool].gpus.is_none();
            let (from, until, gpus) = if unlimited {
                let before = ran.last().map_or(from, |before| before.until / 3600.0).max(from);
                (before, before + share.hours, job.width)
            } else if Some(n) == last && (n == 0 || shares[n - 1].slot < share.slot) {
                (from, from + share.hours, job.width)
            } else {
                (from, until, job.width * share.hours / (until - from).max(SAME))
            };
            ran.push(Segment { from: from * 3600.0, until: until * 3600.0, gpus, place: share.pool });
        }
        ran.sort_by(|a, b| a.from.total_cmp(&b.from).then(a.place.cmp(&b.place)));
        ran
    };
    solution.shares.iter().enumerate().map(of).collect()
}
