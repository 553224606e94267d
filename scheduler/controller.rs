//! Decides what to write down and what to do next, from one input and the present time. Pure: no clock, no IO.
//!
//! It is the only writer of the queue. Its shell writes the events down before it carries out the effects, and a reply
//! is an effect like any other.

pub mod answers;
mod budgets;
mod capping;
mod leases;
pub mod ledger;
mod notices;
mod pausing;
mod planning;
mod power;
mod queue;
mod slowed;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;
mod vtn;

use crate::config::Config;
use chrono::{DateTime, Utc};
use neap_model::grid::{Basis, Curve, PriceCurve, Series};
use neap_model::job::{AttemptId, JobId, Person};
use neap_model::lifecycle::Event;
use neap_model::notice::{Announcement, Heard, Notice, Source};
use neap_model::plan::Decision;
use neap_model::protocol::{
    Accepted, Ask, Beat, BeatReply, Degraded, JobFilter, JobPage, JobReport, PlanReport, StatusReport, Submit,
    UsageReport, WhyReport, ZoneGrid,
};
use neap_model::refusal::Refusal;
use neap_policies::problem::{Policy, Problem};
use planning::Planning;
use state::State;
use std::collections::{BTreeMap, BTreeSet};

/// Whom an answer goes to; the shell knows what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(pub u64);

/// What happened, as the shell tells it.
#[derive(Debug)]
pub enum Input {
    /// A person asks for something.
    Request {
        /// Who.
        by: Person,
        /// What.
        request: Request,
        /// Whom the answer goes to.
        caller: Caller,
    },
    /// An executor says that it lives.
    Beat {
        /// What it says.
        beat: Box<Beat>,
        /// Whom the answer goes to.
        caller: Caller,
    },
    /// Grid data were read.
    Grid {
        /// The composed curve of each zone.
        curves: Vec<(String, ZoneCurve)>,
        /// Sources that are in trouble, a sentence each.
        troubles: Vec<String>,
    },
    /// A server of grid events was polled.
    Vtn(Box<crate::feeds::openadr::News>),
    /// The shell's own modes changed: what is degraded, and whether new work can be written down.
    Modes {
        /// Every degraded mode of the shell.
        degraded: Vec<Degraded>,
        /// The journal has no room for new work.
        read_only: bool,
    },
    /// A search that was asked for is over; `None`: it failed.
    Found(Option<BTreeMap<JobId, Decision>>),
    /// The batch is complete: plan if something changed.
    Settle,
    /// Time passed.
    Tick,
}

/// A zone's curve for planning, and what is known of its past for accounting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneCurve {
    /// For planning.
    pub curve: Curve,
    /// For accounting.
    pub past: Series,
    /// Prices, where a feed has any. They are shown and shift nothing.
    pub prices: Option<PriceCurve>,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Accept a job.
    Submit(Box<Submit>),
    /// Say what would be.
    Plan(Box<Submit>),
    /// Change a job.
    Ask(JobId, Ask),
    /// Show a job; with `after`, once its revision is higher.
    Show(JobId, Option<u64>),
    /// Explain a job.
    Why(JobId),
    /// List jobs.
    List(JobFilter),
    /// Sum up jobs that ended.
    Report(ReportQuery),
    /// Take an announcement.
    Announce {
        /// What.
        announcement: Box<Announcement>,
        /// Which way it came in; a signature was checked before.
        source: Source,
    },
    /// Show the grid.
    Grid,
    /// Is all well?
    Status,
}

/// What a report is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportQuery {
    /// Only this project.
    pub project: Option<String>,
    /// Only jobs that ended at or after.
    pub since: Option<DateTime<Utc>>,
    /// Only jobs that ended before.
    pub until: Option<DateTime<Utc>>,
    /// What a row is about.
    pub by: Grouping,
}

/// What a row of a report is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// One row a project.
    Project,
    /// One row a job name.
    #[default]
    Name,
    /// One row a queue.
    Queue,
    /// One row a zone.
    Zone,
    /// One row a calendar month (UTC).
    Month,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A submission was accepted.
    Accepted(Box<Accepted>),
    /// A job as it stands.
    Job(Box<JobReport>),
    /// What would be.
    Plan(Box<PlanReport>),
    /// Why.
    Why(Box<WhyReport>),
    /// A page of jobs.
    Page(JobPage),
    /// The grid.
    Grid(Vec<ZoneGrid>),
    /// Sums.
    Report(Box<UsageReport>),
    /// How things are.
    Status(Box<StatusReport>),
    /// What became of an announcement.
    Announced(Heard, Box<Notice>),
    /// What an executor should do.
    Orders(Box<BeatReply>),
}

/// What to do, once the events are safe.
#[derive(Debug)]
pub enum Effect {
    /// Answer.
    Reply(Caller, Result<Answer, Vec<Refusal>>),
    /// Answer from the archive, which holds what is no longer in memory.
    Archive(Caller, ArchiveQuery),
    /// Look for a better plan beside the loop and say what was found: see [`Input::Found`]. One at a time.
    Search(Box<Problem>, Policy),
}

/// A question to the archive. It sees live jobs as well, as of the events before it.
#[derive(Clone, Debug)]
pub enum ArchiveQuery {
    /// One job, if this person may see it.
    Show(JobId, Viewer),
    /// One job's explanation, likewise.
    Why(JobId, Viewer),
    /// A page of jobs.
    List(JobFilter, Viewer),
    /// Sums; the report comes with everything but its rows.
    Report(ReportQuery, Viewer, Box<UsageReport>),
}

/// Whose jobs may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Who asks.
    pub person: Person,
    /// Sees everybody's.
    pub all: bool,
}

impl Viewer {
    /// Whether a job of that owner may be shown.
    #[must_use]
    pub fn sees(&self, owner: &Person) -> bool {
        self.all || owner.uid == self.person.uid
    }
}

/// What one input led to.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be written down, as one.
    pub events: Vec<Event>,
    /// To be done after that.
    pub effects: Vec<Effect>,
}

/// Builds the closing lines of a job's log.
pub type Footer = fn(&JobReport) -> String;

/// The controller.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    terms: answers::Terms,
    /// The user the scheduler runs as; together with root it sees and does everything.
    uid: u32,
    footer: Footer,
    state: State,
    planning: Planning,
    capping: capping::Capping,
    budgets: budgets::Budgets,
    grid: BTreeMap<String, ZoneCurve>,
    troubles: Vec<String>,
    /// Servers of grid events, by name.
    vtns: BTreeMap<String, vtn::Heard>,
    degraded: Vec<Degraded>,
    read_only: bool,
    /// Who waits for a job to change: job, revision seen, until when.
    watchers: Vec<(Caller, JobId, u64, DateTime<Utc>)>,
    /// The held-back beat of each node, and until when.
    beats: BTreeMap<String, (Caller, DateTime<Utc>)>,
    /// Footers due, by node.
    footers: BTreeMap<String, Vec<(AttemptId, String)>>,
    /// Jobs that changed in this turn.
    touched: BTreeSet<JobId>,
    /// Refusals in the present minute, by person and code: only the first ten are written down one by one.
    refusals: BTreeMap<(String, String, String), u32>,
    refusals_since: DateTime<Utc>,
}

/// How long a watcher waits for a change before it is answered with what there is.
const WATCH: chrono::TimeDelta = chrono::TimeDelta::seconds(25);

/// Refusals of one kind and person that are written down singly in a minute; the rest is counted.
const REFUSALS_SINGLY: u32 = 10;

impl Controller {
    /// A controller over a state that was replayed from the journal.
    #[must_use]
    pub fn new(config: Config, uid: u32, footer: Footer, state: State, now: DateTime<Utc>) -> Self {
        let terms = answers::Terms::of(&config);
        let mut controller = Self {
            terms,
            config,
            uid,
            footer,
            state,
            planning: Planning::new(now),
            capping: capping::Capping::default(),
            budgets: budgets::Budgets::new(now),
            grid: BTreeMap::new(),
            troubles: Vec::new(),
            vtns: BTreeMap::new(),
            degraded: Vec::new(),
            read_only: false,
            watchers: Vec::new(),
            beats: BTreeMap::new(),
            footers: BTreeMap::new(),
            touched: BTreeSet::new(),
            refusals: BTreeMap::new(),
            refusals_since: now,
        };
        controller.resume_planning();
        controller.resume_capping();
        controller
    }

    /// How the limits of GPUs stand that were ever asked for by what runs, as executors said last.
    pub fn caps_held(&self) -> impl Iterator<Item = &neap_model::cap::CapHeld> {
        self.budgets.held()
    }

    /// What is known, for metrics, store and tests.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The site as configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Projects that get a metric label of their own.
    #[must_use]
    pub fn max_projects(&self) -> usize {
        self.config.metrics.max_projects
    }

    /// After the store took what changed: jobs that ended long ago leave memory.
    pub fn trim(&mut self) {
        self.state.trim();
    }

    /// Jobs that changed since this was asked last, for the store.
    pub fn take_changed(&mut self) -> BTreeSet<JobId> {
        std::mem::take(&mut self.state.changed)
    }

    /// One step: what happened, what to write down, what to do.
    pub fn step(&mut self, now: DateTime<Utc>, input: Input) -> Turn {
        let mut turn = Turn::default();
        match input {
            Input::Request { by, request, caller } => self.request(now, &by, request, caller, &mut turn),
            Input::Beat { beat, caller } => self.beat(now, *beat, caller, &mut turn),
            Input::Grid { curves, troubles } => self.grid_came(curves, troubles),
            Input::Vtn(news) => self.vtn_came(now, *news, &mut turn),
            Input::Modes { degraded, read_only } => {
                self.degraded = degraded;
                self.read_only = read_only;
            }
            Input::Found(decisions) => self.found(decisions),
            Input::Settle => self.settle(now, &mut turn),
            Input::Tick => self.tick(now, &mut turn),
        }
        self.tell_watchers(&mut turn);
        turn
    }

    fn request(&mut self, now: DateTime<Utc>, by: &Person, request: Request, caller: Caller, turn: &mut Turn) {
        let viewer = self.viewer(by);
        let answer = match request {
            Request::Submit(submit) => {
                let answer = self.submit(now, by, *submit, turn);
                self.audit_refusal(by, "submit", &answer, turn);
                answer
            }
            Request::Ask(job, ask) => {
                let verb = ask.verb();
                let answer = self.ask(now, by, job, ask, turn);
                self.audit_refusal(by, verb, &answer, turn);
                answer
            }
            Request::Plan(submit) => self.what_if(now, by, *submit),
            Request::Show(id, after) => match self.visible(&viewer, id) {
                Some(job) if after.is_some_and(|seen| job.revision <= seen) => {
                    let seen = job.revision;
                    self.watchers.push((caller, id, seen, now + WATCH));
                    return;
                }
                Some(job) => Ok(Answer::Job(Box::new(self.report_of(job, now)))),
                None => return turn.effects.push(Effect::Archive(caller, ArchiveQuery::Show(id, viewer))),
            },
            Request::Why(id) => match self.visible(&viewer, id) {
                Some(job) => Ok(Answer::Why(Box::new(self.why(job, now)))),
                None => return turn.effects.push(Effect::Archive(caller, ArchiveQuery::Why(id, viewer))),
            },
            Request::List(filter) if filter.live == Some(true) => Ok(Answer::Page(self.list(&filter, &viewer, now))),
            Request::List(filter) => {
                return turn.effects.push(Effect::Archive(caller, ArchiveQuery::List(filter, viewer)));
            }
            Request::Report(query) => {
                let frame = Box::new(self.report_frame(&query, now));
                return turn.effects.push(Effect::Archive(caller, ArchiveQuery::Report(query, viewer, frame)));
            }
            Request::Announce { announcement, source } => {
                let answer = self.announce(now, by, *announcement, &source, turn);
                self.audit_refusal(by, "event", &answer, turn);
                answer
            }
            Request::Grid => Ok(Answer::Grid(self.zone_grids(now))),
            Request::Status => Ok(Answer::Status(Box::new(self.status(now)))),
        };
        turn.effects.push(Effect::Reply(caller, answer));
    }

    /// Writes an event down and lets it take effect. The one way in which the state changes.
    fn record(&mut self, now: DateTime<Utc>, event: Event, turn: &mut Turn) {
        if let Event::Job { job, .. } | Event::Metered { attempt: AttemptId { job, .. }, .. } = &event {
            self.touched.insert(*job);
        }
        self.state.apply(now, &event).expect("the controller records only what the table allows");
        turn.events.push(event);
    }

    fn grid_came(&mut self, curves: Vec<(String, ZoneCurve)>, troubles: Vec<String>) {
        self.troubles = troubles;
        for (zone, curve) in curves {
            if self.grid.get(&zone) != Some(&curve) {
                self.grid.insert(zone, curve);
                self.planning.news();
            }
        }
        self.refresh_site();
    }

    fn tick(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.roll_refusals(now, turn);
        self.notice_silence(now);
        self.end_unheard(now, turn);
        self.settle(now, turn);
        self.regulate(now, turn);
        self.tend_caps(now, turn);
        self.release_beats(now, turn);
        let (due, rest) = std::mem::take(&mut self.watchers).into_iter().partition(|(.., until)| *until <= now);
        self.watchers = rest;
        let due: Vec<_> = due;
        for (caller, id, ..) in due {
            self.answer_watcher(caller, id, now, turn);
        }
    }

    fn tell_watchers(&mut self, turn: &mut Turn) {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() || self.watchers.is_empty() {
            return;
        }
        let (due, rest): (Vec<_>, _) =
            std::mem::take(&mut self.watchers).into_iter().partition(|(_, id, ..)| touched.contains(id));
        self.watchers = rest;
        for (caller, id, ..) in due {
            let now = self.planning.site.now;
            self.answer_watcher(caller, id, now, turn);
        }
    }

    fn answer_watcher(&self, caller: Caller, id: JobId, now: DateTime<Utc>, turn: &mut Turn) {
        if let Some(job) = self.state.jobs.get(&id) {
            turn.effects.push(Effect::Reply(caller, Ok(Answer::Job(Box::new(self.report_of(job, now))))));
        }
    }

    fn viewer(&self, by: &Person) -> Viewer {
        Viewer { person: by.clone(), all: by.uid == 0 || by.uid == self.uid }
    }

    fn visible(&self, viewer: &Viewer, id: JobId) -> Option<&state::Job> {
        self.state.jobs.get(&id).map(AsRef::as_ref).filter(|job| viewer.sees(&job.owner))
    }

    /// Every refusal is audited: one by one at first, then counted by the minute.
    fn audit_refusal(&mut self, by: &Person, verb: &str, answer: &Result<Answer, Vec<Refusal>>, turn: &mut Turn) {
        let Err(refusals) = answer else { return };
        let Some(first) = refusals.first() else { return };
        let (by, code) = (by.name.clone(), first.code.text().to_owned());
        let seen = self.refusals.entry((by.clone(), verb.to_owned(), code.clone())).or_default();
        *seen += 1;
        if *seen <= REFUSALS_SINGLY && !self.read_only {
            let now = self.planning.site.now;
            self.record(now, Event::Refused { by, verb: verb.to_owned(), code, count: 1 }, turn);
        }
    }

    fn roll_refusals(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        if now - self.refusals_since < chrono::TimeDelta::seconds(60) {
            return;
        }
        self.refusals_since = now;
        for ((by, verb, code), count) in std::mem::take(&mut self.refusals) {
            if count > REFUSALS_SINGLY {
                self.record(now, Event::Refused { by, verb, code, count: count - REFUSALS_SINGLY }, turn);
            }
        }
    }

    /// What the site's grid figures measure.
    #[must_use]
    pub fn basis(&self) -> Basis {
        Basis { kind: self.config.grid.kind, scope: self.config.grid.scope, ..Basis::default() }
    }
}
