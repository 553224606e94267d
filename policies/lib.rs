//! Decides when and where jobs run. Pure, total and deterministic: values in, values out, no IO and no clock.
#![forbid(unsafe_code)]

pub mod problem;
