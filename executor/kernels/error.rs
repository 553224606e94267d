//! What can go wrong in a built-in workload, one variant for each thing it was doing.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a built-in workload could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// `--device cuda`.
    #[error("this build has no CUDA kernels yet")]
    NoCuda,
    /// `--device` with a word that is none.
    #[error("unknown device {0:?} (auto, cpu)")]
    UnknownDevice(String),
    /// The eight lanes of a batch cannot be dealt evenly.
    #[error("{0} workers cannot share 8 lanes evenly (1, 2, 4 or 8)")]
    Workers(usize),
    /// An option outside its range.
    #[error("{option} must be {allowed}, not {given}")]
    Option { option: &'static str, allowed: &'static str, given: String },
    /// A rank or its peers that do not fit the number of workers.
    #[error("rank {rank} with {peers} peer addresses does not fit {workers} workers")]
    Rank { rank: usize, peers: usize, workers: usize },
    /// `NEAP_PAUSE_SIGNAL` names no signal.
    #[error("unknown pause signal {0:?}")]
    PauseSignal(String),
    /// Signals could not be listened to.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// No listener for the ring.
    #[error("cannot open the ring of workers")]
    Listen(#[source] io::Error),
    /// A worker process did not start.
    #[error("cannot start worker {rank}")]
    Spawn {
        rank: usize,
        #[source]
        source: io::Error,
    },
    /// A worker process could not be waited for.
    #[error("cannot wait for worker {rank}")]
    Wait {
        rank: usize,
        #[source]
        source: io::Error,
    },
    /// A worker process ended otherwise than all others.
    #[error("worker {rank} ended with {status}")]
    Worker { rank: usize, status: ExitStatus },
    /// A worker process did not end although its work was done.
    #[error("worker {rank} did not end within {seconds} s of its last step")]
    Lingers { rank: usize, seconds: u64 },
    /// The neighbour before this rank never came.
    #[error("worker {rank} did not join the ring within {seconds} s")]
    Absent { rank: usize, seconds: u64 },
    /// A rank is gone or silent.
    #[error("worker {rank} is lost")]
    PeerLost {
        rank: usize,
        #[source]
        source: io::Error,
    },
    /// A neighbour sends something that does not belong here.
    #[error("worker {rank} sent a frame of {given} bytes where {expected} belong")]
    Frame { rank: usize, given: usize, expected: usize },
    /// Ranks that do not stand at the same place may not be summed.
    #[error("worker {rank} does not start from the same state as worker 0")]
    Apart { rank: usize },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file is not what its name says, or was damaged.
    #[error("{} is damaged or no such file of ours: {what}", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    /// A checkpoint of another run.
    #[error("{} belongs to another run: {what} is {theirs}, here {ours}", path.display())]
    OtherRun { path: PathBuf, what: &'static str, theirs: u64, ours: u64 },
    /// The answer could not be printed.
    #[error("cannot print the result")]
    Print(#[source] io::Error),
}
