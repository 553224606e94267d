//! What is asked of the keeper: what it holds, and to hold, change or give back a limit and a ceiling.

use super::super::{Answer, ClockLock, Held, Refusal, Request, TERM};
use super::hands::silent;
use super::{BETWEEN, Done, Gpu, Hold, Keeper, Lease, mixed, no};
use crate::powerd::board::{Boards, Limits};
use crate::powerd::record::{Record, Records};
use neap_model::units::{Megahertz, Watts};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Limit and ceiling as they were asked for. `None`: not spoken of; a ceiling of 0: none.
#[derive(Clone, Copy, Debug)]
struct Asked {
    watts: Option<u64>,
    megahertz: Option<u32>,
}

impl<B: Boards, R: Records> Keeper<B, R> {
    /// Answers a request of that user.
    pub fn ask(&mut self, uid: u32, request: &Request, now: Duration) -> Answer {
        self.expire(now);
        let done = match request {
            Request::Status => Ok(Answer { gpus: self.status(), ..self.done() }),
            Request::Acquire { gpu, limit_watts, clock_ceiling_megahertz, ttl_seconds, attempt } => {
                let asked = Asked { watts: *limit_watts, megahertz: *clock_ceiling_megahertz };
                self.acquire(uid, gpu, asked, *ttl_seconds, attempt, now)
            }
            Request::Renew { lease, limit_watts, clock_ceiling_megahertz } => {
                self.renew(uid, lease, Asked { watts: *limit_watts, megahertz: *clock_ceiling_megahertz }, now)
            }
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
                let clocks = self.lockable(&uuid).map(RangeInclusive::into_inner);
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
                    safe_milliwatts: self.safe_cap(&uuid).map(|safe| safe.0),
                    clock_ceiling_megahertz: gpu.record.as_ref().and_then(|record| record.clock_ceiling),
                    settable_megahertz: clocks,
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

    /// The clocks that its board can be kept below, where locks are ours.
    fn lockable(&mut self, gpu: &str) -> Option<RangeInclusive<Megahertz>> {
        if self.group(gpu)?.clock_lock != ClockLock::Ours {
            return None;
        }
        self.boards.clocks(gpu).filter(|clocks| clocks.start() <= clocks.end())
    }

    /// A ceiling that may be set: inside of the board's range, where locks are ours.
    fn ceiling(&mut self, gpu: &str, megahertz: u32) -> Done<Option<Megahertz>> {
        if megahertz == 0 {
            return Ok(None);
        }
        let Some(group) = self.group(gpu) else { return no(Refusal::UnknownGpu, "it is in no group of this node") };
        if group.clock_lock != ClockLock::Ours {
            let detail = format!("group {} locks no clocks: clock_lock = \"never\"", group.name);
            return no(Refusal::NotSupported, detail);
        }
        match self.lockable(gpu) {
            Some(clocks) => Ok(Some(Megahertz(megahertz).clamp(*clocks.start(), *clocks.end()))),
            None => no(Refusal::NotSupported, "the board says no range of clocks"),
        }
    }

    fn acquire(&mut self, uid: u32, gpu: &str, asked: Asked, ttl: u64, attempt: &str, now: Duration) -> Done<Answer> {
        let Some(entry) = self.gpus.get(gpu) else { return no(Refusal::UnknownGpu, "it is not on this node") };
        if let Some(why) = &entry.inconclusive {
            return no(Refusal::Inconclusive, why.clone());
        }
        if entry.lease.as_ref().is_some_and(|lease| lease.uid != uid || lease.attempt != attempt) {
            return no(Refusal::Held, "somebody has a lease on it");
        }
        let limit = asked.watts.map(|watts| self.allowed(gpu, watts)).transpose()?;
        let ceiling = asked.megahertz.map_or(Ok(None), |megahertz| self.ceiling(gpu, megahertz))?;
        if limit.is_none() && ceiling.is_none() {
            return no(Refusal::BadRequest, "it asks for neither a limit nor a ceiling");
        }
        let entry = &self.gpus[gpu];
        if let Some(token) = entry.lease.as_ref().map(|lease| lease.token.clone()) {
            // Its holder died before it wrote the token down: it goes on with what it has.
            if !entry.foreign && (limit.is_some() || entry.stands_as_found()) {
                let asked = Asked { megahertz: Some(asked.megahertz.unwrap_or(0)), ..asked };
                return self.renew(uid, &token, asked, now);
            }
            self.release(uid, &token, false)?;
        }
        let (kept, ttl) = (self.gpus[gpu].record.clone(), Duration::from_secs(ttl).min(TERM));
        let limits = self.boards.limits(gpu).map_err(silent)?;
        if let Some(record) = &kept
            && !record.ours.contains(&limits.requested.0)
            && record.found != limits.requested.0
        {
            self.gpus.get_mut(gpu).expect("it is known").foreign = true;
            self.let_go(gpu)?;
            return no(Refusal::ForeignLimit, format!("somebody else set it to {}", limits.requested));
        }
        // Whoever set what is found now, it is what comes back.
        self.gpus.get_mut(gpu).expect("it is known").foreign = false;
        let record = kept.unwrap_or_else(|| Record::new(gpu, &self.boot, limits.requested.0, Vec::new(), attempt));
        // On a shared feeder what was found may be more than there is room for.
        let as_found = if self.safe_cap(gpu).is_some() { limits.requested } else { Watts(record.found) };
        let limit = limit.unwrap_or(as_found);
        let unlocked = ceiling.is_none() && record.clock_ceiling.is_none();
        let limits = if limits.requested == limit && record.found == limit.0 && unlocked {
            limits
        } else {
            // A limit that stands already is not set: a record of a ceiling alone has no limit of ours.
            let hold = Hold { limit: Some(limit).filter(|limit| limits.requested != *limit), ceiling };
            match self.change(gpu, &record, hold) {
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
            ceiling,
            ends: now + ttl,
            changed: now,
            counter: self.boards.counter(gpu),
        };
        let held = lease.held();
        let entry = self.gpus.get_mut(gpu).expect("it is known");
        (entry.lease, entry.reloaded) = (Some(lease), false);
        self.tell("cap_set", gpu, format!("{held} instead of {} for {attempt}", Watts(record.found)));
        Ok(self.held(gpu, limits, ttl, record.found))
    }

    fn held(&self, gpu: &str, limits: Limits, ttl: Duration, found: u64) -> Answer {
        let lease = self.gpus[gpu].lease.as_ref();
        Answer {
            lease: lease.map(|lease| lease.token.clone()),
            found_milliwatts: Some(found),
            requested_milliwatts: Some(limits.requested.0),
            enforced_milliwatts: Some(limits.enforced.0),
            clock_ceiling_megahertz: lease.and_then(|lease| lease.ceiling),
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

    fn renew(&mut self, uid: u32, token: &str, asked: Asked, now: Duration) -> Done<Answer> {
        let (gpu, _) = self.leased(uid, token)?;
        // Before the counter is noted anew: a driver loaded since the last look would pass for somebody else's limit.
        self.look_at(&gpu, now);
        let (gpu, mut lease) = self.leased(uid, token)?;
        let mut limits = self.boards.limits(&gpu).map_err(silent)?;
        if self.gpus[&gpu].foreign {
            return no(Refusal::ForeignLimit, format!("somebody else set it to {}", limits.requested));
        }
        let watts = asked.watts.filter(|watts| watts.saturating_mul(1_000) != lease.limit.0);
        let limit = watts.map(|watts| self.allowed(&gpu, watts)).transpose()?;
        let ceiling = asked.megahertz.map_or(Ok(lease.ceiling), |megahertz| self.ceiling(&gpu, megahertz))?;
        if limit.is_some() || ceiling != lease.ceiling {
            // No ceiling is higher than any.
            let raised = lease.ceiling.is_some_and(|had| ceiling.is_none_or(|ceiling| ceiling > had));
            if (raised || limit.is_some_and(|limit| limit > lease.limit)) && now < lease.changed + BETWEEN {
                return no(Refusal::RateLimited, "its limit or ceiling was changed less than 5 s ago");
            }
            if limits.requested != lease.limit {
                self.look_at(&gpu, now);
                return no(Refusal::ForeignLimit, format!("it stands at {}, not at {}", limits.requested, lease.limit));
            }
            let kept = self.gpus[&gpu].record.clone();
            let record =
                kept.unwrap_or_else(|| Record::new(&gpu, &self.boot, limits.requested.0, Vec::new(), &lease.attempt));
            limits = match self.change(&gpu, &record, Hold { limit, ceiling }) {
                Ok(limits) => limits,
                Err(error) => {
                    drop(self.give_back(&gpu, false));
                    return Err(error);
                }
            };
            (lease.limit, lease.ceiling, lease.changed) = (limit.unwrap_or(lease.limit), ceiling, now);
        }
        lease.ends = now + TERM;
        // After a driver that was loaded anew the old one counts until everything is set again.
        if !self.gpus[&gpu].reloaded {
            lease.counter = self.boards.counter(&gpu);
        }
        let found = self.gpus[&gpu].record.as_ref().map_or(limits.requested.0, |record| record.found);
        self.gpus.get_mut(&gpu).expect("it is known").lease = Some(lease);
        Ok(self.held(&gpu, limits, TERM, found))
    }

    fn release(&mut self, uid: u32, token: &str, to_found: bool) -> Done<Answer> {
        let (gpu, _) = self.leased(uid, token)?;
        self.give_back(&gpu, to_found)?;
        Ok(self.done())
    }
}
