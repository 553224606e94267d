//! What could be drawn at most: by what is idle, and by what work adds to that. Limits under which nothing may start are
//! reckoned with it, never with readings.

use crate::problem::NodeState;
use neap_model::units::Watts;

/// What an idle core draws of a busy one's power, as one in so many: 1 W of 5 W, assumed until a meter says better.
const IDLE_CORE: u64 = 5;

/// What an idle GPU draws of its limit at most, as one in so many. The constant part of the boards in the public power tables
/// of V100 and A40 is 13 % and 27 % of the limit.
const IDLE_GPU: u64 = 4;

/// What a GPU of that limit draws with nothing to do, at most.
#[must_use]
pub const fn idle_gpu(limit: Watts) -> Watts {
    Watts(limit.0 / IDLE_GPU)
}

/// What work adds on a GPU that may draw `busy`, beyond what one of that limit draws idle.
#[must_use]
pub const fn gpu_adds(limit: Watts, busy: Watts) -> Watts {
    Watts(busy.0.saturating_sub(idle_gpu(limit).0))
}

/// What so many busy cores add.
#[must_use]
pub const fn cores_add(watts_per_cpu: Watts, cores: u32) -> Watts {
    let busy = watts_per_cpu.0.saturating_mul(cores as u64);
    Watts(busy - busy / IDLE_CORE)
}

/// What a node draws beside its GPUs with nothing to do.
#[must_use]
pub const fn idle_host(node: &NodeState) -> Watts {
    Watts(node.watts_per_cpu.0.saturating_mul(node.cpus as u64) / IDLE_CORE)
}

/// What a node draws with nothing to do.
#[must_use]
pub fn idle_node(node: &NodeState) -> Watts {
    idle_host(node) + node.gpus.iter().map(|gpu| idle_gpu(gpu.limit)).sum()
}
