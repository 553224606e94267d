//! What is asked of the keeper: what it holds, and to hold, change or give back a limit.

use super::super::{Answer, Held, Refusal, Request, TERM};
use super::{BETWEEN, Done, Gpu, Keeper, Lease, mixed, no};
use crate::powerd::board::{Boards, Limits};
use crate::powerd::record::{Record, Records};
use neap_model::units::Watts;
use std::ops::RangeInclusive;
use std::time::Duration;

impl<B: Boards, R: Records> Keeper<B, R> {
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
}
