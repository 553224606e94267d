//! The queue of an ordinary dispatcher: first in, first out, with or without EASY backfill, whole widths, at home.

use super::Lengths;
use super::moments::{SAME, whole};
use crate::replay::{Case, Ran};

/// A job that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    ends: f64,
    expected: f64,
    gpus: f64,
}

/// Runs every zone's queue by itself. Only the head holds a reservation: the earliest time enough GPUs come free, as
/// far as lengths are known. With `backfill` another job starts now if it fits and either ends by then or uses only
/// what the head leaves over. A job wider than its zone never runs and holds up nobody.
pub fn run(case: &Case, lengths: Lengths, backfill: bool) -> Vec<Ran> {
    let mut ran = vec![Ran::new(); case.jobs.len()];
    for (place, gpus) in case.places.iter().map(|p| p.gpus.unwrap_or(f64::INFINITY)).enumerate() {
        let mut jobs: Vec<usize> = (0..case.jobs.len()).filter(|&j| case.jobs[j].home == place).collect();
        jobs.retain(|&j| case.jobs[j].width <= gpus + SAME);
        jobs.sort_by(|&a, &b| case.jobs[a].arrival.total_cmp(&case.jobs[b].arrival).then(a.cmp(&b)));
        let mut zone = Zone { case, lengths, gpus, free: gpus, queue: Vec::new(), running: Vec::new(), ran: &mut ran };
        zone.run(&jobs, backfill);
    }
    ran
}

struct Zone<'a> {
    case: &'a Case,
    lengths: Lengths,
    gpus: f64,
    free: f64,
    /// Jobs that wait, in the order they came.
    queue: Vec<usize>,
    /// Jobs that run, the next to end last.
    running: Vec<Running>,
    ran: &'a mut Vec<Ran>,
}

impl Zone<'_> {
    fn run(&mut self, jobs: &[usize], backfill: bool) {
        let mut coming = jobs.iter().copied().peekable();
        loop {
            let arrival = coming.peek().map(|&j| self.case.jobs[j].arrival);
            let end = self.running.last().map(|r| r.ends);
            let Some(now) = arrival.into_iter().chain(end).min_by(f64::total_cmp) else { break };
            while let Some(ended) = self.running.pop_if(|r| r.ends <= now) {
                self.free = if self.running.is_empty() { self.gpus } else { self.free + ended.gpus };
            }
            while let Some(job) = coming.next_if(|&j| self.case.jobs[j].arrival <= now) {
                self.queue.push(job);
            }
            self.dispatch(now, backfill);
        }
    }

    fn dispatch(&mut self, now: f64, backfill: bool) {
        let mut waiting = std::mem::take(&mut self.queue).into_iter().peekable();
        while let Some(job) = waiting.next_if(|&job| self.fits(job)) {
            self.start(job, now);
        }
        let Some(head) = waiting.next() else { return };
        self.queue.push(head);
        if !backfill {
            self.queue.extend(waiting);
            return;
        }
        let (reserved, mut spare) = self.reservation(head, now);
        for job in waiting {
            let width = self.case.jobs[job].width;
            let gone = now + self.lengths.of(&self.case.jobs[job]) <= reserved;
            if self.fits(job) && (gone || width <= spare + SAME) {
                spare -= if gone { 0.0 } else { width };
                self.start(job, now);
            } else {
                self.queue.push(job);
            }
        }
    }

    /// When the head is expected to start, and how many GPUs it then leaves over.
    fn reservation(&self, head: usize, now: f64) -> (f64, f64) {
        let width = self.case.jobs[head].width;
        let mut running = self.running.clone();
        running.sort_by(|a, b| a.expected.max(now).total_cmp(&b.expected.max(now)));
        let mut free = self.free;
        let mut reserved = now;
        for ending in running {
            let expected = ending.expected.max(now);
            if free + SAME >= width && expected > reserved {
                break;
            }
            reserved = expected;
            free += ending.gpus;
        }
        (reserved, free - width)
    }

    fn fits(&self, job: usize) -> bool {
        self.case.jobs[job].width <= self.free + SAME
    }

    fn start(&mut self, job: usize, now: f64) {
        let it = &self.case.jobs[job];
        self.ran[job] = whole(it, now);
        let gpus = it.width.max(0.0);
        let started = Running { ends: now + it.length.max(0.0), expected: now + self.lengths.of(it), gpus };
        let at = self.running.partition_point(|r| r.ends > started.ends);
        self.running.insert(at, started);
        self.free -= gpus;
    }
}
