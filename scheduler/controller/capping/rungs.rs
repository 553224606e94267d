//! Limits that a job is offered with its start, so that how hard it runs is decided together with when and where: those between
//! which its own steps showed a difference. Until they did it is watched while it runs, and stays where that search ends.

use super::known::{key_for, making_watts};
use super::{RUNG_WATTS, RUNGS};
use crate::controller::Controller;
use chrono::TimeDelta;
use neap_model::fleet::Gpu;
use neap_model::job::JobSpec;
use neap_model::units::{Percent, Watts};
use neap_policies::power::{Next, Probe, Rung, Terms};

/// Limits that a plan chooses from at most: each is one more way to look at for every width, model, node and hour.
const OFFERED: usize = 4;
/// Limits below the best that are offered beside them, where work starts held and watts may be short.
const SHORT: usize = 2;
/// What its hardware's making weighs is reckoned at the mean intensity of so long from now on.
const A_DAY: TimeDelta = TimeDelta::days(1);

/// Boards of one model in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Boards {
    /// The most that one node has.
    pub most: u32,
    /// Lowest limit that all of them may be told, and the one that was found on each; `None`: they differ, or may be told none.
    limits: Option<(Watts, Watts)>,
    /// The lowest limit at which work on one of them may be reckoned with from its start; `None`: none starts work held.
    held: Option<Watts>,
    /// Cores and GPUs of one of their nodes, and the power of a core.
    node: (u32, u32, Watts),
}

impl Boards {
    pub fn of(gpu: &Gpu, node: (u32, u32, Watts)) -> Self {
        Self { most: 0, limits: limits(gpu), held: held(gpu), node }
    }

    /// Another one of the model.
    pub fn and(&mut self, gpu: &Gpu) {
        if self.limits != limits(gpu) {
            self.limits = None;
        }
        self.held = [self.held, held(gpu)].into_iter().flatten().min();
    }

    /// Cores that a job gets there.
    fn cores(&self, spec: &JobSpec) -> u64 {
        let (cpus, gpus, _) = self.node;
        let share = u64::from(cpus) * u64::from(spec.resources.gpus) / u64::from(gpus.max(1));
        spec.resources.cpus.map_or(share.max(1), u64::from)
    }
}

fn limits(gpu: &Gpu) -> Option<(Watts, Watts)> {
    gpu.settable.map(|range| (range.least, range.nearest(gpu.limit)))
}

fn held(gpu: &Gpu) -> Option<Watts> {
    gpu.settable.and_then(|range| range.safe)
}

/// The limits that are tried, highest first; empty where there is no choice.
pub(super) fn between(least: Watts, top: Watts) -> Vec<Watts> {
    let step = (top.0 / RUNGS / RUNG_WATTS * RUNG_WATTS).max(RUNG_WATTS);
    let below = (0..).map(|n| Watts(top.0.saturating_sub(n * step))).take_while(|limit| *limit >= least);
    let rungs: Vec<Watts> = below.take_while(|limit| limit.0 > 0).collect();
    if rungs.len() > 1 { rungs } else { Vec::new() }
}

impl Controller {
    /// The limits of a model that a job is offered, highest first. `None`: it does not consent to any, nobody knows yet what they
    /// do, or the highest is best; its clocks are held instead where that is the better lever.
    pub(in crate::controller) fn rungs_of(&self, spec: &JobSpec, zone: &str, model: &str) -> Option<Vec<Rung>> {
        let boards = self.planning.boards(zone, model)?;
        let (least, top) = boards.limits.filter(|_| spec.flex.slowdown > Percent(0))?;
        let (key, now) = (key_for(spec, model.to_owned()), self.planning.site.now);
        let curve = self.capping.learned.of(&key, now)?;
        if self.capping.clocks.of(&key, now).is_some() {
            return None;
        }
        let limits = between(least, top);
        let (wide, cores) = (u64::from(spec.resources.gpus.max(1)), boards.cores(spec));
        let host = Watts(boards.node.2.0 * cores / wide);
        let intensity = self.grid.get(zone).and_then(|grid| grid.curve.series.mean(now, now + A_DAY));
        let intensity = intensity.map_or(0.0, |mean| mean.value.in_base()) * self.pue_of(zone);
        let delay = making_watts(self.config.embodied.as_ref(), (wide, cores), intensity);
        let terms = Terms { host: host.in_base(), delay, ..Terms::within(spec.flex.slowdown.ratio()) };
        let probe = Probe::new(&limits, terms, curve.clone(), 0);
        let known = matches!(probe.next(), Some(Next::Stay(_)));
        let mut rungs = known.then(|| probe.curve().rungs(&limits, &terms, OFFERED))?;
        if rungs.len() < 2 {
            return None;
        }
        if let Some(held) = boards.held {
            rungs.extend(probe.curve().short_rungs(&limits, &terms, held.max(least), SHORT));
        }
        Some(rungs)
    }

    /// Facility energy for each unit of the computers'.
    pub(super) fn pue_of(&self, zone: &str) -> f64 {
        self.terms.pue(Some(zone)).unwrap_or_default().ratio()
    }
}
