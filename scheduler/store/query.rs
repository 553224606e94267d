//! Answers from the archive.

use super::{JOB, StoreError, key_of, unseal};
use crate::controller::answers::{Terms, add_to_report, completed, decision_of, history_of, matches, report_of};
use crate::controller::state::Job;
use crate::controller::{Answer, ArchiveQuery, Viewer};
use neap_model::job::JobId;
use neap_model::protocol::{JobFilter, JobPage, WhyReport};
use neap_model::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::path::Path;

type Answered = Result<Answer, Vec<Refusal>>;

pub(super) fn answer(db: &sled::Db, path: &Path, terms: &Terms, query: ArchiveQuery) -> Result<Answered, StoreError> {
    let reader = Reader { db, path, terms };
    Ok(match query {
        ArchiveQuery::Show(id, viewer) => match reader.job(id, &viewer)? {
            Some(job) => Ok(Answer::Job(Box::new(report_of(&job, decision_of(&job), terms)))),
            None => Err(vec![no_such_job(id)]),
        },
        ArchiveQuery::Why(id, viewer) => match reader.job(id, &viewer)? {
            Some(job) => Ok(Answer::Why(Box::new(WhyReport {
                job: report_of(&job, decision_of(&job), terms),
                history: history_of(&job),
                grid: None,
                alternatives: Vec::new(),
                certificate: None,
                not_compared: None,
                now: job.ended.unwrap_or(job.submitted),
            }))),
            None => Err(vec![no_such_job(id)]),
        },
        ArchiveQuery::List(filter, viewer) => Ok(Answer::Page(reader.list(&filter, &viewer)?)),
        ArchiveQuery::Report(query, viewer, mut report) => {
            let mut rows = BTreeMap::new();
            for job in reader.all() {
                add_to_report(&mut rows, &job?, &query, &viewer);
            }
            (report.rows, report.total) = completed(rows, terms);
            Ok(Answer::Report(report))
        }
    })
}

fn no_such_job(id: JobId) -> Refusal {
    Refusal::new(Code::NoSuchJob, format!("no job {id} of yours")).hint("list your jobs", &["ls", "--all"])
}

struct Reader<'a> {
    db: &'a sled::Db,
    path: &'a Path,
    terms: &'a Terms,
}

impl Reader<'_> {
    fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::Damaged { path: self.path.display().to_string(), what }
    }

    fn failed(&self, source: sled::Error) -> StoreError {
        StoreError::Sled { path: self.path.display().to_string(), doing: "reading", source }
    }

    fn decode(&self, value: &[u8]) -> Result<Job, StoreError> {
        let (_, json) = unseal(value).ok_or_else(|| self.damaged("job"))?;
        serde_json::from_slice(json).map_err(|_| self.damaged("job"))
    }

    fn job(&self, id: JobId, viewer: &Viewer) -> Result<Option<Job>, StoreError> {
        let Some(value) = self.db.get(key_of(id)).map_err(|e| self.failed(e))? else { return Ok(None) };
        Ok(Some(self.decode(&value)?).filter(|job| viewer.sees(&job.owner)))
    }

    /// All jobs, newest first.
    fn all(&self) -> impl Iterator<Item = Result<Job, StoreError>> + '_ {
        self.db.scan_prefix(JOB).rev().map(|entry| {
            let (_, value) = entry.map_err(|e| self.failed(e))?;
            self.decode(&value)
        })
    }

    fn list(&self, filter: &JobFilter, viewer: &Viewer) -> Result<JobPage, StoreError> {
        let limit = filter.limit.unwrap_or(1_000).min(1_000) as usize;
        let (mut jobs, mut total) = (Vec::new(), 0);
        for job in self.all() {
            let job = job?;
            let planned = !job.phase.is_final() && job.told.as_ref().is_some_and(|t| t.is_planned());
            if matches(&job, filter, viewer, planned) {
                total += 1;
                if jobs.len() < limit {
                    jobs.push(report_of(&job, decision_of(&job), self.terms));
                }
            }
        }
        let next = jobs.last().map(|job| job.id).filter(|_| total > jobs.len() as u64);
        Ok(JobPage { jobs, total, next })
    }
}
