//! The meter through the real wrapper over the simulated library, against the truth it cannot see. Time is moved.

use super::Gpus;
use super::driver::{Driver, Failed, Library};
use super::sampler::{Live, Sampler, add_known};
use crate::clock::Clock;
use crate::domains::{Cap, DomainError, PowerDomain, Uncapped};
use crate::meter::edge::{Edge, edges};
use crate::meter::track::Tally;
use neap_model::units::{Joules, Watts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use simgpu::{Board, Fault, GpuSetup, Kind, Load, Node};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

mod job;
mod live;
mod shared;

/// The node's own clock: waiting moves it.
struct Simulated<'a>(&'a Node);

// The node is driven from one thread.
impl Clock for Simulated<'_> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, time: Duration) {
        self.0.advance(time);
    }
}

fn node(gpus: &[GpuSetup]) -> (tempfile::TempDir, Node) {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::make(&dir.path().join("sim"), gpus).expect("a node");
    (dir, node)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A node, its library and what the meter makes of it, driven by hand.
struct Bench<'a> {
    node: &'a Node,
    library: Option<Library>,
    sampler: Sampler,
    gpus: BTreeMap<String, Live>,
}

impl<'a> Bench<'a> {
    fn new(node: &'a Node, seed: u64) -> Self {
        Self::with(node, node.library().expect("the library is built"), seed)
    }

    fn with(node: &'a Node, path: std::path::PathBuf, seed: u64) -> Self {
        let library = Library::open(Some(&path)).expect("it opens");
        let mut gpus = BTreeMap::new();
        let found = library.driver().list().expect("a list");
        let found: Vec<_> = found.into_iter().map(|(gpu, most)| (gpu.uuid, most)).collect();
        add_known(&mut gpus, &found);
        Self { node, library: Some(library), sampler: Sampler::new(seed), gpus }
    }

    /// Meters for so long, and opens the library again when the driver was away.
    fn run(&mut self, time: Duration) {
        let until = self.node.now() + time;
        while self.node.now() < until {
            let library = self.library.take().expect("open");
            if !self.rounds(&mut library.driver(), until) {
                self.library = Some(library);
                continue;
            }
            drop(library);
            let path = self.node.dir().join("libnvidia-ml.so.1");
            while self.library.is_none() {
                self.node.advance(secs(1));
                self.library = Library::open(Some(&path)).ok();
            }
        }
    }

    /// Meters second by second with one and the same driver.
    fn seconds(&mut self, count: u32, mut each: impl FnMut(&BTreeMap<String, Live>)) {
        let library = self.library.take().expect("open");
        {
            let mut driver = library.driver();
            for _ in 0..count {
                let until = self.node.now() + secs(1);
                assert!(!self.rounds(&mut driver, until), "the driver stays");
                each(&self.gpus);
            }
        }
        self.library = Some(library);
    }

    fn rounds(&mut self, driver: &mut Driver<'_>, until: Duration) -> bool {
        let uuids: Vec<String> = self.gpus.keys().cloned().collect();
        while self.node.now() < until {
            let mut gone = false;
            for (uuid, read) in self.sampler.round(driver, &uuids, &Simulated(self.node)) {
                gone |= matches!(read.sample, Err(Failed::Gone));
                self.gpus.get_mut(&uuid).expect("known").take(read);
            }
            if gone {
                return true;
            }
            let next = self.sampler.next().min(until);
            self.node.advance(next.saturating_sub(self.node.now()));
        }
        false
    }

    fn edge(&mut self) -> Vec<Edge> {
        let library = self.library.as_ref().expect("open");
        let mut driver = library.driver();
        let uuids: Vec<String> = self.gpus.keys().cloned().collect();
        let found = edges(uuids.len(), |n| driver.counter(&uuids[n]), &Simulated(self.node));
        for (uuid, edge) in uuids.iter().zip(&found) {
            self.gpus.get_mut(uuid).expect("known").take_edge(edge.at, edge.counter);
        }
        found
    }

    fn tally(&self, slot: usize) -> Tally {
        self.gpus[&self.node.gpu(slot).uuid()].tally()
    }
}
