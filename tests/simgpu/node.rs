//! A simulated node from a test's side: made, moved through time, loaded, broken, and asked for the truth.

use crate::advance::advance;
use crate::board::Board;
use crate::fault::Fault;
use crate::file::Mapped;
use crate::load::Load;
use crate::physics::stand;
use crate::place::{Common, MOST, Place, boottime};
use crate::state::{Instance, MAGIC, State};
use bytemuck::Zeroable;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a GPU is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuSetup {
    /// Which board.
    pub board: Board,
    /// Gain error of sensor and counter, such as -0.055.
    pub gain: f64,
    /// A further gain of the counter alone.
    pub counter_gain: f64,
    /// Length of a counter tick; zero: 20 to 100 ms, drawn anew each time.
    pub tick: Duration,
    /// Loads run side by side (MPS) instead of taking turns.
    pub together: bool,
    /// The power limit in force at the start, in watts; `None`: the highest, which is also the default.
    pub limit: Option<u32>,
}

impl GpuSetup {
    /// An exact board with irregular ticks.
    #[must_use]
    pub const fn new(board: Board) -> Self {
        Self { board, gain: 0.0, counter_gain: 0.0, tick: Duration::ZERO, together: false, limit: None }
    }
}

/// What really happened on a GPU, which NVML does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Energy since the node was made, in millijoules.
    pub energy_mj: f64,
    /// Power limit asked for, in milliwatts.
    pub requested_mw: u64,
    /// Power limit that has come into force, in milliwatts.
    pub effective_mw: f64,
    /// Core clock in MHz.
    pub mhz: u32,
    /// Highest clock allowed by a lock.
    pub lock_mhz: Option<u32>,
    /// Calls that set something and were carried out.
    pub sets: u64,
    /// Of each load: process, work left in seconds, energy above idle in millijoules.
    pub loads: Vec<(u32, f64, f64)>,
}

/// A node of simulated GPUs in a directory.
#[derive(Debug)]
pub struct Node {
    dir: PathBuf,
    place: Place,
    gpus: Vec<Mapped<State>>,
}

impl Node {
    /// Makes a node whose time only [`Node::advance`] moves.
    ///
    /// # Errors
    /// If the files cannot be made, or there are already some.
    pub fn make(dir: &Path, gpus: &[GpuSetup]) -> io::Result<Self> {
        Self::begin(dir, gpus, true)
    }

    /// Makes a node that lives in real time.
    ///
    /// # Errors
    /// As [`Node::make`].
    pub fn make_live(dir: &Path, gpus: &[GpuSetup]) -> io::Result<Self> {
        Self::begin(dir, gpus, false)
    }

    fn begin(dir: &Path, gpus: &[GpuSetup], manual: bool) -> io::Result<Self> {
        if gpus.len() > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("at most {MOST} GPUs a node")));
        }
        std::fs::create_dir_all(dir)?;
        let common = Common::new(gpus.len(), manual);
        let now = if manual { common.now } else { boottime() };
        for (slot, setup) in gpus.iter().enumerate() {
            Mapped::make(&Place::gpu_file(dir, slot), &first(slot, setup, now))?;
        }
        Mapped::make(&dir.join("node"), &common)?;
        Self::open(dir)
    }

    /// Opens a node that another process made.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let place = Place::open(dir)?;
        let count = place.common.with(|common| common.gpus)? as usize;
        let gpus = (0..count).map(|slot| Mapped::open(&Place::gpu_file(dir, slot))).collect::<io::Result<_>>()?;
        Ok(Self { dir: dir.to_owned(), place, gpus })
    }

    /// Its directory, for `NEAP_SIM_DIR`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A copy of the shared library of this node's own, which sees this node without any environment and may set nothing.
    ///
    /// # Errors
    /// If the library was not built beside the test, or cannot be copied.
    pub fn library(&self) -> io::Result<PathBuf> {
        copy_into(&self.dir)
    }

    /// The same for the one process that may set limits.
    ///
    /// # Errors
    /// As [`Node::library`].
    pub fn privileged_library(&self) -> io::Result<PathBuf> {
        copy_into(&self.dir.join("privileged"))
    }

    /// A copy of the library in which these functions are missing, as in an older driver.
    ///
    /// # Errors
    /// As [`Node::library`]; also if the library has no such function.
    pub fn library_without(&self, functions: &[&str]) -> io::Result<PathBuf> {
        let path = copy_into(&self.dir)?;
        let mut bytes = std::fs::read(&path)?;
        for function in functions {
            let name: Vec<u8> = [b"\0", function.as_bytes(), b"\0"].concat();
            let found: Vec<usize> =
                (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(&name)).collect();
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("the library has no {function}")));
            }
            found.iter().for_each(|at| bytes[at + 1] = b'x');
        }
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// The node's clock.
    ///
    /// # Panics
    /// If the node's files are gone.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.place.now().expect("the node's clock is readable"))
    }

    /// Moves the node's clock.
    ///
    /// # Panics
    /// If the node's files are gone.
    pub fn advance(&self, by: Duration) {
        self.place.common.with(|common| common.now += by.as_micros() as u64).expect("the node's clock can be moved");
    }

    /// Puts the GPUs into another order of indices: `order[index]` is the GPU as first counted.
    ///
    /// # Panics
    /// If `order` names a GPU that is not there.
    pub fn reorder(&self, order: &[usize]) {
        assert!(order.iter().all(|slot| *slot < self.gpus.len()), "an order of the GPUs that are there");
        let write = |common: &mut Common| {
            order.iter().enumerate().for_each(|(index, slot)| common.order[index] = *slot as u64);
        };
        self.place.common.with(write).expect("the node's file can be written");
    }

    /// How many GPUs there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.gpus.len()
    }

    /// One GPU, by the order in which it was made.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn gpu(&self, slot: usize) -> Gpu<'_> {
        Gpu { node: self, state: &self.gpus[slot] }
    }

    /// All of them.
    pub fn gpus(&self) -> impl Iterator<Item = Gpu<'_>> {
        (0..self.count()).map(|slot| self.gpu(slot))
    }
}

fn first(slot: usize, setup: &GpuSetup, now: u64) -> State {
    let profile = setup.board.profile();
    let mut gpu = State::zeroed();
    (gpu.magic, gpu.board, gpu.slot) = (MAGIC, setup.board as u64, slot as u64);
    let uuid = format!("GPU-{:08x}-5130-4e45-a000-{:012x}", 0x51_30_00_00 + slot, slot + 1);
    gpu.uuid[..uuid.len()].copy_from_slice(uuid.as_bytes());
    (gpu.gain, gpu.counter_gain, gpu.tick) = (setup.gain, setup.counter_gain, setup.tick.as_micros() as u64);
    // Boards are not in step with each other.
    gpu.phase = slot as u64 * 37_000 % 100_000;
    gpu.together = u64::from(setup.together);
    gpu.default = u64::from(profile.limits.1) * 1_000;
    gpu.requested = setup.limit.map_or(gpu.default, |watts| u64::from(watts) * 1_000);
    gpu.effective = gpu.requested as f64;
    gpu.persistence = 1;
    gpu.random = slot as u64;
    // As if it had been there for a while: the sensor knows the idle power, the counter has counted.
    gpu.at = now.saturating_sub(1_000_000) / 100_000 * 100_000;
    gpu.next_tick = gpu.at;
    gpu.window = profile.base * ((gpu.at + gpu.phase) % 100_000).saturating_sub(75_000) as f64 / 1e3;
    gpu
}

fn copy_into(dir: &Path) -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let near = exe.parent().into_iter().chain(exe.parent().and_then(Path::parent));
    let mut places = near.flat_map(|dir| [dir.join("libsimgpu.so"), dir.join("deps/libsimgpu.so")]);
    let built = places.find(|path| path.is_file());
    let built = built.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("libsimgpu.so was not built beside {}", exe.display()))
    })?;
    std::fs::create_dir_all(dir)?;
    let path = dir.join("libnvidia-ml.so.1");
    // A file of its own: the loader takes two names of one file for one library, with one set of statics.
    std::fs::copy(built, &path)?;
    Ok(path)
}

/// One GPU of a node.
#[derive(Clone, Copy, Debug)]
pub struct Gpu<'a> {
    node: &'a Node,
    state: &'a Mapped<State>,
}

impl Gpu<'_> {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let now = self.node.now().as_micros() as u64;
        let change = |gpu: &mut State| {
            advance(gpu, now);
            change(gpu)
        };
        self.state.with(change).expect("the GPU's file is whole")
    }

    /// Its UUID.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.with(|gpu| gpu.uuid().to_owned())
    }

    /// What really happened up to now.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.with(|gpu| {
            let loads: Vec<Load> = gpu.running().copied().collect();
            let lock = (gpu.lock > 0).then_some(gpu.lock as u32);
            let standing = stand(gpu.profile(), &loads, gpu.together == 1, gpu.effective / 1e3, lock);
            Truth {
                energy_mj: gpu.truth,
                requested_mw: gpu.requested,
                effective_mw: gpu.effective,
                mhz: standing.mhz,
                lock_mhz: lock,
                sets: gpu.sets,
                loads: gpu
                    .loads
                    .iter()
                    .filter(|load| load.present > 0)
                    .map(|load| (load.pid as u32, load.work, load.taken))
                    .collect(),
            }
        })
    }

    /// Puts a load on.
    ///
    /// # Panics
    /// If it carries 16 already.
    pub fn add(&self, load: Load) {
        self.with(|gpu| {
            // A place whose load has ended is used again last, so that a test can still ask what it took.
            let free = gpu.loads.iter().position(|l| l.present == 0);
            let free = free.or_else(|| gpu.loads.iter().position(|l| l.present == 2));
            gpu.loads[free.expect("at most 16 loads run at once")] = Load { taken: 0.0, present: 1, ..load };
        });
    }

    /// Takes a process's loads off. What they took stays on record.
    pub fn remove(&self, pid: u32) {
        self.with(|gpu| {
            gpu.loads.iter_mut().filter(|l| l.present == 1 && l.pid == u64::from(pid)).for_each(|l| l.present = 2);
        });
    }

    /// Whether a process still has work here.
    #[must_use]
    pub fn busy(&self, pid: u32) -> bool {
        self.with(|gpu| gpu.running().any(|load| load.pid == u64::from(pid)))
    }

    /// Adds a fault to the script.
    ///
    /// # Panics
    /// If 16 are scripted already.
    pub fn script(&self, fault: Fault) {
        self.with(|gpu| {
            let free = gpu.faults.iter().position(|f| f.kind == 0).expect("at most 16 faults are scripted");
            gpu.faults[free] = fault.into();
        });
    }

    /// Forgets all scripted faults.
    pub fn heal(&self) {
        self.with(|gpu| gpu.faults.iter_mut().for_each(|fault| fault.kind = 0));
    }

    /// Switches MIG on with instances of so many multiprocessors.
    ///
    /// # Panics
    /// If they are more than the board has.
    pub fn mig(&self, sms: &[u32]) {
        self.with(|gpu| {
            assert!(sms.iter().sum::<u32>() <= gpu.profile().sms && sms.len() <= gpu.instances.len());
            gpu.mig = 1;
            gpu.together = 1;
            for (n, sms) in sms.iter().enumerate() {
                gpu.instances[n] = Instance { id: n as u64, sms: u64::from(*sms), active: 0.0, present: 1 };
            }
        });
    }

    /// The sensor's latest reading in milliwatts, as NVML would say it without faults.
    #[must_use]
    pub fn shown_mw(&self) -> u64 {
        self.with(|gpu| gpu.latest())
    }
}
