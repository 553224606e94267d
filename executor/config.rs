//! What an executor needs to know about its node.

use neap_model::units::{Percent, Watts};
use std::path::PathBuf;
use std::time::Duration;

/// Power of one busy core where nothing measures it: 5 W busy per logical processor. Assumed; every site can state its own.
pub const WATTS_PER_CPU: Watts = Watts::whole(5);

/// An executor's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's name.
    pub node: String,
    /// Its zone; `None`: as the scheduler's file says, else the home zone.
    pub zone: Option<String>,
    /// Where attempts and logs live.
    pub run_dir: PathBuf,
    /// Power of one busy core.
    pub watts_per_cpu: Watts,
    /// Idle power of a core where nothing measures it; stated by the site, else nothing.
    pub idle_watts_per_cpu: Watts,
    /// Power of a GiB of memory where nothing measures it; stated by the site, else nothing.
    pub watts_per_gib: Watts,
    /// Fans, network cards, disks; stated by the site, else nothing.
    pub rest_watts: Watts,
    /// Power that leaves the power supply for each watt that enters it.
    pub supply_efficiency: Percent,
    /// Cores for jobs; `None`: all.
    pub cpus: Option<u32>,
    /// Root of the powercap tree.
    pub rapl_root: PathBuf,
    /// NVIDIA's management library as the site's file says; `None`: where the system finds it.
    pub nvml_lib: Option<PathBuf>,
    /// The same as typed on the command line, which goes first.
    pub nvml_lib_typed: Option<PathBuf>,
    /// Where the privileged helper answers that sets power limits.
    pub power_socket: PathBuf,
    /// How long a job's own steps are watched at one limit, at least.
    pub pace_window: Duration,
    /// The program that is started as guard, and which jobs find as `neap`.
    pub program: PathBuf,
    /// Most bytes kept of one attempt's output.
    pub log_limit: u64,
}

impl Config {
    /// Defaults for a node with that name.
    #[must_use]
    pub fn new(node: String, run_dir: PathBuf, program: PathBuf) -> Self {
        Self {
            node,
            zone: None,
            run_dir,
            watts_per_cpu: WATTS_PER_CPU,
            idle_watts_per_cpu: Watts::ZERO,
            watts_per_gib: Watts::ZERO,
            rest_watts: Watts::ZERO,
            supply_efficiency: Percent::whole(100),
            cpus: None,
            rapl_root: "/sys/class/powercap".into(),
            nvml_lib: None,
            nvml_lib_typed: None,
            power_socket: "/run/neap/power.sock".into(),
            pace_window: Duration::from_secs(10),
            program,
            log_limit: 1 << 30,
        }
    }
    /// The management library to load: what was typed, else `NEAP_NVML_LIB`, else the site's file, else `None`: the
    /// system's.
    #[must_use]
    pub fn nvml_library(&self) -> Option<PathBuf> {
        use crate::domains::nvml::library::{VARIABLE, choose};
        choose(self.nvml_lib_typed.clone(), std::env::var_os(VARIABLE), self.nvml_lib.as_deref())
    }
}
