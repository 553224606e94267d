//! Durable submits over the API: how many a second, how long each takes, beside the disk's own floor.
//!
//! `cargo build --release && cargo run --release --example submit_load -- [--clients 64] [--seconds 60] [--queued 100000]`
//!
//! It starts `neap serve` in a directory of its own, measures bare `fdatasync` there, lets the clients submit (each waits
//! for its acknowledgement), then fills the queue to `--queued`, reports the scheduler's memory, restarts it and times
//! how long it takes to answer.

#[path = "../tests/support/http.rs"]
mod http;

use http::Connection;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn main() -> std::io::Result<()> {
    let mut options = std::collections::BTreeMap::from([("clients", 64u64), ("seconds", 60), ("queued", 100_000)]);
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(2) {
        let known = pair[0].strip_prefix("--").and_then(|name| options.get_mut(name));
        match (known, pair.get(1).and_then(|value| value.parse().ok())) {
            (Some(option), Some(value)) => *option = value,
            _ => return Err(std::io::Error::other(format!("unknown option {pair:?}"))),
        }
    }
    let out = &mut std::io::stdout();
    let dir = tempfile::Builder::new().prefix("neap-load").tempdir_in(std::env::temp_dir())?;
    let socket = dir.path().join("neap.sock");
    let floor = fdatasync_floor(dir.path())?;
    writeln!(out, "floor     one 4 KiB write + fdatasync: median {} us, p99 {} us", floor.0, floor.1)?;

    let mut scheduler = start(dir.path(), &socket)?;
    let until = Instant::now() + Duration::from_secs(options["seconds"]);
    let threads: Vec<_> = (0..options["clients"])
        .map(|client| {
            let socket = socket.clone();
            std::thread::spawn(move || submit_until(&socket, client, until))
        })
        .collect();
    let mut took = Vec::new();
    for thread in threads {
        took.extend(thread.join().map_err(|_| std::io::Error::other("a client panicked"))??);
    }
    took.sort_unstable();
    let rate = took.len() as f64 / options["seconds"] as f64;
    writeln!(
        out,
        "submits   {} clients, {} s: {} acknowledged, {rate:.0}/s; p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        options["clients"],
        options["seconds"],
        took.len(),
        took[took.len() / 2] as f64 / 1e3,
        took[took.len() * 99 / 100] as f64 / 1e3,
        took[took.len() - 1] as f64 / 1e3,
    )?;
    scheduler.kill()?;
    scheduler.wait()?;

    // A queue of the size asked for, in a fresh directory.
    std::fs::remove_dir_all(dir.path().join("state"))?;
    let mut scheduler = start(dir.path(), &socket)?;
    let empty = resident(scheduler.id())?;
    let share = options["queued"].div_ceil(8);
    let threads: Vec<_> = (0..8)
        .map(|client| {
            let socket = socket.clone();
            std::thread::spawn(move || submit_count(&socket, client, share))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| std::io::Error::other("a client panicked"))??;
    }
    std::thread::sleep(Duration::from_secs(3)); // the store catches up, the plan settles
    let full = resident(scheduler.id())?;
    let queued = share * 8;
    writeln!(
        out,
        "memory    {queued} queued: {} MiB resident, {} MiB with an empty queue, {} B a job",
        full >> 20,
        empty >> 20,
        (full - empty) / queued
    )?;
    scheduler.kill()?;
    scheduler.wait()?;
    for round in 1..=3 {
        let began = Instant::now();
        let mut scheduler = start(dir.path(), &socket)?;
        writeln!(
            out,
            "restart   {queued} queued, kill -9 before: ready in {:.2} s (round {round})",
            began.elapsed().as_secs_f64()
        )?;
        scheduler.kill()?;
        scheduler.wait()?;
    }
    Ok(())
}

/// Median and 99th percentile in microseconds.
fn fdatasync_floor(dir: &Path) -> std::io::Result<(u128, u128)> {
    let mut file = std::fs::File::create(dir.join("floor"))?;
    file.write_all(&vec![0; 16 << 20])?;
    file.sync_all()?;
    let mut took = Vec::new();
    for i in 0..500u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4_096], i * 4_096)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed().as_micros());
    }
    took.sort_unstable();
    std::fs::remove_file(dir.join("floor"))?;
    Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
}

fn program() -> std::io::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let neap = example.parent().and_then(Path::parent).map(|dir| dir.join("neap"));
    neap.filter(|path| path.exists())
        .ok_or_else(|| std::io::Error::other("build the binary first: cargo build --release"))
}

fn start(dir: &Path, socket: &Path) -> std::io::Result<Child> {
    let config = dir.join("neap.toml");
    let (state, socket_name) = (dir.join("state"), socket.display());
    std::fs::write(&config, format!("[server]\nstate_dir = \"{}\"\nsocket = \"{socket_name}\"\n", state.display()))?;
    let log = std::fs::File::create(dir.join("serve.log"))?;
    let child = Command::new(program()?)
        .args(["serve", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        let ready =
            Connection::open(socket).and_then(|mut c| c.call("GET", "/v1/status", b"")).is_ok_and(|(s, _)| s == 200);
        if ready {
            return Ok(child);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(std::io::Error::other(std::fs::read_to_string(dir.join("serve.log"))?))
}

fn body(client: u64, number: u64) -> Vec<u8> {
    let job = http::spec("load", &["true"], Path::new("/"));
    json!({"spec": job, "key": format!("{client}-{number}")}).to_string().into_bytes()
}

/// Microseconds from sending to acknowledgement, each.
fn submit_until(socket: &Path, client: u64, until: Instant) -> std::io::Result<Vec<u64>> {
    let (mut connection, mut took, mut number) = (Connection::open(socket)?, Vec::new(), 0);
    while Instant::now() < until {
        number += 1;
        let body = body(client, number);
        let began = Instant::now();
        let (status, answer) = connection.call("POST", "/v1/jobs", &body)?;
        if status != 201 {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        took.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(took)
}

fn submit_count(socket: &Path, client: u64, count: u64) -> std::io::Result<()> {
    let mut connection = Connection::open(socket)?;
    for number in 0..count {
        let (status, answer) = connection.call("POST", "/v1/jobs", &body(1_000 + client, number))?;
        if status != 201 {
            return Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
    }
    Ok(())
}

/// Resident memory in bytes.
fn resident(pid: u32) -> std::io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| std::io::Error::other("no VmRSS"))
}
