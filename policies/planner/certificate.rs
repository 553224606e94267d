//! How far a plan can be from the best there is: for the jobs that wait for the grid, what they are planned to emit, and a
//! bound that no plan of them can undercut.
//!
//! With a price λ ≥ 0 for a unit of room (a GPU, or a core for jobs without one; a kW under a limit, a GPU of those that may be
//! in use at once) in each zone and hour, every job alone costs at least its cheapest way to run in its own window, and
//! together they never pay more for room than there is. So
//! `Σ min (emissions + λ·room) − Σ λ·capacity` is at most the emissions of every plan, whatever λ is (weak duality).
//! What only makes a plan dearer is left out: the borders of nodes, memory, the order of the queue, what a pause costs.
//! Nothing of the search for starts is used.

mod dual;
mod ways;

use crate::likely::Lengths;
use crate::order::{Turn, by_price, latest_start, length, turn, waits_for_grid};
use crate::planner::Plan;
use crate::problem::{Job, Problem};
use crate::room::Room;
use crate::stamp::{Stamp, stamp};
use dual::Dual;
use neap_model::plan::{Certificate, Decision};
use neap_model::units::GramsCo2e;
pub(super) use ways::CELL;
use ways::{Ground, Window};

/// Curves are not finer than that, in milliseconds. What a job is planned to emit is rounded once for each part of the
/// curve it meets, by up to one of the finest steps of grams.
const SHORTEST: i64 = 300_000;

/// The certificate of a plan for its problem. It speaks of the jobs that wait for the grid, have a planned run and know
/// the intensity of all of it; without such jobs both figures are zero.
#[must_use]
pub fn certified(problem: &Problem, plan: &Plan) -> Certificate {
    let now = problem.site.now;
    // Levels as they are: what was planned is counted in them, whatever the zones measure.
    let mut site = problem.site.clone();
    site.zones.iter_mut().for_each(|state| state.basis = 0);
    let room = Room::of(&site, &problem.occupants);
    let jobs: Vec<(&Job, Window, GramsCo2e)> = problem
        .waiting
        .iter()
        .filter(|job| waits_for_grid(job) && !by_price(job) && turn(job, now) == Turn::Ordinary)
        .filter_map(|job| {
            let decision = plan.decisions.get(&job.id)?;
            let expected = decision.expected.filter(|outlook| outlook.grade.may_shift())?;
            Some((&**job, window(job, decision, stamp(now))?, expected.emits))
        })
        .collect();
    let ends = jobs.iter().map(|(_, window, _)| window.end).max();
    let (mut certificate, mut rounded) = (Certificate::default(), 0.0);
    let Some(ground) = ends.map(|end| Ground::new(&room, stamp(now), end)) else { return certificate };
    let mut dual = Dual::new(ground.supplies());
    for (job, window, emits) in jobs {
        if let Some(ways) = ground.ways(job, window) {
            dual.add(ways);
            certificate.jobs += 1;
            certificate.emits += emits;
            // Once for the mean over its likely lengths, too.
            rounded += 3.0 + (window.longest / SHORTEST) as f64;
        }
    }
    let planned = certificate.emits.0 as f64;
    let bound = dual.raise(planned).0 * (1.0 - 1e-9) - rounded;
    certificate.bound = GramsCo2e(bound.max(0.0).floor() as u64);
    certificate
}

/// Prices of room that hold the jobs apart which want the same hours.
#[derive(Clone, Debug, Default)]
pub(super) struct Prices {
    /// Beginning of the first cell.
    pub start: Stamp,
    /// By zone, for a GPU and for a core, by cell of [`CELL`] milliseconds: in the finest step of grams for a unit-hour.
    pub cells: Vec<[Vec<f64>; 2]>,
    /// The same of what nodes share, for a GPU-hour or a kWh.
    pub shared: Vec<Vec<f64>>,
}

/// Prices for jobs that are to share what is free in `room`, each with the first and the last start it may have. `planned`
/// is what some plan of them emits, in the finest step of grams. `None`: nobody is in anybody's way.
pub(super) fn prices(room: &Room, now: Stamp, jobs: &[(&Job, Stamp, Stamp)], planned: f64) -> Option<Prices> {
    let windows = jobs.iter().map(|(job, from, last)| {
        let (lengths, last) = (Lengths::of(job, length(job)), (*last).max(*from));
        let end = last.saturating_add(lengths.planned);
        (*job, Window { from: *from, last, end, longest: lengths.longest })
    });
    let windows: Vec<(&Job, Window)> = windows.collect();
    let ground = Ground::new(room, now, windows.iter().map(|(_, window)| window.end).max()?);
    let mut dual = Dual::new(ground.supplies());
    windows.iter().filter_map(|(job, window)| ground.ways(job, *window)).for_each(|ways| dual.add(ways));
    let mut flat = dual.raise(planned).1;
    let shared = flat.split_off(2 * room.zones.len());
    let dear = flat.iter().chain(&shared).flatten().any(|price| *price > 0.0);
    let mut flat = flat.into_iter();
    let cells: Vec<[Vec<f64>; 2]> = std::iter::from_fn(|| Some([flat.next()?, flat.next()?])).collect();
    dear.then_some(Prices { start: ground.start(), cells, shared })
}

/// Where a job may run: its own terms, widened to what was decided, which may be late.
fn window(job: &Job, decision: &Decision, now: Stamp) -> Option<Window> {
    let expected = decision.expected?;
    let Lengths { planned, longest, .. } = Lengths::of(job, length(job));
    let last = stamp(latest_start(job)?).max(stamp(expected.start));
    let from = now.max(stamp(job.eligible));
    Some(Window { from, last: last.max(from), end: (last.saturating_add(planned)).max(stamp(expected.end)), longest })
}
