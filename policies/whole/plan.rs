//! Plans contiguous jobs on whole GPUs that share capacity at every instant: prices of room, then a start for every job at
//! those prices, then repair and polish. Planning cannot fail: a job whose window cannot hold runs as early as room appears.

use super::board::Board;
use super::bound::RoomPrices;
use super::polish::polish;
use super::prices::raise;
use super::search::{Ground, Spot};
use super::terms::{Standing, Terms};
use crate::replay::{Case, Ran, Segment};

/// How much work goes into a plan, counted in steps: never in time, or no plan could be made twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Rounds of prices.
    pub rounds: usize,
    /// How many times a few jobs are lifted and put back.
    pub steps: usize,
    /// No cell of time has one price for longer, in seconds.
    pub cell: f64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 200, steps: 10_000, cell: 900.0 }
    }
}

/// How many orders are tried in which nobody may be late.
const FILLS: usize = 10;

/// A plan and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// How every job runs; not at all if it is wider than every place it may use.
    pub ran: Vec<Ran>,
    /// Energy, waiting and late work, in grams.
    pub cost: f64,
    /// No plan of the same case, terms and standing runs costs less, in grams.
    pub bound: f64,
    /// Jobs that end behind their window, rising.
    pub late: Vec<usize>,
    /// Their work behind it.
    pub late_gpu_hours: f64,
    /// The prices that prove the bound.
    pub prices: RoomPrices,
}

/// Plans all jobs of a case; every length and intensity is known.
#[must_use]
pub fn plan(case: &Case, terms: &Terms, effort: Effort) -> Planned {
    replan(case, terms, effort, &Standing::NOTHING, None)
}

/// Plans the jobs of a case that have not started, around those that have. A job that is not known yet is not in the case.
/// The previous plan, of the same jobs and perhaps fewer of the last, is kept where nothing cheaper is found, and its
/// prices are where the new ones begin.
#[must_use]
pub fn replan(
    case: &Case,
    terms: &Terms,
    effort: Effort,
    standing: &Standing<'_>,
    previous: Option<&Planned>,
) -> Planned {
    let mut board = Board::new(case, terms, standing);
    let zero = RoomPrices::zero(case, effort.cell);
    let free = board.grounds(&zero, 0.0);
    let ideal = board.ideal(&free);
    // The tightest jobs choose first.
    let mut order = board.open.clone();
    order.sort_by(|&a, &b| board.works[a].freedom().total_cmp(&board.works[b].freedom()).then(a.cmp(&b)));

    for &job in &order {
        board.insert(job, &free);
    }
    let mut best = (board.cost(), board.spots.clone());
    let first = match previous {
        Some(previous) => carry_over(zero, &previous.prices),
        None => zero,
    };
    let (prices, bound) = raise(case, terms, standing, first, best.0, effort.rounds);
    let [quarter, half, full] = [0.25, 0.5, 1.0].map(|share| board.grounds(&prices, share));

    fill(&mut board, &mut order, &full);
    for ground in [&half, &quarter] {
        for &job in &order {
            board.lift(job);
            board.insert(job, ground);
        }
    }
    keep_cheaper(&board, &mut best);
    if let Some(previous) = previous {
        stand_as_before(&mut board, standing, previous, &order, &full);
        keep_cheaper(&board, &mut best);
    }
    board.restore(&best.1);
    polish(&mut board, &[&free, &half, &full], &ideal, effort.steps);
    report(&board, prices, bound)
}

/// Puts all jobs in that order at those prices. As long as some are late they come to the front and all begins anew: a few
/// times, for what is left the polish does better.
fn fill(board: &mut Board<'_>, order: &mut Vec<usize>, ground: &[Ground]) {
    let nobody = vec![None; board.spots.len()];
    for _ in 0..FILLS {
        board.restore(&nobody);
        for &job in order.iter() {
            board.insert(job, ground);
        }
        let (late, others): (Vec<usize>, Vec<usize>) = order.iter().partition(|&&job| board.is_late(job));
        if late.is_empty() {
            return;
        }
        *order = late.into_iter().chain(others).collect();
    }
}

fn keep_cheaper(board: &Board<'_>, best: &mut (f64, Vec<Option<Spot>>)) {
    let cost = board.cost();
    if cost < best.0 {
        *best = (cost, board.spots.clone());
    }
}

/// The earlier prices where the cells are the same.
fn carry_over(mut zero: RoomPrices, earlier: &RoomPrices) -> RoomPrices {
    for (cells, earlier) in zero.places.iter_mut().zip(&earlier.places) {
        let shift = (cells.start - earlier.start) / cells.cell;
        if cells.cell.total_cmp(&earlier.cell).is_ne() || shift.fract() != 0.0 {
            continue;
        }
        for (index, price) in cells.values.iter_mut().enumerate() {
            let before = index as f64 + shift;
            *price = if before >= 0.0 { earlier.values.get(before as usize).copied().unwrap_or(0.0) } else { 0.0 };
        }
    }
    zero
}

/// Puts every job where the previous plan has it if that is still possible, and the others into what is left.
fn stand_as_before(
    board: &mut Board<'_>,
    standing: &Standing<'_>,
    previous: &Planned,
    order: &[usize],
    ground: &[Ground],
) {
    board.restore(&vec![None; board.spots.len()]);
    let mut others = vec![];
    for &job in order {
        let run: Option<&Segment> = previous.ran.get(job).and_then(|ran| ran.first());
        if !run.is_some_and(|run| run.from >= standing.now && board.put_run(job, run)) {
            others.push(job);
        }
    }
    for job in others {
        board.insert(job, ground);
    }
}

/// Puts one more job into a plan at the plan's prices; no other moves. `None` if it is wider than every place it may use.
/// The job is the last of the case, and the plan has all the others.
#[must_use]
pub fn insert(case: &Case, terms: &Terms, standing: &Standing<'_>, plan: &Planned) -> Option<Segment> {
    let mut board = Board::new(case, terms, standing);
    let job = case.jobs.len().checked_sub(1)?;
    for other in board.open.clone() {
        if let Some(run) = plan.ran.get(other).and_then(|ran| ran.first()).filter(|_| other != job) {
            board.put_run(other, run);
        }
    }
    // Its window may reach behind the last time that has a price.
    let cell = plan.prices.places.iter().map(|cells| cells.cell).fold(f64::INFINITY, f64::min);
    let ground = board.grounds(&carry_over(RoomPrices::zero(case, cell), &plan.prices), 1.0);
    board.insert(job, &ground);
    board.run(job).first().copied()
}

fn report(board: &Board<'_>, prices: RoomPrices, bound: f64) -> Planned {
    Planned {
        ran: (0..board.spots.len()).map(|job| board.run(job)).collect(),
        cost: board.cost(),
        bound,
        late: board.late(),
        late_gpu_hours: board.late_gpu_hours(),
        prices,
    }
}
