//! The daemons: `neap serve` and `neap executor`.

use super::Left;
use crate::client::Server;
use crate::embedded::{self, chain};
use crate::output;
use crate::render::footer::footer;
use crate::session::{Problems, Session, problem};
use neap_executor::link::{HttpLink, Link, LinkError};
use neap_model::refusal::{Code, Refusal};
use neap_scheduler::api::{Door, router, serve_tcp, serve_unix};
use neap_scheduler::auth::Token;
use neap_scheduler::auth::signature::Keys;
use neap_scheduler::daemon;
use neap_scheduler::journal::Options;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code where storage failed: a supervisor starts it again, and replay decides.
const STORAGE: u8 = 74;
/// Exit code where a start again cannot help.
const CONFIGURATION: u8 = 78;
/// How often the loop is looked after.
const LOOK: Duration = Duration::from_millis(200);

fn cannot(doing: &str, error: &dyn std::error::Error) -> Problems {
    problem(Refusal::new(Code::Internal, format!("cannot {doing}: {}", chain(error))))
}

/// Ends when somebody asks this process to end. A reload is not built: SIGHUP is answered with a line.
async fn until_asked() -> Result<&'static str, Problems> {
    let listen = |kind| signal(kind).map_err(|error| cannot("listen for signals", &error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok("interrupt"),
            _ = terminate.recv() => return Ok("terminate"),
            _ = hangup.recv() => output::note("a reload is not built yet: start again to read the file anew"),
        }
    }
}

/// `neap serve`.
pub async fn serve(session: &Session, check: bool, dev: bool) -> Left {
    let config = match session.config() {
        Ok(config) => config,
        Err(wrong) if check => return Err(wrong),
        Err(wrong) => {
            output::raw(&crate::diagnostic::render(&wrong, session.manner(), CONFIGURATION));
            return Ok(CONFIGURATION);
        }
    };
    if check {
        return Ok(super::policy::right(&config));
    }
    let from = config.shown();
    let site = config.scheduler.clone();
    if let Some(parent) = site.state_dir.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot(&format!("make {}", parent.display()), &error))?;
    }
    let options = if dev { Options::small() } else { Options::default() };
    let scheduler = match daemon::start(site.clone(), footer, options) {
        Ok(scheduler) => scheduler,
        Err(error) => {
            output::note(&format!("neap serve: {}", chain(&error)));
            return Ok(error.exit());
        }
    };
    scheduler.notices.iter().for_each(|notice| output::note(notice));
    let token = site.listen.as_ref().map(|listen| Token::read_or_make(&listen.token_file)).transpose();
    let token = token.map_err(|error| cannot("use the token", &error))?;
    let keys = Keys::read(&site.event_keys).map_err(|why| problem(Refusal::new(Code::Unreadable, why)))?;
    let paths = router(Door::new(scheduler.handle.clone(), token).with_keys(keys));
    let (ending, ended) = watch::channel(false);
    let mut doors = Vec::new();
    if let Some(socket) = &site.socket {
        let listener = bind(socket)?;
        doors.push(tokio::spawn(serve_unix(listener, paths.clone(), told(ended.clone()))));
    }
    if let Some(listen) = &site.listen {
        let listener = TcpListener::bind(listen.address)
            .await
            .map_err(|error| cannot(&format!("listen on {}", listen.address), &error))?;
        doors.push(tokio::spawn(serve_tcp(listener, paths, told(ended))));
    }
    let executor =
        dev.then(|| embedded::executor(config.executor.clone(), scheduler.handle.clone(), session.common.quiet));
    let at = site.socket.as_ref().map_or_else(String::new, |socket| format!(" on {}", socket.display()));
    output::note(&format!("neap serve: ready{at}, state in {}, configuration {from}", site.state_dir.display()));
    let failed = tokio::select! {
        asked = until_asked() => { asked?; false }
        () = async { while !scheduler.ended() { tokio::time::sleep(LOOK).await } } => true,
    };
    if let Some(executor) = executor {
        executor.abort();
    }
    // Callers that wait are answered or cut off; nothing acknowledged depends on it.
    let _ = ending.send(true);
    for door in doors {
        let _ = tokio::time::timeout(LOOK, door).await;
    }
    if let Some(socket) = &site.socket {
        let _ = std::fs::remove_file(socket);
    }
    match (scheduler.stop(), failed) {
        (Ok(()), false) => Ok(0),
        (Ok(()), true) => Ok(STORAGE),
        (Err(error), _) => {
            output::note(&format!("neap serve: {}", chain(&error)));
            Ok(STORAGE)
        }
    }
}

async fn told(mut ended: watch::Receiver<bool>) {
    // A sender that is gone says the same as one that says so.
    let _ = ended.wait_for(|over| *over).await;
}

/// Binds the socket; one that a dead server left is replaced, one that answers is not.
fn bind(socket: &Path) -> Result<UnixListener, Problems> {
    let shown = socket.display();
    if UnixStream::connect(socket).is_ok() {
        return Err(problem(Refusal::new(Code::Internal, format!("another scheduler answers at {shown}"))));
    }
    if let Some(parent) = socket.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot(&format!("make {}", parent.display()), &error))?;
    }
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).map_err(|error| cannot(&format!("listen at {shown}"), &error))?;
    // Root's socket is for everybody: the kernel says who speaks. A person's own is their own.
    let mode = if rustix::process::geteuid().is_root() { 0o666 } else { 0o600 };
    let set = std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode));
    set.map_err(|error| cannot(&format!("open {shown}"), &error))?;
    Ok(listener)
}

/// `neap executor`.
pub async fn executor(session: &Session, check: bool, nvml_lib: Option<PathBuf>) -> Left {
    let mut config = session.config()?;
    config.executor.nvml_lib_typed = nvml_lib;
    if check {
        let executor = &config.executor;
        let zone = executor.zone.as_deref().unwrap_or("as the scheduler says");
        output::out(&format!(
            "ok    node {}, zone {zone}, attempts in {}\n",
            executor.node,
            executor.run_dir.display()
        ));
        return Ok(0);
    }
    let server = session.named_server().or_else(|| config.scheduler.socket.clone().map(Server::Socket));
    let server = server.unwrap_or_else(|| Server::Socket(session.paths.socket()));
    let no_link = |error: LinkError| cannot("speak to the scheduler", &error);
    let link: Arc<dyn Link> = match &server {
        Server::Socket(path) => Arc::new(HttpLink::socket(path.clone()).map_err(no_link)?),
        Server::Loopback(address, file) => {
            let token = match file {
                None => None,
                Some(file) => {
                    let text = std::fs::read_to_string(file);
                    Some(text.map_err(|error| cannot(&format!("read {}", file.display()), &error))?.trim().to_owned())
                }
            };
            Arc::new(HttpLink::loopback(address, token).map_err(no_link)?)
        }
    };
    output::note(&format!("neap executor: node {} for the scheduler at {}", config.executor.node, server.shown()));
    let notice = Box::new(|line: &str| output::note(&format!("neap executor: {line}")));
    tokio::select! {
        asked = until_asked() => asked.map(|_| 0),
        ended = neap_executor::attempt::run(config.executor.clone(), link, notice) => match ended {
            Ok(()) => Ok(0),
            Err(error) => {
                output::note(&format!("neap executor: {}", chain(&error)));
                Ok(CONFIGURATION)
            }
        }
    }
}
