//! How workers share numbers: alone, or in a ring of TCP connections. A worker that is gone or silent is named; nobody waits for ever.

use super::KernelError;
use super::sealed;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long a neighbour may give no sign of life before it is lost.
pub const SILENCE: Duration = Duration::from_secs(30);

/// What the training loop needs from the others.
pub trait Collective {
    /// Every rank's `mine`, by rank, into `all`. All ranks must bring equally many numbers.
    /// Fails with [`KernelError::PeerLost`] or [`KernelError::Frame`], both of which name a rank.
    fn all_gather(&mut self, mine: &[f32], all: &mut Vec<f32>) -> Result<(), KernelError>;
    /// This worker, from 0.
    fn rank(&self) -> usize;
    /// All workers.
    fn size(&self) -> usize;
}

/// One worker.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Collective for Alone {
    fn all_gather(&mut self, mine: &[f32], all: &mut Vec<f32>) -> Result<(), KernelError> {
        all.clear();
        all.extend_from_slice(mine);
        Ok(())
    }
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
}

const DATA: u32 = 0x6461_7461;
const LOST: u32 = 0x6c6f_7374;
const ALIVE: u32 = 0x6c69_7665;
const HELLO: usize = 16;

/// A ring: each rank sends to the next and receives from the one before. A frame is its kind, a number (length in bytes, or a rank), the body.
#[derive(Debug)]
pub struct Ring {
    rank: usize,
    size: usize,
    next: TcpStream,
    before: TcpStream,
    silence: Duration,
}

impl Ring {
    /// Connects to the next of `peers` and takes in the one before, which must know `token`. `silence` limits both and every later wait.
    /// Fails with [`KernelError::Absent`], [`KernelError::Listen`] or [`KernelError::Rank`].
    pub fn join(
        listener: &TcpListener,
        rank: usize,
        peers: &[SocketAddr],
        token: u64,
        silence: Duration,
    ) -> Result<Self, KernelError> {
        let size = peers.len();
        if size < 2 || rank >= size {
            return Err(KernelError::Rank { rank, peers: size, workers: size });
        }
        let by = Instant::now() + silence;
        let absent = |rank| KernelError::Absent { rank, seconds: silence.as_secs() };
        let (after, prior) = ((rank + 1) % size, (rank + size - 1) % size);
        let mut next = loop {
            match TcpStream::connect_timeout(&peers[after], silence) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < by => thread::sleep(Duration::from_millis(5)),
                Err(_) => return Err(absent(after)),
            }
        };
        tune(&next, silence).and_then(|()| next.write_all(&hello(rank, size, token))).map_err(|_| absent(after))?;
        listener.set_nonblocking(true).map_err(KernelError::Listen)?;
        let before = loop {
            match listener.accept() {
                // Whoever else knocks is not answered, and may not hold the door for long.
                Ok((stream, _)) => {
                    if let Some(stream) = greeted(stream, &hello(prior, size, token), silence) {
                        break stream;
                    }
                }
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(KernelError::Listen(e)),
                Err(_) if Instant::now() < by => thread::sleep(Duration::from_millis(2)),
                Err(_) => return Err(absent(prior)),
            }
        };
        Ok(Self { rank, size, next, before, silence })
    }

    /// Other limits than those of joining.
    #[cfg(test)]
    pub(super) fn silence_is(&mut self, silence: Duration) {
        self.silence = silence;
    }

    fn prior(&self) -> usize {
        (self.rank + self.size - 1) % self.size
    }

    fn after(&self) -> usize {
        (self.rank + 1) % self.size
    }

    fn send(&mut self, body: &[u8]) -> Result<(), KernelError> {
        let length = u32::try_from(body.len()).expect("a lane block is far below 4 GiB");
        let sent = self.next.write_all(&header(DATA, length)).and_then(|()| self.next.write_all(body));
        sent.map_err(|source| self.unsent(source))
    }

    /// The next one takes nothing more. It may have left because of somebody else, and then has said so before.
    fn unsent(&mut self, source: io::Error) -> KernelError {
        let told = self.next.set_read_timeout(Some(self.grace())).and_then(|()| Header::default().read(&mut self.next));
        let rank = told.ok().filter(|f| f.0 == LOST).map_or(self.after(), |f| f.1 as usize);
        KernelError::PeerLost { rank, source }
    }

    /// Whoever waits says so to the next one again and again. So only that worker is silent for whom nobody else is the cause,
    /// however late the others began to wait.
    fn receive(&mut self, body: &mut [u8]) -> Result<(), KernelError> {
        let rank = self.prior();
        let lost = |source| KernelError::PeerLost { rank, source };
        let mut heard = Instant::now();
        let mut head = Header::default();
        self.before.set_read_timeout(Some(self.grace())).map_err(lost)?;
        loop {
            match head.read(&mut self.before) {
                Ok((DATA, length)) if length as usize == body.len() => {
                    self.before.set_read_timeout(Some(self.silence)).map_err(lost)?;
                    return self.before.read_exact(body).map_err(lost);
                }
                Ok((LOST, rank)) => {
                    let source = io::Error::other(format!("reported by worker {}", self.prior()));
                    return Err(KernelError::PeerLost { rank: rank as usize, source });
                }
                Ok((ALIVE, _)) => heard = Instant::now(),
                Ok((_, length)) => {
                    return Err(KernelError::Frame { rank, given: length as usize, expected: body.len() });
                }
                Err(e) if silent(&e) && heard.elapsed() < self.silence => {
                    let alive = self.next.write_all(&header(ALIVE, self.rank as u32));
                    alive.map_err(|source| self.unsent(source))?;
                }
                Err(e) => return Err(lost(e)),
            }
        }
    }

    /// How often a waiting worker gives a sign of life, and how long one may take on the way.
    fn grace(&self) -> Duration {
        (self.silence / 10).max(Duration::from_millis(10))
    }

    fn rounds(&mut self, mine: &[f32], all: &mut Vec<f32>) -> Result<(), KernelError> {
        let length = mine.len();
        all.clear();
        all.resize(length * self.size, 0.0);
        all[self.rank * length..][..length].copy_from_slice(mine);
        let mut sends = Vec::new();
        sealed::bytes(mine, &mut sends);
        let mut receives = vec![0; sends.len()];
        for round in 1..self.size {
            // Every ring has an odd rank, which listens first: frames larger than the sockets' buffers cannot block all at once.
            if self.rank.is_multiple_of(2) {
                self.send(&sends)?;
                self.receive(&mut receives)?;
            } else {
                self.receive(&mut receives)?;
                self.send(&sends)?;
            }
            let from = (self.rank + self.size - round) % self.size;
            for (slot, number) in all[from * length..][..length].iter_mut().zip(sealed::floats(&receives)) {
                *slot = number;
            }
            std::mem::swap(&mut sends, &mut receives);
        }
        Ok(())
    }
}

impl Collective for Ring {
    fn all_gather(&mut self, mine: &[f32], all: &mut Vec<f32>) -> Result<(), KernelError> {
        let done = self.rounds(mine, all);
        if let Err(KernelError::PeerLost { rank, .. } | KernelError::Frame { rank, .. }) = &done {
            // Both neighbours would otherwise take this worker for the culprit. One of them may be it.
            let _ = self.next.write_all(&header(LOST, *rank as u32));
            let _ = self.before.write_all(&header(LOST, *rank as u32));
        }
        done
    }
    fn rank(&self) -> usize {
        self.rank
    }
    fn size(&self) -> usize {
        self.size
    }
}

fn hello(rank: usize, size: usize, token: u64) -> [u8; HELLO] {
    let mut bytes = [0; HELLO];
    bytes[..4].copy_from_slice(&(rank as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
    bytes[8..].copy_from_slice(&token.to_le_bytes());
    bytes
}

fn greeted(mut stream: TcpStream, expected: &[u8; HELLO], silence: Duration) -> Option<TcpStream> {
    let mut bytes = [0; HELLO];
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(silence.min(Duration::from_secs(1)))).ok()?;
    stream.read_exact(&mut bytes).ok()?;
    tune(&stream, silence).ok()?;
    (bytes == *expected).then_some(stream)
}

fn tune(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(silence))
}

fn header(kind: u32, number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The head of a frame, kept over reads that end too early.
#[derive(Default)]
struct Header {
    bytes: [u8; 8],
    filled: usize,
}

impl Header {
    /// The kind and the number, once all of it is there.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<(u32, u32)> {
        while self.filled < self.bytes.len() {
            match stream.read(&mut self.bytes[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.filled = 0;
        let [a, b, c, d, e, f, g, h] = self.bytes;
        Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }
}

fn silent(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
