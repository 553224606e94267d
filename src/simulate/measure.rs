//! The figures of a policy: what it emitted against running at once, how long people waited, and what it used.

use super::case::Setting;
use super::idle::{self, Extra};
use super::options::{Model, Options};
use super::policies::Outcome;
use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Case, Ran, Score, Segment, TraceJob, quantile, score};

/// Seconds below which two instants are the same.
const SAME: f64 = 1e-3;

/// What the policies are compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Every job at once at home, as if there were no limit: grams, idle power with it.
    pub unlimited: f64,
    /// Queue order under the same capacity: grams; `None` where a job does not fit in.
    pub same_capacity: Option<f64>,
    /// What ran under it.
    pub ran: Vec<Ran>,
    /// Grams that no plan of these jobs stays below, if they may pause and take fractions.
    pub bound: f64,
    /// Until when idle GPUs are counted, in seconds.
    pub until: f64,
    /// The same figures of a second series.
    pub marginal: Option<f64>,
}

/// The figures of a policy.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its name.
    pub policy: String,
    /// What ran, scored.
    pub score: Score,
    /// Grams in all: work, idle power, pauses, and what was never done.
    pub grams: f64,
    /// Energy in all, in kWh.
    pub energy_kwh: f64,
    /// Energy of idle GPUs, in kWh.
    pub idle_kwh: f64,
    /// Energy of pauses, in kWh.
    pub pause_kwh: f64,
    /// Mean, median and 95th percentile of bounded slowdown, without jobs that were cut off.
    pub slowdown: [f64; 3],
    /// Grams by a second series, and those of running at once.
    pub marginal: Option<(f64, f64)>,
    /// Jobs that did not start when they came, or paused.
    pub held: usize,
    /// Grams that no plan of its kind stays below.
    pub bound: f64,
    /// What ran.
    pub ran: Vec<Ran>,
    /// By plan, its gap.
    pub gaps: Vec<f64>,
    /// By plan, how long it took, in seconds.
    pub seconds: Vec<f64>,
}

fn at_once(job: &TraceJob) -> Ran {
    vec![Segment { from: job.arrival, until: job.arrival + job.length, gpus: job.width, place: job.home }]
}

/// Grams of one job running at once at home.
#[must_use]
pub fn run_now(case: &Case, job: &TraceJob) -> f64 {
    at_once(job).iter().map(|segment| case.grams(segment)).sum()
}

fn sum(case: &Case, ran: &[Ran]) -> f64 {
    ran.iter().flatten().map(|segment| case.grams(segment)).sum()
}

/// Emissions by a second series.
fn by(setting: &Setting, ran: &[Ran]) -> Option<f64> {
    let curves = setting.marginal.as_ref()?;
    let mut case = setting.case.clone();
    case.places.iter_mut().zip(curves).for_each(|(place, curve)| place.curve = curve.clone());
    Some(sum(&case, ran))
}

/// What the policies are compared with; `bound` where one of them found it on the way.
#[must_use]
pub fn reference(setting: &Setting, options: &Options, bound: Option<f64>) -> Reference {
    let case = &setting.case;
    let until = case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(0.0, f64::max);
    let unlimited: Vec<Ran> = case.jobs.iter().map(at_once).collect();
    let with_idle = |ran: &[Ran]| sum(case, ran) + idle::idle(case, ran, options, until).grams;
    // A queue hands out whole GPUs, in the divisible model as well.
    let mut whole = case.clone();
    for place in &mut whole.places {
        place.gpus = place.gpus.map(f64::floor);
    }
    let ran = run(Rule::RunNow, &whole, Lengths::True);
    let fits = score(case, &ran, &ran).unfinished == 0;
    Reference {
        unlimited: with_idle(&unlimited),
        same_capacity: fits.then(|| with_idle(&ran)),
        bound: bound.unwrap_or_else(|| super::policies::bound(case, options)),
        until,
        marginal: by(setting, &unlimited),
        ran,
    }
}

/// Work that was never done is charged at the dirtiest hour, so that leaving it out is no bargain.
fn never_done(case: &Case, ran: &[Ran]) -> Extra {
    let dirtiest = case.places.iter().flat_map(|p| p.curve.values().iter().map(move |value| value * p.pue));
    let dirtiest = dirtiest.fold(0.0, f64::max);
    let mut missing = 0.0;
    for (job, ran) in case.jobs.iter().zip(ran) {
        let done: f64 = ran.iter().map(|s| s.gpus * (s.until - s.from)).sum();
        let left = job.width * job.length - done;
        missing += if left > 1e-6 * job.width * job.length.max(1.0) { left / 3600.0 } else { 0.0 };
    }
    let energy_kwh = missing * case.kw_per_gpu;
    Extra { energy_kwh, grams: energy_kwh * dirtiest }
}

/// The figures of a policy.
#[must_use]
pub fn figures(policy: &str, setting: &Setting, options: &Options, outcome: Outcome, reference: &Reference) -> Figures {
    let case = &setting.case;
    let score = score(case, &outcome.ran, &reference.ran);
    let end = outcome.ran.iter().flatten().map(|s| s.until).fold(reference.until, f64::max);
    let idle = idle::idle(case, &outcome.ran, options, end);
    let pauses = idle::pauses(case, &outcome.ran, options);
    let never = never_done(case, &outcome.ran);
    let mut slowdowns = Vec::new();
    let mut held = 0;
    for ((job, ran), of_trace) in case.jobs.iter().zip(&outcome.ran).zip(&setting.jobs) {
        held += usize::from(is_held(job, ran));
        if let (false, Some(wait)) = (of_trace.cut, wait(job, ran)) {
            slowdowns.push(((wait + job.length) / job.length.max(10.0)).max(1.0));
        }
    }
    slowdowns.sort_by(f64::total_cmp);
    let mean = if slowdowns.is_empty() { 0.0 } else { slowdowns.iter().sum::<f64>() / slowdowns.len() as f64 };
    let mut score = score;
    if options.model == Model::Divisible && case.places.iter().any(|place| place.gpus.is_some()) {
        score.peak_gpus = peak_on_average(&outcome.ran, options.slot);
    }
    Figures {
        policy: policy.to_owned(),
        grams: score.grams + idle.grams + pauses.grams + never.grams,
        energy_kwh: score.energy_kwh + idle.energy_kwh + pauses.energy_kwh + never.energy_kwh,
        idle_kwh: idle.energy_kwh,
        pause_kwh: pauses.energy_kwh,
        slowdown: [mean, quantile(&slowdowns, 0.5), quantile(&slowdowns, 0.95)],
        marginal: by(setting, &outcome.ran).zip(reference.marginal),
        held,
        score,
        bound: outcome.bound.unwrap_or(reference.bound),
        ran: outcome.ran,
        gaps: outcome.gaps,
        seconds: outcome.seconds,
    }
}

/// The largest number of GPUs in use on the average of a slot: that is what the divisible model keeps within capacity.
fn peak_on_average(ran: &[Ran], slot: f64) -> f64 {
    let end = ran.iter().flatten().map(|segment| segment.until).fold(0.0, f64::max);
    let mut used = vec![0.0; (end / slot).ceil() as usize + 1];
    for segment in ran.iter().flatten() {
        let mut from = segment.from;
        while from < segment.until {
            let n = (from / slot + 1e-9).floor() as usize;
            let until = segment.until.min((n + 1) as f64 * slot);
            used[n] += segment.gpus * (until - from) / slot;
            from = until;
        }
    }
    used.into_iter().fold(0.0, f64::max)
}

/// How long a job waited, in seconds: exit − arrival − length. `None` if it never ran.
#[must_use]
pub fn wait(job: &TraceJob, ran: &Ran) -> Option<f64> {
    let exit = ran.iter().map(|segment| segment.until).max_by(f64::total_cmp)?;
    Some((exit - job.arrival - job.length).max(0.0))
}

/// Whether a job waited, before it started or in between.
#[must_use]
pub fn is_held(job: &TraceJob, ran: &Ran) -> bool {
    wait(job, ran).is_none_or(|wait| wait > SAME)
}
