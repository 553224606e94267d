//! Verbs about jobs that are there: list, show, explain, change.

use super::which::{Several, all, one};
use super::{Left, print, print_all};
use crate::args::{JobArgs, ListArgs, Which};
use crate::client::Client;
use crate::jobfile;
use crate::output;
use crate::render::{data, jobs, why as reasons};
use crate::session::{Problems, Reached, Session, Without, problem, problems};
use neap_model::job::JobId;
use neap_model::protocol::{Ask, JobFilter, JobReport};
use neap_model::refusal::{Code, Refusal};

/// Words for states, as `ls --state` takes them.
const STATES: &[&str] = &[
    "held",
    "queued",
    "planned",
    "starting",
    "running",
    "paused",
    "stopping",
    "succeeded",
    "failed",
    "cancelled",
    "timeout",
    "expired",
    "lost",
];

fn filter(session: &Session, list: &ListArgs) -> Result<JobFilter, Problems> {
    let over = match list.state.as_deref() {
        None => None,
        Some(state) if STATES.contains(&state) => Some(STATES.iter().position(|s| *s == state) >= Some(7)),
        Some(state) => {
            let refusal = Refusal::new(Code::BadValue, format!("`{state}` is no state")).about("state", state);
            return Err(problem(refusal.note(STATES.join(", "))));
        }
    };
    let _ = session;
    Ok(JobFilter {
        live: if list.all || over == Some(true) { None } else { Some(true) },
        state: list.state.clone(),
        project: list.project.clone(),
        name: list.name.clone(),
        mine: list.mine.then_some(true),
        limit: list.limit,
        ..JobFilter::default()
    })
}

/// `neap ls`.
pub async fn ls(session: &Session, list: &ListArgs) -> Left {
    let filter = filter(session, list)?;
    let reached = session.reach(Without::Reading)?;
    let mut page = reached.client.list(&filter).await.map_err(problems)?;
    if filter.live.is_none() {
        // The archive knows what was told; the planner knows why each waits at this moment.
        let live = JobFilter { live: Some(true), ..filter };
        let live = reached.client.list(&live).await.map_err(problems)?;
        for job in live.jobs {
            if let Some(known) = page.jobs.iter_mut().find(|known| known.id == job.id) {
                *known = job;
            }
        }
    }
    if session.common.quiet {
        page.jobs.iter().for_each(|job| output::out(&format!("{}\n", job.id)));
        return Ok(0);
    }
    let wide = session.format == crate::args::Format::Wide;
    let text = || jobs::list(&page, session.now(), wide, &session.style);
    print_all(session, text, "neap.jobs/1", "jobs", || page.jobs.iter().map(data::job).collect())
}

/// `neap show`.
pub async fn show(session: &Session, which: &Which) -> Left {
    let Reached { client, embedded: _hold, .. } = session.reach(Without::Reading)?;
    let job = client.show(one(&client, which).await?).await.map_err(problems)?;
    print_job(session, &job)
}

fn print_job(session: &Session, job: &JobReport) -> Left {
    if session.common.quiet {
        output::out(&format!("{}\n", job.id));
        return Ok(0);
    }
    print(session, || jobs::show(job, session.now(), &session.style), || data::job(job))
}

/// `neap why`.
pub async fn why(session: &Session, which: &Which, history: bool) -> Left {
    let Reached { client, embedded: _hold, .. } = session.reach(Without::Reading)?;
    let report = client.why(one(&client, which).await?).await.map_err(problems)?;
    let text =
        || if history { reasons::history(&report, &session.style) } else { reasons::why(&report, &session.style) };
    print(session, text, || data::why(&report))
}

/// Asks the same of several jobs; goes on after one that refuses, and tells all that did.
async fn ask_all(session: &Session, client: &Client, ids: &[JobId], ask: &Ask, done: &str) -> Left {
    let mut wrong = Vec::new();
    for id in ids {
        match client.ask(*id, ask).await {
            Ok(_) if session.common.quiet => output::out(&format!("{id}\n")),
            Ok(job) if session.format.is_json() => output::out(&format!("{}\n", data::job(&job))),
            Ok(job) => output::out(&session.style.draw(format!(
                "job {id} {} {done}: {}\n",
                crate::render::escape(&job.spec.name),
                said(session, &job)
            ))),
            Err(refusals) => wrong.extend(problems(refusals)),
        }
    }
    if wrong.is_empty() { Ok(0) } else { Err(wrong) }
}

/// Where a job stands, in half a line.
fn said(session: &Session, job: &JobReport) -> String {
    let when = jobs::when(job, session.now(), &session.style);
    let why = jobs::why(job);
    let mut parts = vec![data::state(job).to_owned()];
    parts.extend([when, why].into_iter().filter(|part| !part.is_empty() && part != "–"));
    parts.join(" · ")
}

/// `neap now`: the cost of not waiting is told.
pub async fn now(session: &Session, which: &Which, reason: Option<String>) -> Left {
    let reached = session.reach(Without::Server)?;
    let client = &reached.client;
    let ids = all(client, which, Several::Refused).await?;
    for id in &ids {
        if let Ok(job) = client.show(*id).await
            && let Some(decision) = job.decision.filter(neap_model::plan::Decision::is_planned)
            && let Some(savings) = decision.savings()
            && !session.common.quiet
        {
            let gives_up = crate::render::numbers::saving(&savings, false);
            output::note(&session.style.draw(format!("job {id}: starting now gives up what waiting {gives_up}")));
        }
    }
    ask_all(session, client, &ids, &Ask::Now { reason }, "goes first").await
}

/// `neap hold`.
pub async fn hold(session: &Session, which: &Which) -> Left {
    let reached = session.reach(Without::Server)?;
    let ids = all(&reached.client, which, Several::Refused).await?;
    ask_all(session, &reached.client, &ids, &Ask::Hold, "is held").await
}

/// `neap release`.
pub async fn release(session: &Session, which: &Which) -> Left {
    let reached = session.reach(Without::Server)?;
    let ids = all(&reached.client, which, Several::Refused).await?;
    ask_all(session, &reached.client, &ids, &Ask::Release, "is released").await
}

/// `neap cancel`.
pub async fn cancel(session: &Session, which: &Which, reason: Option<String>, if_exists: bool) -> Left {
    let reached = session.reach(Without::Server)?;
    let left = async {
        let ids = all(&reached.client, which, Several::Refused).await?;
        ask_all(session, &reached.client, &ids, &Ask::Cancel { reason }, "is cancelled").await
    };
    match left.await {
        Err(wrong) if if_exists => {
            let rest: Problems = wrong.into_iter().filter(|p| p.refusal.code != Code::NoSuchJob).collect();
            if rest.is_empty() { Ok(0) } else { Err(rest) }
        }
        left => left,
    }
}

/// `neap edit`.
pub async fn edit(session: &Session, which: &Which, changes: &JobArgs) -> Left {
    if changes.flags.is_empty() {
        let refusal =
            Refusal::new(Code::BadValue, "nothing to change").hint("such as", &["edit", "ID", "--delay", "carbon"]);
        return Err(problem(refusal));
    }
    let reached = session.reach(Without::Server)?;
    let client = &reached.client;
    let ids = all(client, which, Several::Refused).await?;
    let [id] = ids.as_slice() else {
        return Err(problem(Refusal::new(Code::SeveralJobs, "one job at a time is edited")));
    };
    let job = client.show(*id).await.map_err(problems)?;
    let spec = jobfile::edit::changed(job.spec, &changes.flags, &session.surroundings())?;
    let job = client.ask(*id, &Ask::Edit { spec: Box::new(spec) }).await.map_err(problems)?;
    print_job(session, &job)
}
