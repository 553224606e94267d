//! Where a training stands, to the bit, and the finished model. Neither is ever read when its checksum differs.

use super::KernelError;
use super::digits::{CLASSES, COUNT, PIXELS};
use super::network::{Adam, Network, parameters};
use super::sealed::{self, Fields, Fnv};
use std::path::Path;

const CHECKPOINT: &[u8; 8] = b"NEAPCKP1";
const MODEL: &[u8; 8] = b"NEAPMOD1";
/// No file makes us reserve more than this many hidden units.
pub(super) const MOST_HIDDEN: usize = 65_536;

/// Everything the next step depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Drawn from for weights and order.
    pub seed: u64,
    /// The epoch under way, from 0.
    pub epoch: u32,
    /// Images of it already used.
    pub position: u32,
    /// Their summed loss in nats.
    pub loss: f64,
    /// The parameters.
    pub network: Network,
    /// The moments and the steps done.
    pub adam: Adam,
}

impl State {
    /// Before the first step.
    pub fn new(hidden: usize, seed: u64) -> Self {
        let network = Network::new(hidden, seed);
        Self { seed, epoch: 0, position: 0, loss: 0.0, network, adam: Adam::new(parameters(hidden)) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&(self.network.hidden() as u32).to_le_bytes());
        body.extend_from_slice(&self.seed.to_le_bytes());
        body.extend_from_slice(&self.adam.step.to_le_bytes());
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.extend_from_slice(&self.position.to_le_bytes());
        body.extend_from_slice(&self.loss.to_bits().to_le_bytes());
        for numbers in [self.network.weights(), &self.adam.mean, &self.adam.square] {
            sealed::bytes(numbers, &mut body);
        }
        body
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let hidden = fields.u32()? as usize;
        let (seed, step) = (fields.u64()?, fields.u64()?);
        let (epoch, position, loss) = (fields.u32()?, fields.u32()?, f64::from_bits(fields.u64()?));
        if !(1..=MOST_HIDDEN).contains(&hidden) || position as usize >= COUNT {
            return None;
        }
        let count = parameters(hidden);
        let network = Network::from_weights(hidden, fields.f32s(count)?)?;
        let adam = Adam { step, mean: fields.f32s(count)?, square: fields.f32s(count)? };
        fields.done().then_some(Self { seed, epoch, position, loss, network, adam })
    }

    /// A mark that differs when any bit of the state does.
    pub fn mark(&self) -> u64 {
        Fnv::of(&self.encode())
    }

    /// Saves durably. Fails with [`KernelError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), KernelError> {
        sealed::save(path, CHECKPOINT, &self.encode())
    }

    /// Reads what [`State::save`] wrote. Fails with [`KernelError::Read`] or [`KernelError::Damaged`].
    pub fn load(path: &Path) -> Result<Self, KernelError> {
        let body = sealed::load(path, CHECKPOINT)?;
        Self::decode(&body)
            .ok_or(KernelError::Damaged { path: path.to_owned(), what: "its fields do not fit together" })
    }
}

/// Saves a model: shapes (pixels, hidden, classes) and parameters. Fails with [`KernelError::Write`].
pub fn save_model(network: &Network, path: &Path) -> Result<(), KernelError> {
    let mut body = Vec::new();
    for size in [PIXELS, network.hidden(), CLASSES] {
        body.extend_from_slice(&(size as u32).to_le_bytes());
    }
    sealed::bytes(network.weights(), &mut body);
    sealed::save(path, MODEL, &body)
}

/// Reads what [`save_model`] wrote. Fails with [`KernelError::Read`] or [`KernelError::Damaged`].
pub fn load_model(path: &Path) -> Result<Network, KernelError> {
    let body = sealed::load(path, MODEL)?;
    let mut fields = Fields(&body);
    let model = (|| {
        let sizes = [fields.u32()? as usize, fields.u32()? as usize, fields.u32()? as usize];
        if sizes[0] != PIXELS || !(1..=MOST_HIDDEN).contains(&sizes[1]) || sizes[2] != CLASSES {
            return None;
        }
        let network = Network::from_weights(sizes[1], fields.f32s(parameters(sizes[1]))?)?;
        fields.done().then_some(network)
    })();
    model.ok_or(KernelError::Damaged { path: path.to_owned(), what: "its shapes do not fit" })
}
