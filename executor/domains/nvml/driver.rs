//! The driver's own words: the only file that names nvml-wrapper. Every call here may hang, so only the thread that owns
//! the library makes them.

pub use super::seen::{Failed, MigPart, Use};
use crate::domains::{Cap, CapRange, CapState, DomainError, Uncapped};
use crate::meter::track::Sample;
use neap_model::fleet::Gpu;
use neap_model::units::{Joules, Megahertz, Watts};
use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::enums::device::{GpuLockedClocksSetting, SampleValue};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::{Device, Nvml};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const BOUND: FieldId = FieldId(74);
const COUNTER: FieldId = FieldId(83);
const INSTANT: FieldId = FieldId(186);

/// The library, loaded. One a process: starting it is expensive.
#[derive(Debug)]
pub struct Library(Nvml);

impl Library {
    /// Loads the library; `None`: where the system finds it.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    pub fn open(path: Option<&Path>) -> Result<Self, String> {
        let loaded = match path {
            Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
            None => Nvml::init(),
        };
        loaded.map(Self).map_err(|error| {
            let why = match (path, error) {
                (None, NvmlError::LibloadingError(_)) => "libnvidia-ml.so.1 was not found".to_owned(),
                (_, error) => error.to_string(),
            };
            format!("no NVIDIA driver ({why})")
        })
    }

    /// Its GPUs, to be talked to.
    #[must_use]
    pub fn driver(&self) -> Driver<'_> {
        Driver { nvml: &self.0, devices: BTreeMap::new() }
    }
}

/// One GPU of the driver.
#[derive(Debug)]
struct Known<'n> {
    device: Device<'n>,
    /// Whether all readings come in one trip (an old driver lacks the call).
    fields: bool,
    counts: bool,
    ceiling: Option<Megahertz>,
    gpm: BTreeMap<u32, GpmSample<'n>>,
    seen: u64,
}

/// The GPUs behind a loaded library.
#[derive(Debug)]
pub struct Driver<'n> {
    nvml: &'n Nvml,
    devices: BTreeMap<String, Known<'n>>,
}

fn failed(error: &NvmlError) -> Failed {
    match error {
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded => Failed::Gone,
        NvmlError::GpuLost => Failed::Lost,
        other => Failed::Refused(other.to_string()),
    }
}

fn set_refused(uuid: &str, error: NvmlError) -> DomainError {
    let uncapped = |why| DomainError::Uncapped { what: uuid.to_owned(), why };
    match error {
        NvmlError::NoPermission => uncapped(Uncapped::NoPermission),
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) => uncapped(Uncapped::NotSupported),
        other => DomainError::Driver { what: uuid.to_owned(), why: other.to_string() },
    }
}

fn unsigned(value: &SampleValue) -> Option<u64> {
    match value {
        SampleValue::U32(value) => Some(u64::from(*value)),
        SampleValue::U64(value) => Some(*value),
        _ => None,
    }
}

impl<'n> Driver<'n> {
    /// All GPUs, in the driver's order, and each one's highest limit.
    ///
    /// # Errors
    /// The driver's words.
    pub fn list(&self) -> Result<Vec<(Gpu, Watts)>, String> {
        let count = self.nvml.device_count().map_err(|error| error.to_string())?;
        (0..count).map(|index| self.describe(index).map_err(|error| format!("GPU {index}: {error}"))).collect()
    }

    /// The driver's version, where it says one.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok().filter(|version| !version.is_empty())
    }

    fn describe(&self, index: u32) -> Result<(Gpu, Watts), NvmlError> {
        let device = self.nvml.device_by_index(index)?;
        let name = device.name()?;
        let model = name.trim_start_matches("NVIDIA ").trim().replace(' ', "-");
        // In force, else the factory's; a board that says neither is planned with at 0 W and metered all the same.
        let limit = device.enforced_power_limit().or_else(|_| device.power_management_limit_default()).unwrap_or(0);
        let most = device.power_management_limit_constraints().map_or(limit, |range| range.max_limit);
        let watts = |milliwatts: u32| Watts(u64::from(milliwatts));
        let gpu = Gpu { uuid: device.uuid()?, index, model, limit: watts(limit), settable: None, uncapped: None };
        Ok((gpu, watts(most.max(limit))))
    }

    fn known(&mut self, uuid: &str) -> Result<&mut Known<'n>, NvmlError> {
        if !self.devices.contains_key(uuid) {
            let device = self.nvml.device_by_uuid(uuid)?;
            let known = Known { device, fields: true, counts: true, ceiling: None, gpm: BTreeMap::new(), seen: 0 };
            self.devices.insert(uuid.to_owned(), known);
        }
        Ok(self.devices.get_mut(uuid).expect("it was put there"))
    }

    /// Energy counter and power now, in one trip where the driver has that.
    ///
    /// # Errors
    /// [`Failed`] if neither can be read.
    pub fn look(&mut self, uuid: &str, at: Duration) -> Result<Sample, Failed> {
        let known = self.known(uuid).map_err(|error| failed(&error))?;
        let mut sample = Sample { at, ..Sample::default() };
        let mut trouble = None;
        if known.fields {
            match known.device.field_values_for(&[COUNTER, INSTANT, BOUND]) {
                Ok(values) => {
                    let value = |n: usize| values.get(n)?.as_ref().ok()?.value.as_ref().ok().and_then(unsigned);
                    (sample.counter, sample.power) = (value(0).map(Joules), value(1).map(Watts));
                    sample.bound = value(2).map(Duration::from_nanos);
                }
                Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::NotSupported) => known.fields = false,
                Err(error) => return Err(failed(&error)),
            }
        }
        if sample.counter.is_none() && known.counts {
            match known.device.total_energy_consumption() {
                Ok(counter) => sample.counter = Some(Joules(counter)),
                Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_)) => known.counts = false,
                Err(error) => trouble = Some(error),
            }
        }
        if sample.power.is_none() {
            match known.device.power_usage() {
                Ok(power) => sample.power = Some(Watts(u64::from(power))),
                Err(error) => trouble = Some(error),
            }
        }
        if sample.counter.is_none() && sample.power.is_none() {
            return Err(trouble.map_or(Failed::Refused("neither energy nor power".to_owned()), |error| failed(&error)));
        }
        Ok(sample)
    }

    /// The energy counter alone.
    pub fn counter(&mut self, uuid: &str) -> Option<Joules> {
        let known = self.known(uuid).ok().filter(|known| known.counts)?;
        known.device.total_energy_consumption().ok().map(Joules)
    }

    /// Percent of the last moments in which its memory was read or written; `None`: it does not say.
    pub fn memory_busy(&mut self, uuid: &str) -> Option<u32> {
        self.known(uuid).ok()?.device.utilization_rates().ok().map(|rates| rates.memory.min(100))
    }

    /// What is in force.
    ///
    /// # Errors
    /// [`DomainError`] if the device does not say.
    pub fn cap(&mut self, uuid: &str) -> Result<CapState, DomainError> {
        let refused = |error: NvmlError| DomainError::Driver { what: uuid.to_owned(), why: error.to_string() };
        let known = self.known(uuid).map_err(refused)?;
        let requested = Watts(u64::from(known.device.power_management_limit().map_err(refused)?));
        let enforced = known.device.enforced_power_limit().map_or(requested, |limit| Watts(u64::from(limit)));
        let bound = known.device.field_values_for(&[BOUND]).ok();
        let bound = bound.and_then(|values| values.first()?.as_ref().ok()?.value.as_ref().ok().and_then(unsigned));
        let bound_for = Duration::from_nanos(bound.unwrap_or(0));
        Ok(CapState { requested, enforced, clock_ceiling: known.ceiling, bound_for })
    }

    /// The limit a driver that was just loaded leaves a GPU at.
    pub fn factory_limit(&mut self, uuid: &str) -> Option<Watts> {
        let known = self.known(uuid).ok()?;
        known.device.power_management_limit_default().ok().map(|limit| Watts(u64::from(limit)))
    }

    /// What may be asked.
    pub fn cap_range(&mut self, uuid: &str) -> CapRange {
        let none = CapRange { because: Some(Uncapped::NotSupported), ..CapRange::default() };
        let Ok(known) = self.known(uuid) else { return none };
        let Ok(range) = known.device.power_management_limit_constraints() else { return none };
        let limit = Some(Watts(u64::from(range.min_limit))..=Watts(u64::from(range.max_limit)));
        let memory = known.device.supported_memory_clocks().ok().and_then(|clocks| clocks.into_iter().max());
        let clocks = memory.and_then(|memory| known.device.supported_graphics_clocks(memory).ok());
        let lowest = clocks.and_then(|clocks| clocks.into_iter().min());
        let highest = known.device.max_clock_info(Clock::Graphics).ok();
        let clocks = lowest.zip(highest).map(|(low, high)| Megahertz(low)..=Megahertz(high));
        CapRange { limit, clocks, because: None }
    }

    /// Keeps the core clock at or below that frequency; `None`: lets go of any lock there is. The driver has no call that reads
    /// a lock back, so whoever locks has to remember it.
    ///
    /// # Errors
    /// [`DomainError`] if it may not be set, or was refused.
    pub fn lock_clocks(&mut self, uuid: &str, ceiling: Option<Megahertz>) -> Result<(), DomainError> {
        let refused = |error: NvmlError| set_refused(uuid, error);
        let known = self.known(uuid).map_err(refused)?;
        match ceiling {
            Some(Megahertz(max_clock_mhz)) => {
                let setting = GpuLockedClocksSetting::Numeric { min_clock_mhz: 0, max_clock_mhz };
                known.device.set_gpu_locked_clocks(setting).map_err(refused)?;
            }
            None => known.device.reset_gpu_locked_clocks().map_err(refused)?,
        }
        known.ceiling = ceiling;
        Ok(())
    }

    /// Sets a cap and reads it back.
    ///
    /// # Errors
    /// [`DomainError`] if it may not be set, was refused, or was said to be set and is not.
    pub fn set_cap(&mut self, uuid: &str, cap: Cap) -> Result<CapState, DomainError> {
        let what = || uuid.to_owned();
        let refused = |error: NvmlError| set_refused(uuid, error);
        let known = self.known(uuid).map_err(refused)?;
        if let Some(asked) = cap.limit {
            let milliwatts = u32::try_from(asked.0).unwrap_or(u32::MAX);
            known.device.set_power_management_limit(milliwatts).map_err(|error| {
                let range = matches!(error, NvmlError::InvalidArg)
                    .then(|| known.device.power_management_limit_constraints().ok())
                    .flatten();
                match range {
                    Some(range) => DomainError::OutOfRange {
                        what: what(),
                        asked,
                        least: Watts(u64::from(range.min_limit)),
                        most: Watts(u64::from(range.max_limit)),
                    },
                    None => refused(error),
                }
            })?;
        }
        if cap.clock_ceiling.is_some() || known.ceiling.is_some() {
            self.lock_clocks(uuid, cap.clock_ceiling)?;
        }
        let state = self.cap(uuid)?;
        match cap.limit {
            Some(asked) if state.requested != asked => {
                Err(DomainError::NotTaken { what: what(), asked, says: state.requested })
            }
            _ => Ok(state),
        }
    }

    /// Who runs there, and how much of the board each process used since this was last asked. An idle GPU is an empty list.
    ///
    /// # Errors
    /// The driver's words if it lists no processes at all.
    pub fn uses(&mut self, uuid: &str, measure: bool) -> Result<Vec<Use>, Failed> {
        let known = self.known(uuid).map_err(|error| failed(&error))?;
        let mut running = known.device.running_compute_processes().map_err(|error| failed(&error))?;
        running.extend(known.device.mps_running_compute_processes().unwrap_or_default());
        let mut uses: Vec<Use> =
            running.into_iter().map(|p| Use { pid: p.pid, part: p.gpu_instance_id, activity: 0 }).collect();
        uses.sort_by_key(|one| (one.pid, one.part));
        uses.dedup_by_key(|one| (one.pid, one.part));
        if measure && !uses.is_empty() {
            // Nothing new, and not supported under MIG, are both no activity.
            let samples = known.device.process_utilization_stats(known.seen).unwrap_or_default();
            let mut newest: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
            for sample in samples {
                known.seen = known.seen.max(sample.timestamp);
                let entry = newest.entry(sample.pid).or_default();
                if sample.timestamp >= entry.0 {
                    *entry = (sample.timestamp, sample.sm_util);
                }
            }
            for one in &mut uses {
                one.activity = newest.get(&one.pid).map_or(0, |(_, percent)| u64::from(*percent) * 100);
            }
        }
        Ok(uses)
    }

    /// The parts of a board under MIG, and each one's activity since this was last asked; empty without MIG.
    pub fn parts(&mut self, uuid: &str) -> Vec<MigPart> {
        let nvml = self.nvml;
        let Ok(known) = self.known(uuid) else { return Vec::new() };
        if !known.device.mig_mode().is_ok_and(|mode| mode.current == 1) {
            return Vec::new();
        }
        let mut parts = Vec::new();
        for index in 0..known.device.mig_device_count().unwrap_or(0) {
            let Ok(part) = known.device.mig_device_by_index(index) else { continue };
            let (Ok(uuid), Ok(attributes)) = (part.uuid(), part.attributes()) else { continue };
            let Some(id) = instance_id(nvml, &part) else { continue };
            let now = known.device.gpm_mig_sample(id);
            let before = now.ok().and_then(|now| known.gpm.insert(id, now));
            let activity = before.zip(known.gpm.get(&id)).and_then(|(before, now)| {
                let metrics = gpm_metrics_get(nvml, &before, now, &[GpmMetricId::SmUtil]).ok()?;
                let percent = metrics.into_iter().next()?.ok()?.value;
                Some((percent.clamp(0.0, 100.0) * 100.0).round() as u64)
            });
            parts.push(MigPart { id, uuid, multiprocessors: attributes.multiprocessor_count, activity });
        }
        parts
    }
}

/// The number under which GPM and the process list know a part. The wrapper has no method for it.
#[expect(unsafe_code, reason = "one call of the raw library with a handle that lives as long as the device")]
fn instance_id(nvml: &Nvml, part: &Device<'_>) -> Option<u32> {
    let call = nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref().ok()?;
    let mut id = 0;
    // SAFETY: the handle comes from the same library, and `id` outlives the call.
    let code = unsafe { call(part.handle(), &raw mut id) };
    (code == 0).then_some(id)
}
