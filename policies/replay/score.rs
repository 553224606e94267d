//! What a run of a case cost and how long people waited for it, per job and exact.
//!
//! Nothing is sampled: emissions are integrals, the peak is the largest sum at any instant, and every sum has a fixed
//! order. Savings are never computed here; a ratio to running at once is, because both sides were measured.

use super::{Case, Ran, Segment, TraceJob};

/// Seconds (or parts of a GPU-hour) below which two instants (or amounts) are the same.
const SAME: f64 = 1e-6;

/// Mean and quantiles of one number per job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

impl Spread {
    /// Of these values, in any order; all zero without one. Quantiles by linear interpolation (type 7).
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Self { mean, p50: quantile(&values, 0.5), p95: quantile(&values, 0.95) }
    }
}

/// The quantile of rising values at `part` of 0 to 1, by linear interpolation (type 7); 0 without a value.
#[must_use]
pub fn quantile(rising: &[f64], part: f64) -> f64 {
    let Some(last) = rising.len().checked_sub(1) else { return 0.0 };
    let position = part.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    rising[below] + (rising[above] - rising[below]) * (position - below as f64)
}

/// The score of one run of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Jobs of the case.
    pub jobs: usize,
    /// Jobs that never ran, or not to their end. They are late and have no wait.
    pub unfinished: usize,
    /// Emissions in grams CO2e.
    pub grams: f64,
    /// Emissions by zone, in grams CO2e.
    pub grams_by_place: Vec<f64>,
    /// Emissions ÷ those of running every job at once at home, as if there were no limit.
    pub to_unlimited: f64,
    /// Emissions ÷ those of the reference run: run-now under the same capacity.
    pub to_reference: f64,
    /// Energy at the meter of the site (PUE included), in kWh.
    pub energy_kwh: f64,
    /// Wait in hours: exit − arrival − length.
    pub wait_hours: Spread,
    /// Bounded slowdown: `max(1, (wait + run) / max(run, 10 s))`.
    pub slowdown: Spread,
    /// Jobs with work behind the end of their window.
    pub late_jobs: usize,
    /// Share of all work (GPU-hours) that ran behind the end of its window or never.
    pub late_work: f64,
    /// Largest number of GPUs in use at any instant, over all zones.
    pub peak_gpus: f64,
    /// Interruptions: gaps between the segments of a job.
    pub pauses: usize,
    /// Changes of zone within a job.
    pub moves: usize,
}

/// Scores what ran. `reference` is run-now under the same capacity (`baselines::Rule::RunNow`).
#[must_use]
pub fn score(case: &Case, ran: &[Ran], reference: &[Ran]) -> Score {
    let mut score = Score {
        jobs: case.jobs.len(),
        unfinished: 0,
        grams: 0.0,
        grams_by_place: vec![0.0; case.places.len()],
        to_unlimited: 1.0,
        to_reference: 1.0,
        energy_kwh: 0.0,
        wait_hours: Spread::default(),
        slowdown: Spread::default(),
        late_jobs: 0,
        late_work: 0.0,
        peak_gpus: peak(ran),
        pauses: 0,
        moves: 0,
    };
    let (mut work, mut late) = (0.0, 0.0);
    let (mut waits, mut slowdowns) = (Vec::new(), Vec::new());
    let never = Ran::new();
    for (index, job) in case.jobs.iter().enumerate() {
        let segments = ran.get(index).unwrap_or(&never);
        for segment in segments {
            score.grams_by_place[segment.place] += case.grams(segment);
            score.energy_kwh += gpu_hours(segment) * case.kw_per_gpu * case.places[segment.place].pue;
        }
        let due = job.arrival + job.length + job.slack;
        let wanted = job.width * job.length / 3600.0;
        let behind = segments.iter().map(|s| gpu_hours(&Segment { from: s.from.max(due).min(s.until), ..*s })).sum();
        let missing = wanted - segments.iter().map(gpu_hours).sum::<f64>();
        let finished = !segments.is_empty() && missing <= SAME * wanted.max(1.0);
        let exit = segments.iter().map(|s| s.until).fold(f64::NEG_INFINITY, f64::max);
        work += wanted;
        late += late_work(behind, missing, finished);
        score.late_jobs += usize::from(!finished || exit > due + SAME);
        score.pauses += segments.windows(2).filter(|w| w[1].from > w[0].until + SAME).count();
        score.moves += segments.windows(2).filter(|w| w[1].place != w[0].place).count();
        if finished {
            let wait = (exit - job.arrival - job.length).max(0.0);
            waits.push(wait / 3600.0);
            slowdowns.push(((wait + job.length) / job.length.max(10.0)).max(1.0));
        } else {
            score.unfinished += 1;
        }
    }
    score.grams = score.grams_by_place.iter().sum();
    score.to_unlimited = ratio(score.grams, unlimited(case));
    score.to_reference = ratio(score.grams, reference.iter().flatten().map(|s| case.grams(s)).sum());
    score.wait_hours = Spread::of(waits);
    score.slowdown = Spread::of(slowdowns);
    score.late_work = if work > 0.0 { late / work } else { 0.0 };
    score
}

/// Emissions of running every job at once at home without any limit, in grams CO2e.
#[must_use]
pub fn unlimited(case: &Case) -> f64 {
    let at_once = |job: &TraceJob| {
        let run = Segment { from: job.arrival, until: job.arrival + job.length, gpus: job.width, place: job.home };
        if job.home < case.places.len() { case.grams(&run) } else { 0.0 }
    };
    case.jobs.iter().map(at_once).sum()
}

fn gpu_hours(segment: &Segment) -> f64 {
    segment.gpus * (segment.until - segment.from).max(0.0) / 3600.0
}

fn late_work(behind: f64, missing: f64, finished: bool) -> f64 {
    if finished { behind } else { behind + missing.max(0.0) }
}

/// One without anything to compare: doing nothing instead of nothing saves nothing.
fn ratio(grams: f64, reference: f64) -> f64 {
    if reference == 0.0 { 1.0 } else { grams / reference }
}

/// Ends come before beginnings at the same instant, so that a hand-over is not counted twice.
fn peak(ran: &[Ran]) -> f64 {
    let mut changes: Vec<(f64, f64)> = Vec::new();
    for segment in ran.iter().flatten().filter(|s| s.until > s.from && s.gpus > 0.0) {
        changes.push((segment.from, segment.gpus));
        changes.push((segment.until, -segment.gpus));
    }
    let instant = |second: f64| (second / SAME).round();
    changes.sort_by(|a, b| instant(a.0).total_cmp(&instant(b.0)).then(a.1.total_cmp(&b.1)));
    let (mut now, mut most) = (0.0, 0.0f64);
    for (_, gpus) in changes {
        now += gpus;
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests;
