//! Where a simulated node lies, what time it is there, and whether this process may set anything.

use crate::file::Mapped;
use crate::state::MAGIC;
use bytemuck::{Pod, Zeroable};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const MOST: usize = 64;

/// What the GPUs of a node have in common.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Common {
    pub magic: u64,
    pub gpus: u64,
    /// Time is what `now` says, and only a test moves it.
    pub manual: u64,
    pub now: u64,
    /// Index → slot.
    pub order: [u64; MOST],
}

impl Common {
    pub(crate) fn new(gpus: usize, manual: bool) -> Self {
        let order = std::array::from_fn(|n| n as u64);
        Self { magic: MAGIC, gpus: gpus as u64, manual: u64::from(manual), now: 1_000_000, order }
    }
}

/// A node's files, opened.
#[derive(Debug)]
pub(crate) struct Place {
    pub common: Mapped<Common>,
    manual: bool,
    dir: PathBuf,
}

impl Place {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let common = Mapped::<Common>::open(&dir.join("node"))?;
        let told = std::env::var("NEAP_SIM_CLOCK").is_ok_and(|clock| clock == "manual");
        let manual = told || common.with(|common| common.manual == 1)?;
        Ok(Self { common, manual, dir: dir.to_owned() })
    }

    pub(crate) fn gpu_file(dir: &Path, slot: usize) -> PathBuf {
        dir.join(format!("gpu-{slot}"))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Microseconds on the node's clock.
    pub(crate) fn now(&self) -> io::Result<u64> {
        if self.manual { self.common.with(|common| common.now) } else { Ok(boottime()) }
    }
}

pub(crate) fn boottime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// The node this process is to see (`NEAP_SIM_DIR`, else the directory this very library was loaded from) and whether it
/// may set limits there (`NEAP_SIM_PRIVILEGED=1`, or the library lies in the node's folder `privileged`).
pub(crate) fn here() -> Option<(PathBuf, bool)> {
    let told = std::env::var("NEAP_SIM_PRIVILEGED").is_ok_and(|word| word == "1");
    if let Some(dir) = std::env::var_os("NEAP_SIM_DIR") {
        return Some((dir.into(), told));
    }
    let beside = own_file()?.parent()?.to_owned();
    if beside.ends_with("privileged") {
        return Some((beside.parent()?.to_owned(), true));
    }
    Some((beside, told))
}

/// The file this code was loaded from, as the kernel says.
fn own_file() -> Option<PathBuf> {
    let here = own_file as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, until) = range.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let path = rest.find('/').map(|at| PathBuf::from(&rest[at..]))?;
        (bound(from)?..bound(until)?).contains(&here).then_some(path)
    })
}
