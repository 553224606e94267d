//! What this node can and cannot do, line by line, each with its remedy. Changes nothing.

mod trial;

pub use trial::{Busy, trial};

use crate::config::Config;
use crate::domains::PowerDomain;
use crate::domains::nvml::Gpus;
use crate::domains::rapl::Rapl;
use neap_model::fleet::{Gpu, Source};
use std::fmt::Write as _;
use std::time::Instant;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, with less.
    Warn,
    /// Does not work.
    Fail,
}

impl Level {
    /// As printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How good it is.
    pub level: Level,
    /// What it is about.
    pub topic: &'static str,
    /// What was found, and the remedy where there is one.
    pub text: String,
}

/// Looks at the node.
#[must_use]
pub fn examine(config: &Config) -> Vec<Finding> {
    let finding = |level, topic, text: String| Finding { level, topic, text };
    let mut all = Vec::new();
    match Gpus::find(config.nvml_library()) {
        Ok(gpus) if gpus.found.is_empty() => {
            all.push(finding(Level::Warn, "gpu", "the driver is here and shows no GPU".to_owned()));
        }
        Ok(gpus) => {
            all.extend(gpus.found.iter().map(|found| gpu(&gpus, found)));
        }
        Err(why) => all.push(finding(Level::Warn, "gpu", format!("none: {why}"))),
    }
    match Rapl::find(&config.rapl_root) {
        Ok(rapl) => {
            let memory = if rapl.counts_memory() { "memory apart" } else { "none of them of memory" };
            all.push(finding(Level::Ok, "cpu", format!("RAPL readable, {} zones counted, {memory}", rapl.zones())));
        }
        Err(why) => {
            let text = format!("estimated from processor time at {} a core: {why}", config.watts_per_cpu);
            all.push(finding(Level::Warn, "cpu", text));
        }
    }
    all.push(disk(config));
    let subreaper = rustix::process::set_child_subreaper(None).is_ok();
    all.push(if subreaper {
        finding(Level::Ok, "contain", "guards find whatever a job leaves behind (child subreaper)".to_owned())
    } else {
        finding(
            Level::Warn,
            "contain",
            "no child subreaper: what leaves a job's tree is found by its marker only".to_owned(),
        )
    });
    all
}

/// One GPU: its limit, what holds it, and how well its energy can be known.
fn gpu(gpus: &Gpus, found: &Gpu) -> Finding {
    let mut domain = gpus.domain(&found.uuid);
    let source = gpus.source(&found.uuid);
    let mut text = format!("{} {}, limit {}", found.model, found.uuid, found.limit);
    if let Some(limits) = domain.cap_range().limit {
        let _ = write!(text, " ({} to {})", limits.start(), limits.end());
    }
    let _ = write!(text, ", metered by {}", source.word());
    let mut level = Level::Ok;
    let mut warn = |what: String| {
        level = Level::Warn;
        text.push_str("; ");
        text.push_str(&what);
    };
    if source == Source::NvmlPower {
        warn("it has no energy counter, so gaps between readings are estimated".to_owned());
    }
    match domain.cap() {
        Ok(state) if state.enforced < state.requested => {
            warn(format!("it was asked for {}, and something else holds it lower", state.requested));
        }
        Ok(_) => {}
        Err(error) => warn(error.to_string()),
    }
    let live = gpus.live().into_iter().find(|(uuid, _)| *uuid == found.uuid).map(|(_, live)| live);
    if live.is_some_and(|live| !live.parts.is_empty()) {
        warn("it is in parts (MIG), and how they share its energy is estimated".to_owned());
    }
    Finding { level, topic: "gpu", text }
}

/// What the run directory's disk takes for one sync.
fn disk(config: &Config) -> Finding {
    let measure = || -> std::io::Result<u128> {
        // Nothing is set up by looking: a directory that is to come is judged by the one it will lie in.
        let place = config.run_dir.ancestors().find(|dir| dir.is_dir()).ok_or(std::io::ErrorKind::NotFound)?;
        let path = place.join(format!(".neap-doctor-{}", std::process::id()));
        let file = std::fs::File::create(&path)?;
        let mut took = Vec::new();
        for n in 0..20u64 {
            std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4_096], n * 4_096)?;
            let began = Instant::now();
            file.sync_data()?;
            took.push(began.elapsed().as_micros());
        }
        std::fs::remove_file(path)?;
        took.sort_unstable();
        Ok(took[took.len() / 2])
    };
    match measure() {
        Ok(micros) => {
            let level = if micros < 50_000 { Level::Ok } else { Level::Warn };
            let text = format!("fdatasync {:.1} ms median in {}", micros as f64 / 1e3, config.run_dir.display());
            Finding { level, topic: "disk", text }
        }
        Err(error) => {
            let text = format!("cannot write to {}: {error}", config.run_dir.display());
            Finding { level: Level::Fail, topic: "disk", text }
        }
    }
}

#[cfg(test)]
mod tests;
