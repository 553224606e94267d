//! Power, energy and limits as the driver shows them: never the truth.

use super::{export, put, read};
use crate::fault::Kind;
use crate::physics::stand;
use crate::session::{Code, UNSUPPORTED};
use crate::state::{RING, State};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlSample_t, nvmlValue_t};
use std::ffi::{c_uint, c_ulonglong};

fn open(gpu: &State, kind: Kind) -> bool {
    gpu.faults.iter().any(|fault| fault.is(kind) && fault.open(gpu.at) && fault.skip == 0)
}

fn counted(gpu: &mut State, kind: Kind) -> Option<u64> {
    let now = gpu.at;
    gpu.faults.iter_mut().filter(|fault| fault.is(kind)).find_map(|fault| {
        let value = fault.value;
        fault.touches(now).then_some(value)
    })
}

/// A power reading in milliwatts: the latest, or the mean of ten.
pub(super) fn shown(gpu: &mut State, mean: bool) -> Result<u64, Code> {
    if open(gpu, Kind::PowerUnsupported) {
        return Err(UNSUPPORTED);
    }
    if let Some(value) = counted(gpu, Kind::Reads) {
        return Ok(value);
    }
    Ok(match (gpu.frozen == 1, mean) {
        (true, true) => gpu.frozen_mean,
        (true, false) => gpu.frozen_now,
        (false, true) => gpu.average(),
        (false, false) => gpu.latest(),
    })
}

/// The energy counter in millijoules.
pub(super) fn counter(gpu: &mut State) -> Result<u64, Code> {
    if open(gpu, Kind::CounterUnsupported) {
        return Err(UNSUPPORTED);
    }
    let behind = counted(gpu, Kind::CounterBehind).unwrap_or(0);
    let shown = if open(gpu, Kind::FreezeAll) { gpu.frozen_counter } else { gpu.counter };
    Ok(shown.saturating_sub(behind))
}

export! {
    fn nvmlDeviceGetPowerUsage(device: nvmlDevice_t, power: *mut c_uint) {
        put(power, read(device, |gpu| shown(gpu, gpu.profile().averaged))? as c_uint)
    }
    fn nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, energy: *mut c_ulonglong) {
        put(energy, read(device, counter)?)
    }
    fn nvmlDeviceGetPowerManagementLimit(device: nvmlDevice_t, limit: *mut c_uint) {
        put(limit, read(device, |gpu| Ok(gpu.requested))? as c_uint)
    }
    fn nvmlDeviceGetEnforcedPowerLimit(device: nvmlDevice_t, limit: *mut c_uint) {
        put(limit, read(device, |gpu| Ok(gpu.enforced()))? as c_uint)
    }
    fn nvmlDeviceGetPowerManagementDefaultLimit(device: nvmlDevice_t, limit: *mut c_uint) {
        put(limit, read(device, |gpu| Ok(gpu.default))? as c_uint)
    }
    fn nvmlDeviceGetPowerManagementLimitConstraints(device: nvmlDevice_t, least: *mut c_uint, most: *mut c_uint) {
        let (low, high) = read(device, |gpu| Ok(gpu.profile().limits))?;
        put(least, low * 1_000)?;
        put(most, high * 1_000)
    }
    fn nvmlDeviceGetPersistenceMode(device: nvmlDevice_t, mode: *mut c_uint) {
        put(mode, read(device, |gpu| Ok(gpu.persistence))? as c_uint)
    }
    fn nvmlDeviceGetCurrentClocksThrottleReasons(device: nvmlDevice_t, reasons: *mut c_ulonglong) {
        let found = read(device, |gpu| {
            let loads: Vec<_> = gpu.running().copied().collect();
            let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
            let standing = stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock);
            let held = gpu.controller > 0 && gpu.controller < gpu.requested;
            Ok(match (loads.is_empty(), standing.bound, held) {
                (true, ..) => 0x1,           // idle
                (false, true, true) => 0x80, // hardware power brake
                (false, true, false) => 0x4, // software power cap
                (false, false, _) if lock.is_some() => 0x2,
                _ => 0,
            })
        })?;
        put(reasons, found)
    }
    fn nvmlDeviceGetSamples(
        device: nvmlDevice_t,
        kind: c_uint,
        since: c_ulonglong,
        value: *mut c_uint,
        count: *mut c_uint,
        room: *mut nvmlSample_t,
    ) {
        // Power only.
        if kind != 0 {
            return Err(UNSUPPORTED);
        }
        let list = read(device, |gpu| {
            if open(gpu, Kind::PowerUnsupported) {
                return Err(UNSUPPORTED);
            }
            let kept = (gpu.seen as usize).min(RING) as u64;
            let last = (gpu.at + gpu.phase) / 100_000 * 100_000 - gpu.phase;
            let at = |back: u64| last.saturating_sub((back - 1) * 100_000);
            Ok((1..=kept)
                .rev()
                .filter(|back| at(*back) > since)
                .map(|back| nvmlSample_t {
                    timeStamp: at(back),
                    sampleValue: nvmlValue_t { uiVal: gpu.ring[(gpu.seen - back) as usize % RING] as c_uint },
                })
                .collect::<Vec<_>>())
        })?;
        put(value, 1)?;
        super::put_list(count, room, &list)
    }
}
