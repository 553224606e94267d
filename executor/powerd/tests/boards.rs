//! Made-up boards and a made-up disk that survive a crash of the helper, and die with it between any two steps.

use crate::powerd::Refusal;
use crate::powerd::board::{Boards, Limits};
use crate::powerd::record::{Record, Records, Stored};
use neap_model::units::{Joules, Megahertz, Watts};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// The limit that a driver which was just loaded leaves a board at, in milliwatts.
pub(crate) const FACTORY: u64 = 700_000;
/// Clocks the made-up boards can be kept below, in megahertz.
pub(crate) const CLOCKS: (u32, u32) = (210, 1_980);

/// What survives a crash of the helper, and what kills it.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Milliwatts by GPU.
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) counters: BTreeMap<String, u64>,
    /// Megahertz by GPU whose clock is locked.
    pub(crate) locks: BTreeMap<String, u32>,
    pub(crate) records: BTreeMap<String, Stored>,
    /// Steps until the helper dies; the last one may have taken effect.
    pub(crate) fuse: Option<u32>,
    pub(crate) dead: bool,
    pub(crate) last_takes_effect: bool,
    pub(crate) ignores_sets: bool,
    pub(crate) no_permission: bool,
    pub(crate) no_locks: bool,
    /// So many calls about a clock fail; each may have taken effect.
    pub(crate) lock_fails: u32,
    /// So many writes to the disk fail; each may have taken effect.
    pub(crate) disk_fails: u32,
    /// The driver was loaded anew, and answers nothing before it is opened again.
    pub(crate) stale: bool,
    pub(crate) sets: u64,
    pub(crate) lock_calls: u64,
}

pub(crate) type Shared = Rc<RefCell<World>>;

impl World {
    /// The driver of that GPU is loaded anew: limit, counter and lock are what they were at the factory.
    pub(crate) fn reload(&mut self, gpu: &str) {
        self.limits.insert(gpu.to_owned(), FACTORY);
        self.counters.insert(gpu.to_owned(), 0);
        self.locks.remove(gpu);
    }

    /// Whether a step is carried out, and whether its caller lives to see it.
    fn step(&mut self) -> (bool, bool) {
        if self.dead {
            return (false, false);
        }
        match &mut self.fuse {
            Some(0) => {
                self.dead = true;
                (self.last_takes_effect, false)
            }
            Some(left) => {
                *left -= 1;
                (true, true)
            }
            None => (true, true),
        }
    }
}

pub(crate) struct Fake(pub(crate) Shared);

impl Boards for Fake {
    fn list(&mut self) -> Result<Vec<String>, Refusal> {
        Ok(self.0.borrow().limits.keys().cloned().collect())
    }
    fn limits(&mut self, gpu: &str) -> Result<Limits, Refusal> {
        let world = self.0.borrow();
        let watts = Watts(*world.limits.get(gpu).ok_or(Refusal::UnknownGpu)?);
        if world.dead || world.stale { Err(Refusal::GpuLost) } else { Ok(Limits { requested: watts, enforced: watts }) }
    }
    fn factory(&mut self, _: &str) -> Option<Watts> {
        Some(Watts(FACTORY))
    }
    fn range(&mut self, _: &str) -> Option<RangeInclusive<Watts>> {
        Some(Watts::whole(100)..=Watts(FACTORY))
    }
    fn set(&mut self, gpu: &str, limit: Watts) -> Result<(), Refusal> {
        let mut world = self.0.borrow_mut();
        if world.no_permission {
            return Err(Refusal::NoPermission);
        }
        if world.stale {
            return Err(Refusal::GpuLost);
        }
        let (done, lives) = world.step();
        if done && !world.ignores_sets {
            world.limits.insert(gpu.to_owned(), limit.0);
            world.sets += 1;
        }
        if lives { Ok(()) } else { Err(Refusal::GpuLost) }
    }
    fn clocks(&mut self, _: &str) -> Option<RangeInclusive<Megahertz>> {
        Some(Megahertz(CLOCKS.0)..=Megahertz(CLOCKS.1))
    }
    fn lock(&mut self, gpu: &str, ceiling: Option<Megahertz>) -> Result<(), Refusal> {
        let mut world = self.0.borrow_mut();
        if world.no_permission || world.no_locks {
            return Err(if world.no_locks { Refusal::NotSupported } else { Refusal::NoPermission });
        }
        if world.stale {
            return Err(Refusal::GpuLost);
        }
        let failing = world.lock_fails > 0;
        world.lock_fails = world.lock_fails.saturating_sub(1);
        let (done, lives) = world.step();
        if done && (!failing || world.last_takes_effect) {
            world.lock_calls += 1;
            match ceiling {
                Some(ceiling) => world.locks.insert(gpu.to_owned(), ceiling.0),
                None => world.locks.remove(gpu),
            };
        }
        match (lives, failing) {
            (true, false) => Ok(()),
            (true, true) => Err(Refusal::Device),
            (false, _) => Err(Refusal::GpuLost),
        }
    }
    fn counter(&mut self, gpu: &str) -> Option<Joules> {
        self.0.borrow().counters.get(gpu).map(|counter| Joules(*counter))
    }
    fn reopen(&mut self) {
        self.0.borrow_mut().stale = false;
    }
}

pub(crate) struct Disk(pub(crate) Shared);

impl Records for Disk {
    fn load(&mut self) -> io::Result<Vec<(String, Stored)>> {
        Ok(self.0.borrow().records.clone().into_iter().collect())
    }
    fn put(&mut self, record: &Record) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let failing = world.disk_fails > 0;
        world.disk_fails = world.disk_fails.saturating_sub(1);
        let (done, lives) = world.step();
        if done && (!failing || world.last_takes_effect) {
            world.records.insert(record.gpu.clone(), Stored::Sound(record.clone()));
        }
        if lives && !failing { Ok(()) } else { Err(io::Error::other("gone")) }
    }
    fn remove(&mut self, gpu: &str) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let failing = world.disk_fails > 0;
        world.disk_fails = world.disk_fails.saturating_sub(1);
        let (done, lives) = world.step();
        if done && (!failing || world.last_takes_effect) {
            world.records.remove(gpu);
        }
        if lives && !failing { Ok(()) } else { Err(io::Error::other("gone")) }
    }
}
