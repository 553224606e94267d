//! Moves time, and carries what scheduler and executors say to each other, in steps and in one fixed order.

use super::grid::Grid;
use super::jobs::{Arrival, drawn};
use super::node::{Node, Saved};
use super::told::Watched;
use super::{Options, START, STEP, Told};
use crate::config;
use crate::render::footer::footer;
use crate::session::Problems;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::{JobId, Person};
use neap_model::lifecycle::Event;
use neap_model::protocol::{Submit, WhyReport};
use neap_scheduler::config::Config;
use neap_scheduler::controller::state::State;
use neap_scheduler::controller::{Answer, Caller, Controller, Effect, Input, Request};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// The site's file.
const SITE: &str = include_str!("../../configs/demo.toml");
/// Spans of energy are closed and booked so often.
const BOOKS: i64 = 600;
/// Root, who sees every job.
const ROOT: u32 = 0;

/// Everything there is.
struct Site {
    controller: Controller,
    nodes: Vec<Node>,
    grids: Vec<Grid>,
    saved: Saved,
    now: DateTime<Utc>,
    calls: u64,
    /// Which node stands behind a beat that was not answered yet.
    beats: BTreeMap<Caller, usize>,
    /// Answers to people that were not picked up yet.
    answers: BTreeMap<Caller, Answer>,
}

/// Plays the whole demo. `progress` is told how many steps of how many are done.
///
/// # Errors
/// If the built-in site's file cannot be used, or the scheduler refuses a job: both are faults of the demo.
pub fn play(options: Options, mut progress: impl FnMut(usize, usize)) -> Result<Told, Problems> {
    let config = config::built_in(SITE, "configs/demo.toml")?.scheduler;
    let end = START + TimeDelta::days(i64::from(options.days));
    let mut dice = StdRng::seed_from_u64(options.seed);
    let mut site = Site::new(config, end, options.seed);
    // Whoever comes late has to be done as well: nobody comes in the second half, and nobody after the first day.
    let within = ((end - START) / 2).min(TimeDelta::days(1));
    let mut arrivals = drawn(within, &mut dice).into_iter().peekable();
    let mut watched = Watched::default();
    let steps = usize::try_from((end - START).num_seconds()).unwrap_or(0) / usize::try_from(STEP).unwrap_or(1);
    site.hour();
    site.beat(true);
    for step in 1..=steps {
        site.now += TimeDelta::seconds(i64::try_from(STEP).unwrap_or(1));
        let now = site.now;
        for node in &mut site.nodes {
            node.pass(now);
        }
        site.beat(now.timestamp() % BOOKS == 0);
        let whole = now.timestamp() % 3_600 == 0;
        if whole {
            site.hour();
        }
        while let Some(arrival) = arrivals.next_if(|arrival| arrival.at <= now) {
            let id = site.submit(arrival)?;
            site.step(Input::Settle);
            watched.submitted(id, site.why(id)?);
        }
        site.step(Input::Tick);
        if whole {
            watched.looked(now, site.status()?);
        }
        progress(step, steps);
    }
    let over: Vec<JobId> = site.controller.state().jobs.keys().copied().collect();
    let reports: Vec<WhyReport> = over.into_iter().map(|id| site.why(id)).collect::<Result<_, _>>()?;
    let boards = site.nodes.iter().map(Node::boards).collect();
    Ok(Told::of(options, &site.controller, reports, watched, boards, (START, site.now)))
}

impl Site {
    fn new(config: Config, end: DateTime<Utc>, seed: u64) -> Self {
        let mut state = State::default();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = Event::Started { incarnation: 1, nonce: 1, version };
        state.apply(START, &started).expect("the first event of a journal is legal");
        let nodes = config.nodes.iter().enumerate().map(|(at, node)| Node::new(&node.name, at % 2 == 1, START));
        let nodes = nodes.collect();
        let grids = config.zones.iter().map(|zone| Grid::new(&zone.name, START, end, seed)).collect();
        let controller = Controller::new(config, ROOT, footer, state, START);
        let (beats, answers) = (BTreeMap::new(), BTreeMap::new());
        Self { controller, nodes, grids, saved: Saved::new(), now: START, calls: 0, beats, answers }
    }

    /// One step of the scheduler, and whatever it leads to.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let turn = self.controller.step(self.now, input);
            for effect in turn.effects {
                match effect {
                    // What a server does beside its loop is done at once here: no time passes.
                    Effect::Search(problem, policy) => {
                        inputs.push(Input::Settle);
                        inputs.push(Input::Found(Some(neap_policies::plan(&problem, &policy).decisions)));
                    }
                    Effect::Reply(caller, answer) => self.answered(caller, answer.ok()),
                    // There is no archive: every job of the demo stays in memory.
                    Effect::Archive(..) => {}
                }
            }
        }
    }

    fn answered(&mut self, caller: Caller, answer: Option<Answer>) {
        match (self.beats.remove(&caller), answer) {
            (Some(node), Some(Answer::Orders(orders))) => self.nodes[node].obey(*orders, &mut self.saved, self.now),
            (None, Some(answer)) => {
                self.answers.insert(caller, answer);
            }
            _ => {}
        }
    }

    fn caller(&mut self) -> Caller {
        self.calls += 1;
        Caller(self.calls)
    }

    /// Every executor is heard; what is known of its answer is done.
    fn beat(&mut self, books: bool) {
        for at in 0..self.nodes.len() {
            let caller = self.caller();
            self.beats.insert(caller, at);
            let beat = Box::new(self.nodes[at].beat(self.now, books));
            self.step(Input::Beat { beat, caller });
        }
    }

    /// The grid is read.
    fn hour(&mut self) {
        let curves = self.grids.iter().map(|grid| grid.known(self.now)).collect();
        self.step(Input::Grid { curves, troubles: Vec::new() });
    }

    fn ask(&mut self, by: Person, request: Request) -> Option<Answer> {
        let caller = self.caller();
        self.step(Input::Request { by, request, caller });
        self.answers.remove(&caller)
    }

    fn submit(&mut self, arrival: Arrival) -> Result<JobId, Problems> {
        let key = format!("demo-{}", self.calls);
        let name = arrival.spec.name.clone();
        let submit = Box::new(Submit { spec: arrival.spec, key });
        match self.ask(arrival.by, Request::Submit(submit)) {
            Some(Answer::Accepted(accepted)) => Ok(accepted.job.id),
            _ => Err(fault(&format!("the job {name} was refused"))),
        }
    }

    fn root() -> Person {
        Person { uid: ROOT, name: "root".to_owned() }
    }

    fn why(&mut self, id: JobId) -> Result<WhyReport, Problems> {
        match self.ask(Self::root(), Request::Why(id)) {
            Some(Answer::Why(report)) => Ok(*report),
            _ => Err(fault(&format!("job {id} is not known"))),
        }
    }

    fn status(&mut self) -> Result<neap_model::protocol::StatusReport, Problems> {
        match self.ask(Self::root(), Request::Status) {
            Some(Answer::Status(status)) => Ok(*status),
            _ => Err(fault("there is no status")),
        }
    }
}

/// Something that cannot be, and is told all the same.
fn fault(what: &str) -> Problems {
    use neap_model::refusal::{Code, Refusal};
    crate::session::problem(Refusal::new(Code::Internal, format!("the demo is at fault: {what}")))
}
