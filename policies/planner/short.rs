//! Limits below that of least energy: fewer watts for more energy and time, so taken only where watts are short.
//!
//! They are at a start where the limit of least energy finds no room in the power that its node shares, and where such power has
//! a price. Nobody waits for the grid so long that it would miss its finish-by at such a limit.

use crate::likely::Lengths;
use crate::machine::Shape;
use crate::problem::Job;
use crate::room::Room;
use crate::stamp::{Stamp, stamp};

/// The way that needs the fewest watts of those that are not for where watts are short, on as many of the same GPUs. `None`:
/// there never are enough watts for any of them.
fn plain(room: &Room, node: usize, job: &Job, shape: &Shape) -> Option<Shape> {
    let alike = room.shapes(node, job).filter(|other| !other.short && other.need == shape.need);
    alike.reduce(|least, other| if other.draws < least.draws { other } else { least })
}

/// Whether a job may start so there and then, where there is room for it.
pub(super) fn may(room: &Room, node: usize, job: &Job, shape: &Shape, start: Stamp) -> bool {
    if !shape.short {
        return true;
    }
    let Some(plain) = plain(room, node, job, shape) else { return true };
    !room.has_room(node, &plain, start, start.saturating_add(plain.millis()))
}

/// Calls `each` for every interval of starts within `[from, until]` at which that node has room for the job so and it may start
/// so; `dear`: the power that the node shares has a price.
pub(super) fn gaps(
    room: &Room,
    (node, dear): (usize, bool),
    job: &Job,
    shape: &Shape,
    (from, until): (Stamp, Stamp),
    mut each: impl FnMut(Stamp, Stamp),
) {
    let span = |shape: &Shape| Lengths::of(job, shape.length).planned;
    let plain = if shape.short { plain(room, node, job, shape) } else { None };
    let Some(plain) = plain else { return room.gaps(node, shape, (from, until), span(shape), each) };
    // Latest starts are those of the other ways.
    let until = job.finish_by.map_or(until, |by| until.min(stamp(by).saturating_sub(shape.millis())));
    if dear {
        return room.gaps(node, shape, (from, until), span(shape), each);
    }
    let mut enough: Vec<(Stamp, Stamp)> = Vec::new();
    room.gaps(node, &plain, (from, until), span(&plain), |first, last| enough.push((first, last)));
    room.gaps(node, shape, (from, until), span(shape), |mut first, last| {
        for &(begins, ends) in &enough {
            if ends < first || last < begins {
                continue;
            }
            if first < begins {
                each(first, begins - 1);
            }
            first = ends + 1;
        }
        if first <= last {
            each(first, last);
        }
    });
}
