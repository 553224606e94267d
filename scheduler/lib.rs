//! Coordinates: queue, leases, ledger, journal, store, feeds, engines and the API.
#![forbid(unsafe_code)]

pub mod config;
