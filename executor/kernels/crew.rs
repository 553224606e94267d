//! The worker processes of one job: this program again, once for every further rank. None outlives the crew.

use super::KernelError;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Carries the ring's token to the workers, where other users cannot read it as they could an argument.
const TOKEN: &str = "NEAP_KERNEL_TOKEN";

/// Started workers; dropped, they are killed and waited for.
#[derive(Debug, Default)]
pub struct Crew(Vec<(usize, Child)>);

impl Crew {
    /// Starts a rank with these arguments. A `listener` becomes its standard input, so that nobody can take the port in between.
    pub fn start(
        &mut self,
        rank: usize,
        args: Vec<OsString>,
        listener: Option<TcpListener>,
        token: u64,
    ) -> Result<(), KernelError> {
        let spawned = std::env::current_exe().and_then(|program| {
            Command::new(program)
                .args(args)
                .env(TOKEN, token.to_string())
                .stdin(listener.map_or_else(Stdio::null, |l| Stdio::from(OwnedFd::from(l))))
                .stdout(Stdio::null())
                .spawn()
        });
        self.0.push((rank, spawned.map_err(|source| KernelError::Spawn { rank, source })?));
        Ok(())
    }

    /// The first rank that has ended other than well, if any, and whether all have ended.
    pub fn look(&mut self) -> Result<(Option<(usize, ExitStatus)>, bool), KernelError> {
        let mut all = true;
        for (rank, child) in &mut self.0 {
            match child.try_wait().map_err(|source| KernelError::Wait { rank: *rank, source })? {
                Some(status) if !status.success() => return Ok((Some((*rank, status)), false)),
                Some(_) => {}
                None => all = false,
            }
        }
        Ok((None, all))
    }

    /// Waits until all have ended with `code`. Fails with the first that has not, or that takes longer than `limit`.
    pub fn dismiss(mut self, code: u8, limit: Duration) -> Result<(), KernelError> {
        let by = Instant::now() + limit;
        for (rank, child) in &mut self.0 {
            let rank = *rank;
            let status = loop {
                match child.try_wait().map_err(|source| KernelError::Wait { rank, source })? {
                    Some(status) => break status,
                    None if Instant::now() >= by => {
                        return Err(KernelError::Lingers { rank, seconds: limit.as_secs() });
                    }
                    None => thread::sleep(Duration::from_millis(2)),
                }
            };
            if status.code() != Some(i32::from(code)) {
                return Err(KernelError::Worker { rank, status });
            }
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // Those that have ended already are only waited for; there is nobody left to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The token this worker was given; 0 for one started by hand.
pub fn token() -> u64 {
    std::env::var(TOKEN).ok().and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// The listener at `address`: inherited as standard input if that is it, else opened.
pub fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let inherited = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    match inherited.local_addr() {
        Ok(local) if local == address => Ok(inherited),
        _ => TcpListener::bind(address),
    }
}
