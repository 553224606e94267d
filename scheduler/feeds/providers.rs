//! The services, one file each: how they are asked and what their answers mean. None of them opens a socket.

pub mod carbon_aware;
pub mod eia;
pub mod electricity_maps;
pub mod energi_data;
pub mod energy_charts;
pub mod entsoe;
pub mod exporter;
pub mod http_json;
pub mod nord_pool;
pub mod octopus;
pub mod open_electricity;
pub mod prometheus;
pub mod tibber;
pub mod uk;
pub mod watttime;

use super::feed::Want;
use super::wire::points::Points;
use std::collections::BTreeMap;

/// What came so far of an answer in several parts, by zone and signal.
#[derive(Debug, Default)]
struct Parts(BTreeMap<(String, super::feed::Signal), Vec<Points>>);

impl Parts {
    fn key(want: &Want) -> (String, super::feed::Signal) {
        (want.zone.clone(), want.signal)
    }

    fn count(&self, want: &Want) -> usize {
        self.0.get(&Self::key(want)).map_or(0, Vec::len)
    }

    fn keep(&mut self, want: &Want, points: Points) {
        self.0.entry(Self::key(want)).or_default().push(points);
    }

    fn drop(&mut self, want: &Want) {
        self.0.remove(&Self::key(want));
    }

    /// All parts as one; what comes later wins.
    fn join(&mut self, want: &Want, last: Points) -> Points {
        let mut all = Points::default();
        self.0.remove(&Self::key(want)).unwrap_or_default().into_iter().chain([last]).for_each(|part| all.extend(part));
        all
    }
}

#[cfg(test)]
pub(super) mod tests;
