//! Acts: what runs beside a job. It has no opinions about when or where.

pub mod attempt;
pub mod cap;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod domains;
pub mod environment;
pub mod guard;
pub mod kernels;
pub mod link;
pub mod logs;
pub mod meter;
pub mod node;
pub mod pace;
pub mod powerd;
pub mod process;
pub mod rundir;
