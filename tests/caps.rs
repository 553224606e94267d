//! The whole way of a limit over a simulated board: the job counts its steps, the scheduler chooses, the executor asks, the
//! helper sets; and whoever is killed, what was found comes back.

#![allow(clippy::print_stderr, reason = "a figure is shown beside what it must reach")]

#[path = "caps/ceiling.rs"]
mod ceiling;
#[path = "caps/killed.rs"]
mod killed;
#[path = "caps/slowed.rs"]
mod slowed;
mod support;

use serde_json::Value;
use simgpu::{Board, Fault, GpuSetup, Kind, Load, Node};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::Site;

/// Steps a second at full clock.
const RATE: f64 = 40.0;
/// More work than any of these tests does, in seconds at full clock.
const WORK: f64 = 1e6;

/// Steps are watched for so long.
const WINDOW: &str = "3s";

/// A board found at 250 W, its helper and a site that may ask it. The executor cannot set anything by itself.
struct Place {
    site: Site,
    node: Arc<Node>,
    helper: Option<Child>,
    /// What its jobs do to the board.
    load: Load,
}

impl Place {
    fn new() -> Self {
        Self::of("")
    }

    /// With that in the site's file.
    fn of(more: &str) -> Self {
        Self::with(more, "")
    }

    /// And with that in the helper's file, for its group.
    fn with(more: &str, group: &str) -> Self {
        let site = Site::new(&format!("[[zone]]\nname = \"DE\"\n\n{more}"));
        let setup = GpuSetup { limit: Some(250), ..GpuSetup::new(Board::V100) };
        let node = Node::make_live(&site.path("sim"), &[setup]).expect("a node");
        let privileged = node.privileged_library().expect("built");
        let (dir, uid) = (site.dir.path().display().to_string(), rustix::process::geteuid().as_raw());
        let text = format!(
            "socket = \"{dir}/power.sock\"\nstate_dir = \"{dir}/leases\"\nnvml_lib = \"{}\"\nallow_uids = [{uid}]\n\
             [[group]]\nname = \"row\"\nleast = \"100 W\"\nmost = \"250 W\"\n{group}",
            privileged.display()
        );
        std::fs::create_dir_all(site.path("leases")).expect("made");
        std::fs::write(site.path("powerd.toml"), text).expect("written");
        let (ours, window) = (node.library().expect("built"), WINDOW);
        site.set_executor(&format!(
            "nvml_lib = \"{}\"\npower_socket = \"{dir}/power.sock\"\npace_window = \"{window}\"\n",
            ours.display()
        ));
        Self { site, node: Arc::new(node), helper: None, load: Load::RESNET50_V100 }
    }

    /// Executors that start from now on watch steps for ten minutes before they say how fast they go.
    fn watch_no_steps(&self) {
        let path = self.site.path("neap.toml");
        let text = std::fs::read_to_string(&path).expect("it was written");
        let other = text.replace(&format!("pace_window = \"{WINDOW}\""), "pace_window = \"10m\"");
        assert_ne!(text, other);
        std::fs::write(path, other).expect("written");
    }

    fn start_helper(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        command.arg("powerd").arg(self.site.path("powerd.toml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready at")), "it does not start");
        std::thread::spawn(move || lines.count());
        self.helper = Some(child);
    }

    fn kill_helper(&mut self) {
        if let Some(mut child) = self.helper.take() {
            child.kill().and_then(|()| child.wait()).expect("it ends");
        }
    }

    fn limit(&self) -> u64 {
        self.node.gpu(0).truth().requested_mw / 1_000
    }

    /// Starts a job whose steps are the work that the board really does. It ends when `stop` appears.
    fn job(&self, flags: &[&str]) -> (Child, Steps) {
        let (names, stop) = (self.site.path("progress"), self.site.path("stop"));
        drop(std::fs::remove_file(&names));
        drop(std::fs::remove_file(&stop));
        let script = format!(
            "echo $NEAP_PROGRESS > {0}.new; mv {0}.new {0}; while [ ! -e {1} ]; do sleep 0.05; done",
            names.display(),
            stop.display()
        );
        let mut command = self.site.neap();
        command.args(["run", "--gpus", "1"]).args(flags).args(["--", "sh", "-c", &script]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        (child, Steps::count(Arc::clone(&self.node), self.load, names, stop))
    }

    /// Starts scheduler and executor, and a job that consented to nothing, which runs.
    fn running_job(&mut self) -> (Child, Steps) {
        self.site.start_scheduler();
        self.site.start_executor();
        let started = self.job(&[]);
        self.until("it runs", Duration::from_secs(20), || self.text(&["ls"]).contains("running"));
        started
    }

    /// Starts everything, and a job for which a limit was chosen.
    fn held_job(&mut self) -> (Child, Steps) {
        self.start_helper();
        self.site.start_scheduler();
        self.site.start_executor();
        let started = self.job(&["--slowdown", "10%"]);
        // It is decided, and it stands: the order takes a moment to the board.
        let held = || self.text(&["why", "last", "--history"]).contains(&format!("GPUs at {} W", self.limit()));
        self.until("a limit is chosen and stands", Duration::from_secs(180), held);
        started
    }

    fn until(&self, what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + patience;
        while !done() {
            if Instant::now() >= deadline {
                let (log, why) = (self.site.log("executor"), self.text(&["why", "last", "--history"]));
                let held = std::fs::read_to_string(self.site.path("run/caps.json"));
                panic!(
                    "{what}: the board stands at {} W, leases {held:?}\n{}\n{why}\n{log}",
                    self.limit(),
                    self.helper_says()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the helper says of its boards.
    fn helper_says(&self) -> String {
        let asked = std::os::unix::net::UnixStream::connect(self.site.path("power.sock")).and_then(|mut stream| {
            std::io::Write::write_all(&mut stream, b"{\"verb\":\"status\"}\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).map(|_| line)
        });
        asked.unwrap_or_else(|error| error.to_string())
    }

    fn show(&self) -> Value {
        let output = self.site.neap().args(["show", "last", "-o", "json"]).output().expect("it ran");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.site.neap().args(args).output().expect("it ran");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill_helper();
    }
}

/// Writes down what the board did for the job, until that is over.
struct Steps {
    over: Arc<AtomicBool>,
    stop: PathBuf,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Steps {
    fn count(node: Arc<Node>, load: Load, names: PathBuf, stop: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let file = loop {
                match std::fs::read_to_string(&names) {
                    Ok(name) => break PathBuf::from(name.trim()),
                    Err(_) if done.load(Ordering::Relaxed) => return,
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            node.gpu(0).add(load.pid(1).work(WORK));
            while !done.load(Ordering::Relaxed) {
                let left = node.gpu(0).truth().loads.iter().find(|load| load.0 == 1).map_or(WORK, |load| load.1);
                drop(std::fs::write(&file, format!("{:.0}\n", (WORK - left) * RATE)));
                std::thread::sleep(Duration::from_millis(40));
            }
            node.gpu(0).remove(1);
        });
        Self { over, stop, thread: Some(thread) }
    }

    fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it counts");
        }
        std::fs::write(&self.stop, b"").expect("written");
    }
}

#[test]
fn a_job_is_held_where_it_takes_least_energy_and_what_was_found_comes_back() {
    let mut place = Place::new();
    let (mut job, steps) = place.held_job();
    let chosen = place.limit();
    assert!((100..250).contains(&chosen), "{chosen} W\n{}", place.text(&["why", "last", "--history", "-o", "json"]));
    // In truth: within the slowdown, and less energy for the same work than as it was found.
    let why = place.text(&["why", "last", "--history"]);
    assert!(why.contains(&format!("GPUs at {chosen} W")) && why.contains("within --slowdown 10%"), "{why}");

    place.site.kill_executor();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(place.limit(), chosen, "a lease outlives its holder for a while");
    place.site.start_executor();
    // Long enough for it to renew what it found in its directory.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(place.limit(), chosen, "{}", place.site.log("executor"));
    place.kill_helper();
    assert_eq!(place.limit(), chosen);
    place.start_helper();
    assert_eq!(place.limit(), 250, "a helper that starts gives back first");
    place.until("it is asked again", Duration::from_secs(30), || place.limit() == chosen);
    std::thread::sleep(Duration::from_secs(3));

    steps.end();
    assert!(job.wait().expect("it ends").success());
    place.until("what was found comes back", Duration::from_secs(10), || place.limit() == 250);
    let shown = place.show();
    assert_eq!((&shown["cap_requested_watts"], &shown["cap_found_watts"]), (&(chosen as f64).into(), &250.0.into()));
    let watts = |name: &str| shown[name].as_f64().unwrap_or_else(|| panic!("{name}: {shown}"));
    assert!(watts("mean_power_watts") > 50.0 && watts("mean_power_watts") < watts("max_power_watts"), "{shown}");
    assert!(watts("max_power_watts") < 400.0 && shown["signal_source"].is_string(), "{shown}");
    assert!(shown["capped_seconds"].as_f64().is_some_and(|seconds| seconds > 3.0), "{shown}");
    let log = place.text(&["logs", "last"]);
    assert!(log.contains(&format!("power   GPUs at {chosen} W")), "{log}");
    let truth = place.node.gpu(0).truth();
    assert!(truth.sets >= 4, "{truth:?}");

    // Learned: the next run of the same name is held from its first second.
    let (mut job, steps) = place.job(&["--slowdown", "10%"]);
    place.until("held at once", Duration::from_secs(20), || place.limit() == chosen);
    steps.end();
    assert!(job.wait().expect("it ends").success());
    place.until("what was found comes back", Duration::from_secs(10), || place.limit() == 250);
}

#[test]
fn without_a_helper_a_job_runs_and_says_why_it_was_not_held() {
    let mut place = Place::new();
    place.site.start_scheduler();
    place.site.start_executor();
    place.until("it is said", Duration::from_secs(20), || place.site.log("executor").contains("no power limits"));
    let (mut job, steps) = place.job(&["--slowdown", "10%"]);
    place.until("it runs", Duration::from_secs(20), || place.text(&["ls"]).contains("running"));
    steps.end();
    assert!(job.wait().expect("it ends").success());
    assert!(place.text(&["logs", "last"]).contains("cap: none"), "{}", place.text(&["logs", "last"]));
    assert_eq!((place.node.gpu(0).truth().sets, place.limit()), (0, 250));
}

#[test]
fn doctor_tries_a_board_and_puts_back_what_it_found() {
    let mut place = Place::new();
    // Nobody may be asked, so nothing is set.
    let said = place.text(&["doctor", "--gpu"]);
    assert!(said.contains("no limit was set") && place.node.gpu(0).truth().sets == 0, "{said}");
    place.start_helper();
    let said = place.text(&["doctor", "--gpu", "--yes"]);
    let line = |topic: &str| said.lines().find(|line| line[6..].starts_with(topic)).unwrap_or_else(|| panic!("{said}"));
    assert!(line("cap").starts_with("ok") && line("cap").contains("200 W set and read back"), "{said}");
    assert!(line("meter").starts_with("ok") && line("meter").contains("of the integral"), "{said}");
    assert_eq!((place.limit(), place.node.gpu(0).truth().sets), (250, 2));
}

#[test]
fn doctor_sets_nothing_while_somebody_else_tries_or_holds_a_board() {
    let mut place = Place::new();
    place.start_helper();
    let doctor = || {
        let began = Instant::now();
        let output = place.site.neap().args(["doctor", "--gpu", "--yes"]).output().expect("it ran");
        assert!(began.elapsed() < Duration::from_secs(5), "it is known at once");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Another one: it has the lock on the helper's directory while it is at it.
    let theirs = std::fs::File::open(place.site.dir.path()).expect("a directory");
    theirs.lock().expect("free");
    let (code, said) = doctor();
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("E056") && said.contains("another `neap doctor --gpu`") && said.contains("help: wait"),
        "{said}"
    );
    drop(theirs);
    // A lease, as an executor's for a job.
    let mut ask = std::os::unix::net::UnixStream::connect(place.site.path("power.sock")).expect("it listens");
    let acquire = format!(
        "{{\"verb\":\"acquire\",\"gpu\":\"{}\",\"limit_watts\":200,\"ttl_seconds\":60,\"attempt\":\"7-1\"}}\n",
        place.node.gpu(0).uuid()
    );
    std::io::Write::write_all(&mut ask, acquire.as_bytes()).expect("asked");
    let mut answer = String::new();
    BufReader::new(ask).read_line(&mut answer).expect("answered");
    assert!(answer.contains("\"ok\":true"), "{answer}");
    let (code, said) = doctor();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("E056") && said.contains("for 7-1") && said.contains("help: "), "{said}");
    assert_eq!((place.limit(), place.node.gpu(0).truth().sets), (200, 1), "nothing was set");
}

#[test]
fn an_operator_holds_a_node_down_changes_that_and_gives_it_back() {
    let mut place = Place::new();
    place.start_helper();
    let (mut job, steps) = place.running_job();
    // The next one replaces the last, and nothing has to be named.
    for watts in [150, 180] {
        let said = place.text(&["node", "cap", "here", &format!("{watts}W"), "--reason", "a fan is broken"]);
        assert!(said.contains(&format!("{watts} W")), "{said}");
        place.until("it is held", Duration::from_secs(15), || place.limit() == watts);
    }
    let (status, body) = place.site.connect().call("GET", "/metrics", b"").expect("the scheduler answers");
    let text = String::from_utf8(body).expect("text");
    let series = |kind: &str, watts: u64| {
        let line = text.lines().find(|line| line.starts_with("neap_gpu_limit_watts") && line.contains(kind));
        assert!(line.is_some_and(|line| line.ends_with(&format!("}} {watts}"))), "{status} {kind}: {line:?}");
    };
    place.until("the executor told it", Duration::from_secs(10), || place.text(&["show", "last"]).contains("180 W"));
    series("kind=\"found\"", 250);
    assert!(text.contains("neap_gpu_cappable{") && text.contains("neap_gpu_cap_bound_seconds_total{"), "{text}");
    place.text(&["node", "cap", "here", "off"]);
    place.until("it is given back", Duration::from_secs(15), || place.limit() == 250);
    // And once more after it was turned off.
    place.text(&["node", "cap", "here", "160W", "--for", "1h"]);
    place.until("it is held again", Duration::from_secs(15), || place.limit() == 160);
    steps.end();
    assert!(job.wait().expect("it ends").success());
    place.until("its end gives it back", Duration::from_secs(15), || place.limit() == 250);
}

#[test]
fn a_call_lowers_the_limits_of_its_power_domain_and_its_end_gives_them_back() {
    let row = "[[power_domain]]\nname = \"row\"\nnodes = [\"here\"]\ncap = \"1 MW\"\n\
               when_over = [\"cap_gpus\", \"stop_starting\"]\nmin_gpu_cap = \"50%\"\n";
    let mut place = Place::of(row);
    place.start_helper();
    place.site.start_scheduler();
    place.site.start_executor();
    // It consents to nothing, so it is slowed for its domain alone.
    let (mut job, steps) = place.job(&[]);
    place.until("it runs", Duration::from_secs(20), || place.text(&["ls"]).contains("running"));
    let status: Value = serde_json::from_str(&place.text(&["status", "-o", "json"])).expect("JSON");
    let committed = status["power"][0]["committed_watts"].as_f64().expect("a figure");
    assert_eq!(place.limit(), 250, "{status}");
    let limit = format!("{}W", (committed - 40.0).round());
    let event = ["policy", "event", "--id", "dr-1", "--kind", "cap", "--site", "row", "--limit", &limit];
    let began = Instant::now();
    place.text(&[&event[..], &["--for", "1h", "--reason", "utility call"]].concat());
    place.until("the limit falls", Duration::from_secs(10), || place.limit() < 250);
    let held = place.limit();
    eprintln!("at {held} W {:.1} s after the call", began.elapsed().as_secs_f64());
    assert!((208..=211).contains(&held), "{held} W of {committed} W");
    place.until("it is told", Duration::from_secs(5), || place.text(&["why", "last"]).contains("row is held at"));
    // A scheduler that is killed lets go of nothing, and goes on with it.
    place.site.kill_scheduler();
    std::thread::sleep(Duration::from_secs(2));
    place.site.start_scheduler();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(place.limit(), held, "{}", place.site.log("executor"));
    place.text(&["policy", "event", "--cancel", "dr-1", "--reason", "over"]);
    // A raise comes 30 to 40 s after whatever came before, a fifth of the highest at a time.
    place.until("what was found comes back", Duration::from_secs(60), || place.limit() == 250);
    steps.end();
    // Whoever watched it lost the scheduler; the job did not.
    job.wait().expect("it ends");
    place.until("it ends well", Duration::from_secs(10), || place.show()["state"] == "succeeded");
}
