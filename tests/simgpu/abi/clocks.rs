//! Clocks as they are and as they may be.

use super::{export, put, put_list, read};
use crate::physics::stand;
use crate::session::{Code, INVALID, NOT_FOUND};
use crate::state::State;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::c_uint;

const MEMORY: c_uint = 2;

fn now(gpu: &State) -> u32 {
    let loads: Vec<_> = gpu.running().copied().collect();
    let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
    stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock).mhz
}

fn clock(kind: c_uint, core: u32, memory: u32) -> Result<u32, Code> {
    // Graphics, streaming multiprocessors and video share a clock here.
    match kind {
        MEMORY => Ok(memory),
        0 | 1 | 3 => Ok(core),
        _ => Err(INVALID),
    }
}

export! {
    fn nvmlDeviceGetClockInfo(device: nvmlDevice_t, kind: c_uint, mhz: *mut c_uint) {
        put(mhz, read(device, |gpu| clock(kind, now(gpu), gpu.profile().clocks.1))?)
    }
    fn nvmlDeviceGetMaxClockInfo(device: nvmlDevice_t, kind: c_uint, mhz: *mut c_uint) {
        put(mhz, read(device, |gpu| clock(kind, gpu.profile().clocks.0, gpu.profile().clocks.1))?)
    }
    fn nvmlDeviceGetSupportedMemoryClocks(device: nvmlDevice_t, count: *mut c_uint, room: *mut c_uint) {
        let memory = read(device, |gpu| Ok(gpu.profile().clocks.1))?;
        put_list(count, room, &[memory])
    }
    fn nvmlDeviceGetSupportedGraphicsClocks(
        device: nvmlDevice_t,
        memory: c_uint,
        count: *mut c_uint,
        room: *mut c_uint,
    ) {
        let list = read(device, |gpu| {
            if memory == gpu.profile().clocks.1 { Ok(gpu.profile().steps().collect::<Vec<_>>()) } else { Err(NOT_FOUND) }
        })?;
        put_list(count, room, &list)
    }
    fn nvmlDeviceGetPerformanceState(device: nvmlDevice_t, state: *mut c_uint) {
        put(state, read(device, |gpu| Ok(if gpu.running().count() > 0 { 0 } else { 8 }))?)
    }
}
