//! Time passes: leases end, and every board that is held is looked at.

use super::{Keeper, LOOK};
use crate::powerd::board::Boards;
use crate::powerd::record::{Record, Records};
use neap_model::units::Joules;
use std::time::Duration;

impl<B: Boards, R: Records> Keeper<B, R> {
    pub(super) fn expire(&mut self, now: Duration) {
        let over = self.gpus.iter().filter(|(_, gpu)| gpu.lease.as_ref().is_some_and(|lease| lease.ends <= now));
        for gpu in over.map(|(uuid, _)| uuid.clone()).collect::<Vec<_>>() {
            // What fails now is tried again at every look: the record is still there.
            drop(self.give_back(&gpu, false));
        }
    }

    /// Time passed: leases end, and every [`LOOK`] each is held against its device.
    pub fn tick(&mut self, now: Duration) {
        self.expire(now);
        if now < self.looked + LOOK {
            return;
        }
        self.looked = now;
        for gpu in self.gpus.keys().cloned().collect::<Vec<_>>() {
            self.look_at(&gpu, now);
        }
    }

    pub(super) fn look_at(&mut self, gpu: &str, now: Duration) {
        let entry = &self.gpus[gpu];
        let (lease, record) = (entry.lease.clone(), entry.record.clone());
        if entry.foreign || entry.inconclusive.is_some() {
            return;
        }
        let Ok(limits) = self.boards.limits(gpu) else {
            // The driver may have been loaded anew: it is opened again, and the next look tells.
            self.boards.reopen();
            return;
        };
        let Some(lease) = lease else {
            if record.is_some() {
                drop(self.give_back(gpu, false));
            } else {
                drop(self.bring_down(gpu));
            }
            return;
        };
        let counter = self.boards.counter(gpu);
        if limits.requested == lease.limit {
            self.watched(gpu, counter, lease.changed);
            return;
        }
        // Both: a counter that fell alone may hide somebody who set a limit since.
        let fell = counter.zip(lease.counter).is_some_and(|(now, then)| now < then);
        let reloaded = fell && self.boards.factory(gpu) == Some(limits.requested);
        // A lease that asked for what it found has no record yet: what it found is what comes back.
        let record = record.unwrap_or_else(|| Record::new(gpu, &self.boot, lease.limit.0, Vec::new(), &lease.attempt));
        if reloaded && self.change(gpu, &record, lease.limit).is_ok() {
            self.watched(gpu, counter, now);
            self.tell("cap_reapplied", gpu, format!("the driver was loaded anew: {} again", lease.limit));
            return;
        }
        let detail = format!("it stands at {}, ours was {}", limits.requested, lease.limit);
        self.gpus.get_mut(gpu).expect("it is known").foreign = true;
        self.tell("foreign_limit", gpu, detail);
        drop(self.forget(gpu));
    }

    /// What the next look at a lease is held against.
    fn watched(&mut self, gpu: &str, counter: Option<Joules>, changed: Duration) {
        if let Some(lease) = &mut self.gpus.get_mut(gpu).expect("it is known").lease {
            (lease.counter, lease.changed) = (counter.or(lease.counter), changed);
        }
    }
}
