//! How long a job will run: as given, as earlier runs of its kind took, or its limit.

use super::{ENOUGH, REMEMBERED};
use crate::controller::Controller;
use neap_model::job::{JobId, JobSpec};
use neap_model::lifecycle::Phase;
use neap_model::seconds::Seconds;

impl Controller {
    /// Remembers how long a job that succeeded ran.
    pub(in crate::controller) fn learn(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        if !matches!(&job.phase, Phase::Ended { outcome: neap_model::lifecycle::Outcome::Succeeded, .. }) {
            return;
        }
        let (Some(started), Some(ended)) = (job.started, job.ended) else { return };
        let key = (job.spec.project.clone(), job.spec.name.clone());
        let known = self.planning.lengths.entry(key).or_default();
        known.push_back(Seconds::between(started, ended).0.max(1));
        if known.len() > REMEMBERED {
            known.pop_front();
        }
    }

    /// Planning time: as given; else the 90th percentile of at least three earlier runs; else the limit.
    pub(in crate::controller) fn length_of(&self, spec: &JobSpec) -> Seconds {
        let limit = spec.time.limit.unwrap_or(Seconds::hours(24));
        let learned = || {
            let known = self.planning.lengths.get(&(spec.project.clone(), spec.name.clone()))?;
            if known.len() < ENOUGH {
                return None;
            }
            let mut sorted: Vec<u64> = known.iter().copied().collect();
            sorted.sort_unstable();
            Some(Seconds(sorted[(sorted.len() * 9).div_ceil(10) - 1]))
        };
        spec.time.expect.or_else(learned).unwrap_or(limit).min(limit).max(Seconds(1))
    }
}
