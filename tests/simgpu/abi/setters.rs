//! The few things that can be set, by a privileged process only.

use super::{ask, export};
use crate::session::{Call, Code, INVALID};
use crate::state::State;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::c_uint;

fn set(device: nvmlDevice_t, change: impl FnOnce(&mut State) -> Result<(), Code>) -> Result<(), Code> {
    ask(device, Call::Set, |gpu, handle| if handle.instance.is_none() { change(gpu) } else { Err(INVALID) })
}

export! {
    fn nvmlDeviceSetPowerManagementLimit(device: nvmlDevice_t, limit: c_uint) {
        set(device, |gpu| {
            let (low, high) = gpu.profile().limits;
            if !(low * 1_000..=high * 1_000).contains(&limit) {
                return Err(INVALID);
            }
            gpu.requested = u64::from(limit);
            Ok(())
        })
    }
    fn nvmlDeviceSetPersistenceMode(device: nvmlDevice_t, mode: c_uint) {
        set(device, |gpu| {
            if mode > 1 {
                return Err(INVALID);
            }
            gpu.persistence = u64::from(mode);
            Ok(())
        })
    }
    fn nvmlDeviceSetGpuLockedClocks(device: nvmlDevice_t, least: c_uint, most: c_uint) {
        set(device, |gpu| {
            let lowest = gpu.profile().steps().last().unwrap_or(0);
            if least > most || most < lowest {
                return Err(INVALID);
            }
            gpu.lock = u64::from(most.min(gpu.profile().clocks.0));
            Ok(())
        })
    }
    fn nvmlDeviceResetGpuLockedClocks(device: nvmlDevice_t) {
        set(device, |gpu| {
            gpu.lock = 0;
            Ok(())
        })
    }
}
