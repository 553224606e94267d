//! Lays a plan of fractions out in pieces of whole width, slot by slot.
//!
//! Within a slot the order of time is free: who needs all of its time there comes first, then the widest, then who needs the
//! longest, each where most is free. For jobs of one width that finds room for all whose fractions have room together
//! (Gale and Ryser 1957; on identical machines McNaughton 1959); wider ones may be left over.

use super::board::Board;
use super::search::{Desk, part};
use super::{HOUR, Piece};
use crate::market::Shares;

/// A job's share of a slot in one pool, in microseconds.
struct Portion {
    slot: usize,
    job: usize,
    pool: usize,
    time: i64,
}

/// Puts all shares on an empty board as far as they fit; answers the jobs of which something is left over.
pub(super) fn pack(board: &mut Board<'_>, shares: &[Shares]) -> Vec<usize> {
    let mut portions: Vec<Portion> = Vec::new();
    for (job, shares) in shares.iter().enumerate() {
        // Rounded so that the sum is not.
        let (mut sum, mut before) = (0.0, 0);
        for share in shares {
            sum += share.hours;
            let now = ((sum * HOUR).round() as i64).min(board.works[job].length);
            portions.push(Portion { slot: share.slot, job, pool: share.pool, time: now - before });
            before = now;
        }
    }
    let tight = |p: &Portion| {
        let (begin, end) = (p.slot as i64 * board.room.slot, (p.slot as i64 + 1) * board.room.slot);
        let work = &board.works[p.job];
        end.min(work.due) - begin.max(work.release) - p.time < 1_000_000
    };
    let key = |p: &Portion| (p.slot, !tight(p), -board.works[p.job].gpus, -p.time, p.job, p.pool);
    portions.sort_by_cached_key(key);
    let mut taken: Vec<Vec<Piece>> = vec![Vec::new(); shares.len()];
    let mut desk = Desk::default();
    for portion in &portions {
        let work = board.works[portion.job];
        desk.taken.clear();
        let mine = &mut taken[portion.job];
        desk.taken.extend(mine.iter().filter(|piece| piece.until >= portion.slot as i64 * board.room.slot));
        let known = desk.taken.len();
        part(&board.room, &work, portion.slot, portion.pool, portion.time, &mut desk);
        for piece in desk.taken.drain(..).skip(known) {
            board.room.take(piece.pool, piece.from, piece.until, work.gpus);
            mine.push(piece);
        }
    }
    let mut left = Vec::new();
    for (job, pieces) in taken.into_iter().enumerate() {
        let gpus = board.works[job].gpus;
        for piece in &pieces {
            board.room.take(piece.pool, piece.from, piece.until, -gpus);
        }
        desk.taken = pieces;
        desk.join();
        let done: i64 = desk.taken.iter().map(|piece| piece.until - piece.from).sum();
        if done < board.works[job].length {
            left.push(job);
        }
        board.put_pieces(job, std::mem::take(&mut desk.taken));
    }
    left
}
