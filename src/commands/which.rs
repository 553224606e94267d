//! Which jobs are meant: a number, a name, or `last`.

use crate::args::Which;
use crate::client::Client;
use crate::session::{Problems, problem, problems};
use neap_model::job::{JobId, is_name};
use neap_model::protocol::{JobFilter, JobReport};
use neap_model::refusal::{Code, Refusal};

/// How a name that fits several live jobs is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// The newest is meant.
    Newest,
    /// That is a mistake, unless all are asked for.
    Refused,
}

fn nothing(selector: &str) -> Problems {
    let shown = crate::render::escape(selector);
    problem(
        Refusal::new(Code::NoSuchJob, format!("no job `{shown}` of yours")).hint("list your jobs", &["ls", "--all"]),
    )
}

async fn first(client: &Client, filter: JobFilter) -> Result<Vec<JobReport>, Problems> {
    Ok(client.list(&filter).await.map_err(problems)?.jobs)
}

/// The jobs that one word means.
async fn of(client: &Client, selector: &str, all: bool, several: Several) -> Result<Vec<JobId>, Problems> {
    if let Ok(id) = selector.parse() {
        return Ok(vec![JobId(id)]);
    }
    if selector == "last" {
        let filter = JobFilter { mine: Some(true), limit: Some(1), ..JobFilter::default() };
        let found = first(client, filter).await?;
        return found.first().map(|job| vec![job.id]).ok_or_else(|| nothing(selector));
    }
    if selector.contains('.') && selector.split('.').all(|part| part.parse::<u64>().is_ok()) {
        return Err(problem(Refusal::new(Code::NoSuchJob, format!("`{selector}`: job arrays are not built yet"))));
    }
    if !is_name(selector) {
        return Err(nothing(selector));
    }
    let named = |live| JobFilter { name: Some(selector.to_owned()), live, limit: Some(1_000), ..JobFilter::default() };
    let live = first(client, named(Some(true))).await?;
    match (live.as_slice(), all, several) {
        ([], true, _) => Err(nothing(selector)),
        (live, true, _) => Ok(live.iter().map(|job| job.id).collect()),
        ([_, _, ..], false, Several::Refused) => {
            let ids: Vec<String> = live.iter().map(|job| job.id.to_string()).collect();
            let refusal = Refusal::new(Code::SeveralJobs, format!("`{selector}` names {} live jobs", live.len()))
                .note(format!("they are {}", ids.join(", ")))
                .hint("name one by its number, or all of them with --all", &[]);
            Err(problem(refusal))
        }
        _ => {
            let newest = first(client, JobFilter { limit: Some(1), ..named(None) }).await?;
            newest.first().map(|job| vec![job.id]).ok_or_else(|| nothing(selector))
        }
    }
}

/// All jobs that are meant, in the order typed.
pub async fn all(client: &Client, which: &Which, several: Several) -> Result<Vec<JobId>, Problems> {
    let mut ids = Vec::new();
    for selector in &which.selectors {
        for id in of(client, selector, which.all, several).await? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

/// The one job that is meant.
pub async fn one(client: &Client, which: &Which) -> Result<JobId, Problems> {
    let selector = which.selectors.first().map_or("last", String::as_str);
    all(client, which, Several::Newest).await?.first().copied().ok_or_else(|| nothing(selector))
}
