//! Who holds which GPU at which limit: the rules of leases, without a socket, a clock or a driver of its own.
//!
//! Order is everything here: the record first, then the limit, then a look at what the device says; and on the way back the
//! limit first, then the look, then the record goes.

use super::board::{Boards, Limits};
use super::record::{Record, Records, Stored};
use super::{Answer, Config, Group, Held, OnLoss, Refusal, Request, TERM};
use neap_model::units::{Joules, Watts};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A limit is changed at most so often, unless it is lowered.
const BETWEEN: Duration = Duration::from_secs(5);
/// Every lease is held against the device so often.
pub const LOOK: Duration = Duration::from_secs(10);

/// What happened that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `cap_set`, `cap_restored`, `cap_reapplied`, `safe_cap`, `foreign_limit`, `inconclusive`.
    pub kind: &'static str,
    /// Which GPU.
    pub gpu: String,
    /// Numbers, for people.
    pub detail: String,
}

#[derive(Clone, Debug)]
struct Lease {
    token: String,
    uid: u32,
    attempt: String,
    limit: Watts,
    ends: Duration,
    changed: Duration,
    counter: Option<Joules>,
}

#[derive(Clone, Debug, Default)]
struct Gpu {
    record: Option<Record>,
    lease: Option<Lease>,
    foreign: bool,
    inconclusive: Option<String>,
}

/// The keeper of all limits of a node.
#[derive(Debug)]
pub struct Keeper<B, R> {
    boards: B,
    records: R,
    groups: Vec<Group>,
    gpus: BTreeMap<String, Gpu>,
    boot: String,
    epoch: u64,
    serial: u64,
    seed: u64,
    looked: Duration,
    events: Vec<Event>,
}

type Done<T> = Result<T, (Refusal, String)>;

fn no<T>(refusal: Refusal, detail: impl Into<String>) -> Done<T> {
    Err((refusal, detail.into()))
}

impl<B: Boards, R: Records> Keeper<B, R> {
    /// Settles what an earlier life left, and brings GPUs on a shared feeder to their safe cap. Nobody is served before.
    ///
    /// # Errors
    /// If boards or records cannot be read at all.
    pub fn start(
        boards: B,
        records: R,
        config: &Config,
        boot: &str,
        epoch: u64,
        seed: u64,
        now: Duration,
    ) -> Result<Self, String> {
        let mut keeper = Self {
            boards,
            records,
            groups: config.groups.clone(),
            gpus: BTreeMap::new(),
            boot: boot.to_owned(),
            epoch,
            serial: 0,
            seed,
            looked: now,
            events: Vec::new(),
        };
        let present = keeper.boards.list().map_err(|refusal| format!("the GPUs cannot be listed: {refusal:?}"))?;
        for uuid in &present {
            keeper.gpus.insert(uuid.clone(), Gpu::default());
        }
        let stored = keeper.records.load().map_err(|error| format!("the records cannot be read: {error}"))?;
        for (uuid, stored) in stored {
            keeper.settle(&uuid, stored)?;
        }
        for uuid in present {
            keeper.bring_down(&uuid)?;
        }
        Ok(keeper)
    }

    /// Events since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, kind: &'static str, gpu: &str, detail: String) {
        self.events.push(Event { kind, gpu: gpu.to_owned(), detail });
    }

    fn group(&self, gpu: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.gpus.iter().any(|uuid| uuid == gpu))
            .or_else(|| self.groups.iter().find(|group| group.gpus.is_empty()))
    }

    fn safe_cap(&self, gpu: &str) -> Option<Watts> {
        match self.group(gpu)?.on_loss {
            OnLoss::SafeCap(limit) => Some(limit),
            OnLoss::Restore => None,
        }
    }

    /// A record of an earlier life: ours is given back, what is not ours is left alone.
    fn settle(&mut self, gpu: &str, stored: Stored) -> Result<(), String> {
        let record = match stored {
            Stored::Sound(record) => record,
            Stored::Inconclusive(why) => {
                self.tell("inconclusive", gpu, why.clone());
                self.gpus.entry(gpu.to_owned()).or_default().inconclusive = Some(why);
                return Ok(());
            }
        };
        if !self.gpus.contains_key(gpu) {
            // The board is elsewhere or lost; its record waits for it.
            return Ok(());
        }
        self.gpus.get_mut(gpu).expect("it is listed").record = Some(record);
        self.give_back(gpu, false)
            .map_err(|(refusal, detail)| format!("{gpu} cannot be settled: {refusal:?}, {detail}"))
    }

    /// Nobody holds it any more: the limit that was found comes back, or the safe cap.
    fn give_back(&mut self, gpu: &str, to_found: bool) -> Done<()> {
        let entry = self.gpus.get_mut(gpu).expect("it is known");
        let was_held = entry.lease.take().is_some();
        let Some(record) = entry.record.clone() else { return Ok(()) };
        let device = |refusal| (refusal, "the device does not say its limit".to_owned());
        let limits = self.boards.limits(gpu).map_err(device)?;
        let safe = self.safe_cap(gpu).filter(|safe| !to_found && record.found > safe.0);
        if limits.requested.0 == record.found && safe.is_none() {
            return self.forget(gpu);
        }
        if limits.requested.0 != record.found && !record.ours.contains(&limits.requested.0) {
            // After a reboot it is the factory's, which on a shared feeder has to come down again.
            self.gpus.get_mut(gpu).expect("it is known").foreign = was_held;
            let detail = format!("it stands at {}, ours were {:?} mW", limits.requested, record.ours);
            self.tell("foreign_limit", gpu, detail);
            return self.forget(gpu);
        }
        if let Some(safe) = safe {
            if limits.requested != safe {
                self.change(gpu, &record, safe)?;
                self.tell("safe_cap", gpu, format!("{} until the budget has room for {}", safe, Watts(record.found)));
            }
            return Ok(());
        }
        let set = |refusal| (refusal, format!("the limit of {} cannot be set again", Watts(record.found)));
        self.boards.set(gpu, Watts(record.found)).map_err(set)?;
        let limits = self.boards.limits(gpu).map_err(device)?;
        if limits.requested.0 != record.found {
            return no(Refusal::Device, format!("asked for {}, it says {}", Watts(record.found), limits.requested));
        }
        self.tell("cap_restored", gpu, format!("back at {}", limits.requested));
        self.forget(gpu)
    }

    fn forget(&mut self, gpu: &str) -> Done<()> {
        let gone = self.records.remove(gpu);
        gone.map_err(|error| (Refusal::Device, format!("its record cannot be taken away: {error}")))?;
        self.gpus.get_mut(gpu).expect("it is known").record = None;
        Ok(())
    }

    /// The record first, then the limit, then a look.
    fn change(&mut self, gpu: &str, before: &Record, limit: Watts) -> Done<Limits> {
        let mut record = before.clone();
        record.boot.clone_from(&self.boot);
        if !record.ours.contains(&limit.0) {
            record.ours.push(limit.0);
        }
        let put = self.records.put(&record);
        put.map_err(|error| (Refusal::Device, format!("its record cannot be written: {error}")))?;
        self.gpus.get_mut(gpu).expect("it is known").record = Some(record.clone());
        let set = self.boards.set(gpu, limit);
        set.map_err(|refusal| (refusal, format!("the driver did not take {limit}")))?;
        let limits =
            self.boards.limits(gpu).map_err(|refusal| (refusal, "the device does not say its limit".to_owned()))?;
        if limits.requested != limit {
            return no(Refusal::Device, format!("asked for {limit}, it says {}", limits.requested));
        }
        // From here on only this one can be ours.
        record.ours = vec![limit.0];
        let put = self.records.put(&record);
        put.map_err(|error| (Refusal::Device, format!("its record cannot be written: {error}")))?;
        self.gpus.get_mut(gpu).expect("it is known").record = Some(record);
        Ok(limits)
    }

    /// On a shared feeder a GPU nobody holds stands at its safe cap: a reboot leaves it at the factory's.
    fn bring_down(&mut self, gpu: &str) -> Result<(), String> {
        let Some(safe) = self.safe_cap(gpu) else { return Ok(()) };
        let entry = &self.gpus[gpu];
        if entry.inconclusive.is_some() || entry.foreign || entry.lease.is_some() {
            return Ok(());
        }
        let say = |(refusal, detail): (Refusal, String)| {
            format!("{gpu} cannot be brought to its safe cap: {refusal:?}, {detail}")
        };
        let limits = self.boards.limits(gpu).map_err(|refusal| say((refusal, String::new())))?;
        if limits.requested <= safe {
            return Ok(());
        }
        let kept = entry.record.clone();
        let record = kept.unwrap_or_else(|| Record::new(gpu, &self.boot, limits.requested.0, Vec::new(), "safe cap"));
        match self.change(gpu, &record, safe) {
            Ok(_) => {
                self.tell("safe_cap", gpu, format!("{safe} instead of {}", limits.requested));
                Ok(())
            }
            // Without permission it runs as it is, and says so.
            Err((Refusal::NoPermission | Refusal::NotSupported, detail)) => {
                self.tell("uncapped", gpu, detail);
                self.forget(gpu).map_err(say)
            }
            Err(error) => Err(say(error)),
        }
    }

    /// Answers a request of that user.
    pub fn ask(&mut self, uid: u32, request: &Request, now: Duration) -> Answer {
        self.expire(now);
        let done = match request {
            Request::Status => Ok(Answer { gpus: self.status(), ..self.done() }),
            Request::Acquire { gpu, limit_watts, ttl_seconds, attempt } => {
                self.acquire(uid, gpu, *limit_watts, *ttl_seconds, attempt, now)
            }
            Request::Renew { lease, limit_watts } => self.renew(uid, lease, *limit_watts, now),
            Request::Release { lease, to_found } => self.release(uid, lease, *to_found),
        };
        done.unwrap_or_else(|(refusal, detail)| Answer::no(self.epoch, refusal, detail))
    }

    fn done(&self) -> Answer {
        Answer { ok: true, epoch: self.epoch, ..Answer::default() }
    }

    fn status(&mut self) -> Vec<Held> {
        let uuids: Vec<String> = self.gpus.keys().cloned().collect();
        uuids
            .into_iter()
            .map(|uuid| {
                let requested = self.boards.limits(&uuid).ok().map(|limits| limits.requested.0);
                let settable = self.settable(&uuid).map(|range| (range.start().0, range.end().0));
                let gpu = &self.gpus[&uuid];
                let state = match gpu {
                    Gpu { inconclusive: Some(_), .. } => "inconclusive",
                    Gpu { lease: Some(_), .. } => "leased",
                    Gpu { foreign: true, .. } => "foreign",
                    Gpu { record: Some(_), .. } => "safe_cap",
                    _ => "free",
                };
                Held {
                    state: state.to_owned(),
                    found_milliwatts: gpu.record.as_ref().map(|record| record.found),
                    requested_milliwatts: requested,
                    attempt: gpu.lease.as_ref().map(|lease| lease.attempt.clone()),
                    settable_milliwatts: settable,
                    gpu: uuid,
                }
            })
            .collect()
    }

    /// What board and group allow together, in whole watts.
    fn settable(&mut self, gpu: &str) -> Option<RangeInclusive<Watts>> {
        let group = self.group(gpu)?.limits.clone();
        let board = self.boards.range(gpu)?;
        let least = (*board.start()).max(*group.start()).0.div_ceil(1_000) * 1_000;
        let most = (*board.end()).min(*group.end()).0 / 1_000 * 1_000;
        (least <= most).then_some(Watts(least)..=Watts(most))
    }

    /// A limit inside of both ranges.
    fn allowed(&mut self, gpu: &str, watts: u64) -> Done<Watts> {
        let Some(group) = self.group(gpu) else { return no(Refusal::UnknownGpu, "it is in no group of this node") };
        let (name, ours) = (group.name.clone(), group.limits.clone());
        let limit = Watts(watts.saturating_mul(1_000));
        let board = self.boards.range(gpu);
        let Some(board) = board else { return no(Refusal::NotSupported, "the board says no range of limits") };
        if !board.contains(&limit) || !ours.contains(&limit) {
            let detail = format!(
                "the board allows {} to {}, group {name} {} to {}",
                board.start(),
                board.end(),
                ours.start(),
                ours.end()
            );
            return no(Refusal::OutOfRange, detail);
        }
        Ok(limit)
    }

    fn acquire(&mut self, uid: u32, gpu: &str, watts: u64, ttl: u64, attempt: &str, now: Duration) -> Done<Answer> {
        let Some(entry) = self.gpus.get(gpu) else { return no(Refusal::UnknownGpu, "it is not on this node") };
        if let Some(why) = &entry.inconclusive {
            return no(Refusal::Inconclusive, why.clone());
        }
        if let Some(lease) = &entry.lease {
            if lease.uid != uid || lease.attempt != attempt {
                return no(Refusal::Held, "somebody has a lease on it");
            }
            // Its holder died before it wrote the token down: it goes on with what it has.
            let token = lease.token.clone();
            if !entry.foreign {
                return self.renew(uid, &token, Some(watts), now);
            }
            self.release(uid, &token, false)?;
        }
        let Some(entry) = self.gpus.get(gpu) else { return no(Refusal::UnknownGpu, "it is not on this node") };
        let (kept, ttl) = (entry.record.clone(), Duration::from_secs(ttl).min(TERM));
        let limit = self.allowed(gpu, watts)?;
        let limits =
            self.boards.limits(gpu).map_err(|refusal| (refusal, "the device does not say its limit".to_owned()))?;
        if let Some(record) = &kept
            && !record.ours.contains(&limits.requested.0)
            && record.found != limits.requested.0
        {
            self.gpus.get_mut(gpu).expect("it is known").foreign = true;
            self.forget(gpu)?;
            return no(Refusal::ForeignLimit, format!("somebody else set it to {}", limits.requested));
        }
        // Whoever set what is found now, it is what comes back.
        self.gpus.get_mut(gpu).expect("it is known").foreign = false;
        let record = kept.unwrap_or_else(|| Record::new(gpu, &self.boot, limits.requested.0, Vec::new(), attempt));
        let limits = if limits.requested == limit && record.found == limit.0 {
            limits
        } else {
            match self.change(gpu, &record, limit) {
                Ok(limits) => limits,
                Err(error) => {
                    // It may have taken effect all the same: what was found comes back, and where that fails the record stays.
                    drop(self.give_back(gpu, false));
                    return Err(error);
                }
            }
        };
        self.serial += 1;
        let token = format!("{}-{:016x}", self.epoch, mixed(self.seed.wrapping_add(self.serial)));
        let lease = Lease {
            token: token.clone(),
            uid,
            attempt: attempt.to_owned(),
            limit,
            ends: now + ttl,
            changed: now,
            counter: self.boards.counter(gpu),
        };
        self.gpus.get_mut(gpu).expect("it is known").lease = Some(lease);
        self.tell("cap_set", gpu, format!("{limit} instead of {} for {attempt}", Watts(record.found)));
        Ok(self.held(limits, ttl, token, record.found))
    }

    fn held(&self, limits: Limits, ttl: Duration, token: String, found: u64) -> Answer {
        Answer {
            lease: Some(token),
            found_milliwatts: Some(found),
            requested_milliwatts: Some(limits.requested.0),
            enforced_milliwatts: Some(limits.enforced.0),
            expires_in_seconds: Some(ttl.as_secs()),
            ..self.done()
        }
    }

    fn leased(&self, uid: u32, token: &str) -> Done<(String, Lease)> {
        let found = self.gpus.iter().find_map(|(uuid, gpu)| {
            gpu.lease
                .as_ref()
                .filter(|lease| lease.token == token && lease.uid == uid)
                .map(|lease| (uuid.clone(), lease.clone()))
        });
        found.map_or_else(|| no(Refusal::StaleEpoch, "that lease has ended, or never was"), Ok)
    }

    fn renew(&mut self, uid: u32, token: &str, watts: Option<u64>, now: Duration) -> Done<Answer> {
        let (gpu, _) = self.leased(uid, token)?;
        // Before the counter is noted anew: a driver loaded since the last look would pass for somebody else's limit.
        self.look_at(&gpu, now);
        let (gpu, mut lease) = self.leased(uid, token)?;
        let device = |refusal| (refusal, "the device does not say its limit".to_owned());
        let mut limits = self.boards.limits(&gpu).map_err(device)?;
        if self.gpus[&gpu].foreign {
            return no(Refusal::ForeignLimit, format!("somebody else set it to {}", limits.requested));
        }
        if let Some(watts) = watts.filter(|watts| watts.saturating_mul(1_000) != lease.limit.0) {
            let limit = self.allowed(&gpu, watts)?;
            if limit > lease.limit && now < lease.changed + BETWEEN {
                return no(Refusal::RateLimited, "its limit was changed less than 5 s ago");
            }
            if limits.requested != lease.limit {
                self.look_at(&gpu, now);
                return no(Refusal::ForeignLimit, format!("it stands at {}, not at {}", limits.requested, lease.limit));
            }
            let kept = self.gpus[&gpu].record.clone();
            let record =
                kept.unwrap_or_else(|| Record::new(&gpu, &self.boot, limits.requested.0, Vec::new(), &lease.attempt));
            limits = match self.change(&gpu, &record, limit) {
                Ok(limits) => limits,
                Err(error) => {
                    drop(self.give_back(&gpu, false));
                    return Err(error);
                }
            };
            (lease.limit, lease.changed) = (limit, now);
        }
        lease.ends = now + TERM;
        lease.counter = self.boards.counter(&gpu);
        let found = self.gpus[&gpu].record.as_ref().map_or(limits.requested.0, |record| record.found);
        let token = lease.token.clone();
        self.gpus.get_mut(&gpu).expect("it is known").lease = Some(lease);
        Ok(self.held(limits, TERM, token, found))
    }

    fn release(&mut self, uid: u32, token: &str, to_found: bool) -> Done<Answer> {
        let (gpu, _) = self.leased(uid, token)?;
        self.give_back(&gpu, to_found)?;
        Ok(self.done())
    }

    fn expire(&mut self, now: Duration) {
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

    fn look_at(&mut self, gpu: &str, now: Duration) {
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

    /// Undoes everything, for the service manager's stop and for a person.
    ///
    /// # Errors
    /// What could not be undone.
    pub fn restore_all(&mut self) -> Result<(), String> {
        let mut wrong = Vec::new();
        for gpu in self.gpus.keys().cloned().collect::<Vec<_>>() {
            if let Err((refusal, detail)) = self.give_back(&gpu, true) {
                wrong.push(format!("{gpu}: {refusal:?}, {detail}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

/// The output step of `splitmix64`: tokens that nobody guesses from the last one.
fn mixed(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
