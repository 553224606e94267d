//! Coordinates: queue, leases, ledger, journal, store, feeds, engines and the API.
#![forbid(unsafe_code)]

pub mod auth;
pub mod clock;
pub mod config;
pub mod controller;
pub mod journal;
pub mod record;
pub mod store;
