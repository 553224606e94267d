//! Who uses a GPU and how much of it.

use super::{export, put_list, read};
use crate::physics::{activity, stand};
use crate::session::{Code, NOT_FOUND, UNSUPPORTED};
use crate::state::State;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessUtilizationSample_t};
use std::ffi::{c_uint, c_ulonglong};

const NONE: c_uint = 0xFFFF_FFFF;

fn processes(gpu: &State, mps: bool) -> Vec<nvmlProcessInfo_t> {
    // Under MIG loads run side by side without MPS.
    if mps != (gpu.together == 1 && gpu.mig == 0) {
        return Vec::new();
    }
    let mut seen = Vec::new();
    for load in gpu.running() {
        if !seen.contains(&(load.pid, load.instance)) {
            seen.push((load.pid, load.instance));
        }
    }
    let info = |(pid, instance): (u64, u64)| nvmlProcessInfo_t {
        pid: pid as c_uint,
        usedGpuMemory: 4 << 30,
        gpuInstanceId: if instance == 0 { NONE } else { instance as c_uint - 1 },
        computeInstanceId: if instance == 0 { NONE } else { 0 },
    };
    seen.into_iter().map(info).collect()
}

fn utilization(gpu: &State, since: u64) -> Result<Vec<nvmlProcessUtilizationSample_t>, Code> {
    if gpu.mig == 1 {
        return Err(UNSUPPORTED);
    }
    let loads: Vec<_> = gpu.running().copied().collect();
    let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
    let standing = stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock);
    let mut samples: Vec<nvmlProcessUtilizationSample_t> = Vec::new();
    for load in &loads {
        let percent = (activity(load, gpu.profile(), standing) * 100.0).round() as c_uint;
        match samples.iter_mut().find(|sample| u64::from(sample.pid) == load.pid) {
            Some(sample) => sample.smUtil += percent,
            None => samples.push(nvmlProcessUtilizationSample_t {
                pid: load.pid as c_uint,
                timeStamp: gpu.at,
                smUtil: percent,
                memUtil: 0,
                encUtil: 0,
                decUtil: 0,
            }),
        }
    }
    if samples.is_empty() || gpu.at <= since { Err(NOT_FOUND) } else { Ok(samples) }
}

export! {
    fn nvmlDeviceGetComputeRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        room: *mut nvmlProcessInfo_t,
    ) {
        put_list(count, room, &read(device, |gpu| Ok(processes(gpu, false)))?)
    }
    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        room: *mut nvmlProcessInfo_t,
    ) {
        put_list(count, room, &read(device, |gpu| Ok(processes(gpu, true)))?)
    }
    fn nvmlDeviceGetProcessUtilization(
        device: nvmlDevice_t,
        room: *mut nvmlProcessUtilizationSample_t,
        count: *mut c_uint,
        since: c_ulonglong,
    ) {
        put_list(count, room, &read(device, |gpu| utilization(gpu, since))?)
    }
}
