//! A board in parts.

use super::{ask, export, put, read};
use crate::session::{Call, Handle, NOT_FOUND, UNSUPPORTED};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t};
use std::ffi::c_uint;

export! {
    fn nvmlDeviceGetMigMode(device: nvmlDevice_t, now: *mut c_uint, pending: *mut c_uint) {
        let mode = read(device, |gpu| if gpu.profile().hopper { Ok(gpu.mig) } else { Err(UNSUPPORTED) })?;
        put(now, mode as c_uint)?;
        put(pending, mode as c_uint)
    }
    fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) {
        put(count, read(device, |gpu| Ok(if gpu.profile().hopper { 7 } else { 0 }))?)
    }
    fn nvmlDeviceGetMigDeviceHandleByIndex(device: nvmlDevice_t, index: c_uint, part: *mut nvmlDevice_t) {
        let handle = ask(device, Call::Read, |gpu, handle| {
            let there = handle.instance.is_none() && gpu.mig == 1;
            let found = gpu.instances.get(index as usize).filter(|instance| instance.present == 1);
            let found = found.filter(|_| there).ok_or(NOT_FOUND)?;
            Ok(Handle { slot: handle.slot, instance: Some(found.id) })
        })?;
        put(part, handle.raw() as nvmlDevice_t)
    }
    fn nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: *mut c_uint) {
        put(id, ask(device, Call::Read, |_, handle| handle.instance.ok_or(UNSUPPORTED))? as c_uint)
    }
    fn nvmlDeviceGetAttributes_v2(device: nvmlDevice_t, attributes: *mut nvmlDeviceAttributes_t) {
        let found = ask(device, Call::Read, |gpu, handle| {
            let sms = u64::from(gpu.profile().sms);
            let instance = handle.instance.ok_or(UNSUPPORTED)?;
            let part = gpu.instances.get(instance as usize).filter(|i| i.present == 1).ok_or(NOT_FOUND)?.sms;
            let slices = (part * 7 / sms).max(1) as c_uint;
            Ok(nvmlDeviceAttributes_t {
                multiprocessorCount: part as c_uint,
                sharedCopyEngineCount: slices,
                sharedDecoderCount: 0,
                sharedEncoderCount: 0,
                sharedJpegCount: 0,
                sharedOfaCount: 0,
                gpuInstanceSliceCount: slices,
                computeInstanceSliceCount: slices,
                memorySizeMB: (gpu.profile().memory >> 20) * part / sms,
            })
        })?;
        put(attributes, found)
    }
}
