//! Verbs about jobs to come: submit, run, plan.

use super::follow::{self, Follow};
use super::{Left, print, which};
use crate::args::{Format, JobArgs, Which};
use crate::client::{Asked, Client};
use crate::jobfile::{self, draft::Draft};
use crate::output;
use crate::render::{data, jobs, plan as ways};
use crate::session::{Problems, Reached, Session, Without, is_file, problem, problems};
use neap_model::job::{JobSpec, Objective};
use neap_model::plan::Remark;
use neap_model::protocol::{Accepted, Submit};
use neap_model::refusal::{Code, Refusal};
use std::time::Duration;

/// What was said about a job, and the specification it comes to.
fn read(session: &Session, job: &JobArgs) -> Result<(Draft, JobSpec), Problems> {
    let around = session.surroundings();
    let draft = jobfile::read(&job.what, &job.flags, &around);
    let spec = draft.clone().build(&around)?;
    Ok((draft, spec))
}

/// A key of our own, so that a repetition after a lost answer cannot queue twice.
fn key(job: &JobArgs) -> String {
    job.key.clone().unwrap_or_else(|| format!("auto-{:032x}", rand::random::<u128>()))
}

/// Submits; a lost answer is asked for again under the same key.
async fn send(client: &Client, submit: &Submit) -> Asked<Accepted> {
    let lost = |refusals: &[Refusal]| refusals.first().is_some_and(|refusal| refusal.code == Code::NotReached);
    let mut answer = client.submit(submit).await;
    for _ in 0..2 {
        match &answer {
            Err(refusals) if lost(refusals) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                answer = client.submit(submit).await;
            }
            _ => break,
        }
    }
    answer
}

/// `neap submit`.
pub async fn submit(session: &Session, job: &JobArgs) -> Left {
    let (_, spec) = read(session, job)?;
    let reached = session.reach(Without::Server)?;
    let accepted = send(&reached.client, &Submit { spec, key: key(job) }).await.map_err(problems)?;
    print_accepted(session, &accepted)
}

fn print_accepted(session: &Session, accepted: &Accepted) -> Left {
    if session.common.quiet {
        output::out(&format!("{}\n", accepted.job.id));
        return Ok(0);
    }
    print(
        session,
        || jobs::accepted(accepted, session.now(), &session.style),
        || {
            let mut value = data::job(&accepted.job);
            value["deduplicated"] = accepted.deduplicated.into();
            value
        },
    )
}

/// `neap run`.
pub async fn run(session: &Session, job: &JobArgs, embedded: bool) -> Left {
    let (_, spec) = read(session, job)?;
    let reached = session.reach(if embedded { Without::Scheduling } else { Without::Server })?;
    if reached.embedded.is_some() && !session.common.quiet {
        output::note(&format!("no server answers: this job is scheduled by {}", reached.shown));
    }
    if reached.embedded.is_some() {
        follow::until_a_node_is_up(&reached.client).await;
    }
    let accepted = send(&reached.client, &Submit { spec, key: key(job) }).await.map_err(problems)?;
    if !session.common.quiet {
        output::raw(&jobs::accepted(&accepted, session.now(), &session.style));
    }
    let follow = Follow { to_stderr: session.format.is_json(), ask_on_interrupt: true };
    follow::run(session, &reached, accepted.job.id, follow).await
}

/// `neap plan`.
pub async fn plan(session: &Session, job: &JobArgs, accept: Option<usize>) -> Left {
    let word =
        job.what.file.as_deref().filter(|word| !is_file(word) && (*word == "last" || word.parse::<u64>().is_ok()));
    if let (Some(word), [], []) = (word, job.what.command.as_slice(), job.flags.as_slice()) {
        return plan_of(session, word, accept).await;
    }
    let (draft, spec) = read(session, job)?;
    let Reached { client, embedded: hold, .. } = session.reach(Without::Scheduling)?;
    if hold.is_some() {
        // An executor that just started is heard of with its first beat.
        follow::until_a_node_is_up(&client).await;
    }
    let submit = Submit { spec, key: key(job) };
    let report = client.plan(&submit).await.map_err(problems)?;
    if session.format == Format::Toml {
        output::out(&jobfile::merged::text(&draft, &report.spec));
        return Ok(0);
    }
    let Some(row) = accept else {
        return print(session, || ways::plan(&report, &session.style), || data::plan(&report));
    };
    if hold.is_some() {
        return Err(problem(
            Refusal::new(Code::NotReached, "no server answers that could keep the job")
                .hint("start one", &["serve", "--dev"]),
        ));
    }
    let chosen = row.checked_sub(1).and_then(|n| report.alternatives.get(n));
    let Some(chosen) = chosen.filter(|row| !matches!(row.remark, Remark::Needs { .. })) else {
        let count = report.alternatives.len();
        let refusal = Refusal::new(Code::RowGone, format!("row {row} does not hold any more, or needs a consent"));
        return Err(problem(refusal.note(format!("there are {count} rows now")).hint("look again", &["plan"])));
    };
    let mut spec = submit.spec;
    spec.flex.delay = Some(Objective::None);
    (spec.flex.max_delay, spec.flex.min_saving) = (None, None);
    if chosen.outlook.start > report.now {
        spec.time.not_before = Some(chosen.outlook.start);
    }
    let accepted = send(&client, &Submit { spec, key: submit.key }).await.map_err(problems)?;
    print_accepted(session, &accepted)
}

/// The ways to run a job that waits.
async fn plan_of(session: &Session, word: &str, accept: Option<usize>) -> Left {
    if accept.is_some() {
        let refusal = Refusal::new(Code::BadValue, "--accept is for a job that is not submitted yet")
            .hint("change one that waits", &["edit", word, "--not-before", "T"]);
        return Err(problem(refusal));
    }
    let Reached { client, embedded: _hold, .. } = session.reach(Without::Reading)?;
    let which = Which { selectors: vec![word.to_owned()], all: false };
    let report = client.why(which::one(&client, &which).await?).await.map_err(problems)?;
    let grid: Vec<_> = report.grid.clone().into_iter().collect();
    print(session, || ways::ways(&report.alternatives, report.now, &grid, &session.style), || data::why(&report))
}
