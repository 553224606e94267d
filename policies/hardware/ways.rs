//! How long one job takes on every width and model it may run on, and at every power limit, from what its earlier runs showed.
//!
//! Runs on one way tell about the others through two things: how much wider means how much faster, and how much faster
//! one model is than another. What was measured goes before what follows from it, and what nothing is known of is assumed
//! in the one place below that says so.

use super::Scaling;
use crate::machine::model_rank;
use crate::power::Rung;
use crate::problem::Way;
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use std::collections::{BTreeMap, BTreeSet};

/// The parallel efficiency that each doubling of the width is taken to keep as long as no two widths of a job were
/// measured: an assumption, a little below what data-parallel training shows inside one node.
pub const ASSUMED: f64 = 0.9;

/// Runs in all that a length is learned from.
const ENOUGH: usize = 3;

/// An earlier run of a job, from its start to its end in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Model of its GPUs.
    pub model: String,
    /// How many.
    pub gpus: u32,
    /// How long it took, or would have taken at the highest limit.
    pub took: Seconds,
    /// How long the slowest way was to take, as the person said of that very run.
    pub expect: Option<Seconds>,
    /// Mean power of one of them, where it was measured, as at the highest limit.
    pub watts: Option<Watts>,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<'a> {
    /// Widths it may have, rising.
    pub widths: &'a [u32],
    /// Models it takes, best first; empty: any.
    pub models: &'a [String],
    /// Models that there are, each once, with the most that one node has.
    pub offered: &'a [(String, u32)],
    /// Power limits by model, the highest first, where the job consents to lower ones and what they do is known.
    pub rungs: &'a BTreeMap<String, Vec<Rung>>,
    /// How long the slowest width and model is to be reckoned with at the highest limit, as the person said; `None`: nobody did.
    pub expect: Option<Seconds>,
    /// Its hard stop, whatever the way.
    pub limit: Seconds,
    /// What it goes by.
    pub objective: Objective,
}

/// The ways of a job, by model as they were offered, by width and by limit. Empty where it has no choice, or none that is known
/// to matter: one width, fewer than two models that it ever ran on, and no limits.
///
/// Limits are a choice only where the power on every model it takes was measured, and no lower one is taken that could bring
/// the job to its hard stop.
///
/// The person's order of models holds where the job only wants to be done; one that wants little carbon, money or energy
/// goes by what was measured once every model it takes was.
#[must_use]
pub fn ways<'a>(asked: &Asked<'_>, runs: impl IntoIterator<Item = &'a Ran>) -> Vec<Way> {
    let takes = |model: &str| model_rank(asked.models, model).is_some();
    let models: Vec<&(String, u32)> = asked.offered.iter().filter(|(model, _)| takes(model)).collect();
    let runs: Vec<&Ran> = runs.into_iter().filter(|ran| ran.gpus > 0 && ran.took > Seconds::ZERO).collect();
    let measured = |model: &String| runs.iter().any(|ran| ran.model == *model);
    let known = models.iter().filter(|(model, _)| measured(model)).count();
    let judged = known == models.len() && known > 0;
    let rungs = |model: &String| asked.rungs.get(model).filter(|rungs| judged && rungs.len() > 1);
    let limits = models.iter().any(|(model, _)| rungs(model).is_some());
    if asked.widths.iter().all(|width| *width == 0) || asked.widths.len() < 2 && known < 2 && !limits {
        return Vec::new();
    }
    let seen = Seen::of(runs);
    let all = models.iter().flat_map(|(model, most)| {
        asked.widths.iter().filter(move |width| *width <= most).map(move |width| (model, *width))
    });
    let times: Vec<(&String, u32, f64)> = all.map(|(model, width)| (model, width, seen.time(model, width))).collect();
    let slowest = times.iter().map(|(.., time)| *time).fold(0.0, f64::max);
    let longest = asked.expect.or_else(|| seen.ninetieth(slowest)).unwrap_or(asked.limit).min(asked.limit);
    let way = |(model, width, time): &(&String, u32, f64)| Way {
        model: (*model).clone(),
        gpus: *width,
        limit: None,
        length: Seconds(((longest.0 as f64 * time / slowest).ceil() as u64).max(1)),
        watts: if judged { seen.watts(model, *width) } else { None },
        rank: match asked.objective {
            Objective::Carbon | Objective::Price | Objective::Energy if judged => 0,
            _ => model_rank(asked.models, model).unwrap_or_default(),
        },
        short: false,
    };
    let at_limits = |one: &(&String, u32, f64)| {
        let whole = way(one);
        match (rungs(one.0), whole.watts) {
            (Some(rungs), Some(watts)) => {
                let mut ways: Vec<Way> = rungs.iter().map(|rung| at_limit(&whole, watts, rung)).collect();
                ways.retain(|way| way.length <= whole.length.max(asked.limit));
                if ways.len() > 1 { ways } else { vec![whole] }
            }
            _ => vec![whole],
        }
    };
    times.iter().flat_map(at_limits).collect()
}

/// The same way at a lower limit.
fn at_limit(way: &Way, watts: Watts, rung: &Rung) -> Way {
    let length = Seconds(((way.length.0 as f64 * rung.time).ceil() as u64).max(1));
    let watts = Watts((watts.0 as f64 * rung.power).round() as u64);
    Way { limit: Some(rung.limit), length, watts: Some(watts), short: rung.short, ..way.clone() }
}

/// How long the run in the middle took on each way that was measured, by model and width: in seconds or, where it was said of
/// each run how much work it is, as a share of that.
type Measured<'a> = BTreeMap<(&'a str, u32), f64>;

/// How speed grows with width: the mean over every two widths that one model ran at, weighed by how far they lie apart.
fn scaling(measured: &Measured<'_>) -> Scaling {
    let (mut faster, mut wider) = (0.0, 0.0);
    for (one, next) in measured.iter().zip(measured.iter().skip(1)).filter(|(one, next)| one.0.0 == next.0.0) {
        faster += (one.1 / next.1).log2();
        wider += (f64::from(next.0.1) / f64::from(one.0.1)).log2();
    }
    // A doubling that gains nothing keeps half; one that gains more than double is noise.
    let efficiency = if wider > 0.0 { ((faster / wider).exp2() / 2.0).clamp(0.5, 1.0) } else { ASSUMED };
    Scaling::Doubling { efficiency }
}

struct Seen<'a> {
    /// With how long each took, as in [`Measured`].
    runs: Vec<(&'a Ran, f64)>,
    measured: Measured<'a>,
    scaling: Scaling,
}

impl<'a> Seen<'a> {
    fn of(runs: Vec<&'a Ran>) -> Self {
        // Jobs of one name may be large and small: then what was said of each tells them apart from fast and slow GPUs.
        let said = runs.iter().all(|ran| ran.expect.is_some_and(|expect| expect > Seconds::ZERO));
        let whole = |ran: &Ran| ran.expect.filter(|_| said).map_or(1.0, |expect| expect.0 as f64);
        let runs: Vec<(&Ran, f64)> = runs.into_iter().map(|ran| (ran, ran.took.0 as f64 / whole(ran))).collect();
        let mut kinds: BTreeMap<(&str, u32), Vec<f64>> = BTreeMap::new();
        runs.iter().for_each(|(ran, took)| kinds.entry((&ran.model, ran.gpus)).or_default().push(*took));
        let measured: Measured<'_> =
            kinds.into_iter().filter_map(|(kind, took)| Some((kind, middle(took.into_iter())?))).collect();
        Self { scaling: scaling(&measured), runs, measured }
    }

    /// How much longer a run of one width takes than the same at another.
    fn times(&self, from: u32, to: u32) -> f64 {
        let speed = |width: u32| self.scaling.speed_up(width).unwrap_or(1.0);
        speed(from) / speed(to)
    }

    /// Seconds, in the middle of the runs it was measured in; else from other widths of the model; else from the model on
    /// which it was slowest, and if it never ran, relative to one GPU.
    fn time(&self, model: &str, width: u32) -> f64 {
        let itself = self.measured.get(&(model, width)).copied();
        itself.or_else(|| self.on(model, width)).unwrap_or_else(|| {
            let models: BTreeSet<&str> = self.measured.keys().map(|(model, _)| *model).collect();
            let times = models.into_iter().filter_map(|model| self.on(model, width));
            times.reduce(f64::max).unwrap_or_else(|| self.times(1, width))
        })
    }

    /// From all widths of one model.
    fn on(&self, model: &str, width: u32) -> Option<f64> {
        let on = self.runs.iter().filter(|(ran, _)| ran.model == model);
        middle(on.map(|(ran, took)| took * self.times(ran.gpus, width)))
    }

    /// The 90th percentile of all runs as they would have been on a way that takes `slowest`.
    fn ninetieth(&self, slowest: f64) -> Option<Seconds> {
        let there = |(ran, _): &(&Ran, f64)| ran.took.0 as f64 * slowest / self.time(&ran.model, ran.gpus);
        let mut all: Vec<f64> = self.runs.iter().map(there).collect();
        all.sort_by(f64::total_cmp);
        let at = (all.len() * 9).div_ceil(10);
        (all.len() >= ENOUGH).then(|| Seconds(all[at - 1].ceil() as u64))
    }

    /// Watts of a GPU: of that width, else of the model.
    fn watts(&self, model: &str, width: u32) -> Option<Watts> {
        let of = |alike: &dyn Fn(&Ran) -> bool| {
            let on = self.runs.iter().filter(|(ran, _)| ran.model == model && alike(ran));
            middle(on.filter_map(|(ran, _)| ran.watts).map(|watts| watts.0 as f64))
        };
        of(&|ran| ran.gpus == width).or_else(|| of(&|_| true)).map(|watts| Watts(watts.round() as u64))
    }
}

/// The middle of some figures; of an even number the mean of the two in the middle.
fn middle(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = figures.collect();
    all.sort_by(f64::total_cmp);
    let (low, high) = (all.get(all.len().wrapping_sub(1) / 2)?, all.get(all.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests;
