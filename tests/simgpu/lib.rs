//! A simulated `libnvidia-ml.so.1`: GPUs with physics behind NVIDIA's own interface, so that a cap really changes power,
//! clocks, the length of a job and its energy, and a meter can be compared with a truth it does not see.
//!
//! The shared library is what the real `nvml-wrapper` loads; the Rust library is how a test makes a node, moves its time,
//! adds loads, scripts faults and reads the truth. Both meet in mapped files only. Physics and figures: `board.rs`,
//! `load.rs`, `physics.rs`. It answers no more functions than stand in `abi/`: what is absent is absent on purpose.

mod abi;
mod advance;
pub mod board;
pub mod fault;
mod file;
pub mod load;
pub mod node;
pub mod physics;
mod place;
mod session;
mod state;

pub use board::Board;
pub use fault::{Fault, Kind};
pub use load::Load;
pub use node::{Gpu, GpuSetup, Node, Truth};
