//! Staying with a job: its log, its end, and the exit code that goes with it.

use super::which::{Several, all, one};
use super::{Left, pretty};
use crate::args::Which;
use crate::client::Client;
use crate::output;
use crate::render::data;
use crate::session::{Problems, Reached, Session, Without, problem, problems};
use neap_model::job::JobId;
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::protocol::{Ask, JobReport};
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Exit code of a wait that gave up.
const TIMED_OUT: u8 = 118;

/// How a job is followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    /// The log goes to standard error, because standard output is for machines.
    pub to_stderr: bool,
    /// Ctrl-C asks what is meant.
    pub ask_on_interrupt: bool,
}

/// What a person wants who pressed Ctrl-C.
enum Wish {
    Detach,
    Cancel,
    GoOn,
}

/// The exit code of a job that is over.
fn left(job: &JobReport) -> u8 {
    match &job.phase {
        Phase::Ended { outcome, .. } => outcome.exit_code().0,
        _ => 1,
    }
}

/// Follows a job to its end and leaves with its code.
pub async fn run(session: &Session, reached: &Reached, id: JobId, follow: Follow) -> Left {
    let client = &reached.client;
    let trouble = |_| problem(Refusal::new(Code::Internal, "cannot listen for signals"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut offset = 0;
    loop {
        let chunk = tokio::select! {
            chunk = client.log(id, offset) => chunk.map_err(problems)?,
            wish = asked(&mut interrupt, &mut terminate, follow.ask_on_interrupt) => match wish {
                Wish::GoOn => continue,
                Wish::Detach => {
                    let alone = reached.embedded.is_some();
                    let how = if alone { "it runs on; the next `neap run` in this account takes it up again" } else { "it goes on" };
                    output::note(&format!("job {id}: {how}"));
                    return Ok(0);
                }
                Wish::Cancel => {
                    output::note(&format!("job {id}: cancelling"));
                    let reason = Some("interrupted".to_owned());
                    client.ask(id, &Ask::Cancel { reason }).await.map_err(problems)?;
                    continue;
                }
            },
        };
        if follow.to_stderr {
            output::raw(&chunk.text);
        } else {
            output::out(&chunk.text);
        }
        offset = chunk.next;
        if chunk.end {
            break;
        }
    }
    let job = ended(client, id).await?;
    if job.log.is_none() && !follow.to_stderr && !session.common.quiet {
        output::note(&session.style.draw(format!("job {id} {}", crate::render::jobs::why(&job))));
    }
    if session.format.is_json() {
        let value = data::job(&job);
        let text = if session.format == crate::args::Format::Json { pretty(&value) } else { value.to_string() };
        output::out(&(text + "\n"));
    }
    Ok(left(&job))
}

/// Waits for Ctrl-C or TERM, and for what is meant by it. TERM, and Ctrl-C without a terminal, mean *cancel*.
async fn asked(
    interrupt: &mut tokio::signal::unix::Signal,
    terminate: &mut tokio::signal::unix::Signal,
    may_ask: bool,
) -> Wish {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => return Wish::Cancel,
    }
    if !may_ask || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Wish::Cancel;
    }
    output::raw("\n[d]etach, [c]ancel, or [g]o on? ");
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    tokio::select! {
        // A second Ctrl-C is clear enough.
        _ = interrupt.recv() => Wish::Cancel,
        line = line => match line {
            Ok(Ok(line)) => match line.trim() {
                "d" | "detach" => Wish::Detach,
                "c" | "cancel" => Wish::Cancel,
                _ => Wish::GoOn,
            },
            _ => Wish::Cancel,
        }
    }
}

/// Waits until a job is over.
async fn ended(client: &Client, id: JobId) -> Result<JobReport, Problems> {
    let mut job = client.show(id).await.map_err(problems)?;
    while !job.phase.is_final() {
        job = client.show_after(id, job.revision).await.map_err(problems)?;
    }
    Ok(job)
}

/// Waits for the first beat of an executor in this process: a moment, or not at all.
pub async fn until_a_node_is_up(client: &Client) {
    for _ in 0..100 {
        if client.status().await.is_ok_and(|status| status.nodes.iter().any(|node| node.up)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `neap logs`.
pub async fn logs(session: &Session, which: &Which, follow: bool, tail: Option<usize>) -> Left {
    let reached = session.reach(Without::Reading)?;
    let client = &reached.client;
    let id = one(client, which).await?;
    if follow && tail.is_none() {
        let follow = Follow { to_stderr: false, ask_on_interrupt: false };
        return logs_on(client, id, 0, follow).await;
    }
    let job = client.show(id).await.map_err(problems)?;
    let Some(path) = &job.log else {
        output::note(&format!("job {id} has no log: it never ran"));
        return Ok(0);
    };
    // Without -f a log that still grows is printed as far as it is.
    let bytes = std::fs::read(path).map_err(|error| {
        problem(Refusal::new(Code::NoSuchJob, format!("the log of job {id} cannot be read: {path}: {error}")))
    })?;
    let text = String::from_utf8_lossy(&bytes);
    match tail {
        None => output::out(&text),
        Some(count) => {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            output::out(&lines[lines.len().saturating_sub(count)..].concat());
        }
    }
    if follow {
        logs_on(client, id, bytes.len() as u64, Follow { to_stderr: false, ask_on_interrupt: false }).await
    } else {
        Ok(0)
    }
}

/// Prints what comes until the job is over; Ctrl-C only stops the printing.
async fn logs_on(client: &Client, id: JobId, mut offset: u64, _: Follow) -> Left {
    loop {
        let chunk = client.log(id, offset).await.map_err(problems)?;
        output::out(&chunk.text);
        offset = chunk.next;
        if chunk.end {
            return Ok(0);
        }
    }
}

/// How bad an end is: for the worst of several.
fn badness(job: &JobReport) -> u8 {
    match &job.phase {
        Phase::Ended { outcome: Outcome::Succeeded, .. } => 0,
        _ => left(job).max(1),
    }
}

/// `neap wait`.
pub async fn wait(session: &Session, which: &Which, timeout: Option<&str>, any: bool) -> Left {
    let patience = match timeout.map(str::parse::<Seconds>) {
        None => None,
        Some(Ok(patience)) => Some(Duration::from(patience)),
        Some(Err(error)) => {
            return Err(problem(
                Refusal::new(Code::BadValue, error.to_string()).about("timeout", timeout.unwrap_or_default()),
            ));
        }
    };
    let reached = session.reach(Without::Server)?;
    let ids = all(&reached.client, which, Several::Newest).await?;
    let mut waits = JoinSet::new();
    for id in &ids {
        let (client, id) = (reached.client.clone(), *id);
        waits.spawn(async move { ended(&client, id).await });
    }
    let gather = async {
        let mut over = Vec::new();
        while let Some(job) = waits.join_next().await {
            over.push(job.map_err(|error| problem(Refusal::new(Code::Internal, error.to_string())))??);
            if any {
                break;
            }
        }
        Ok::<_, Problems>(over)
    };
    let over = match patience {
        None => gather.await?,
        Some(patience) => match tokio::time::timeout(patience, gather).await {
            Ok(over) => over?,
            Err(_) => {
                output::note(&format!("gave up after {}", Seconds(patience.as_secs())));
                return Ok(TIMED_OUT);
            }
        },
    };
    for job in &over {
        if session.format.is_json() {
            output::out(&format!("{}\n", data::job(job)));
        } else if !session.common.quiet {
            let why = crate::render::jobs::why(job);
            let how = if why.is_empty() { "succeeded".to_owned() } else { why };
            output::out(&session.style.draw(format!(
                "job {} {} {how}\n",
                job.id,
                crate::render::escape(&job.spec.name)
            )));
        }
    }
    Ok(over.iter().max_by_key(|job| badness(job)).map_or(0, left))
}
