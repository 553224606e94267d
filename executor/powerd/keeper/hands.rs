//! What is done to a board, and in which order.
//!
//! Order is everything here: the record first, then limit and clock, then a look at what the device says; and on the way back
//! clock and limit first, then the look, then the record goes. What fails on the way back leaves the record, and is tried again
//! at every look.

use super::{Done, Keeper, no};
use crate::powerd::Refusal;
use crate::powerd::board::{Boards, Limits};
use crate::powerd::record::{Record, Records};
use neap_model::units::{Megahertz, Watts};

/// What a board is brought to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// `None`: its limit is not touched.
    pub limit: Option<Watts>,
    /// `None`: no ceiling; one of ours that is there goes.
    pub ceiling: Option<Megahertz>,
}

impl Hold {
    /// A limit, and no ceiling.
    pub(super) const fn limit(limit: Watts) -> Self {
        Self { limit: Some(limit), ceiling: None }
    }
}

pub(super) fn silent(refusal: Refusal) -> (Refusal, String) {
    (refusal, "the device does not say its limit".to_owned())
}

/// The driver took nothing: that is known, whatever else is not.
const fn took_nothing(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::NoPermission | Refusal::NotSupported | Refusal::OutOfRange)
}

impl<B: Boards, R: Records> Keeper<B, R> {
    /// The record first, then the limit, then the clock, then a look.
    pub(super) fn change(&mut self, gpu: &str, before: &Record, hold: Hold) -> Done<Limits> {
        let mut record = before.clone();
        record.boot.clone_from(&self.boot);
        if let Some(limit) = hold.limit.filter(|limit| !record.ours.contains(&limit.0)) {
            record.ours.push(limit.0);
        }
        // On disk it may be locked by us; in fact it is not before that was tried.
        self.know(gpu, record.clone());
        record.clock_ceiling = hold.ceiling.or(before.clock_ceiling);
        self.put(&record)?;
        if let Some(limit) = hold.limit {
            let set = self.boards.set(gpu, limit);
            set.map_err(|refusal| (refusal, format!("the driver did not take {limit}")))?;
        }
        match hold.ceiling {
            Some(ceiling) => self.lock(gpu, ceiling)?,
            None => self.unlock(gpu)?,
        }
        let limits = self.boards.limits(gpu).map_err(silent)?;
        if let Some(limit) = hold.limit.filter(|limit| limits.requested != *limit) {
            return no(Refusal::Device, format!("asked for {limit}, it says {}", limits.requested));
        }
        // From here on only these can be ours.
        if let Some(limit) = hold.limit {
            record.ours = vec![limit.0];
        }
        record.clock_ceiling = hold.ceiling;
        self.put(&record)?;
        self.know(gpu, record);
        Ok(limits)
    }

    /// Locks its clock. What is known of it afterwards is the most that may be there.
    fn lock(&mut self, gpu: &str, ceiling: Megahertz) -> Done<()> {
        let refusal = self.boards.lock(gpu, Some(ceiling)).err();
        if !refusal.is_some_and(took_nothing)
            && let Some(record) = &mut self.gpus.get_mut(gpu).expect("it is known").record
        {
            record.clock_ceiling = Some(ceiling);
        }
        match refusal {
            Some(refusal) => no(refusal, format!("the driver did not lock its clock at {ceiling}")),
            None => Ok(()),
        }
    }

    /// Lets go of a lock of ours, if there may be one. Whatever its limit is: where locks are ours nobody else has one, and nobody
    /// else can see this one.
    fn unlock(&mut self, gpu: &str) -> Done<()> {
        let Some(mut record) = self.gpus[gpu].record.clone() else { return Ok(()) };
        let Some(ceiling) = record.clock_ceiling.take() else { return Ok(()) };
        match self.boards.lock(gpu, None) {
            // A board that takes no locks has none.
            Ok(()) | Err(Refusal::NotSupported) => {}
            Err(refusal) => return no(refusal, format!("its clock cannot be let go of, it was locked at {ceiling}")),
        }
        // Written down by itself: a lock that somebody sets later must not pass for ours.
        self.put(&record)?;
        self.know(gpu, record);
        self.tell("clock_restored", gpu, format!("its clock is not kept at or below {ceiling} any more"));
        Ok(())
    }

    /// Nobody holds it any more: no lock of ours stays, and the limit that was found comes back, or the safe cap.
    pub(super) fn give_back(&mut self, gpu: &str, to_found: bool) -> Done<()> {
        let entry = self.gpus.get_mut(gpu).expect("it is known");
        let was_held = entry.lease.take().is_some();
        if entry.record.is_none() {
            return Ok(());
        }
        // What becomes of the clock does not keep the limit from coming back.
        let unlocked = self.unlock(gpu);
        let Some(record) = self.gpus[gpu].record.clone() else { return Ok(()) };
        let limits = self.boards.limits(gpu).map_err(silent)?;
        let safe = self.safe_cap(gpu).filter(|safe| !to_found && record.found > safe.0);
        if limits.requested.0 == record.found && safe.is_none() {
            return unlocked.and_then(|()| self.forget(gpu));
        }
        if limits.requested.0 != record.found && !record.ours.contains(&limits.requested.0) {
            // After a reboot it is the factory's, which on a shared feeder has to come down again.
            self.gpus.get_mut(gpu).expect("it is known").foreign = was_held;
            let detail = format!("it stands at {}, ours were {:?} mW", limits.requested, record.ours);
            self.tell("foreign_limit", gpu, detail);
            return unlocked.and_then(|()| self.forget(gpu));
        }
        if let Some(safe) = safe {
            if limits.requested != safe {
                self.change(gpu, &record, Hold::limit(safe))?;
                self.tell("safe_cap", gpu, format!("{} until the budget has room for {}", safe, Watts(record.found)));
            }
            return unlocked;
        }
        let set = |refusal| (refusal, format!("the limit of {} cannot be set again", Watts(record.found)));
        self.boards.set(gpu, Watts(record.found)).map_err(set)?;
        let limits = self.boards.limits(gpu).map_err(silent)?;
        if limits.requested.0 != record.found {
            return no(Refusal::Device, format!("asked for {}, it says {}", Watts(record.found), limits.requested));
        }
        self.tell("cap_restored", gpu, format!("back at {}", limits.requested));
        unlocked.and_then(|()| self.forget(gpu))
    }

    /// Its limit is somebody else's: that is left alone, and no lock of ours stays.
    pub(super) fn let_go(&mut self, gpu: &str) -> Done<()> {
        self.unlock(gpu).and_then(|()| self.forget(gpu))
    }

    pub(super) fn forget(&mut self, gpu: &str) -> Done<()> {
        let gone = self.records.remove(gpu);
        gone.map_err(|error| (Refusal::Device, format!("its record cannot be taken away: {error}")))?;
        self.gpus.get_mut(gpu).expect("it is known").record = None;
        Ok(())
    }

    fn put(&mut self, record: &Record) -> Done<()> {
        let put = self.records.put(record);
        put.map_err(|error| (Refusal::Device, format!("its record cannot be written: {error}")))
    }

    fn know(&mut self, gpu: &str, record: Record) {
        self.gpus.get_mut(gpu).expect("it is known").record = Some(record);
    }
}
