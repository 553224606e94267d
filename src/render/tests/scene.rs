//! The scene: two zones, three nodes with eight GPUs each, and people who want them.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::embodied::{Factors, FunctionalUnit};
use neap_model::fleet::{Component, Gpu, Inventory, Meter, Source, Zone};
use neap_model::footprint::{Bill, EnergyOver, Market, footprint};
use neap_model::grid::{Accounting, Basis, Curve, Grade, Kind, Origin, Scope, Series, Span};
use neap_model::job::{
    After, Epoch, Flex, JobId, JobSpec, Launch, Objective, Person, Resources, Retry, Task, TimeTerms,
};
use neap_model::ledger::{Account, Part, Power};
use neap_model::lifecycle::{AttemptEnd, Exit, JobEvent, Outcome, Phase};
use neap_model::notice::{Call, Notice};
use neap_model::plan::{Decision, Outlook, Place, Verdict};
use neap_model::protocol::{
    Degraded, Happened, JobReport, NodeReport, PROTOCOL, PlanReport, PowerReport, StatusReport, UsageReport, UsageRow,
    WhyReport, ZoneGrid,
};
use neap_model::reason::{Reason, WhyNow};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, GpuSeconds, GramsCo2e, Intensity, Joules, Percent, Price, Pue, Watts};
use neap_policies::problem::{Delay, Job, NodeState, Occupant, Policy, Problem, Site, ZoneState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Mon 23 Nov 2026 18:05 CET.
pub fn now() -> DateTime<Utc> {
    time("2026-11-23T18:05:00+01:00")
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// g/kWh in Germany by the hour from 18:00 on: the curve that the design draws.
const DE: [u64; 24] = [
    412, 431, 428, 420, 405, 390, 370, 345, 315, 285, 262, 250, 258, 290, 325, 345, 350, 335, 330, 328, 335, 365, 400,
    420,
];

fn curve(hours: &[u64], grade: Grade) -> Series {
    let from = time("2026-11-23T18:00:00+01:00");
    Series::new((0..72usize).map(|hour| {
        let at = from + TimeDelta::hours(hour as i64);
        Span { from: at, until: at + TimeDelta::hours(1), value: Intensity::grams(hours[hour % hours.len()]), grade }
    }))
}

fn gpus(node: &str) -> Vec<Gpu> {
    let gpu = |index| Gpu {
        uuid: format!("GPU-{node}-{index}"),
        index,
        model: "H100-SXM5-80GB".into(),
        limit: Watts::whole(700),
        settable: None,
        uncapped: None,
    };
    (0..8).map(gpu).collect()
}

fn basis() -> Basis {
    Basis { kind: Kind::Average, scope: Scope::Lifecycle, accounting: Accounting::Consumption, factors: None }
}

fn consent(objective: Objective) -> Delay {
    Delay { objective, max: Seconds::hours(12), min_saving: Percent::whole(10), replan_gain: Percent::whole(5) }
}

/// What its site states about making the hardware.
fn factors() -> Factors {
    let gpu = "164 kg".parse().ok();
    Factors { gpu, core: None, life: Seconds::hours(4 * 365 * 24), source: "assumed".into() }
}

/// The site and everybody's wishes, with the planner's decisions.
pub struct Scene {
    site: Site,
    asks: BTreeMap<u64, Arc<Job>>,
    plan: neap_policies::Plan,
    problem: Problem,
}

fn ask(id: u64, gpus: u32, hours: f64) -> Job {
    let submitted = now() - TimeDelta::minutes(1440 - id as i64);
    Job {
        priority: 100,
        gpus,
        gpu_model: if gpus > 0 { vec!["H100".into()] } else { Vec::new() },
        delay: consent(Objective::None),
        ..Job::plain(JobId(id), submitted, Seconds((hours * 3_600.0) as u64))
    }
}

impl Scene {
    pub fn new() -> Self {
        let zone = |name: &str, home, pue, hours: &[u64]| ZoneState {
            zone: Zone { name: name.into(), home, pue: Pue::new(pue) },
            curve: Arc::new(curve(hours, Grade::Forecast)),
            basis: 0,
            prices: None,
        };
        let node = |name: &str, zone: &str| NodeState {
            name: name.into(),
            zone: zone.into(),
            up: true,
            cpus: 128,
            memory: Bytes(1 << 40),
            gpus: gpus(name),
            watts_per_cpu: Watts::whole(5),
        };
        let site = Site {
            now: now(),
            zones: vec![zone("DE", true, 1.25, &DE), zone("SE3", false, 1.12, &[36, 38, 34, 30, 31])],
            nodes: vec![node("gpu01", "DE"), node("gpu02", "DE"), node("gpu03", "DE"), node("nord07", "SE3")],
            shared: Vec::new(),
        };
        let occupant = |job, node: &str, count: u32, until: &str| Occupant {
            job: JobId(job),
            node: node.into(),
            cpus: count * 16,
            memory: Bytes(0),
            gpus: gpus(node).into_iter().take(count as usize).map(|gpu| gpu.uuid).collect(),
            until: time(until),
            draws: Watts::ZERO,
        };
        let mut planned = ask(1432, 8, 4.5);
        planned.finish_by = Some(time("2026-11-24T12:00:00+01:00"));
        planned.delay = consent(Objective::Carbon);
        let mut after = ask(1434, 0, 0.5);
        after.blocked = Some(Reason::Dependency { on: vec![JobId(1431)] });
        let mut held = ask(1435, 4, 2.0);
        held.blocked = Some(Reason::Hold { by: "ada".into() });
        let asks = [planned, ask(1433, 8, 10.0), after, held].map(|job| (job.id.0, Arc::new(job)));
        let problem = Problem {
            running: Vec::new(),
            site: site.clone(),
            occupants: vec![
                occupant(1420, "gpu01", 8, "2026-11-24T14:00:00+01:00"),
                occupant(1431, "gpu02", 1, "2026-11-24T09:40:00+01:00"),
            ],
            waiting: asks.iter().map(|(_, job)| Arc::clone(job)).collect(),
            previous: Arc::default(),
            arrivals: Arc::default(),
        };
        let plan = neap_policies::plan(&problem, &Policy::default());
        assert!(neap_policies::audit(&problem, &plan).is_empty(), "the scene itself is sound");
        Self { site, asks: asks.into(), plan, problem }
    }

    fn decision(&self, id: u64) -> Decision {
        self.plan.decisions[&JobId(id)].clone()
    }

    fn spec(&self, id: u64) -> JobSpec {
        let ask = self.asks.get(&id);
        let (name, project) = match id {
            1432 => ("llama-ft", "nlp"),
            1433 => ("diff-xl", "vision"),
            1434 => ("ingest", "data"),
            1435 => ("sweep-12", "nlp"),
            _ => ("eval-7b", "nlp"),
        };
        let gpus = ask.map_or(1, |ask| ask.gpus);
        JobSpec {
            name: name.into(),
            project: project.into(),
            queue: Some("batch".into()),
            task: Task {
                command: vec!["torchrun".into(), "train.py".into()],
                workdir: "/home/ada".into(),
                ..Task::default()
            },
            resources: Resources {
                gpus,
                gpu_model: if gpus > 0 { vec!["H100".into()] } else { Vec::new() },
                ..Resources::default()
            },
            launch: Launch::Job,
            time: TimeTerms {
                limit: Some(Seconds::hours(24)),
                expect: ask.map(|ask| ask.length),
                finish_by: ask.and_then(|ask| ask.finish_by),
                ..TimeTerms::default()
            },
            flex: Flex {
                delay: Some(ask.map_or(Objective::None, |ask| ask.delay.objective)),
                max_delay: Some(Seconds::hours(12)),
                min_saving: Some(Percent::whole(10)),
                ..Flex::default()
            },
            after: if id == 1434 { vec![After { job: JobId(1431), any: false }] } else { Vec::new() },
            functional_unit: (id == 1432).then(|| FunctionalUnit { count: 3, name: "epochs".into() }),
            retry: Retry::default(),
            hold: id == 1435,
        }
    }

    pub fn job(&self, id: u64) -> JobReport {
        let running = id == 1431;
        let submitted = if running { time("2026-11-23T15:50:00+01:00") } else { self.asks[&id].submitted };
        let phase = match id {
            1431 => Phase::Running { epoch: Epoch(1), node: "gpu02".into(), since: time("2026-11-23T15:54:00+01:00") },
            1435 => Phase::Held { by: "ada".into() },
            _ => Phase::Queued,
        };
        let decision = Some(if running { started("gpu02", WhyNow::NotAsked) } else { self.decision(id) });
        let account = if running {
            self.account(Joules(3_960_000_000), "2026-11-23T15:54:00+01:00", 131)
        } else {
            Account::default()
        };
        JobReport {
            id: JobId(id),
            owner: "ada".into(),
            spec: self.spec(id),
            phase,
            submitted,
            started: running.then(|| time("2026-11-23T15:54:00+01:00")),
            ended: None,
            first_told: decision.clone().filter(|_| !running),
            decision,
            place: running.then(|| Place { zone: "DE".into(), node: "gpu02".into() }),
            gpus: if running { vec!["GPU-gpu02-0".into()] } else { Vec::new() },
            boards: Vec::new(),
            log: running.then(|| "/var/lib/neap/run/logs/1431-1.log".into()),
            attempts: u32::from(running),
            overridden: false,
            embodied: factors().of(account.gpu_seconds, account.core_seconds),
            account,
            capped: None,
            pue: Pue::new(1.25),
            kind: neap_model::grid::Kind::Average,
            revision: 3,
            waited_for_grid: Seconds::ZERO,
        }
    }

    /// An account of that much energy of the computers, nine tenths of it in GPUs.
    fn account(&self, it: Joules, from: &str, minutes: i64) -> Account {
        let gpu = it.scaled(9, 10);
        let from = time(from);
        let past = Series::new([Span {
            from: from - TimeDelta::days(1),
            until: from + TimeDelta::days(1),
            value: Intensity::grams(259),
            grade: Grade::Measured,
        }]);
        let over = [EnergyOver {
            from,
            until: from + TimeDelta::minutes(minutes),
            energy: it.at_facility(Pue::new(1.25).expect("a PUE")),
        }];
        let actual = footprint(&over, &past, TimeDelta::zero());
        let mut run_now = actual;
        run_now.emits = actual.emits.scaled(417, 259);
        let price = |value, hours| Span {
            from: from + TimeDelta::hours(hours),
            until: from + TimeDelta::hours(hours + 24),
            value: Price(value),
            grade: Grade::Measured,
        };
        let prices = Series::new([price(96_500, -24), price(61_200, 0)]);
        let bill = Bill::of(&over[0], &prices, "EUR", TimeDelta::hours(-12));
        Account {
            parts: vec![
                Part { component: Component::Gpu, source: Source::NvmlEnergy, energy: gpu },
                Part { component: Component::Cpu, source: Source::CpuTime, energy: it.saturating_sub(gpu) },
            ],
            actual,
            run_now,
            planned: None,
            bills: vec![bill],
            market: Some(Market::of(actual.energy, Some(Intensity::grams(412)))),
            core_seconds: 64 * 60 * minutes as u64,
            gpu_seconds: GpuSeconds(8 * 60 * minutes as u64),
            gap_ms: 0,
            metering: neap_model::ledger::Metering::default(),
            cap: neap_model::cap::CapUse::default(),
            power: Power::default(),
            signals: Vec::new(),
            by_signal: Vec::new(),
            provisional: false,
        }
    }

    fn history(&self, id: u64) -> Vec<Happened> {
        let job = self.job(id);
        let owner = Person { uid: 1000, name: "ada".into() };
        let submitted =
            JobEvent::Submitted { owner, spec: Box::new(job.spec.clone()), key: "k".into(), digest: "d".into() };
        let mut all = vec![Happened { at: job.submitted, event: submitted }];
        match (&job.decision, job.started) {
            (Some(decision), None) if decision.is_planned() => {
                all.push(Happened {
                    at: job.submitted,
                    event: JobEvent::Planned { decision: Box::new(decision.clone()) },
                });
            }
            (_, Some(started)) => {
                all.push(Happened { at: started, event: leased("gpu02", WhyNow::NotAsked) });
                all.push(Happened { at: started, event: JobEvent::Started { epoch: Epoch(1), log: "/l".into() } });
            }
            _ => {}
        }
        all
    }

    pub fn why(&self, id: u64) -> WhyReport {
        let alternatives = match self.asks.get(&id) {
            Some(ask) if ask.blocked.is_none() => {
                neap_policies::alternatives(&self.plan, &self.site, &Policy::default(), ask)
            }
            _ => Vec::new(),
        };
        WhyReport {
            job: self.job(id),
            history: self.history(id),
            grid: self.grids().into_iter().next(),
            alternatives,
            certificate: Some(neap_policies::certified(&self.problem, &self.plan)).filter(|c| c.jobs > 0),
            not_compared: None,
            now: now(),
        }
    }

    /// Job 1432 the next morning.
    pub fn finished(&self) -> WhyReport {
        let mut why = self.why(1432);
        let (started, ended) = (time("2026-11-24T02:50:00+01:00"), time("2026-11-24T07:18:00+01:00"));
        let told = why.job.first_told.clone().expect("it was planned");
        let mut moved = told.clone();
        if let (Some(expected), Verdict::Hold { until, .. }) = (&mut moved.expected, &mut moved.verdict) {
            (expected.start, expected.end) = (started, started + TimeDelta::minutes(270));
            *until = Some(started);
        }
        let end = AttemptEnd::Exited { exit: Exit::Code(0) };
        let more = [
            (time("2026-11-24T00:35:00+01:00"), JobEvent::Planned { decision: Box::new(moved) }),
            (started, leased("gpu03", WhyNow::CleanestNow)),
            (started, JobEvent::Started { epoch: Epoch(1), log: "/l".into() }),
            (ended, JobEvent::AttemptEnded { epoch: Epoch(1), end, at: ended }),
        ];
        why.history.extend(more.map(|(at, event)| Happened { at, event }));
        let job = &mut why.job;
        job.phase = Phase::Ended { outcome: Outcome::Succeeded, at: ended };
        (job.started, job.ended, job.decision) = (Some(started), Some(ended), None);
        job.place = Some(Place { zone: "DE".into(), node: "gpu03".into() });
        job.log = Some("/var/lib/neap/run/logs/1432-1.log".into());
        job.attempts = 1;
        job.account = self.account(Joules(82_440_000_000), "2026-11-24T02:50:00+01:00", 268);
        job.account.planned = told.expected.map(|expected| expected.emits);
        job.embodied = factors().of(job.account.gpu_seconds, job.account.core_seconds);
        job.waited_for_grid = Seconds(31_500);
        why.alternatives.clear();
        why.now = time("2026-11-24T08:00:00+01:00");
        why
    }

    pub fn plan(&self, id: u64) -> PlanReport {
        let why = self.why(id);
        let decision = self.decision(id);
        PlanReport {
            spec: why.job.spec,
            decision,
            alternatives: why.alternatives,
            grid: self.grids(),
            certificate: why.certificate,
            now: now(),
        }
    }

    pub fn grids(&self) -> Vec<ZoneGrid> {
        let grid = |zone: &ZoneState| {
            let read = now() - TimeDelta::minutes(20);
            let curve = Curve {
                series: (*zone.curve).clone(),
                origins: vec![Origin {
                    feed: "file".into(),
                    zone: zone.zone.name.clone(),
                    basis: basis(),
                    issued: Some(read),
                    fetched: read,
                    credit: Some("Energy-Charts, CC BY 4.0".into()),
                    note: None,
                    private: false,
                    usual_error: None,
                }],
                whose: Vec::new(),
            };
            ZoneGrid {
                zone: zone.zone.clone(),
                now: curve.series.at(now()).map(|span| span.value),
                grade: curve.series.at(now()).map(|span| span.grade),
                basis: basis(),
                series: curve.series,
                origins: curve.origins,
                prices: None,
            }
        };
        self.site.zones.iter().map(grid).collect()
    }

    pub fn usage(&self) -> UsageReport {
        let row = |group: &str, jobs, kwh: u64, saves: u64| {
            let energy = Joules(kwh * 3_600_000_000);
            let mut account = self.account(energy, "2026-11-10T00:00:00+01:00", 600);
            account.run_now.emits = account.actual.emits.scaled(100, 100 - saves);
            UsageRow {
                group: group.into(),
                jobs,
                gpu_seconds: GpuSeconds(kwh * 4_320),
                actual: account.actual,
                run_now: account.run_now,
                measured_energy: account.actual.energy.scaled(9, 10),
                waited_for_grid: Seconds(kwh * 1_000 * saves / 36),
                missed: 0,
                overrides: jobs % 3,
                quality: account.quality(),
                core_seconds: account.core_seconds,
                bills: account.bills.clone(),
                market: account.market,
                embodied: factors().of(GpuSeconds(kwh * 4_320), account.core_seconds),
            }
        };
        let rows = vec![row("llama-ft", 14, 411, 36), row("sweeps", 212, 388, 10), row("failed", 9, 61, 0)];
        let mut total = UsageRow { group: "total".into(), ..UsageRow::default() };
        for row in &rows {
            total.jobs += row.jobs;
            total.gpu_seconds.0 += row.gpu_seconds.0;
            total.actual = total.actual.and(row.actual);
            total.run_now = total.run_now.and(row.run_now);
            total.measured_energy += row.measured_energy;
            total.waited_for_grid = total.waited_for_grid + row.waited_for_grid;
            total.overrides += row.overrides;
            total.quality = row.quality;
            row.bills.iter().for_each(|bill| bill.into_list(&mut total.bills));
            total.market = Some(total.market.unwrap_or_default().and(row.market.expect("it has one")));
            total.core_seconds += row.core_seconds;
        }
        total.embodied = factors().of(total.gpu_seconds, total.core_seconds);
        UsageReport {
            since: Some(time("2026-11-01T00:00:00+01:00")),
            until: Some(time("2026-11-23T00:00:00+01:00")),
            rows,
            total,
            basis: basis(),
            credits: vec!["Energy-Charts, CC BY 4.0".into()],
            zones: self.site.zones.iter().map(|zone| zone.zone.clone()).collect(),
            now: now(),
        }
    }

    pub fn status(&self) -> StatusReport {
        let node = |node: &NodeState| NodeReport {
            name: node.name.clone(),
            zone: node.zone.clone(),
            up: node.name != "nord07",
            heard: Some(now() - TimeDelta::minutes(if node.name == "nord07" { 12 } else { 0 })),
            inventory: Inventory {
                cpus: node.cpus,
                memory: node.memory,
                gpus: node.gpus.clone(),
                watts_per_cpu: node.watts_per_cpu,
                meters: vec![
                    Meter { component: Component::Gpu, source: Source::NvmlEnergy },
                    Meter { component: Component::Cpu, source: Source::CpuTime },
                ],
                boot: "b".into(),
                driver: None,
                sensor_windows: BTreeMap::new(),
            },
            attempts: 1,
        };
        StatusReport {
            version: "0.1.0".into(),
            protocol: PROTOCOL,
            now: now(),
            incarnation: 7,
            started: now() - TimeDelta::hours(50),
            jobs: vec![("planned".into(), 1), ("queued".into(), 3), ("running".into(), 2)],
            nodes: self.site.nodes.iter().map(node).collect(),
            degraded: vec![Degraded { mode: "node_down".into(), detail: "not heard of: nord07".into() }],
            certificate: Some(neap_policies::certified(&self.problem, &self.plan)),
            power: vec![PowerReport {
                name: "row-a".into(),
                limit: Some(Watts::whole(14_000)),
                committed: Watts::whole(9_200),
                event: Some("dr-7741".into()),
            }],
            vtns: vec![neap_model::protocol::VtnReport {
                name: "utility".into(),
                answered: Some(now() - TimeDelta::minutes(3)),
                trouble: Some("status 503: down for repair".into()),
                events: 2,
                announced: 1,
                refused: vec!["event e-7 is not acted upon: `KWH` is no unit of IMPORT_CAPACITY_LIMIT".into()],
            }],
            notices: vec![Notice {
                id: "dr-7741".into(),
                revision: 1,
                place: Some("DE".into()),
                call: Call::Cap { limit: Watts::whole(14_000) },
                from: now(),
                until: Some(now() + TimeDelta::hours(2)),
                priority: Some(0),
                reason: "utility call".into(),
                source: "webhook".into(),
                cancelled: false,
            }],
            store_lag: 0,
            journal_seq: 48_211,
        }
    }
}

/// A decision to start on that node, until 20:40.
fn started(node: &str, because: WhyNow) -> Decision {
    let start = time("2026-11-23T15:54:00+01:00");
    Decision {
        width: None,
        job: JobId(1432),
        verdict: Verdict::Start { place: Place { zone: "DE".into(), node: node.into() }, because },
        blockers: Vec::new(),
        latest_start: None,
        expected: Some(Outlook {
            start,
            end: time("2026-11-23T20:40:00+01:00"),
            energy: Joules(9_000_000_000),
            emits: GramsCo2e(980_000_000),
            intensity: Intensity::grams(392),
            grade: Grade::Forecast,
        }),
        run_now: None,
        runs: Vec::new(),
    }
}

fn leased(node: &str, because: WhyNow) -> JobEvent {
    JobEvent::Leased {
        epoch: Epoch(1),
        node: node.into(),
        zone: "DE".into(),
        cpus: 16,
        gpus: vec!["GPU-gpu03-0".into()],
        decision: Box::new(started(node, because)),
        slowed: None,
    }
}
