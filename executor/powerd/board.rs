//! The boards as the keeper sees them: few verbs, one real implementation over NVML.

use super::Refusal;
use crate::domains::nvml::driver::Library;
use crate::domains::{Cap, DomainError, Uncapped};
use neap_model::units::{Joules, Megahertz, Watts};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What a board says about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What somebody asked for last. Whose limit it is goes by this.
    pub requested: Watts,
    /// What is in force.
    pub enforced: Watts,
}

/// The boards of a node. Every call may fail, and a call that fails may have taken effect.
pub trait Boards {
    /// UUIDs.
    ///
    /// # Errors
    /// Why nothing can be said.
    fn list(&mut self) -> Result<Vec<String>, Refusal>;
    /// What is in force, read from the device.
    ///
    /// # Errors
    /// Why it does not say.
    fn limits(&mut self, gpu: &str) -> Result<Limits, Refusal>;
    /// The limit that a driver which was just loaded leaves it at.
    fn factory(&mut self, gpu: &str) -> Option<Watts>;
    /// What the board takes.
    fn range(&mut self, gpu: &str) -> Option<RangeInclusive<Watts>>;
    /// Asks for a limit.
    ///
    /// # Errors
    /// Why it was not taken.
    fn set(&mut self, gpu: &str, limit: Watts) -> Result<(), Refusal>;
    /// Core clocks that it can be kept below, lowest and highest.
    fn clocks(&mut self, gpu: &str) -> Option<RangeInclusive<Megahertz>>;
    /// Keeps its core clock at or below that frequency; `None`: lets go of whatever lock there is. No board says what it is
    /// locked at.
    ///
    /// # Errors
    /// Why it was not taken.
    fn lock(&mut self, gpu: &str, ceiling: Option<Megahertz>) -> Result<(), Refusal>;
    /// Its energy counter, which starts anew when the driver is loaded.
    fn counter(&mut self, gpu: &str) -> Option<Joules>;
    /// Opens the driver again after it was loaded anew.
    fn reopen(&mut self);
}

/// Through NVML.
#[derive(Debug)]
pub struct Nvml {
    path: Option<PathBuf>,
    library: Option<Library>,
}

impl Nvml {
    /// Opens the library.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: Option<&Path>) -> Result<Self, String> {
        Ok(Self { path: path.map(Path::to_owned), library: Some(Library::open(path)?) })
    }

    fn library(&mut self) -> Result<&Library, Refusal> {
        if self.library.is_none() {
            self.library = Library::open(self.path.as_deref()).ok();
        }
        self.library.as_ref().ok_or(Refusal::GpuLost)
    }
}

fn refusal(error: &DomainError) -> Refusal {
    match error {
        DomainError::Uncapped { why: Uncapped::NoPermission, .. } => Refusal::NoPermission,
        DomainError::Uncapped { .. } => Refusal::NotSupported,
        DomainError::OutOfRange { .. } => Refusal::OutOfRange,
        _ => Refusal::Device,
    }
}

impl Boards for Nvml {
    fn list(&mut self) -> Result<Vec<String>, Refusal> {
        let found = self.library()?.driver().list().map_err(|_| Refusal::Device)?;
        Ok(found.into_iter().map(|(gpu, _)| gpu.uuid).collect())
    }

    fn limits(&mut self, gpu: &str) -> Result<Limits, Refusal> {
        let state = self.library()?.driver().cap(gpu).map_err(|error| refusal(&error))?;
        Ok(Limits { requested: state.requested, enforced: state.enforced })
    }

    fn factory(&mut self, gpu: &str) -> Option<Watts> {
        self.library().ok()?.driver().factory_limit(gpu)
    }

    fn range(&mut self, gpu: &str) -> Option<RangeInclusive<Watts>> {
        self.library().ok()?.driver().cap_range(gpu).limit
    }

    fn set(&mut self, gpu: &str, limit: Watts) -> Result<(), Refusal> {
        let cap = Cap { limit: Some(limit), clock_ceiling: None };
        match self.library()?.driver().set_cap(gpu, cap) {
            // Whether it was taken is the keeper's own question.
            Ok(_) | Err(DomainError::NotTaken { .. }) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn clocks(&mut self, gpu: &str) -> Option<RangeInclusive<Megahertz>> {
        self.library().ok()?.driver().cap_range(gpu).clocks
    }

    fn lock(&mut self, gpu: &str, ceiling: Option<Megahertz>) -> Result<(), Refusal> {
        self.library()?.driver().lock_clocks(gpu, ceiling).map_err(|error| refusal(&error))
    }

    fn counter(&mut self, gpu: &str) -> Option<Joules> {
        self.library().ok()?.driver().counter(gpu)
    }

    fn reopen(&mut self) {
        self.library = None;
    }
}
