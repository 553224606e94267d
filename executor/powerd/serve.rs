//! The door of the helper: a Unix socket, one line a request, and the kernel's word on who speaks.
//!
//! One thread owns the keeper and the driver; one accepts, and one short-lived thread reads each connection within a second.

use super::board::Nvml;
use super::keeper::{Event, Keeper};
use super::record::{Directory, is_uuid};
use super::{Answer, Config, LONGEST, OnLoss, Refusal, Request};
use crate::clock::{Boot, Clock};
use neap_model::units::Watts;
use rustix::net::sockopt::socket_peercred;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// A request has to come within that.
const DEADLINE: Duration = Duration::from_secs(1);
/// How often time passes for the keeper.
const TICK: Duration = Duration::from_millis(500);
/// Requests of one user a second.
const A_SECOND: u32 = 10;
/// Connections at a time.
const CONNECTIONS: usize = 32;
/// Bytes beyond a request that are read and dropped.
const DRAINED: u64 = 64 << 10;
/// Boots, telling one from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

type Asked = (u32, Request, SyncSender<Answer>);

/// Checks what a file alone cannot: that safe caps fit their feeder, that ranges are ranges.
///
/// # Errors
/// What does not fit, with the numbers.
pub fn check(config: &Config, gpus: &[String]) -> Result<(), String> {
    for group in &config.groups {
        let (least, most) = (group.limits.start(), group.limits.end());
        if least > most {
            return Err(format!("group {}: {least} to {most} is no range", group.name));
        }
        let OnLoss::SafeCap(safe) = group.on_loss else { continue };
        if !group.limits.contains(&safe) {
            return Err(format!("group {}: its safe cap of {safe} is outside of {least} to {most}", group.name));
        }
        let count = if group.gpus.is_empty() { gpus.len() } else { group.gpus.len() };
        let sum = Watts(safe.0.saturating_mul(count as u64));
        if let Some(feeder) = group.feeder.filter(|feeder| sum > *feeder) {
            return Err(format!(
                "group {}: {count} safe caps of {safe} are {sum}, its feeder carries {feeder}",
                group.name
            ));
        }
    }
    Ok(())
}

/// The epoch of this start: one more than the last one's, on disk before anybody hears of it.
fn next_epoch(state_dir: &Path) -> Result<u64, String> {
    let path = state_dir.join("epoch");
    let last: u64 = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let say = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = std::fs::File::create(&path).map_err(say)?;
    writeln!(file, "{}", last + 1).and_then(|()| file.sync_all()).map_err(say)?;
    Ok(last + 1)
}

fn open(config: &Config) -> Result<Keeper<Nvml, Directory>, String> {
    let records = Directory::new(config.state_dir.join("leases"))
        .map_err(|error| format!("cannot use {}: {error}", config.state_dir.display()))?;
    let epoch = next_epoch(&config.state_dir)?;
    let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let mut boards = Nvml::open(config.nvml_lib.as_deref())?;
    let gpus =
        super::board::Boards::list(&mut boards).map_err(|refusal| format!("the GPUs cannot be listed: {refusal:?}"))?;
    check(config, &gpus)?;
    Keeper::start(boards, records, config, boot.trim(), epoch, rand::random(), Boot.now())
}

/// Undoes everything an earlier life left, and leaves.
///
/// # Errors
/// What could not be undone.
pub fn restore_all(config: &Config) -> Result<Vec<Event>, String> {
    let mut keeper = open(config)?;
    keeper.restore_all()?;
    Ok(keeper.take_events())
}

/// Serves until the process ends. `tell` gets a line for everything a person may want to know.
///
/// # Errors
/// Why it cannot start.
pub fn serve(config: &Config, tell: &(dyn Fn(&str) + Sync)) -> Result<(), String> {
    let mut keeper = open(config)?;
    for event in keeper.take_events() {
        tell(&said(&event));
    }
    let say = |error: std::io::Error| format!("cannot listen at {}: {error}", config.socket.display());
    if UnixStream::connect(&config.socket).is_ok() {
        return Err(format!("another helper answers at {}", config.socket.display()));
    }
    drop(std::fs::remove_file(&config.socket));
    let listener = UnixListener::bind(&config.socket).map_err(say)?;
    // The kernel says who speaks; the list of users is held against that.
    std::fs::set_permissions(&config.socket, std::fs::Permissions::from_mode(0o666)).map_err(say)?;
    let (asks, inbox) = sync_channel::<Asked>(CONNECTIONS);
    let door = Door { asks, uids: config.allow_uids.clone(), grants: config.grants.clone() };
    let accepting = std::thread::Builder::new().name("neap-power-door".to_owned());
    accepting.spawn(move || accept(&listener, &door)).map_err(|error| format!("cannot start a thread: {error}"))?;
    tell(&format!("ready at {}", config.socket.display()));
    let mut rates: BTreeMap<u32, (Duration, u32)> = BTreeMap::new();
    loop {
        match inbox.recv_timeout(TICK) {
            Ok((uid, request, reply)) => {
                let now = Boot.now();
                let rate = rates.entry(uid).or_insert((now, 0));
                if now >= rate.0 + Duration::from_secs(1) {
                    *rate = (now, 0);
                }
                rate.1 += 1;
                let answer = if rate.1 > A_SECOND {
                    refuse(Refusal::RateLimited, format!("more than {A_SECOND} requests in a second"))
                } else {
                    keeper.ask(uid, &request, now)
                };
                // Who hung up does not want it.
                drop(reply.try_send(answer));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the door closed".to_owned()),
        }
        keeper.tick(Boot.now());
        for event in keeper.take_events() {
            tell(&said(&event));
        }
    }
}

fn said(event: &Event) -> String {
    format!("{} {}: {}", event.kind, event.gpu, event.detail)
}

fn refuse(refusal: Refusal, detail: impl Into<String>) -> Answer {
    Answer::no(0, refusal, detail)
}

struct Door {
    asks: SyncSender<Asked>,
    uids: Vec<u32>,
    grants: Option<std::path::PathBuf>,
}

fn accept(listener: &UnixListener, door: &Door) {
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if open.load(Ordering::Relaxed) >= CONNECTIONS {
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let open = Arc::clone(&open);
            scope.spawn(move || {
                converse(&stream, door);
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
}

/// Reads that end all together [`DEADLINE`] after the connection, however slowly the other side sends.
struct Until<'a>(&'a UnixStream, Duration);

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.1.saturating_sub(Boot.now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.0.set_read_timeout(Some(left))?;
        let mut stream = self.0;
        stream.read(buffer)
    }
}

/// One request, one answer.
fn converse(mut stream: &UnixStream, door: &Door) {
    let ends = Boot.now() + DEADLINE;
    let timeouts = stream.set_read_timeout(Some(DEADLINE)).and(stream.set_write_timeout(Some(DEADLINE)));
    if timeouts.is_err() {
        return;
    }
    let answer = answered(stream, door, ends);
    if let Ok(mut text) = serde_json::to_string(&answer) {
        text.push('\n');
        drop(stream.write_all(text.as_bytes()));
    }
    // What was sent beyond one request is read and dropped: closed over unread bytes, the answer could be lost on the way.
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(std::io::copy(&mut Until(stream, ends).take(DRAINED), &mut std::io::sink()));
}

/// What a user asks with a line, if that user may ask it.
pub(super) fn admitted(uid: u32, line: &[u8], uids: &[u32], grants: Option<&Path>) -> Result<Request, Answer> {
    if !uids.contains(&uid) {
        return Err(refuse(Refusal::NotAllowed, format!("user {uid} may not set limits here")));
    }
    let request: Request = serde_json::from_slice(line)
        .map_err(|error| refuse(Refusal::BadRequest, error.to_string().chars().take(200).collect::<String>()))?;
    if let (Some(grants), Request::Acquire { gpu, .. }) = (grants, &request) {
        let granted = is_uuid(gpu).then(|| std::fs::read_to_string(grants.join(gpu)).ok()).flatten();
        if granted.and_then(|text| text.trim().parse().ok()) != Some(uid) {
            return Err(refuse(Refusal::NotAllowed, format!("no grant lets user {uid} hold that GPU")));
        }
    }
    Ok(request)
}

fn answered(stream: &UnixStream, door: &Door, ends: Duration) -> Answer {
    let Ok(peer) = socket_peercred(stream) else { return refuse(Refusal::NotAllowed, "nobody vouches for who asks") };
    let uid = peer.uid.as_raw();
    let mut line = Vec::new();
    // Who may ask nothing is not listened to.
    if door.uids.contains(&uid) {
        let read = BufReader::new(Until(stream, ends).take(LONGEST as u64)).read_until(b'\n', &mut line);
        if read.is_err() || !line.ends_with(b"\n") {
            return refuse(Refusal::BadRequest, format!("no line of at most {LONGEST} bytes within a second"));
        }
    }
    let request = match admitted(uid, &line, &door.uids, door.grants.as_deref()) {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let (reply, answer) = sync_channel(1);
    if door.asks.try_send((uid, request, reply)).is_err() {
        return refuse(Refusal::RateLimited, "too many requests wait");
    }
    // The driver may hang: the caller is told and tries again, its lease has a minute.
    answer.recv_timeout(DEADLINE * 5).unwrap_or_else(|_| refuse(Refusal::GpuLost, "the driver does not answer"))
}
