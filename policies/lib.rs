//! Decides when and where jobs run. Pure, total and deterministic: values in, values out, no IO and no clock.
//!
//! `plan` answers for every waiting job at once, `insert` for one that just came, `alternatives` shows the other ways to
//! run one, `admit` refuses what can never be, and `audit` checks any plan without knowing how it was made.
#![forbid(unsafe_code)]

mod admit;
mod alternatives;
pub mod arrivals;
mod audit;
pub mod baselines;
pub mod budget;
pub mod certificate;
mod dice;
pub mod draw;
pub mod elastic;
pub mod forecast;
pub mod hardware;
mod integral;
mod likely;
mod machine;
pub mod market;
pub mod menu;
mod order;
pub mod pieces;
mod planner;
pub mod power;
pub mod problem;
pub mod regulate;
pub mod replay;
mod room;
mod stamp;
pub mod trip;
pub mod whole;

pub use admit::{admit, gpus_divide};
pub use alternatives::alternatives;
pub use audit::{Breach, audit};
pub use machine::{cores_on, model_matches, model_rank};
pub use order::{expired, latest_start};
pub use planner::{Pausing, Plan, adopt, certified, insert, plan};
pub use room::{Booking, Free, Room};
