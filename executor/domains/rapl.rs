//! Processor packages and memory through the kernel's powercap tree (Intel RAPL, and AMD under the same names).
//!
//! Counted are `package-*` and `dram` zones. `core` and `uncore` lie inside the package, `psys` holds everything, and
//! the `intel-rapl-mmio` tree repeats the package.

use super::{Cap, CapRange, CapState, DomainError, PowerDomain, Reading, Uncapped, Unwrapped};
use crate::clock::{Boot, Clock};
use neap_model::fleet::Source;
use neap_model::units::Joules;
use std::path::{Path, PathBuf};

/// One zone of the tree.
#[derive(Debug)]
struct Zone {
    path: PathBuf,
    range: u64,
    counter: Unwrapped,
    memory: bool,
}

/// Energy since the counters were found, by what used it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Processor packages.
    pub packages: Joules,
    /// Memory; `None`: no counter tells of it.
    pub memory: Option<Joules>,
}

/// All counted zones of a host.
#[derive(Debug)]
pub struct Rapl {
    zones: Vec<Zone>,
}

/// Why a host has no RAPL.
#[derive(Debug, thiserror::Error)]
pub enum NoRapl {
    /// The tree is not there.
    #[error("no powercap tree at {0}")]
    Absent(String),
    /// It is there and holds nothing that is counted.
    #[error("no package or dram zone under {0}")]
    Empty(String),
    /// Since CVE-2020-8694 only root may read the counters unless somebody allows it.
    #[error("{0} may not be read by this user (chmod a+r, or a group of its own)")]
    NotAllowed(String),
}

impl Rapl {
    /// Finds the zones under `root` (`/sys/class/powercap` on a real host) and reads each once.
    ///
    /// # Errors
    /// [`NoRapl`] if there is nothing to read.
    pub fn find(root: &Path) -> Result<Self, NoRapl> {
        let shown = root.display().to_string();
        let entries = std::fs::read_dir(root).map_err(|_| NoRapl::Absent(shown.clone()))?;
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("intel-rapl:")))
            .collect();
        paths.sort();
        let mut zones = Vec::new();
        for path in paths {
            let name = std::fs::read_to_string(path.join("name")).unwrap_or_default();
            let name = name.trim();
            if !name.starts_with("package-") && name != "dram" {
                continue;
            }
            let energy = path.join("energy_uj");
            if std::fs::File::open(&energy).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
                return Err(NoRapl::NotAllowed(energy.display().to_string()));
            }
            let range = number(&path.join("max_energy_range_uj")).unwrap_or(0);
            zones.push(Zone { path, range, counter: Unwrapped::default(), memory: name == "dram" });
        }
        if zones.is_empty() {
            return Err(NoRapl::Empty(shown));
        }
        let mut rapl = Self { zones };
        // The first reading sets the zero; if it fails now it does so again and is told then.
        let _ = rapl.energy();
        Ok(rapl)
    }

    /// How many zones are counted.
    #[must_use]
    pub fn zones(&self) -> usize {
        self.zones.len()
    }

    /// Whether memory has a counter of its own.
    #[must_use]
    pub fn counts_memory(&self) -> bool {
        self.zones.iter().any(|zone| zone.memory)
    }

    /// Reads packages and memory apart.
    ///
    /// # Errors
    /// [`DomainError`] if one of them cannot be read now; a later reading covers the time between.
    pub fn split(&mut self) -> Result<Split, DomainError> {
        let mut split = Split { memory: self.counts_memory().then_some(Joules::ZERO), ..Split::default() };
        for zone in &mut self.zones {
            let energy = zone.counter.microjoules(number(&zone.path.join("energy_uj"))?, zone.range);
            *split.memory.as_mut().filter(|_| zone.memory).unwrap_or(&mut split.packages) += energy;
        }
        Ok(split)
    }
}

impl Rapl {
    fn uncapped(&self) -> DomainError {
        DomainError::Uncapped { what: "the host".to_owned(), why: Uncapped::NotSupported }
    }
}

impl PowerDomain for Rapl {
    fn energy(&mut self) -> Result<Reading, DomainError> {
        let split = self.split()?;
        let energy = split.packages + split.memory.unwrap_or_default();
        Ok(Reading { energy, at: Boot.now(), source: Source::Rapl, watts_now: None, segment: 0 })
    }

    /// Neap sets no limits of processors.
    fn cap(&mut self) -> Result<CapState, DomainError> {
        Err(self.uncapped())
    }

    fn cap_range(&self) -> CapRange {
        CapRange { because: Some(Uncapped::NotSupported), ..CapRange::default() }
    }

    fn set_cap(&mut self, _cap: Cap) -> Result<CapState, DomainError> {
        Err(self.uncapped())
    }
}

fn number(path: &Path) -> Result<u64, DomainError> {
    let what = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| DomainError::Read { what: what(), source })?;
    text.trim().parse().map_err(|_| DomainError::Nonsense { what: what(), found: text.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(zones: &[(&str, &str, u64)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (zone, name, energy) in zones {
            let path = dir.path().join(zone);
            std::fs::create_dir(&path).expect("made");
            std::fs::write(path.join("name"), format!("{name}\n")).expect("written");
            std::fs::write(path.join("energy_uj"), format!("{energy}\n")).expect("written");
            std::fs::write(path.join("max_energy_range_uj"), "262143328850\n").expect("written");
        }
        dir
    }

    fn set(dir: &tempfile::TempDir, zone: &str, energy: u64) {
        std::fs::write(dir.path().join(zone).join("energy_uj"), energy.to_string()).expect("written");
    }

    #[test]
    fn a10_packages_and_memory_are_counted_over_a_wrap_and_nothing_twice() {
        let dir = tree(&[
            ("intel-rapl:0", "package-0", 262_143_000_000),
            ("intel-rapl:0:0", "core", 0),
            ("intel-rapl:0:1", "dram", 1_000_000),
            ("intel-rapl:1", "psys", 0),
            ("intel-rapl-mmio:0", "package-0", 0),
        ]);
        let mut rapl = Rapl::find(dir.path()).expect("two zones");
        assert_eq!(rapl.zones(), 2);
        for noise in ["intel-rapl:0:0", "intel-rapl:1", "intel-rapl-mmio:0"] {
            set(&dir, noise, 999_000_000);
        }
        // 328,850 to the end of the range, one step to zero, 1,671,149 on: two joules. And one of memory.
        set(&dir, "intel-rapl:0", 1_671_149);
        set(&dir, "intel-rapl:0:1", 2_000_000);
        assert_eq!(rapl.energy().expect("read").energy, Joules(3_000));
        set(&dir, "intel-rapl:0", 1_671_149 + 500_000);
        assert_eq!(rapl.energy().expect("read").energy, Joules(3_500));
        assert_eq!(rapl.split().expect("read"), Split { packages: Joules(2_500), memory: Some(Joules(1_000)) });
    }

    #[test]
    fn memory_without_a_counter_is_not_known_and_not_zero() {
        let dir = tree(&[("intel-rapl:0", "package-0", 5)]);
        let mut rapl = Rapl::find(dir.path()).expect("a zone");
        set(&dir, "intel-rapl:0", 7_000_005);
        assert_eq!(rapl.split().expect("read"), Split { packages: Joules(7_000), memory: None });
        assert!(!rapl.counts_memory());
    }

    #[test]
    fn a_host_without_it_says_why() {
        assert!(matches!(Rapl::find(Path::new("/nonexistent")), Err(NoRapl::Absent(_))));
        assert!(matches!(Rapl::find(tree(&[("intel-rapl:0", "psys", 1)]).path()), Err(NoRapl::Empty(_))));
    }

    #[test]
    fn nonsense_is_an_error_and_no_energy() {
        let dir = tree(&[("intel-rapl:0", "package-0", 5)]);
        let mut rapl = Rapl::find(dir.path()).expect("a zone");
        std::fs::write(dir.path().join("intel-rapl:0/energy_uj"), "lots").expect("written");
        assert!(matches!(rapl.energy(), Err(DomainError::Nonsense { .. })));
        set(&dir, "intel-rapl:0", 7_000_005);
        assert_eq!(rapl.energy().expect("read").energy, Joules(7_000));
    }
}
