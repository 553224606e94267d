//! What the slow tests share: a site in a directory of its own, its two daemons, and a way to speak to them that shares
//! no code with the product.
#![allow(dead_code, reason = "each test binary uses its own part of it")]

pub mod http;
pub mod service;

#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use http::{Connection, spec};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A site of one machine in a temporary directory.
pub struct Site {
    pub dir: tempfile::TempDir,
    /// What every process of the site finds in its environment besides the usual.
    pub env: Vec<(String, String)>,
    scheduler: Option<Child>,
    executor: Option<Child>,
}

pub fn neap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
    for name in [
        "NEAP_SERVER",
        "NEAP_CONFIG",
        "NEAP_ZONE",
        "NEAP_OUTPUT",
        "NEAP_NVML_LIB",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8").env("NEAP_TIMEZONE", "Europe/Berlin");
    command
}

impl Site {
    /// A site with this configuration beside its own directories.
    pub fn new(config: &str) -> Self {
        // A short path: the name of a Unix socket ends at 107 bytes.
        let dir = tempfile::Builder::new().prefix("neap").tempdir_in("/tmp").expect("a temporary directory");
        let path = dir.path().display();
        let head = format!("[server]\nstate_dir = \"{path}/state\"\nsocket = \"{path}/neap.sock\"\n\n");
        let tail = format!("\n[executor]\nrun_dir = \"{path}/run\"\nnode = \"here\"\n");
        std::fs::write(dir.path().join("neap.toml"), head + config + &tail).expect("the configuration is written");
        Self { dir, env: Vec::new(), scheduler: None, executor: None }
    }

    /// Adds lines to the executor's part of the configuration.
    pub fn set_executor(&self, lines: &str) {
        let path = self.path("neap.toml");
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(path, text + lines).expect("the configuration is written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("neap.sock")
    }

    /// The tool, pointed at this site, with an empty home.
    pub fn neap(&self) -> Command {
        let mut command = neap();
        command
            .env("NEAP_SERVER", self.socket())
            .env("NEAP_CONFIG", self.path("neap.toml"))
            .env("HOME", self.dir.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path());
        command
    }

    fn daemon(&self, verb: &str) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("{verb}.log")))
            .expect("a log file");
        let second = log.try_clone().expect("a second handle");
        let mut command = self.neap();
        command.arg(verb).stdin(Stdio::null()).stdout(log).stderr(second);
        command.spawn().expect("the daemon starts")
    }

    /// Starts the scheduler and waits until it answers. Says how long that took.
    pub fn start_scheduler(&mut self) -> Duration {
        let began = Instant::now();
        self.scheduler = Some(self.daemon("serve"));
        self.wait_ready();
        began.elapsed()
    }

    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answered = Connection::open(&self.socket())
                .and_then(|mut connection| connection.call("GET", "/v1/status", b""))
                .is_ok_and(|(status, _)| status == 200);
            if answered {
                return;
            }
            let ended = self.scheduler.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the scheduler ended: {ended:?}\n{}", self.log("serve"));
            assert!(Instant::now() < deadline, "the scheduler does not answer\n{}", self.log("serve"));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn start_executor(&mut self) {
        self.executor = Some(self.daemon("executor"));
    }

    pub fn scheduler_pid(&self) -> Option<u32> {
        self.scheduler.as_ref().map(Child::id)
    }

    /// `kill -9`, and not before it is gone.
    pub fn kill_scheduler(&mut self) {
        kill(self.scheduler.take());
    }

    pub fn kill_executor(&mut self) {
        kill(self.executor.take());
    }

    pub fn log(&self, verb: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{verb}.log"))).unwrap_or_default()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket()).expect("the scheduler listens")
    }

    /// Waits until `done` says so.
    pub fn until(&self, what: &str, patience: Duration, mut done: impl FnMut(&mut Connection) -> bool) {
        let deadline = Instant::now() + patience;
        let mut connection = self.connect();
        while !done(&mut connection) {
            assert!(Instant::now() < deadline, "{what}\n{}\n{}", self.log("serve"), self.log("executor"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        kill(self.executor.take());
        kill(self.scheduler.take());
        // Guards outlive us by design: end what this site started.
        end_all_under(&self.path("run"));
    }
}

/// Ends every guard whose attempt lies under this directory, by pid and start time as they wrote them down.
fn end_all_under(run: &Path) {
    let marker = run.display().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let argv = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let argv = String::from_utf8_lossy(&argv);
        if argv.contains("guard") && argv.contains(&marker) {
            let _ = Command::new("kill").arg("-9").arg(pid.to_string()).stderr(Stdio::null()).status();
        }
    }
}
