//! Time passes: leases end, and every board that is held is looked at.

use super::{Hold, Keeper, LOOK, Lease};
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
        if entry.inconclusive.is_some() {
            return;
        }
        if entry.foreign {
            // Its limit is somebody else's; what is left of ours goes.
            if record.is_some() && self.let_go(gpu).is_err() {
                self.boards.reopen();
            }
            return;
        }
        let Ok(limits) = self.boards.limits(gpu) else {
            // The driver may have been loaded anew: it is opened again, and the next look tells.
            self.gpus.get_mut(gpu).expect("it is known").reloaded = true;
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
        // Both: a counter that fell alone may hide somebody who set a limit since.
        let fell = counter.zip(lease.counter).is_some_and(|(now, then)| now < then);
        let reloaded = fell && self.boards.factory(gpu) == Some(limits.requested);
        self.gpus.get_mut(gpu).expect("it is known").reloaded |= fell;
        if limits.requested == lease.limit {
            self.watched(gpu, counter, lease.changed);
            self.lock_again(gpu, &lease, now);
            return;
        }
        // A lease that asked for what it found has no record yet: what it found is what comes back.
        let record = record.unwrap_or_else(|| Record::new(gpu, &self.boot, lease.limit.0, Vec::new(), &lease.attempt));
        let hold = Hold { limit: Some(lease.limit), ceiling: lease.ceiling };
        if reloaded {
            // Half of it may be set if it fails: its record stays, and the next look goes on.
            if self.change(gpu, &record, hold).is_ok() {
                self.watched(gpu, counter, now);
                self.gpus.get_mut(gpu).expect("it is known").reloaded = false;
                self.tell("cap_reapplied", gpu, format!("the driver was loaded anew: {} again", lease.held()));
            }
            return;
        }
        let detail = format!("it stands at {}, ours was {}", limits.requested, lease.limit);
        self.gpus.get_mut(gpu).expect("it is known").foreign = true;
        self.tell("foreign_limit", gpu, detail);
        drop(self.let_go(gpu));
    }

    /// A driver that was loaded anew undid the lock of a clock, which nothing it says shows. What fails is tried at the next look.
    fn lock_again(&mut self, gpu: &str, lease: &Lease, now: Duration) {
        if !std::mem::take(&mut self.gpus.get_mut(gpu).expect("it is known").reloaded) || lease.ceiling.is_none() {
            return;
        }
        let Some(record) = self.gpus[gpu].record.clone() else { return };
        if self.change(gpu, &record, Hold { limit: None, ceiling: lease.ceiling }).is_ok() {
            self.tell("cap_reapplied", gpu, format!("the driver was loaded anew: {} again", lease.held()));
            self.watched(gpu, None, now);
        } else {
            self.gpus.get_mut(gpu).expect("it is known").reloaded = true;
        }
    }

    /// What the next look at a lease is held against.
    fn watched(&mut self, gpu: &str, counter: Option<Joules>, changed: Duration) {
        if let Some(lease) = &mut self.gpus.get_mut(gpu).expect("it is known").lease {
            (lease.counter, lease.changed) = (counter.or(lease.counter), changed);
        }
    }
}
