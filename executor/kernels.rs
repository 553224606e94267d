//! The built-in workloads: they train a small network on real data and classify with it, on as many processes as were granted.
//! They refuse to give other results on other widths: 1, 2, 4 and 8 workers end with the same bits.

pub mod checkpoint;
pub mod collective;
mod crew;
pub mod digits;
mod error;
pub mod infer;
pub mod network;
mod sealed;
pub mod signals;
pub mod train;

#[cfg(test)]
mod tests;

pub use collective::{Alone, Collective, Ring};
pub use error::KernelError;
pub use infer::{InferOptions, infer};
pub use train::{TrainOptions, train};

/// Exit code of a workload that has saved its state after the pause signal and wants to be started again.
pub const EXIT_PAUSED: u8 = 85;
/// Exit code after SIGTERM (128 + 15); what could be saved is saved.
pub const EXIT_TERMINATED: u8 = 143;
