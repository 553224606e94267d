//! Performance counters of Hopper and later: two samples, and what happened between them.

use super::device::memory_share;
use super::{ask, export, put};
use crate::session::{Call, Code, Handle, INVALID, NOT_FOUND, UNSUPPORTED};
use crate::state::State;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t};
use std::ffi::c_uint;

const SM: c_uint = 2;
const MEMORY: c_uint = 10;

/// What a sample holds, behind the caller's opaque pointer.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: u64,
    active: f64,
    memory: f64,
    filled: bool,
}

fn fill(device: nvmlDevice_t, instance: Option<c_uint>, sample: nvmlGpmSample_t) -> Result<(), Code> {
    let look = |gpu: &mut State, handle: Handle| {
        if !gpu.profile().hopper || handle.instance.is_some() {
            return Err(UNSUPPORTED);
        }
        let active = match instance {
            None => gpu.active,
            Some(id) => gpu.instances.iter().find(|i| i.present == 1 && i.id == u64::from(id)).ok_or(NOT_FOUND)?.active,
        };
        Ok(Sample { at: gpu.at, active, memory: memory_share(gpu), filled: true })
    };
    let found = ask(device, Call::Read, look)?;
    // SAFETY: a pointer that `nvmlGpmSampleAlloc` gave out.
    unsafe { put(sample.cast::<Sample>(), found) }
}

export! {
    fn nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: *mut nvmlGpmSupport_t) {
        let supported = ask(device, Call::Read, |gpu, _| Ok(gpu.profile().hopper))?;
        if support.is_null() {
            return Err(INVALID);
        }
        (*support).isSupportedDevice = c_uint::from(supported);
        Ok(())
    }
    fn nvmlGpmSampleAlloc(sample: *mut nvmlGpmSample_t) {
        put(sample, Box::into_raw(Box::<Sample>::default()).cast())
    }
    fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) {
        if sample.is_null() {
            return Err(INVALID);
        }
        drop(Box::from_raw(sample.cast::<Sample>()));
        Ok(())
    }
    fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) {
        fill(device, None, sample)
    }
    fn nvmlGpmMigSampleGet(device: nvmlDevice_t, instance: c_uint, sample: nvmlGpmSample_t) {
        fill(device, Some(instance), sample)
    }
    fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) {
        let request = request.as_mut().ok_or(INVALID)?;
        let first = request.sample1.cast::<Sample>().as_ref().ok_or(INVALID)?;
        let second = request.sample2.cast::<Sample>().as_ref().ok_or(INVALID)?;
        if !first.filled || !second.filled || request.numMetrics as usize > request.metrics.len() {
            return Err(INVALID);
        }
        let seconds = second.at.saturating_sub(first.at) as f64 / 1e6;
        for metric in &mut request.metrics[..request.numMetrics as usize] {
            let value = match metric.metricId {
                SM if seconds > 0.0 => Some(100.0 * (second.active - first.active) / seconds),
                MEMORY => Some(100.0 * second.memory),
                _ => None,
            };
            (metric.nvmlReturn, metric.value) = value.map_or((UNSUPPORTED, 0.0), |value| (0, value));
        }
        Ok(())
    }
}
