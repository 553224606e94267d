//! The site as its operators describe it, typed. Reading TOML is the binary's work; nothing here touches a file.

mod tariff;
mod vtn;

pub use crate::feeds::providers::http_json::Layout;
use neap_model::grid::{Accounting, Kind, Scope};
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::{Intensity, Money, Percent, Pue, QuantityError, Watts};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
pub use tariff::{DAY, Hours, STEP, Tariff};
pub use vtn::{Level, Unit as PowerUnit, Vtn};

/// Everything the scheduler needs to know at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where journal, store and archive live.
    pub state_dir: PathBuf,
    /// The Unix socket, the only door by default. `None`: nothing listens (embedded use).
    pub socket: Option<PathBuf>,
    /// A loopback address for Prometheus and tools; it needs a token even there.
    pub listen: Option<Listen>,
    /// What the grid figures measure and where they come from.
    pub grid: Grid,
    /// Zones, in the file's order; exactly one is home.
    pub zones: Vec<ZoneConfig>,
    /// Nodes whose zone is fixed here rather than by their executor.
    pub nodes: Vec<NodeConfig>,
    /// Groups of nodes that share a feeder, each with what it can carry.
    pub power_domains: Vec<PowerDomain>,
    /// Keys that events over the network are signed with; more than one while they are changed.
    pub event_keys: Vec<Key>,
    /// Servers of grid events that are polled.
    pub vtns: Vec<Vtn>,
    /// Emissions of making the hardware; `None`: not stated, and in no figure.
    pub embodied: Option<neap_model::embodied::Factors>,
    /// Queues by name; exactly one is the default.
    pub queues: BTreeMap<String, QueueConfig>,
    /// How jobs are planned.
    pub planner: PlannerConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
}

/// How jobs are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannerConfig {
    /// What share of the jobs that wait for the grid and came at such hours of the last weeks is reckoned with; 0: none. A
    /// quarter of them costs no carbon and lets four in ten fewer start late, all of them cost one percent (the example
    /// `arrivals_gain` of the policies).
    pub expected_arrivals: Percent,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        Self { expected_arrivals: Percent::whole(25) }
    }
}

/// A TCP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A loopback address.
    pub address: SocketAddr,
    /// File that holds the bearer token; made with mode 0600 when it is not there.
    pub token_file: PathBuf,
}

/// What the grid figures measure and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Average or marginal; one for the whole site.
    pub kind: Kind,
    /// Life cycle or direct.
    pub scope: Scope,
    /// A forecast issued longer ago than that is worth less than our own history.
    pub max_forecast_age: Seconds,
    /// Values that a service's terms forbid to republish are shown all the same: nobody outside of the site sees them.
    pub show_private: bool,
    /// Feeds in order of preference; the built-in table always follows.
    pub feeds: Vec<FeedConfig>,
}

/// A source of grid data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedConfig {
    /// A file, read again when it changes.
    File {
        /// Where it is.
        path: PathBuf,
        /// Our zone = the column or zone name in the file; empty: the same names.
        zones: BTreeMap<String, String>,
        /// What its values are, where it does not say so itself.
        labels: FileLabels,
    },
    /// A service over HTTP.
    Service {
        /// Which.
        service: Service,
        /// Our zone = theirs, for carbon intensity.
        zones: BTreeMap<String, String>,
        /// Our zone = theirs, for prices.
        price_zones: BTreeMap<String, String>,
        /// Another address than the service's own.
        base: Option<String>,
    },
}

/// What the values of a file are, as its site says. The file may say so itself; both may, if they agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLabels {
    /// Average or marginal.
    pub kind: Option<Kind>,
    /// Life cycle or direct.
    pub scope: Option<Scope>,
    /// Whose generation is counted.
    pub accounting: Option<Accounting>,
    /// Billionths of g/kWh that one of its values is.
    pub unit: Option<u64>,
}

/// A service that has grid data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// UK Carbon Intensity (NESO).
    Uk,
    /// Energy-Charts.
    EnergyCharts,
    /// Energi Data Service.
    EnergiData,
    /// Octopus Agile: prices.
    Octopus {
        /// With value-added tax.
        with_vat: bool,
    },
    /// Nord Pool's data portal: day-ahead prices.
    NordPool {
        /// In which they are asked for: `EUR`.
        currency: String,
    },
    /// Tibber: prices of a contract.
    Tibber {
        /// The token.
        key: Key,
    },
    /// OpenElectricity: Australia.
    OpenElectricity {
        /// The token.
        key: Key,
    },
    /// Electricity Maps.
    ElectricityMaps {
        /// The key.
        key: Key,
        /// A sandbox's made-up numbers are taken, for trying things out.
        allow_synthetic: bool,
    },
    /// WattTime.
    WattTime {
        /// The account.
        user: Key,
        /// Its password.
        password: Key,
    },
    /// U.S. Energy Information Administration.
    Eia {
        /// The key.
        key: Key,
        /// Name of the set of factors.
        factors: String,
    },
    /// ENTSO-E.
    Entsoe {
        /// The token.
        key: Key,
        /// Name of the set of factors.
        factors: String,
    },
    /// A Grid Intensity Exporter; the address of its metrics is the `base`.
    Exporter,
    /// A bridge of the Carbon Aware SDK; its address is the `base`.
    CarbonAware,
    /// Any service that answers with JSON; its address is the `base`.
    HttpJson(Box<HttpJson>),
    /// A Prometheus server; its address is the `base`.
    Prometheus {
        /// The query; `{zone}` is filled in.
        query: String,
        /// Time between two values.
        step: Seconds,
        /// What the values are; `None`: the label `units` says so.
        unit: Option<Unit>,
        /// A newest sample older than that is no news.
        max_age: Option<Seconds>,
        /// `Authorization`, where the server wants one.
        authorization: Option<Key>,
    },
}

/// A service that answers with JSON, as the site describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpJson {
    /// As shown to people.
    pub name: String,
    /// Headers whose values are kept elsewhere.
    pub headers: Vec<(String, Key)>,
    /// Where the values are.
    pub layout: Layout,
    /// To when it was issued.
    pub issued: Option<String>,
    /// A time names the end of its step.
    pub label_is_end: bool,
    /// How long a value stands for; `None`: as the data show.
    pub step: Option<Seconds>,
    /// What the values are.
    pub unit: Unit,
    /// Whole numbers that mean nothing is known.
    pub missing: Vec<i32>,
    /// What must stand where, `{zone}` filled in.
    pub expect: Vec<(String, String)>,
    /// Time between two polls.
    pub poll: Seconds,
}

/// What values of a service are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Intensities: billionths of g/kWh that one of them is.
    Intensity(u64),
    /// Prices: thousandths of a currency unit per MWh that one of them is, and the currency.
    Price(u64, String),
}

impl Unit {
    /// From the text of a configuration: `g/kWh`, `lb/MWh`, `EUR/MWh`, `GBP/kWh`, `p/kWh`. A unit nobody knows is `None`.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        const BILLION: u64 = 1_000_000_000;
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let plain = plain.replace("CO2e", "").replace("CO2", "");
        Some(match plain.as_str() {
            "g/kWh" | "kg/MWh" => Self::Intensity(BILLION),
            "lb/MWh" => Self::Intensity(453_592_370),
            "t/MWh" | "kg/kWh" => Self::Intensity(1_000 * BILLION),
            "g/MJ" => Self::Intensity(3_600_000_000),
            "p/kWh" => Self::Price(10_000, "GBP".to_owned()),
            "ct/kWh" => Self::Price(10_000, "EUR".to_owned()),
            other => {
                let (currency, per) = other.split_once('/')?;
                let known = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
                let thousandths = match per {
                    "MWh" if known => 1_000,
                    "kWh" if known => 1_000_000,
                    _ => return None,
                };
                Self::Price(thousandths, currency.to_owned())
            }
        })
    }
}

/// A zone as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneConfig {
    /// Our name; also the row of the built-in table unless `table` says otherwise.
    pub name: String,
    /// Jobs stay here unless they name other zones.
    pub home: bool,
    /// Power usage effectiveness; `None`: not stated.
    pub pue: Option<Pue>,
    /// Replaces the built-in yearly mean.
    pub annual_mean: Option<Intensity>,
    /// What is paid there where no service says prices.
    pub tariff: Option<Tariff>,
    /// The factor of the market-based method: of the contract, or of the residual mix.
    pub market: Option<Intensity>,
    /// How many GPUs may be in use there at once.
    pub peak_gpus: PeakGpus,
    /// What its GPUs cost for an hour; `None`: nothing is said about it.
    pub gpu_hours: Option<GpuHours>,
}

/// What GPUs of a zone cost for an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuHours {
    /// Of all of them: `EUR`.
    pub currency: String,
    /// By the beginning of a model's name, of which the longest that fits counts; an empty one fits all.
    pub prices: Vec<(String, Money)>,
}

/// How many GPUs of a zone may be in use at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeakGpus {
    /// Of all models together; `None`: as many as there are.
    pub all: Option<u32>,
    /// Of models that equal a name or start with it.
    pub by_model: BTreeMap<String, u32>,
}

/// A node as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
}

/// Where a key is kept. It never stands in a configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

/// Nodes that hang on one feeder: a row, a rack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerDomain {
    /// Its name.
    pub name: String,
    /// Its nodes. A node is in one domain at most.
    pub nodes: Vec<String>,
    /// IT power that the feeder can carry; `None`: only what events say.
    pub cap: Option<Watts>,
    /// What is done, in this order, when there is too little power.
    pub when_over: Vec<WhenOver>,
    /// No GPU is capped below this share of its default limit.
    pub min_gpu_cap: Percent,
    /// So much may be started within a minute; `None`: as much as fits.
    pub ramp: Option<Ramp>,
}

/// How much may be started within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ramp {
    /// That power.
    Power(Watts),
    /// That share of the domain's limit in force.
    Share(Percent),
}

impl std::str::FromStr for Ramp {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim_end().ends_with('%') { text.parse().map(Self::Share) } else { text.parse().map(Self::Power) }
    }
}

impl PowerDomain {
    /// The lowest limit of a GPU that was found at that one.
    #[must_use]
    pub fn lowest(&self, found: Watts) -> Watts {
        found.scaled(u64::from(self.min_gpu_cap.0), 100_000)
    }
}

/// One way to stay under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenOver {
    /// Lower the limits of GPUs, as far as the jobs on them consented to be slowed down.
    CapGpus,
    /// Pause jobs that consented to it.
    PauseFlexible,
    /// Start nothing that does not fit.
    StopStarting,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Jobs that name no queue go here.
    pub default: bool,
    /// Higher goes first.
    pub priority: i32,
    /// When and how long its jobs wait for the grid.
    pub delay: Delay,
    /// Zones its jobs may name; empty: every zone of the site.
    pub zones: Vec<String>,
    /// Time limit of jobs that name none, and the longest that may be asked for.
    pub time_limit: TimeLimit,
    /// A planned start moves only for a gain of this size.
    pub replan_gain: Percent,
    /// What pauses cost, and how often a job may be paused.
    pub pause: PauseConfig,
}

/// When and how long jobs of a queue wait for the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// For what.
    pub objective: Objective,
    /// Whether jobs have to ask for it.
    pub applies: Applies,
    /// At most so long.
    pub max: Seconds,
    /// Only for at least this saving.
    pub min_saving: Percent,
}

/// Whether jobs have to ask to be delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Only jobs with a finish-by or `--delay`.
    OptIn,
    /// All that do not say `--delay none`.
    All,
}

/// How jobs that consent to pauses are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseConfig {
    /// Run time that each pause is reckoned to cost: saving, loading, warming up.
    pub cost: Seconds,
    /// A job runs at least so long between two pauses.
    pub min_run: Seconds,
    /// Pauses of one job for each day since it was submitted, begun ones counted whole.
    pub max_per_day: u32,
}

impl Default for PauseConfig {
    fn default() -> Self {
        Self { cost: Seconds::minutes(2), min_run: Seconds::minutes(15), max_per_day: 6 }
    }
}

/// Time limits of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// Of jobs that name none.
    pub default: Seconds,
    /// The longest that may be asked for.
    pub max: Seconds,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Projects that get a label of their own; later ones share `(other)`.
    pub max_projects: usize,
}

impl Config {
    /// The home zone.
    #[must_use]
    pub fn home(&self) -> &ZoneConfig {
        self.zones.iter().find(|z| z.home).or(self.zones.first()).expect("a configuration has a zone")
    }

    /// The default queue.
    #[must_use]
    pub fn default_queue(&self) -> (&str, &QueueConfig) {
        let chosen = self.queues.iter().find(|(_, q)| q.default).or(self.queues.iter().next());
        chosen.map(|(name, queue)| (name.as_str(), queue)).expect("a configuration has a queue")
    }
}
