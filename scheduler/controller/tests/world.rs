//! A site in moved time. Every turn goes through the bytes of the journal and into a second state, which must end up
//! equal: replay is live operation.

use crate::config::{
    Applies, Config, Delay, Grid, MetricsConfig, PauseConfig, PeakGpus, PlannerConfig, QueueConfig, TimeLimit,
    ZoneConfig,
};
use crate::controller::state::State;
use crate::controller::{Answer, Caller, Controller, Effect, Input, Request, Turn, ZoneCurve};
use crate::record;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::{CapHeld, CapUse, Pace, Settable, Uncapped};
use neap_model::fleet::{Component, Gpu, Inventory, Meter, Source};
use neap_model::grid::{Basis, Curve, Grade, Kind, Origin, Scope, Series, Span};
use neap_model::job::{AttemptId, Flex, JobId, JobSpec, Launch, Objective, Person, Resources, Retry, Task, TimeTerms};
use neap_model::ledger::{EnergySpan, Metering, Part};
use neap_model::lifecycle::{AttemptEnd, Event, Exit, Phase, StopCause};
use neap_model::protocol::{Ask, AttemptReport, Beat, BeatReply, JobReport, PROTOCOL, Submit};
use neap_model::refusal::Refusal;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Joules, Megahertz, Percent, Watts};
use std::collections::BTreeMap;

/// 2026-11-23 00:00 UTC.
pub fn midnight() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_392_000, 0).expect("in range")
}

pub fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

pub fn ada() -> Person {
    Person { uid: 1_000, name: "ada".into() }
}

pub fn bob() -> Person {
    Person { uid: 1_001, name: "bob".into() }
}

/// One value an hour from midnight on, repeated for ten days.
pub fn curve_of(grams: &[u64], grade: Grade) -> ZoneCurve {
    let spans = (0..240).map(|hour| Span {
        from: midnight() + hours(hour),
        until: midnight() + hours(hour + 1),
        value: Intensity::grams(grams[hour as usize % grams.len()]),
        grade,
    });
    let series = Series::new(spans);
    let origin = Origin {
        feed: "test".into(),
        zone: "DE".into(),
        basis: Basis::default(),
        issued: None,
        fetched: midnight(),
        credit: None,
        note: None,
        private: false,
        usual_error: None,
    };
    ZoneCurve {
        curve: Curve { series: series.clone(), origins: vec![origin], whose: Vec::new() },
        past: series,
        prices: None,
    }
}

pub fn config() -> Config {
    let queue = QueueConfig {
        default: true,
        priority: 0,
        delay: Delay {
            objective: Objective::Carbon,
            applies: Applies::OptIn,
            max: Seconds::hours(48),
            min_saving: Percent::whole(10),
        },
        zones: Vec::new(),
        time_limit: TimeLimit { default: Seconds::hours(4), max: Seconds::hours(72) },
        replan_gain: Percent::whole(5),
        pause: PauseConfig::default(),
    };
    let zone = |name: &str, home| ZoneConfig {
        name: name.into(),
        home,
        pue: None,
        annual_mean: None,
        tariff: None,
        market: None,
        peak_gpus: PeakGpus::default(),
        gpu_hours: None,
    };
    Config {
        state_dir: "/nonexistent".into(),
        socket: None,
        listen: None,
        grid: Grid {
            kind: Kind::Average,
            scope: Scope::Lifecycle,
            max_forecast_age: Seconds::hours(12),
            show_private: false,
            feeds: Vec::new(),
        },
        zones: vec![zone("DE", true), zone("SE3", false)],
        nodes: Vec::new(),
        power_domains: Vec::new(),
        event_keys: Vec::new(),
        vtns: Vec::new(),
        embodied: None,
        queues: BTreeMap::from([("batch".to_owned(), queue)]),
        planner: PlannerConfig::default(),
        metrics: MetricsConfig { max_projects: 200 },
    }
}

/// A job of one core that takes so long.
pub fn job(name: &str, length: TimeDelta) -> JobSpec {
    JobSpec {
        functional_unit: None,
        name: name.into(),
        project: "test".into(),
        queue: None,
        task: Task { command: vec!["train".into()], workdir: "/".into(), ..Task::default() },
        resources: Resources { cpus: Some(1), ..Resources::default() },
        launch: Launch::Job,
        time: TimeTerms {
            limit: Some(Seconds(length.num_seconds() as u64 * 2)),
            expect: Some(Seconds(length.num_seconds() as u64)),
            ..TimeTerms::default()
        },
        flex: Flex::default(),
        after: Vec::new(),
        retry: Retry::default(),
        hold: false,
    }
}

/// How many times as fast as it expects a job is on these GPUs, by number and model.
pub type Speed = fn(usize, &str) -> f64;

/// Steps a second and watts of one GPU at a limit; `None`: as it was found.
pub type Pacing = fn(Option<Watts>) -> (f64, f64);

/// What a window shows of a job that waits for memory: steps a second, watts of one GPU, and the share of time for which a limit
/// bound.
pub type Clocked = fn(Option<Watts>, Option<Megahertz>) -> (f64, f64, f64);

struct Attempt {
    started: DateTime<Utc>,
    ends: DateTime<Utc>,
    end: Option<(AttemptEnd, DateTime<Utc>)>,
    spanned: bool,
    cap: Option<Watts>,
    ceiling: Option<Megahertz>,
    order: u64,
    gpus: Vec<String>,
    /// Since when it is watched at that limit, and the last whole window.
    watched: DateTime<Utc>,
    pace: Option<Pace>,
}

pub struct World {
    pub controller: Controller,
    replayed: State,
    /// Everything that was written, with its time.
    pub log: Vec<(DateTime<Utc>, Event)>,
    pub now: DateTime<Utc>,
    next_caller: u64,
    /// Searches that ran beside the loop.
    pub searches: usize,
    /// Searches are kept here instead.
    pub hold_searches: bool,
    pub held: Vec<Effect>,
    cpus: u32,
    gpus: Vec<Gpu>,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// How long each job really takes, where that is not what it expects.
    pub takes: BTreeMap<String, TimeDelta>,
    /// How fast each job is on the GPUs it gets, where that makes a difference.
    pub speeds: BTreeMap<String, Speed>,
    /// Exit codes other than 0.
    pub exits: BTreeMap<String, u8>,
    pub started: BTreeMap<JobId, Vec<DateTime<Utc>>>,
    /// Steps a second and watts of a GPU by limit, of jobs that count their steps.
    pub paces: BTreeMap<String, Pacing>,
    /// Of jobs whose GPUs say that memory is busy nine tenths of the time.
    pub clocked: BTreeMap<String, Clocked>,
    /// Work that was saved at pauses.
    pub saved: BTreeMap<JobId, TimeDelta>,
    /// What a GPU draws for each job, as far as its limit lets it, where that is metered.
    pub draws: BTreeMap<JobId, Watts>,
    /// GPUs whose limit somebody else sets.
    pub foreign: Vec<String>,
    /// Why no start is held at its limit; `None`: all are.
    pub unheld: Option<Uncapped>,
    /// Jobs that were started held.
    pub held_first: Vec<JobId>,
    /// Jobs that were told that they ran before.
    pub resumed: Vec<JobId>,
    /// Jobs that do not save their work when they are told to.
    pub careless: Vec<String>,
    pub executor_up: bool,
    /// Its leases ran out while it heard nobody, and were not taken again yet.
    pub lapsed: bool,
    session: u64,
    beats: u64,
    pub footers: Vec<(AttemptId, String)>,
}

impl World {
    pub fn new(cpus: u32) -> Self {
        Self::of(config(), cpus)
    }

    pub fn of(config: Config, cpus: u32) -> Self {
        let now = midnight();
        let footer = |report: &JobReport| format!("footer of {}", report.id);
        let started = Event::Started { incarnation: 1, nonce: 7, version: "test".into() };
        let (mut state, mut replayed) = (State::default(), State::default());
        state.apply(now, &started).expect("a start is legal");
        replayed.apply(now, &started).expect("a start is legal");
        let log = vec![(now, started)];
        Self {
            log,
            controller: Controller::new(config, 0, footer, state, now),
            replayed,
            now,
            next_caller: 0,
            searches: 0,
            hold_searches: false,
            held: Vec::new(),
            cpus,
            gpus: Vec::new(),
            attempts: BTreeMap::new(),
            takes: BTreeMap::new(),
            speeds: BTreeMap::new(),
            exits: BTreeMap::new(),
            started: BTreeMap::new(),
            paces: BTreeMap::new(),
            clocked: BTreeMap::new(),
            saved: BTreeMap::new(),
            careless: Vec::new(),
            draws: BTreeMap::new(),
            foreign: Vec::new(),
            unheld: None,
            held_first: Vec::new(),
            resumed: Vec::new(),
            executor_up: true,
            lapsed: false,
            session: 1,
            beats: 0,
            footers: Vec::new(),
        }
    }

    pub fn with_grid(mut self, curve: &ZoneCurve) -> Self {
        self.grid(curve);
        self
    }

    /// Better plans are searched beside the loop, however few jobs wait.
    pub fn searched_beside(mut self) -> Self {
        self.controller.planning.search_beside();
        self
    }

    pub fn with_gpus(mut self, gpus: &[(&str, &str)]) -> Self {
        let gpu = |(index, (uuid, model)): (usize, &(&str, &str))| Gpu {
            uuid: (*uuid).into(),
            index: index as u32,
            model: (*model).into(),
            limit: Watts::whole(300),
            settable: None,
            uncapped: Some(Uncapped::NoHelper),
        };
        self.gpus = gpus.iter().enumerate().map(gpu).collect();
        self
    }

    /// The helper runs on the node: GPUs may be told 100 W to 400 W.
    pub fn with_helper(mut self) -> Self {
        let range =
            Settable { least: Watts::whole(100), most: Watts::whole(400), clocks: None, safe: None, found: None };
        for gpu in &mut self.gpus {
            (gpu.settable, gpu.uncapped) = (Some(range), None);
        }
        self
    }

    /// What a board is left at without a lease, on a shared feeder; the executor starts jobs held.
    pub fn on_feeder(&mut self, safe: Option<Watts>) {
        for gpu in &mut self.gpus {
            gpu.settable = gpu.settable.map(|range| Settable { safe, ..range });
        }
    }

    /// Its executor found the boards where their helper had brought them.
    pub fn brought_down(&mut self, safe: Watts) {
        for gpu in &mut self.gpus {
            let found = std::mem::replace(&mut gpu.limit, safe);
            gpu.settable = gpu.settable.map(|range| Settable { found: Some(found), ..range });
        }
    }

    /// Its executor starts anew, and goes on with what runs.
    pub fn session_anew(&mut self) {
        self.session += 1;
        self.beats = 0;
    }

    /// Its file says that locks of clocks are its own.
    pub fn with_clocks(mut self) -> Self {
        for gpu in &mut self.gpus {
            gpu.settable =
                gpu.settable.map(|range| Settable { clocks: Some((Megahertz(300), Megahertz(1_500))), ..range });
        }
        self
    }

    /// The ceiling that the GPUs of a job are told.
    pub fn ceiling(&self, id: JobId) -> Option<Megahertz> {
        self.attempts.iter().find(|(attempt, _)| attempt.job == id).and_then(|(_, attempt)| attempt.ceiling)
    }

    /// What the GPUs of a job are told.
    pub fn cap(&self, id: JobId) -> Option<Watts> {
        self.attempts.iter().find(|(attempt, _)| attempt.job == id).and_then(|(_, attempt)| attempt.cap)
    }

    pub fn grid(&mut self, curve: &ZoneCurve) {
        let curves = vec![("DE".to_owned(), curve.clone())];
        self.step(Input::Grid { curves, troubles: Vec::new() });
    }

    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let turn = self.controller.step(self.now, input);
        let mut effects = self.written(turn);
        let settled = self.controller.step(self.now, Input::Settle);
        effects.extend(self.written(settled));
        let searches = effects.extract_if(.., |effect| matches!(effect, Effect::Search(..))).collect::<Vec<_>>();
        for search in searches {
            // Nobody waits for it, and it is over at once.
            if self.hold_searches {
                self.held.push(search);
                continue;
            }
            let Effect::Search(problem, policy) = search else { continue };
            self.searches += 1;
            effects.extend(self.step(Input::Found(Some(neap_policies::plan(&problem, &policy).decisions))));
        }
        effects
    }

    /// Through the bytes and into the second state.
    fn written(&mut self, turn: Turn) -> Vec<Effect> {
        if !turn.events.is_empty() {
            let bytes = record::encode(turn.events.clone());
            let read = record::decode(1, &bytes.public, &bytes.private).expect("what was written can be read");
            assert_eq!(read, turn.events);
            for event in read {
                self.replayed.apply(self.now, &event).expect("what was live is legal in replay");
                self.log.push((self.now, event));
            }
        }
        turn.effects
    }

    pub fn ask(&mut self, by: Person, request: Request) -> Result<Answer, Vec<Refusal>> {
        self.next_caller += 1;
        let caller = Caller(self.next_caller);
        let effects = self.step(Input::Request { by, request, caller });
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply(to, answer) if to == caller => Some(answer),
            _ => None,
        });
        answer.expect("every request of these tests is answered at once")
    }

    pub fn submit(&mut self, spec: JobSpec) -> Result<JobReport, Vec<Refusal>> {
        self.next_caller += 1;
        let key = format!("key-{}", self.next_caller);
        match self.ask(ada(), Request::Submit(Box::new(Submit { spec, key })))? {
            Answer::Accepted(accepted) => Ok(accepted.job),
            other => panic!("{other:?}"),
        }
    }

    pub fn verb(&mut self, id: JobId, ask: Ask) -> Result<JobReport, Vec<Refusal>> {
        match self.ask(ada(), Request::Ask(id, ask))? {
            Answer::Job(job) => Ok(*job),
            other => panic!("{other:?}"),
        }
    }

    pub fn show(&mut self, id: JobId) -> JobReport {
        match self.ask(ada(), Request::Show(id, None)) {
            Ok(Answer::Job(job)) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn inventory(&self) -> Inventory {
        Inventory {
            cpus: self.cpus,
            memory: Bytes(64 << 30),
            gpus: self.gpus.clone(),
            watts_per_cpu: Watts::whole(100),
            meters: vec![Meter { component: Component::Cpu, source: Source::CpuTime }],
            boot: "boot".into(),
            driver: None,
            sensor_windows: BTreeMap::new(),
        }
    }

    /// A beat of the executor, and what it does about the answer.
    pub fn beat(&mut self) {
        self.beats += 1;
        let now = self.now;
        for attempt in self.attempts.values_mut() {
            if attempt.end.is_none() && attempt.ends <= now {
                let exit = AttemptEnd::Exited { exit: Exit::Code(0) };
                attempt.end = Some((exit, attempt.ends));
            }
        }
        let jobs = &self.controller.state().jobs;
        for (id, attempt) in &mut self.attempts {
            let Some(job) = jobs.get(&id.job) else { continue };
            let (paced, clocked) = (self.paces.get(&job.spec.name), self.clocked.get(&job.spec.name));
            if paced.is_none() && clocked.is_none() {
                continue;
            }
            let time = (now - attempt.watched).num_milliseconds() as u64;
            if time < 60_000 {
                continue;
            }
            let (rate, watts) = paced.map(|pacing| pacing(attempt.cap)).unwrap_or_default();
            let below = clocked.map(|clocked| clocked(attempt.cap, attempt.ceiling));
            let (rate, watts, bound) = below.unwrap_or((rate, watts, 0.0));
            attempt.pace = Some(Pace {
                number: attempt.pace.map_or(0, |pace| pace.number + 1),
                limit: attempt.cap,
                clock_ceiling: attempt.ceiling,
                steps: (rate * time as f64 / 1e3) as u64,
                steps_ms: time,
                energy: Joules((watts * time as f64) as u64 * job.gpus.len() as u64),
                energy_ms: time,
                bound_ms: (bound * time as f64) as u64,
                memory_busy: clocked.map(|_| Percent::whole(90)),
            });
            attempt.watched = now;
        }
        let holds = self
            .attempts
            .iter()
            .map(|(id, attempt)| {
                let job = &self.controller.state().jobs.get(&id.job);
                let code = job.and_then(|job| self.exits.get(&job.spec.name)).copied();
                let end = attempt.end.clone().map(|(end, at)| match (end, code) {
                    (AttemptEnd::Exited { .. }, Some(code)) => (AttemptEnd::Exited { exit: Exit::Code(code) }, at),
                    other => (other.0, at),
                });
                let until = end.as_ref().map(|(_, at)| *at);
                let paced = job.and_then(|job| Some((self.paces.get(&job.spec.name)?, job.gpus.len() as u64)));
                let spans = until.filter(|_| !attempt.spanned && !is_unheld(attempt)).map(|until| EnergySpan {
                    seq: 0,
                    from: attempt.started,
                    until,
                    // 100 W all the time, and what its GPUs draw as they were held last.
                    parts: {
                        let ran = (until - attempt.started).num_milliseconds() as u64;
                        let part =
                            |component, source, watts: u64| Part { component, source, energy: Joules(ran * watts) };
                        let gpus = |(pacing, gpus): (&Pacing, u64)| {
                            part(Component::Gpu, Source::NvmlEnergy, pacing(attempt.cap).1 as u64 * gpus)
                        };
                        let host = part(Component::Cpu, Source::CpuTime, 100);
                        std::iter::once(host).chain(paced.map(gpus)).collect()
                    },
                    gap_ms: 0,
                    metering: Metering::default(),
                    cap: CapUse {
                        capped_ms: attempt.cap.map_or(0, |_| (until - attempt.started).num_milliseconds() as u64),
                        ..CapUse::default()
                    },
                    power: neap_model::ledger::Power::default(),
                });
                AttemptReport {
                    attempt: *id,
                    started: Some(attempt.started).filter(|_| !is_unheld(attempt)),
                    ended: end,
                    stopping: false,
                    spans: spans.into_iter().collect(),
                    log: "/log".into(),
                    cap: attempt.cap,
                    clock_ceiling: attempt.ceiling,
                    cap_order: attempt.order,
                    caps: self.held(attempt),
                    pace: attempt.pace,
                }
            })
            .collect();
        let beat = Beat {
            node_books: None,
            protocol: PROTOCOL,
            node: "n1".into(),
            zone: None,
            session: self.session,
            number: self.beats,
            inventory: self.inventory(),
            holds,
            node_spans: Vec::new(),
            gpu_power: self.gpu_power(),
            patience_ms: 0,
        };
        if let Some(reply) = self.raw_beat(beat) {
            self.obey(reply);
        }
    }

    /// A first beat of another node, which is given nothing.
    pub fn beat_of(&mut self, node: &str, zone: &str, gpus: Vec<Gpu>) {
        let beat = Beat {
            node_books: None,
            protocol: PROTOCOL,
            node: node.into(),
            zone: Some(zone.into()),
            session: 1,
            number: 1,
            inventory: Inventory { gpus, ..self.inventory() },
            holds: Vec::new(),
            node_spans: Vec::new(),
            gpu_power: BTreeMap::new(),
            patience_ms: 0,
        };
        self.raw_beat(beat);
    }

    pub fn raw_beat(&mut self, beat: Beat) -> Option<BeatReply> {
        self.next_caller += 1;
        let caller = Caller(self.next_caller);
        let effects = self.step(Input::Beat { beat: Box::new(beat), caller });
        effects.into_iter().find_map(|effect| match effect {
            Effect::Reply(to, Ok(Answer::Orders(reply))) if to == caller => Some(*reply),
            _ => None,
        })
    }

    /// What the helper would say of the GPUs of an attempt.
    fn held(&self, attempt: &Attempt) -> Vec<CapHeld> {
        if attempt.cap.is_none() && attempt.ceiling.is_none() {
            return Vec::new();
        }
        let limit = attempt.cap;
        let one = |uuid: &String| {
            let found = self.gpus.iter().find(|gpu| gpu.uuid == *uuid).map(|gpu| gpu.limit);
            let foreign = self.foreign.contains(uuid);
            CapHeld {
                gpu: uuid.clone(),
                wanted: limit,
                found,
                requested: limit.filter(|_| !foreign && !self.lapsed),
                enforced: if foreign { found } else { limit.or(found) },
                clock_ceiling_wanted: attempt.ceiling,
                clock_ceiling: attempt.ceiling.filter(|_| !foreign),
                because: match (foreign, self.lapsed) {
                    (true, _) => Some(Uncapped::Foreign),
                    (false, true) => Some(Uncapped::NoScheduler),
                    (false, false) => None,
                },
                ..CapHeld::default()
            }
        };
        attempt.gpus.iter().map(one).collect()
    }

    fn gpu_power(&self) -> BTreeMap<String, Watts> {
        let limits: BTreeMap<String, Watts> = self.in_force().into_iter().collect();
        let jobs = self.attempts.iter().filter_map(|(id, attempt)| Some((attempt, *self.draws.get(&id.job)?)));
        let gpus = jobs.flat_map(|(attempt, watts)| attempt.gpus.iter().map(move |gpu| (gpu.clone(), watts)));
        gpus.map(|(gpu, watts)| (limits[&gpu].min(watts), gpu)).map(|(watts, gpu)| (gpu, watts)).collect()
    }

    /// The limit in force on each GPU that a job has.
    pub fn in_force(&self) -> Vec<(String, Watts)> {
        let of = |attempt: &Attempt| {
            let board = |uuid: &String| self.gpus.iter().find(|gpu| gpu.uuid == *uuid);
            let found = |uuid: &String| {
                let found = |gpu: &Gpu| gpu.settable.and_then(|range| range.found).unwrap_or(gpu.limit);
                board(uuid).map_or(Watts::ZERO, found)
            };
            let left = |uuid: &String| board(uuid).and_then(|gpu| gpu.settable?.safe).unwrap_or_else(|| found(uuid));
            let limit = |uuid: &String| match attempt.cap {
                Some(limit) if !self.foreign.contains(uuid) => limit.min(found(uuid)),
                Some(_) => found(uuid),
                None if self.foreign.contains(uuid) => found(uuid),
                None => left(uuid),
            };
            attempt.gpus.iter().map(|uuid| (uuid.clone(), limit(uuid))).collect::<Vec<_>>()
        };
        self.attempts.values().filter(|attempt| !is_unheld(attempt)).flat_map(of).collect()
    }

    fn speed(&self, name: &str, gpus: &[String]) -> f64 {
        speed_of(&self.speeds, &self.gpus, name, gpus)
    }

    fn obey(&mut self, reply: BeatReply) {
        let now = self.now;
        for lease in reply.leases {
            let takes = self.takes.get(&lease.spec.name).copied();
            let takes = takes.unwrap_or_else(|| lease.spec.time.expect.unwrap_or(Seconds(1)).delta());
            let left = takes - self.saved.get(&lease.attempt.job).copied().unwrap_or_default();
            let speed = self.speed(&lease.spec.name, &lease.gpus);
            let takes = TimeDelta::seconds((left.num_seconds() as f64 / speed).round() as i64);
            let limit = lease.limit.delta();
            let end =
                (takes > limit).then_some(AttemptEnd::Stopped { exit: Exit::Signal(15), cause: StopCause::Limit });
            self.attempts.entry(lease.attempt).or_insert_with(|| {
                let unheld = self.unheld.filter(|_| lease.held_first);
                self.resumed.extend(lease.resumed.then_some(lease.attempt.job));
                let ends = now + takes.min(limit);
                let mut end = end.map(|end| (end, ends));
                match unheld {
                    Some(because) => end = Some((AttemptEnd::NotHeld { because }, now)),
                    None => self.started.entry(lease.attempt.job).or_default().push(now),
                }
                if lease.held_first && unheld.is_none() {
                    assert!(lease.cap.is_some(), "{lease:?}");
                    self.held_first.push(lease.attempt.job);
                }
                Attempt {
                    started: now,
                    ends,
                    end,
                    spanned: false,
                    cap: lease.cap,
                    ceiling: lease.clock_ceiling,
                    order: 0,
                    gpus: lease.gpus,
                    watched: now,
                    pace: None,
                }
            });
        }
        for order in reply.caps {
            let Some(attempt) = self.attempts.get_mut(&order.attempt) else { continue };
            attempt.order = order.order;
            if (attempt.cap, attempt.ceiling) != (order.limit, order.clock_ceiling) {
                (attempt.cap, attempt.ceiling, attempt.watched) = (order.limit, order.clock_ceiling, now);
            }
        }
        for stop in reply.stops {
            if let Some(attempt) = self.attempts.get_mut(&stop.attempt) {
                if attempt.end.is_some() {
                    continue;
                }
                let id = stop.attempt.job;
                let name = self.controller.state().jobs.get(&id).map(|job| job.spec.name.clone());
                let exit = match &stop.cause {
                    StopCause::Pause { saved, .. }
                        if !name.as_ref().is_some_and(|name| self.careless.contains(name)) =>
                    {
                        let speed =
                            name.as_ref().map_or(1.0, |name| speed_of(&self.speeds, &self.gpus, name, &attempt.gpus));
                        let ran = (now - attempt.started).num_seconds() as f64 * speed;
                        *self.saved.entry(id).or_default() += TimeDelta::seconds(ran.round() as i64);
                        Exit::Code(*saved)
                    }
                    _ => Exit::Signal(15),
                };
                attempt.end = Some((AttemptEnd::Stopped { exit, cause: stop.cause }, now));
            }
        }
        self.footers.extend(reply.footers);
        for id in reply.settled.iter().chain(&reply.stale) {
            self.attempts.remove(id);
        }
    }

    /// The executor's host was replaced: nothing is held any more.
    pub fn node_forgets(&mut self) {
        self.attempts.clear();
        self.session += 1;
        self.beats = 0;
    }

    /// Lets time pass, a minute at a time; the executor beats if it is up.
    pub fn pass(&mut self, time: TimeDelta) {
        self.pass_by(time, TimeDelta::seconds(60));
    }

    /// The same, in other steps.
    pub fn pass_by(&mut self, time: TimeDelta, step: TimeDelta) {
        let until = self.now + time;
        while self.now < until {
            self.now = (self.now + step).min(until);
            // The limit reaches attempts whose end lies in the future only when it comes.
            for attempt in self.attempts.values_mut() {
                if attempt.end.as_ref().is_some_and(|(_, at)| *at > self.now) {
                    attempt.end = None;
                }
            }
            self.step(Input::Tick);
            if self.executor_up {
                self.beat();
                self.beat();
            }
        }
    }

    /// The state after replay equals the live one, job by job.
    pub fn check_replay(&self) {
        let live = &self.controller.state().jobs;
        assert_eq!(live.len(), self.replayed.jobs.len());
        for (id, job) in live {
            assert_eq!(self.replayed.jobs.get(id).map(AsRef::as_ref), Some(job.as_ref()));
        }
        assert_eq!(self.controller.state().totals, self.replayed.totals);
        assert_eq!(self.controller.state().notices, self.replayed.notices);
        assert_eq!(self.controller.state().programs, self.replayed.programs);
        assert_eq!(self.controller.state().next_id(), self.replayed.next_id());
    }

    /// A restart: a new controller over what replay makes of the same events. The grid has to be read again.
    pub fn restart(&mut self) {
        self.restart_as(self.controller.config().clone());
    }

    /// The same with another configuration.
    pub fn restart_as(&mut self, config: Config) {
        self.check_replay();
        let footer = |report: &JobReport| format!("footer of {}", report.id);
        let incarnation = self.replayed.incarnation + 1;
        let started = Event::Started { incarnation, nonce: 8, version: "test".into() };
        self.log.push((self.now, started));
        let (mut state, mut replayed) = (State::default(), State::default());
        for (at, event) in &self.log {
            state.apply(*at, event).expect("what was live is legal in replay");
            replayed.apply(*at, event).expect("what was live is legal in replay");
        }
        self.controller = Controller::new(config, 0, footer, state, self.now);
        self.replayed = replayed;
    }
}

fn is_unheld(attempt: &Attempt) -> bool {
    matches!(attempt.end, Some((AttemptEnd::NotHeld { .. }, _)))
}

fn speed_of(speeds: &BTreeMap<String, Speed>, boards: &[Gpu], name: &str, gpus: &[String]) -> f64 {
    let model = boards.iter().find(|board| gpus.first() == Some(&board.uuid)).map_or("", |board| &board.model);
    speeds.get(name).map_or(1.0, |speed| speed(gpus.len(), model))
}

pub fn phase_word(job: &JobReport) -> &'static str {
    match &job.phase {
        Phase::Queued if job.decision.as_ref().is_some_and(|d| d.is_planned()) => "planned",
        phase => phase.word(),
    }
}

/// So many cases of a property, or as many as NEAP_CASES says.
#[allow(clippy::disallowed_methods, reason = "how long a test runs is nobody's decision but the caller's")]
pub fn cases(usual: u32) -> proptest::prelude::ProptestConfig {
    let cases = std::env::var("NEAP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    proptest::prelude::ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}
