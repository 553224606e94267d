//! The controller in moved time: a site of one node, an executor made of arithmetic, and every turn replayed.

mod capping;
mod feeds;
mod grid;
mod life;
mod notices;
mod pausing;
mod power;
mod queue;
mod vtn;
mod world;
