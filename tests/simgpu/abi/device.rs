//! Which boards there are and what they are called.

use super::{ask, export, put, put_text, read};
use crate::session::{Call, Code, Handle, INVALID, NOT_FOUND, UNKNOWN, UNSUPPORTED, current};
use crate::state::State;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlUtilization_t};
use std::ffi::{CStr, c_char, c_int, c_uint};

fn order(index: usize) -> Result<usize, Code> {
    let session = current()?;
    if index >= session.count() {
        return Err(INVALID);
    }
    session.place.common.with(|common| common.order[index] as usize).map_err(|_| UNKNOWN)
}

fn index_of(slot: usize) -> Result<usize, Code> {
    let count = current()?.count();
    (0..count).find(|index| order(*index) == Ok(slot)).ok_or(NOT_FOUND)
}

fn pointer(slot: usize, instance: Option<u64>) -> nvmlDevice_t {
    Handle { slot, instance }.raw() as nvmlDevice_t
}

fn find(which: impl Fn(&State) -> Option<Option<u64>>) -> Result<nvmlDevice_t, Code> {
    let session = current()?;
    for slot in 0..session.count() {
        let found = session.call(Handle { slot, instance: None }, Call::Identity, |gpu| Ok(which(gpu)))?;
        if let Some(instance) = found {
            return Ok(pointer(slot, instance));
        }
    }
    Err(NOT_FOUND)
}

fn bus(slot: u64) -> String {
    format!("00000000:{:02X}:00.0", slot + 1)
}

pub(super) fn mig_uuid(gpu: &State, instance: u64) -> String {
    format!("MIG-{}-{instance}", gpu.uuid().trim_start_matches("GPU-"))
}

fn usage(gpu: &State) -> (f64, f64) {
    use crate::physics::{activity, stand};
    let loads: Vec<_> = gpu.running().copied().collect();
    let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
    let standing = stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock);
    // Assumed: 150 W of memory power is all the bandwidth a board has.
    let memory = |load: &crate::Load| activity(load, gpu.profile(), standing) * load.memory / 150.0;
    let active: f64 = loads.iter().map(|load| activity(load, gpu.profile(), standing)).sum();
    (active.min(1.0), loads.iter().map(memory).sum::<f64>().min(1.0))
}

pub(super) fn memory_share(gpu: &State) -> f64 {
    usage(gpu).1
}

fn name(gpu: &State, handle: Handle) -> String {
    match handle.instance {
        None => gpu.profile().name.to_owned(),
        Some(n) => {
            let slices = gpu.instances[n as usize].sms * 7 / u64::from(gpu.profile().sms).max(1);
            format!("{} MIG {slices}g", gpu.profile().name)
        }
    }
}

export! {
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) {
        put(device, pointer(order(index as usize)?, None))
    }
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) {
        if uuid.is_null() {
            return Err(INVALID);
        }
        let wanted = CStr::from_ptr(uuid).to_str().map_err(|_| INVALID)?;
        let found = find(|gpu| {
            let instance = || gpu.instances.iter().position(|i| i.present == 1 && mig_uuid(gpu, i.id) == wanted);
            if gpu.uuid() == wanted { Some(None) } else { instance().map(|n| Some(n as u64)) }
        })?;
        put(device, found)
    }
    fn nvmlDeviceGetHandleByPciBusId_v2(id: *const c_char, device: *mut nvmlDevice_t) {
        if id.is_null() {
            return Err(INVALID);
        }
        let wanted = CStr::from_ptr(id).to_str().map_err(|_| INVALID)?;
        put(device, find(|gpu| (bus(gpu.slot) == wanted).then_some(None))?)
    }
    fn nvmlDeviceGetName(device: nvmlDevice_t, text: *mut c_char, length: c_uint) {
        let name = ask(device, Call::Identity, |gpu, handle| Ok(name(gpu, handle)))?;
        put_text(text, length, &name)
    }
    fn nvmlDeviceGetUUID(device: nvmlDevice_t, text: *mut c_char, length: c_uint) {
        let uuid = ask(device, Call::Identity, |gpu, handle| {
            Ok(handle.instance.map_or_else(|| gpu.uuid().to_owned(), |n| mig_uuid(gpu, n)))
        })?;
        put_text(text, length, &uuid)
    }
    fn nvmlDeviceGetIndex(device: nvmlDevice_t, index: *mut c_uint) {
        let slot = ask(device, Call::Identity, |_, handle| Ok(handle.slot))?;
        put(index, index_of(slot)? as c_uint)
    }
    fn nvmlDeviceGetMinorNumber(device: nvmlDevice_t, minor: *mut c_uint) {
        put(minor, ask(device, Call::Identity, |_, handle| Ok(handle.slot as c_uint))?)
    }
    fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, pci: *mut nvmlPciInfo_t) {
        let slot = ask(device, Call::Identity, |gpu, _| Ok(gpu.slot))?;
        if pci.is_null() {
            return Err(INVALID);
        }
        let mut info: nvmlPciInfo_t = std::mem::zeroed();
        (info.bus, info.pciDeviceId, info.pciSubSystemId) = (slot as c_uint + 1, 0x1000_10DE, 0x1000_10DE);
        let text = bus(slot);
        info.busId.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte as c_char);
        info.busIdLegacy.iter_mut().zip(text.bytes().skip(4)).for_each(|(to, byte)| *to = byte as c_char);
        put(pci, info)
    }
    fn nvmlDeviceGetArchitecture(device: nvmlDevice_t, architecture: *mut c_uint) {
        put(architecture, ask(device, Call::Identity, |gpu, _| Ok(gpu.profile().architecture))?)
    }
    fn nvmlDeviceGetCudaComputeCapability(device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int) {
        let capability = ask(device, Call::Identity, |gpu, _| Ok(gpu.profile().capability))?;
        put(major, capability.0)?;
        put(minor, capability.1)
    }
    fn nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, memory: *mut nvmlMemory_v2_t) {
        let (total, used) = read(device, |gpu| {
            let reserved = 512 << 20;
            Ok((gpu.profile().memory, reserved + gpu.running().count() as u64 * (4 << 30)))
        })?;
        if memory.is_null() {
            return Err(INVALID);
        }
        let version = (*memory).version;
        let used = used.min(total);
        put(memory, nvmlMemory_v2_t { version, total, reserved: 512 << 20, free: total - used, used })
    }
    fn nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut nvmlUtilization_t) {
        let (gpu, memory) = read(device, |gpu| if gpu.mig == 1 { Err(UNSUPPORTED) } else { Ok(usage(gpu)) })?;
        put(rates, nvmlUtilization_t { gpu: (gpu * 100.0).round() as c_uint, memory: (memory * 100.0).round() as c_uint })
    }
    fn nvmlDeviceGetTemperature(device: nvmlDevice_t, sensor: c_uint, degrees: *mut c_uint) {
        if sensor != 0 {
            return Err(INVALID);
        }
        put(degrees, read(device, |gpu| Ok(30 + (gpu.average() / 12_000) as c_uint))?)
    }
}
