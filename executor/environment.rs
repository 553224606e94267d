//! What a job finds in its environment: a clean one, what the person set, and facts about the job.

use crate::process::MARKER;
use crate::rundir::Work;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment of a job's first process. `port` is free on this node now, for frameworks that meet there.
#[must_use]
pub fn environment(work: &Work, home: &str, user: &str, scratch: &Path, port: u16) -> BTreeMap<String, String> {
    let (lease, spec) = (&work.lease, &work.lease.spec);
    let ours = work.program.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    let gpus = work.gpu_indices.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        all.insert(name.to_owned(), value);
    };
    set("PATH", format!("{PATH}:{ours}"));
    set("HOME", home.to_owned());
    set("USER", user.to_owned());
    set("LANG", "C.UTF-8".to_owned());
    set("TMPDIR", scratch.display().to_string());
    for (name, value) in &spec.task.env {
        set(name, value.clone());
    }
    set("NEAP_JOB_ID", lease.attempt.job.to_string());
    set("NEAP_JOB_NAME", spec.name.clone());
    set("NEAP_PROJECT", spec.project.clone());
    set("NEAP_EPOCH", lease.attempt.epoch.0.to_string());
    set(MARKER, work.mark.clone());
    set("NEAP_RESUMED", u8::from(lease.resumed).to_string());
    let end_by = chrono::Utc::now() + lease.limit.delta();
    set("NEAP_END_BY", time(Some(end_by)).unwrap_or_default());
    if let Some(by) = time(spec.time.finish_by) {
        set("NEAP_FINISH_BY", by);
    }
    if let Some(pause) = &spec.flex.pause {
        set("NEAP_PAUSE_SIGNAL", pause.signal.clone());
    }
    set("NEAP_SCRATCH", scratch.display().to_string());
    set("NEAP_PROGRESS", scratch.with_file_name("progress").display().to_string());
    set("NEAP_ZONE", lease.zone.clone());
    set("NEAP_NODE", work.node.clone());
    set("NEAP_NODES", work.node.clone());
    set("NEAP_NODE_COUNT", "1".to_owned());
    set("NEAP_NODE_RANK", "0".to_owned());
    set("NEAP_GPUS", lease.gpus.len().to_string());
    set("NEAP_GPUS_PER_NODE", lease.gpus.len().to_string());
    set("NEAP_GPU_UUIDS", lease.gpus.join(","));
    set("NEAP_CPUS", lease.cpus.to_string());
    if let Some(intensity) = lease.intensity {
        set("NEAP_CARBON_GRAMS_PER_KWH", format!("{}", intensity.in_base()));
    }
    set("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned());
    set("CUDA_VISIBLE_DEVICES", gpus);
    set("MASTER_ADDR", "127.0.0.1".to_owned());
    set("MASTER_PORT", port.to_string());
    set("PET_NNODES", "1".to_owned());
    set("PET_NPROC_PER_NODE", lease.gpus.len().max(1).to_string());
    set("PET_NODE_RANK", "0".to_owned());
    set("PET_MASTER_ADDR", "127.0.0.1".to_owned());
    set("PET_MASTER_PORT", port.to_string());
    set("PET_RDZV_ID", lease.attempt.to_string());
    all
}

/// A port that is free on loopback at this moment.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map_or(0, |address| address.port())
}

/// Fills in `%j %n %a %t %h` of an output path. Any other `%` was refused at submission and stays as it is.
#[must_use]
pub fn output_path(pattern: &str, work: &Work) -> String {
    let (mut path, mut chars) = (String::new(), pattern.chars());
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('%', Some('j')) => path.push_str(&work.lease.attempt.job.to_string()),
            ('%', Some('n')) => path.push_str(&work.lease.spec.name),
            ('%', Some('a')) => path.push('0'),
            ('%', Some('t')) => path.push_str(&work.lease.attempt.epoch.0.to_string()),
            ('%', Some('h')) => path.push_str(&work.node),
            ('%', Some('%')) => path.push('%'),
            (c, _) => {
                path.push(c);
                continue;
            }
        }
        chars.next();
    }
    path
}
