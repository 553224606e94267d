//! Trains the network, on one worker or in a ring of them, and can be paused between any two steps.
//! It refuses to say "paused" when nothing was saved: without a checkpoint the pause signal is not obeyed.

use super::checkpoint::{MOST_HIDDEN, State, save_model};
use super::collective::{Alone, Collective, Ring, SILENCE};
use super::crew::{self, Crew};
use super::digits::{self, Digit};
use super::network::{BATCH, LANE, LANES, order, parameters, tree_sum};
use super::signals::{self, Stop};
use super::{EXIT_PAUSED, EXIT_TERMINATED, KernelError};
use serde_json::json;
use std::ffi::OsString;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// What to train, and with whom.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Processes: 1, 2, 4 or 8. The result does not depend on it.
    pub workers: usize,
    /// Which of them this is; `None`: the one that starts the others.
    pub rank: Option<usize>,
    /// Where each rank listens, by rank.
    pub peers: Vec<SocketAddr>,
    /// Passes over all images.
    pub epochs: u32,
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Of weights and order.
    pub seed: u64,
    /// Most steps per second, at least 0.1; `None`: as fast as it goes.
    pub pace: Option<f64>,
    /// Saved to after each epoch and when asked to stop.
    pub checkpoint: Option<PathBuf>,
    /// Where the finished model goes.
    pub model_out: Option<PathBuf>,
    /// Goes on from the checkpoint, if there is one; so does `NEAP_RESUMED=1`.
    pub resume: bool,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// `auto` or `cpu`.
    pub device: String,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            rank: None,
            peers: Vec::new(),
            epochs: 10,
            hidden: 64,
            seed: 1,
            pace: None,
            checkpoint: None,
            model_out: None,
            resume: false,
            json: false,
            device: "auto".into(),
        }
    }
}

impl TrainOptions {
    /// The command line that stands for these options, from `kernel` on.
    pub fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["kernel".into(), "train".into()];
        let mut put = |flag: &str, value: OsString| args.extend([flag.into(), value]);
        put("--workers", self.workers.to_string().into());
        put("--epochs", self.epochs.to_string().into());
        put("--hidden", self.hidden.to_string().into());
        put("--seed", self.seed.to_string().into());
        put("--device", self.device.clone().into());
        if let Some(rank) = self.rank {
            put("--rank", rank.to_string().into());
        }
        if !self.peers.is_empty() {
            put("--peers", self.peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into());
        }
        if let Some(pace) = self.pace {
            put("--pace", pace.to_string().into());
        }
        if let Some(path) = &self.checkpoint {
            put("--checkpoint", path.into());
        }
        if let Some(path) = &self.model_out {
            put("--model-out", path.into());
        }
        args.extend([(self.resume, "--resume"), (self.json, "--json")].into_iter().filter(|s| s.0).map(|s| s.1.into()));
        args
    }

    fn check(&self) -> Result<(), KernelError> {
        match self.device.as_str() {
            "auto" | "cpu" => {}
            "cuda" => return Err(KernelError::NoCuda),
            _ => return Err(KernelError::UnknownDevice(self.device.clone())),
        }
        let refuse = |option, allowed, given: String| Err(KernelError::Option { option, allowed, given });
        if self.workers == 0 || self.workers > LANES || !LANES.is_multiple_of(self.workers) {
            return Err(KernelError::Workers(self.workers));
        }
        if !(1..=MOST_HIDDEN).contains(&self.hidden) {
            return refuse("--hidden", "1 to 65536", self.hidden.to_string());
        }
        if let Some(pace) = self.pace.filter(|p| !(0.1..=1e6).contains(p)) {
            return refuse("--pace", "0.1 to 1000000 steps per second", pace.to_string());
        }
        match self.rank {
            Some(rank) if rank >= self.workers || self.workers > 1 && self.peers.len() != self.workers => {
                Err(KernelError::Rank { rank, peers: self.peers.len(), workers: self.workers })
            }
            _ => Ok(()),
        }
    }

    fn resumes(&self) -> bool {
        self.resume || std::env::var_os("NEAP_RESUMED").is_some_and(|v| v == "1")
    }

    pub(super) fn begin(&self) -> Result<State, KernelError> {
        let path = self.checkpoint.as_ref().filter(|path| self.resumes() && path.exists());
        let Some(path) = path else { return Ok(State::new(self.hidden, self.seed)) };
        let state = State::load(path)?;
        let pairs = [
            ("the seed", state.seed, self.seed),
            ("the hidden layer", state.network.hidden() as u64, self.hidden as u64),
        ];
        match pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            Some((what, theirs, ours)) => Err(KernelError::OtherRun { path: path.clone(), what, theirs, ours }),
            None => Ok(state),
        }
    }
}

/// Trains. Returns the exit code: 0 done, [`EXIT_PAUSED`], [`EXIT_TERMINATED`]. Rank 0 prints to `out`.
/// Fails with the options, the files, or the worker that is to blame.
pub fn train(options: &TrainOptions, out: &mut dyn Write) -> Result<u8, KernelError> {
    options.check()?;
    signals::listen()?;
    let state = options.begin()?;
    let ended = match (options.workers, options.rank) {
        (1, _) => run(options, state, &mut Alone, &signals::asked, out)?,
        (_, Some(rank)) => {
            let listener = crew::listener(options.peers[rank]).map_err(KernelError::Listen)?;
            let mut ring = Ring::join(&listener, rank, &options.peers, crew::token(), SILENCE)?;
            run(options, state, &mut ring, &signals::asked, out)?
        }
        (workers, None) => {
            let token = rand::random();
            let (listeners, peers) = listeners(workers).map_err(KernelError::Listen)?;
            let mut crew = Crew::default();
            let mut own = None;
            for (rank, listener) in listeners.into_iter().enumerate() {
                if rank == 0 {
                    own = Some(listener);
                    continue;
                }
                let theirs = TrainOptions { rank: Some(rank), peers: peers.clone(), ..options.clone() };
                crew.start(rank, theirs.args(), Some(listener), token)?;
            }
            let own = own.expect("there is a rank 0");
            let mut ring = Ring::join(&own, 0, &peers, token, SILENCE)?;
            let ended = run(options, state, &mut ring, &signals::asked, out)?;
            crew.dismiss(ended.0, Duration::from_secs(10))?;
            ended
        }
    };
    Ok(ended.0)
}

/// Loopback listeners for every rank.
pub(super) fn listeners(workers: usize) -> std::io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let listeners =
        (0..workers).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<Vec<_>>>()?;
    let peers = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
    Ok((listeners, peers))
}

/// The loop of every rank: from `state` to the end, or to where all agree to stop. Returns the exit code and the state then.
pub(super) fn run(
    options: &TrainOptions,
    mut state: State,
    ring: &mut dyn Collective,
    stop: &dyn Fn() -> Stop,
    out: &mut dyn Write,
) -> Result<(u8, State), KernelError> {
    let images = digits::all();
    let first = ring.rank() == 0;
    agree_on_start(&state, ring)?;
    let (began, mut steps) = (Instant::now(), 0u32);
    let mut lanes = Lanes::new(options.hidden);
    let stop = || match stop() {
        Stop::Pause if options.checkpoint.is_none() => Stop::Not,
        asked => asked,
    };
    let mut order_of = None;
    while state.epoch < options.epochs {
        if order_of.as_ref().is_none_or(|(epoch, _)| *epoch != state.epoch) {
            order_of = Some((state.epoch, order(state.seed, state.epoch, images.len())));
        }
        let order = &order_of.as_ref().expect("just drawn").1;
        let from = state.position as usize;
        let batch = &order[from..order.len().min(from + BATCH)];
        let agreed = lanes.step(&mut state, images, batch, ring, stop())?;
        state.position += batch.len() as u32;
        if state.position as usize == images.len() {
            let loss = state.loss / images.len() as f64;
            (state.epoch, state.position, state.loss) = (state.epoch + 1, 0, 0.0);
            if first {
                print_epoch(options, &state, loss, images, out)?;
                options.checkpoint.as_ref().map_or(Ok(()), |path| state.save(path))?;
            }
        } else if agreed != Stop::Not && first {
            options.checkpoint.as_ref().map_or(Ok(()), |path| state.save(path))?;
        }
        match agreed {
            Stop::Pause if state.epoch < options.epochs => return Ok((EXIT_PAUSED, state)),
            Stop::Terminate if state.epoch < options.epochs => return Ok((EXIT_TERMINATED, state)),
            _ => {}
        }
        steps += 1;
        if let Some(pace) = options.pace.filter(|_| first) {
            wait_until(began + Duration::from_secs_f64(f64::from(steps) / pace), &stop);
        }
    }
    if first {
        let accuracy = state.network.accuracy(images);
        options.model_out.as_ref().map_or(Ok(()), |path| save_model(&state.network, path))?;
        let (count, done) = (images.len(), state.adam.step);
        let line = if options.json {
            json!({ "done": true, "steps": done, "images": count, "accuracy": accuracy }).to_string()
        } else {
            format!("done  {done} steps  accuracy {accuracy:.4} on the {count} training images")
        };
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(KernelError::Print)?;
    }
    Ok((0, state))
}

/// Ranks that read different checkpoints would sum nonsense without an error.
fn agree_on_start(state: &State, ring: &mut dyn Collective) -> Result<(), KernelError> {
    let mark = state.mark();
    // 16 bits are exact in an f32.
    let mine: Vec<f32> = (0..4).map(|part| (mark >> (16 * part) & 0xffff) as f32).collect();
    let mut all = Vec::new();
    ring.all_gather(&mine, &mut all)?;
    match all.chunks_exact(4).position(|theirs| *theirs != all[..4]) {
        Some(rank) => Err(KernelError::Apart { rank }),
        None => Ok(()),
    }
}

/// The buffers of a step: each lane's gradient with its loss behind it, and after this rank's lanes what it was asked for.
struct Lanes {
    width: usize,
    mine: Vec<f32>,
    all: Vec<f32>,
    sum: Vec<f32>,
}

impl Lanes {
    fn new(hidden: usize) -> Self {
        Self { width: parameters(hidden) + 1, mine: Vec::new(), all: Vec::new(), sum: Vec::new() }
    }

    /// One step on `batch`, together with all ranks; returns what they agree to do after it.
    fn step(
        &mut self,
        state: &mut State,
        images: &[Digit],
        batch: &[usize],
        ring: &mut dyn Collective,
        stop: Stop,
    ) -> Result<Stop, KernelError> {
        let per_rank = LANES / ring.size();
        self.mine.clear();
        self.mine.resize(per_rank * self.width + 1, 0.0);
        for (lane, block) in self.mine.chunks_exact_mut(self.width).take(per_rank).enumerate() {
            let from = (ring.rank() * per_rank + lane) * LANE;
            let here = batch.iter().skip(from).take(LANE).map(|&i| &images[i]);
            let (loss, gradient) = block.split_last_mut().expect("a block holds a loss");
            *loss = state.network.lane(here, gradient);
        }
        *self.mine.last_mut().expect("a payload ends with the request") = f32::from(stop as u8);
        ring.all_gather(&self.mine, &mut self.all)?;
        let payload = self.mine.len();
        let lane = |i: usize| &self.all[i / per_rank * payload + i % per_rank * self.width..][..self.width];
        tree_sum(std::array::from_fn(lane), &mut self.sum);
        let (loss, gradient) = self.sum.split_last().expect("a sum ends with the loss");
        state.loss += f64::from(*loss);
        state.adam.update(&mut state.network, gradient, batch.len());
        let asked = self.all.chunks_exact(payload).map(|rank| rank[payload - 1]).fold(0.0, f32::max);
        Ok(if asked >= 2.0 {
            Stop::Terminate
        } else if asked >= 1.0 {
            Stop::Pause
        } else {
            Stop::Not
        })
    }
}

fn print_epoch(
    options: &TrainOptions,
    state: &State,
    loss: f64,
    images: &[Digit],
    out: &mut dyn Write,
) -> Result<(), KernelError> {
    let (epoch, epochs, accuracy) = (state.epoch, options.epochs, state.network.accuracy(images));
    let line = if options.json {
        json!({ "epoch": epoch, "epochs": epochs, "loss": loss, "accuracy": accuracy }).to_string()
    } else {
        format!("epoch {epoch:2}/{epochs}  loss {loss:.4}  accuracy {accuracy:.4}")
    };
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(KernelError::Print)
}

/// Sleeps, but not through a request to stop.
fn wait_until(by: Instant, stop: &dyn Fn() -> Stop) {
    while let Some(left) = by.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
        if stop() != Stop::Not {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
