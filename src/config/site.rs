//! What each table of the site's file means.

use super::feeds;
use super::paths::Paths;
use super::power;
use super::vtn;
use super::walk::{Source, Table};
use crate::diagnostic::Problem;
use chrono_tz::Tz;
use neap_model::embodied::Factors;
use neap_model::grid::{Kind, Scope};
use neap_model::job::{Objective, is_name};
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Pue};
use neap_scheduler::config::{
    Applies, Config, Delay, Grid, Listen, MetricsConfig, NodeConfig, PauseConfig, PeakGpus, PlannerConfig, QueueConfig,
    TimeLimit, ZoneConfig,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The home zone of a site that names none: nothing is known about where it is.
const NOWHERE: &str = "WORLD";

pub(super) fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadValue, message)
}

/// Reads the whole file.
pub fn read(text: &str, file: &str, paths: &Paths) -> Result<(Config, neap_executor::config::Config), Vec<Problem>> {
    let source = Source { file, text, problems: RefCell::default() };
    let parsed = source.parse()?;
    let mut top = Table::new(&source, "", Some(parsed.get_ref()));
    if top.whole::<u32>("version").is_some_and(|version| version != 1) {
        top.wrong("P013", "version", bad("this program reads version 1 of the site's file"));
    }
    let (mut scheduler, timezone) = server(top.table("server"), paths);
    let mut grid_table = top.table("grid");
    scheduler.event_keys = power::event_keys(grid_table.table("webhook"));
    let servers = grid_table.tables("vtn");
    scheduler.zones = zones(&mut top, paths, timezone);
    scheduler.grid = feeds::grid(grid_table, &scheduler.zones);
    scheduler.nodes = nodes(&mut top, &scheduler.zones);
    scheduler.power_domains = power::domains(&mut top, &scheduler.nodes);
    scheduler.vtns = vtn::vtns(servers, &scheduler);
    scheduler.queues = queues(&mut top, &scheduler.zones);
    scheduler.embodied = embodied(top.table("embodied"));
    scheduler.planner = planner(top.table("planner"));
    let mut metrics = top.table("metrics");
    scheduler.metrics.max_projects = metrics.whole("max_projects").unwrap_or(200);
    metrics.finish(&[]);
    let executor = executor(top.table("executor"), paths, &scheduler);
    top.finish(&["roles", "budget", "fairness", "rule", "hook", "privacy"]);
    let problems = source.problems.into_inner();
    if problems.is_empty() { Ok((scheduler, executor)) } else { Err(problems) }
}

fn server(mut table: Table<'_>, paths: &Paths) -> (Config, Option<Tz>) {
    let state_dir = path(&mut table, "state_dir").unwrap_or_else(|| paths.state_dir());
    let socket = path(&mut table, "socket").unwrap_or_else(|| paths.socket());
    let listen = table.text("listen").and_then(|text| match text.parse::<std::net::SocketAddr>() {
        Ok(address) if neap_scheduler::api::is_loopback(&address) => Some(address),
        Ok(_) => {
            let refusal = bad(format!("`{text}` can be reached from elsewhere, and TLS is not built yet"))
                .hint("listen on loopback: \"127.0.0.1:7878\"", &[]);
            table.wrong("P013", "listen", refusal);
            None
        }
        Err(_) => {
            table.wrong("P013", "listen", bad(format!("`{text}` is no address: \"127.0.0.1:7878\"")));
            None
        }
    });
    let token_file = path(&mut table, "token_file").unwrap_or_else(|| state_dir.join("token"));
    let listen = listen.map(|address| Listen { address, token_file });
    let timezone = table.text("timezone").and_then(|name| {
        let zone = name.parse().ok();
        if zone.is_none() {
            table.wrong("P013", "timezone", bad(format!("`{name}` is no time zone: a name such as Europe/Berlin")));
        }
        zone
    });
    table.finish(&["metrics"]);
    let config = Config {
        socket: Some(socket),
        state_dir,
        listen,
        grid: Grid {
            kind: Kind::Average,
            scope: Scope::Lifecycle,
            max_forecast_age: Seconds::hours(12),
            show_private: false,
            feeds: Vec::new(),
        },
        zones: Vec::new(),
        nodes: Vec::new(),
        power_domains: Vec::new(),
        event_keys: Vec::new(),
        vtns: Vec::new(),
        embodied: None,
        queues: BTreeMap::new(),
        planner: PlannerConfig::default(),
        metrics: MetricsConfig { max_projects: 200 },
    };
    (config, timezone)
}

fn planner(mut table: Table<'_>) -> PlannerConfig {
    let usual = PlannerConfig::default();
    let expected_arrivals = table.quantity("expected_arrivals").unwrap_or(usual.expected_arrivals);
    if expected_arrivals > Percent::whole(100) {
        table.wrong("P013", "expected_arrivals", bad("a share of the jobs that usually come lies between 0% and 100%"));
    }
    table.finish(&[]);
    PlannerConfig { expected_arrivals }
}

/// Emissions of making hardware. `None`: the site states none.
fn embodied(mut table: Table<'_>) -> Option<Factors> {
    let (gpu, core) = (table.quantity("gpu"), table.quantity("core"));
    let life = table.quantity::<Seconds>("life").unwrap_or(Seconds::hours(4 * 365 * 24));
    if life < Seconds::hours(24) {
        table.wrong("P013", "life", bad("hardware lives for a day at least: \"1460d\""));
    }
    let source = table.text("source").unwrap_or_else(|| "assumed".to_owned());
    table.finish(&[]);
    (gpu.is_some() || core.is_some()).then_some(Factors { gpu, core, life, source })
}

/// An absolute path: a daemon's own directory is nobody's business.
pub(super) fn path(table: &mut Table<'_>, key: &'static str) -> Option<PathBuf> {
    let text = table.text(key)?;
    if text.starts_with('/') {
        return Some(text.into());
    }
    table.wrong("P013", key, bad(format!("`{text}` is not an absolute path")));
    None
}

fn zones(top: &mut Table<'_>, paths: &Paths, timezone: Option<Tz>) -> Vec<ZoneConfig> {
    let mut all: Vec<ZoneConfig> = Vec::new();
    for mut table in top.tables("zone") {
        let name = named(&mut table, "a zone");
        let pue = table.float("pue").and_then(|ratio| {
            let pue = Pue::new(ratio);
            if pue.is_none() {
                table.wrong("P013", "pue", bad(format!("a PUE lies between 1 and 10, not at {ratio}")));
            }
            pue
        });
        let home = table.switch("home").unwrap_or(false);
        if home && all.iter().any(|zone| zone.home) {
            table.wrong("P017", "home", bad("two zones cannot both be home"));
        }
        let (annual_mean, market) = (table.quantity("annual_mean"), table.quantity("market_factor"));
        let (tariff, gpu_hours) = super::tariff::money(&mut table, timezone);
        let (all_models, by_model) = table.whole_or_named("peak_gpus");
        let peak_gpus = PeakGpus { all: all_models, by_model: by_model.into_iter().collect() };
        if let Some(name) = name {
            if all.iter().any(|zone| zone.name == name) {
                table.wrong("P017", "name", bad(format!("zone `{name}` stands here twice")));
            }
            all.push(ZoneConfig { name, home, pue, annual_mean, tariff, market, peak_gpus, gpu_hours });
        }
        table.finish(&[]);
    }
    if all.is_empty() {
        let name = paths.zone.clone().filter(|name| is_name(name)).unwrap_or_else(|| NOWHERE.to_owned());
        let peak_gpus = PeakGpus::default();
        all.push(ZoneConfig {
            name,
            home: true,
            pue: None,
            annual_mean: None,
            tariff: None,
            market: None,
            peak_gpus,
            gpu_hours: None,
        });
    }
    if !all.iter().any(|zone| zone.home) {
        all[0].home = true;
    }
    all
}

fn named(table: &mut Table<'_>, what: &str) -> Option<String> {
    let name = table.text("name");
    match &name {
        None => table.wrong("P013", "name", bad(format!("{what} needs its `name`"))),
        Some(name) if !is_name(name) => {
            table.wrong(
                "P013",
                "name",
                bad(format!("`{name}` cannot name {what}")).note("letters, digits, `.`, `_`, `-`"),
            );
            return None;
        }
        Some(_) => {}
    }
    name
}

pub(super) fn is_zone(table: &Table<'_>, key: &str, zone: &str, zones: &[ZoneConfig]) -> bool {
    let known = zones.iter().any(|known| known.name == zone);
    if !known {
        let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
        table.wrong(
            "P016",
            key,
            bad(format!("zone `{zone}` is not defined")).note(format!("defined: {}", names.join(", "))),
        );
    }
    known
}

fn nodes(top: &mut Table<'_>, zones: &[ZoneConfig]) -> Vec<NodeConfig> {
    let mut all: Vec<NodeConfig> = Vec::new();
    for mut table in top.tables("node") {
        let name = named(&mut table, "a node");
        let zone = table.text("zone");
        match &zone {
            Some(zone) => {
                is_zone(&table, "zone", zone, zones);
            }
            None => table.wrong("P013", "zone", bad("a node that stands here needs its `zone`")),
        }
        if let (Some(name), Some(zone)) = (name, zone) {
            if all.iter().any(|node| node.name == name) {
                table.wrong("P017", "name", bad(format!("node `{name}` stands here twice")));
            }
            all.push(NodeConfig { name, zone });
        }
        table.finish(&["power_domain"]);
    }
    all
}

fn queues(top: &mut Table<'_>, zones: &[ZoneConfig]) -> BTreeMap<String, QueueConfig> {
    let mut all = BTreeMap::new();
    let mut chosen = None;
    for (name, mut table) in top.named("queue") {
        if !is_name(&name) {
            table.wrong("P013", "priority", bad(format!("`{name}` cannot name a queue")));
        }
        let default = table.switch("default").unwrap_or(false);
        if default && let Some(first) = &chosen {
            table.wrong("P017", "default", bad(format!("queue `{first}` is the default already")));
        } else if default {
            chosen = Some(name.clone());
        }
        let priority = table.whole("priority").unwrap_or(0);
        let delay = delay(&mut table);
        let mut place = table.table("place");
        let named = place.texts("zones");
        named.iter().for_each(|zone| {
            is_zone(&place, "zones", zone, zones);
        });
        place.finish(&["objective", "max_transfer"]);
        table.choice("fallback", &[("run", ())]);
        table.choice("on_silence", &[("keep", ())]);
        let mut limit = table.table("time_limit");
        let time_limit = TimeLimit {
            default: limit.quantity("default").unwrap_or(Seconds::hours(24)),
            max: limit.quantity("max").unwrap_or(Seconds::hours(24 * 30)),
        };
        if time_limit.default > time_limit.max {
            limit.wrong("P017", "default", bad("the default time limit is longer than the longest"));
        }
        limit.finish(&[]);
        let replan_gain = table.quantity("replan_gain").unwrap_or(Percent::whole(5));
        let pause = pause(&mut table);
        table.finish(&["max_gpus", "who", "preempt", "shadow"]);
        all.insert(name, QueueConfig { default, priority, delay, zones: named, time_limit, replan_gain, pause });
    }
    if all.is_empty() {
        all.insert("default".to_owned(), usual_queue());
    }
    if chosen.is_none()
        && let Some(queue) = all.values_mut().next()
    {
        queue.default = true;
    }
    all
}

fn usual_delay() -> Delay {
    Delay {
        objective: Objective::Carbon,
        applies: Applies::OptIn,
        max: Seconds::hours(6),
        min_saving: Percent::whole(10),
    }
}

fn usual_queue() -> QueueConfig {
    QueueConfig {
        default: true,
        priority: 0,
        delay: usual_delay(),
        zones: Vec::new(),
        time_limit: TimeLimit { default: Seconds::hours(24), max: Seconds::hours(24 * 30) },
        replan_gain: Percent::whole(5),
        pause: PauseConfig::default(),
    }
}

fn pause(queue: &mut Table<'_>) -> PauseConfig {
    let usual = PauseConfig::default();
    let mut table = queue.table("pause");
    let pause = PauseConfig {
        cost: table.quantity("cost").unwrap_or(usual.cost),
        min_run: table.quantity("min_run").unwrap_or(usual.min_run),
        max_per_day: table.whole("max_per_day").unwrap_or(usual.max_per_day),
    };
    if pause.min_run == Seconds::ZERO {
        table.wrong("P013", "min_run", bad("a job has to run for a while between two pauses"));
    }
    table.finish(&[]);
    pause
}

const OBJECTIVES: [(&str, Objective); 3] =
    [("none", Objective::None), ("carbon", Objective::Carbon), ("price", Objective::Price)];

/// `delay = "none"` is short for `delay = { objective = "none" }`.
fn delay(queue: &mut Table<'_>) -> Delay {
    let usual = usual_delay();
    if let Some(value) = queue.get("delay")
        && matches!(value.get_ref(), toml::de::DeValue::String(_))
    {
        return Delay { objective: queue.choice("delay", &OBJECTIVES).unwrap_or(usual.objective), ..usual };
    }
    let mut table = queue.table("delay");
    let delay = Delay {
        objective: table.choice("objective", &OBJECTIVES).unwrap_or(usual.objective),
        applies: table.choice("applies", &[("opt_in", Applies::OptIn), ("all", Applies::All)]).unwrap_or(usual.applies),
        max: table.quantity("max").unwrap_or(usual.max),
        min_saving: table.quantity("min_saving").unwrap_or(usual.min_saving),
    };
    table.finish(&["only_below"]);
    delay
}

fn executor(mut table: Table<'_>, paths: &Paths, scheduler: &Config) -> neap_executor::config::Config {
    let node = table.text("node").unwrap_or_else(|| paths.host.clone());
    if !is_name(&node) {
        table.wrong("P013", "node", bad(format!("`{node}` cannot name a node")));
    }
    // Beside the state that the file names, if it names one.
    let run_dir = path(&mut table, "run_dir").unwrap_or_else(|| scheduler.state_dir.join("run"));
    let usual = neap_executor::config::Config::new(node, run_dir, paths.program.clone());
    let zone = table.text("zone");
    if let Some(zone) = &zone {
        is_zone(&table, "zone", zone, &scheduler.zones);
    }
    let config = neap_executor::config::Config {
        zone,
        watts_per_cpu: table.quantity("watts_per_cpu").unwrap_or(usual.watts_per_cpu),
        idle_watts_per_cpu: table.quantity("idle_watts_per_cpu").unwrap_or(usual.idle_watts_per_cpu),
        watts_per_gib: table.quantity("watts_per_gib").unwrap_or(usual.watts_per_gib),
        rest_watts: table.quantity("rest_watts").unwrap_or(usual.rest_watts),
        supply_efficiency: table.quantity("supply_efficiency").unwrap_or(usual.supply_efficiency),
        cpus: table.whole("cpus"),
        rapl_root: table.text("rapl_root").map_or(usual.rapl_root, Into::into),
        nvml_lib: table.text("nvml_lib").map(Into::into),
        power_socket: table.text("power_socket").map_or(usual.power_socket, Into::into),
        pace_window: table
            .quantity::<Seconds>("pace_window")
            .map_or(usual.pace_window, |window| std::time::Duration::from_secs(window.0)),
        log_limit: table.quantity::<neap_model::units::Bytes>("log_limit").map_or(usual.log_limit, |bytes| bytes.0),
        ..usual
    };
    if !(Percent::whole(10)..=Percent::whole(100)).contains(&config.supply_efficiency) {
        table.wrong("P013", "supply_efficiency", bad("a power supply passes on 10% to 100% of what it takes"));
    }
    if config.pace_window.is_zero() {
        table.wrong("P013", "pace_window", bad("nothing can be told from a window of no length"));
    }
    if config.cpus == Some(0) {
        table.wrong("P013", "cpus", bad("an executor without a core runs nothing"));
    }
    table.finish(&[]);
    config
}
