//! Where things are when nobody says: for root under `/var/lib` and `/run`, for everybody else under their home.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the places depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    root: bool,
    home: PathBuf,
    state_home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    /// `NEAP_CONFIG`.
    pub named_config: Option<PathBuf>,
    /// `NEAP_ZONE`: the home zone where no file names one.
    pub zone: Option<String>,
    /// This host's name.
    pub host: String,
    /// This program.
    pub program: PathBuf,
}

impl Paths {
    /// From the environment.
    #[must_use]
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        // The XDG specification wants relative paths ignored.
        let dir = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            root: rustix::process::geteuid().is_root(),
            home: dir("HOME").unwrap_or_else(|| "/".into()),
            state_home: dir("XDG_STATE_HOME"),
            config_home: dir("XDG_CONFIG_HOME"),
            runtime_dir: dir("XDG_RUNTIME_DIR"),
            named_config: set("NEAP_CONFIG").map(PathBuf::from),
            zone: set("NEAP_ZONE").cloned(),
            host: host
                .split('.')
                .next()
                .filter(|name| neap_model::job::is_name(name))
                .unwrap_or("localhost")
                .to_owned(),
            program: std::env::current_exe().unwrap_or_else(|_| "neap".into()),
        }
    }

    /// Where a site's file usually is.
    #[must_use]
    pub fn usual_configs(&self) -> [PathBuf; 2] {
        let home = self.config_home.clone().unwrap_or_else(|| self.home.join(".config"));
        ["/etc/neap/neap.toml".into(), home.join("neap/neap.toml")]
    }

    /// State of `neap run` without a server, and of a server that a person starts.
    #[must_use]
    pub fn personal_state(&self) -> PathBuf {
        self.state_home.clone().unwrap_or_else(|| self.home.join(".local/state")).join("neap")
    }

    /// State of a server.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        if self.root { "/var/lib/neap".into() } else { self.personal_state().join("server") }
    }

    /// The socket of a server.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        match (&self.runtime_dir, self.root) {
            (_, true) => "/run/neap/neap.sock".into(),
            (Some(dir), _) => dir.join("neap.sock"),
            (None, _) => self.state_dir().join("neap.sock"),
        }
    }

    /// Sockets that a tool tries when nobody named one: this person's server, then the host's.
    #[must_use]
    pub fn usual_sockets(&self) -> Vec<PathBuf> {
        let mut all = vec![self.socket(), PathBuf::from("/run/neap/neap.sock")];
        all.dedup();
        all
    }
}
