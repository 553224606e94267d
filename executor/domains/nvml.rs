//! NVIDIA GPUs through NVML. The only file that names nvml-wrapper.
//!
//! A call can hang in the driver, so one plain thread owns the library and everybody else waits with a deadline. It
//! reads; the verbs that set anything are not here.

use super::{DomainError, PowerDomain, Unwrapped};
use neap_model::fleet::{Gpu, Source};
use neap_model::units::{Joules, Watts};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long a reading may take before the domain counts as stale.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the library may take to load.
const LOADING: Duration = Duration::from_secs(10);

/// What one look at a GPU gives.
#[derive(Clone, Debug)]
struct Look {
    /// Energy counter in millijoules, where there is one.
    counter: Option<u64>,
    /// Power now in milliwatts.
    power: Option<u64>,
}

type Asked = (String, SyncSender<Result<Look, String>>);

/// The GPUs of a host.
#[derive(Debug)]
pub struct Gpus {
    /// As found at the start.
    pub found: Vec<Gpu>,
    asks: SyncSender<Asked>,
}

impl Gpus {
    /// Loads the library and lists the GPUs. No library, or no driver behind it, is an ordinary answer with its reason.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub fn find(library: Option<PathBuf>) -> Result<Self, String> {
        let (asks, inbox) = sync_channel::<Asked>(8);
        let (ready, loaded) = sync_channel(1);
        std::thread::Builder::new()
            .name("neap-nvml".to_owned())
            .spawn(move || own(library, &ready, &inbox))
            .map_err(|error| error.to_string())?;
        let found =
            loaded.recv_timeout(LOADING).map_err(|_| "the NVIDIA driver did not answer in 10 s".to_owned())??;
        Ok(Self { found, asks })
    }

    /// One GPU as a power domain, and how it is measured.
    #[must_use]
    pub fn domain(&self, uuid: &str) -> (GpuDomain, Source) {
        let mut domain = GpuDomain {
            uuid: uuid.to_owned(),
            asks: self.asks.clone(),
            counter: Unwrapped::default(),
            integral: Joules::ZERO,
            last: None,
        };
        let counted = domain.look().is_ok_and(|look| look.counter.is_some());
        let _ = domain.energy();
        (domain, if counted { Source::NvmlEnergy } else { Source::NvmlPower })
    }
}

/// The thread that owns the library.
fn own(library: Option<PathBuf>, ready: &SyncSender<Result<Vec<Gpu>, String>>, inbox: &Receiver<Asked>) {
    let loaded = match &library {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
        None => Nvml::init(),
    };
    let nvml = match loaded {
        Ok(nvml) => nvml,
        Err(error) => {
            // Nobody may be waiting any more.
            let why = match (&library, error) {
                (None, NvmlError::LibloadingError(_)) => "libnvidia-ml.so.1 was not found".to_owned(),
                (_, error) => error.to_string(),
            };
            let _ = ready.send(Err(format!("no NVIDIA driver ({why})")));
            return;
        }
    };
    let _ = ready.send(list(&nvml).map_err(|error| error.to_string()));
    while let Ok((uuid, reply)) = inbox.recv() {
        let look = nvml.device_by_uuid(uuid.as_str()).map_err(|error| error.to_string()).and_then(|device| {
            let look = Look {
                counter: device.total_energy_consumption().ok(),
                power: device.power_usage().ok().map(u64::from),
            };
            if look.counter.is_none() && look.power.is_none() {
                return Err("it reports neither energy nor power".to_owned());
            }
            Ok(look)
        });
        let _ = reply.send(look);
    }
}

fn list(nvml: &Nvml) -> Result<Vec<Gpu>, nvml_wrapper::error::NvmlError> {
    (0..nvml.device_count()?)
        .map(|index| {
            let device = nvml.device_by_index(index)?;
            let name = device.name()?;
            let model = name.trim_start_matches("NVIDIA ").trim().replace(' ', "-");
            // In force, else the factory's; a board that says neither is planned with at 0 W and metered all the same.
            let limit = device.enforced_power_limit().or_else(|_| device.power_management_limit_default()).unwrap_or(0);
            Ok(Gpu { uuid: device.uuid()?, index, model, limit: Watts(u64::from(limit)) })
        })
        .collect()
}

/// One GPU.
#[derive(Debug)]
pub struct GpuDomain {
    uuid: String,
    asks: SyncSender<Asked>,
    counter: Unwrapped,
    integral: Joules,
    /// The last power reading, for GPUs without a counter.
    last: Option<(Instant, u64)>,
}

impl GpuDomain {
    fn look(&self) -> Result<Look, DomainError> {
        let driver = |why: String| DomainError::Driver { what: self.uuid.clone(), why };
        let (reply, answer) = sync_channel(1);
        self.asks.try_send((self.uuid.clone(), reply)).map_err(|_| driver("the driver is stuck".to_owned()))?;
        let look = answer.recv_timeout(PATIENCE).map_err(|_| driver("no answer in 1 s".to_owned()))?;
        look.map_err(driver)
    }
}

impl PowerDomain for GpuDomain {
    fn energy(&mut self) -> Result<Joules, DomainError> {
        let look = self.look()?;
        if let Some(counter) = look.counter {
            return Ok(self.counter.millijoules(counter));
        }
        let (now, power) = (Instant::now(), look.power.unwrap_or(0));
        if let Some((before, earlier)) = self.last.replace((now, power)) {
            // Trapezoid between two readings.
            self.integral += Watts(u64::midpoint(power, earlier)) * (now - before);
        }
        Ok(self.integral)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_library_says_so() {
        let why = Gpus::find(Some("/nonexistent/libnvidia-ml.so.1".into())).expect_err("there is none");
        assert!(why.starts_with("no NVIDIA driver"), "{why}");
    }
}
