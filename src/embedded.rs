//! A scheduler, and an executor if one is wanted, inside this very process: nothing listens, the state is the person's own.

use crate::client::Client;
use crate::render::footer::footer;
use crate::session::{Problems, Session, problem};
use neap_executor::link::{Answer, Link, LinkError};
use neap_model::protocol::Beat;
use neap_model::refusal::{Code, Refusal};
use neap_scheduler::api::{Door, router};
use neap_scheduler::controller;
use neap_scheduler::daemon::{self, Handle, Scheduler, StartError};
use neap_scheduler::journal::Options;
use neap_scheduler::journal::place::PlaceError;
use std::sync::Arc;

/// The way from an executor to a scheduler in the same process.
#[derive(Debug)]
pub struct Inside(pub Handle);

impl Link for Inside {
    fn beat(&self, beat: Beat) -> Answer<'_> {
        Box::pin(async move {
            match self.0.beat(beat).await {
                Ok(controller::Answer::Orders(orders)) => Ok(*orders),
                Ok(_) => Err(LinkError::Refused("another answer than orders".to_owned())),
                Err(refusals) => {
                    Err(LinkError::Silent(refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
                }
            }
        })
    }
}

/// A scheduler in this process. Dropped, it ends; jobs under guard live on.
#[derive(Debug)]
pub struct Embedded {
    /// The way to speak to it.
    pub client: Client,
    scheduler: Option<Scheduler>,
    executor: Option<tokio::task::JoinHandle<()>>,
}

impl Embedded {
    /// Starts it over the person's own state directory.
    ///
    /// # Errors
    /// What keeps it from starting: above all that another process holds the state.
    pub fn start(session: &Session, with_executor: bool) -> Result<Self, Problems> {
        let mut config = session.config()?;
        let state = session.paths.personal_state();
        config.scheduler.state_dir.clone_from(&state);
        (config.scheduler.socket, config.scheduler.listen) = (None, None);
        config.executor.run_dir = state.join("run");
        std::fs::create_dir_all(state.parent().unwrap_or(&state)).map_err(|error| {
            problem(Refusal::new(Code::NotReached, format!("cannot make {}: {error}", state.display())))
        })?;
        let scheduler = daemon::start(config.scheduler, footer, Options::small()).map_err(|error| refused(&error))?;
        for notice in &scheduler.notices {
            crate::output::note(notice);
        }
        let client = Client::inside(router(Door::new(scheduler.handle.clone(), None)));
        let executor = with_executor.then(|| executor(config.executor, scheduler.handle.clone(), session.common.quiet));
        Ok(Self { client, scheduler: Some(scheduler), executor })
    }
}

/// An executor of a scheduler in this process, as a task of its own.
pub fn executor(config: neap_executor::config::Config, handle: Handle, quiet: bool) -> tokio::task::JoinHandle<()> {
    let notice = move |line: &str| {
        if !quiet {
            crate::output::note(&format!("executor: {line}"));
        }
    };
    tokio::spawn(async move {
        if let Err(error) = neap_executor::attempt::run(config, Arc::new(Inside(handle)), Box::new(notice)).await {
            crate::output::note(&format!("the executor ends: {}", chain(&error)));
        }
    })
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(executor) = self.executor.take() {
            executor.abort();
        }
        if let Some(scheduler) = self.scheduler.take()
            && let Err(error) = scheduler.stop()
        {
            crate::output::note(&chain(&error));
        }
    }
}

/// An error with everything behind it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        inner = cause.source();
    }
    text
}

fn refused(error: &StartError) -> Problems {
    let refusal = Refusal::new(Code::NotReached, chain(error));
    problem(match error {
        StartError::Place(PlaceError::Held { .. }) => refusal.hint(
            "another `neap run` is at work: wait for it, or start a server that several can use",
            &["serve", "--dev"],
        ),
        _ => refusal,
    })
}
