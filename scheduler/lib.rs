//! Coordinates: queue, leases, ledger, journal, store, feeds, engines and the API.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod controller;
pub mod daemon;
pub mod feeds;
pub mod journal;
mod keys;
mod metrics;
pub mod record;
pub mod store;
