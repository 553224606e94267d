//! Replays a trace of jobs on measured grid data under named policies. Reads two files and speaks to no scheduler.

pub mod case;
pub mod flags;
pub mod gaia;
pub mod idle;
pub mod intensity;
pub mod jsonl;
pub mod measure;
pub mod openb;
pub mod options;
pub mod policies;
pub mod progress;
pub mod swf;
pub mod synthetic;
pub mod text;
pub mod trace;
pub mod wanted;
