//! Who is expected to come, from the jobs of the last weeks that consented to wait. History is what the journal says, so that a
//! restart expects the same.

use crate::controller::Controller;
use crate::controller::state::Job;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::{JobSpec, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent};
use neap_policies::arrivals::{Came, LOOKS_BACK, expected};
use neap_policies::problem::{Arrival, Delay};
use std::collections::VecDeque;
use std::sync::Arc;

/// Jobs that are remembered at most, about 200 bytes each; of more the oldest are forgotten.
const MOST: usize = 10_000;

/// A job that waited for the grid, ran and ended.
#[derive(Clone, Debug)]
struct Past {
    at: DateTime<Utc>,
    length: Seconds,
    gpus: u32,
    gpu_model: Box<[String]>,
    cpus: Option<u32>,
    memory: Bytes,
    zones: Box<[String]>,
    delay: Delay,
}

/// Those of the last weeks, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Record(VecDeque<Past>);

impl Record {
    /// Notes a job that ended.
    pub fn note(&mut self, job: &Job) {
        let (Some(started), Some(ended)) = (job.started, job.ended) else { return };
        let Some(delay) = consent(&job.spec) else { return };
        let asked = &job.spec.resources;
        self.0.push_back(Past {
            at: eligible(job),
            length: (job.ran + Seconds::between(started, ended)).max(Seconds(1)),
            gpus: u32::try_from(job.gpus.len()).unwrap_or(asked.gpus).max(asked.gpus),
            gpu_model: asked.gpu_model.clone().into(),
            cpus: asked.cpus,
            memory: asked.memory.unwrap_or_default(),
            zones: job.spec.flex.zones.clone().into(),
            delay,
        });
        let old = ended - TimeDelta::days(LOOKS_BACK.cast_signed() + 1);
        while self.0.len() > MOST || self.0.front().is_some_and(|past| past.at < old) {
            self.0.pop_front();
        }
    }

    fn came(&self) -> impl Iterator<Item = Came<'_>> {
        self.0.iter().map(|past| Came {
            at: past.at,
            length: past.length,
            gpus: past.gpus,
            gpu_model: &past.gpu_model,
            cpus: past.cpus,
            memory: past.memory,
            zones: &past.zones,
            delay: past.delay,
        })
    }
}

/// What a job consented to wait for. `None`: it does not wait.
fn consent(spec: &JobSpec) -> Option<Delay> {
    let objective = spec.flex.delay.filter(|objective| matches!(objective, Objective::Carbon | Objective::Price))?;
    let max = spec.flex.max_delay.unwrap_or_default();
    Some(Delay { objective, max, min_saving: spec.flex.min_saving.unwrap_or_default(), replan_gain: Percent(0) })
}

fn eligible(job: &Job) -> DateTime<Utc> {
    job.spec.time.not_before.map_or(job.submitted, |at| at.max(job.submitted))
}

impl Controller {
    /// Who is expected within a day; looked at anew every hour.
    pub(in crate::controller) fn arrivals(&mut self, now: DateTime<Utc>) -> Arc<[Arrival]> {
        let hour = now.timestamp().div_euclid(3_600);
        if self.planning.expected.0 != Some(hour) {
            let live = self.state.live.iter().filter_map(|id| {
                let job = self.state.jobs.get(id)?;
                let (spec, asked) = (&job.spec, &job.spec.resources);
                Some(Came {
                    at: eligible(job),
                    delay: consent(spec)?,
                    length: self.length_of(spec),
                    gpus: asked.gpus,
                    gpu_model: &asked.gpu_model,
                    cpus: asked.cpus,
                    memory: asked.memory.unwrap_or_default(),
                    zones: &spec.flex.zones,
                })
            });
            let all = self.state.record.came().chain(live);
            self.planning.expected = (Some(hour), expected(now, all, self.config.planner.expected_arrivals));
        }
        Arc::clone(&self.planning.expected.1)
    }
}
