//! What executors say and what they are told: an attempt is given out once, and ends only on proof.
//!
//! Orders are repeated until their effect is reported, so a lost answer costs nothing. Of an attempt that runs and is no
//! longer held by its node the scheduler knows that it is over; of a silent node it knows nothing and waits.

use super::{Answer, Caller, Controller, Effect, Turn};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::CapOrder;
use neap_model::job::{AttemptId, Epoch, JobId, Retry};
use neap_model::lifecycle::{AttemptEnd, Event, JobEvent, Phase, StopCause};
use neap_model::protocol::{AttemptReport, Beat, BeatReply, Lease, PROTOCOL, Stop};
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;

/// A node that was silent for so long gets no new work.
pub const SILENT: TimeDelta = TimeDelta::seconds(20);

/// Time between TERM and KILL.
const GRACE: Seconds = Seconds(30);

/// The books that a beat's node spans come from.
fn books(beat: &Beat) -> u64 {
    beat.node_books.unwrap_or(beat.session)
}

impl Controller {
    pub(super) fn beat(&mut self, now: DateTime<Utc>, beat: Beat, caller: Caller, turn: &mut Turn) {
        if beat.protocol != PROTOCOL {
            let message = format!("this scheduler speaks protocol {PROTOCOL}, the executor {}", beat.protocol);
            turn.effects.push(Effect::Reply(caller, Err(vec![Refusal::new(Code::Version, message)])));
            return;
        }
        if let Err(refusal) = self.see_node(now, &beat, turn) {
            turn.effects.push(Effect::Reply(caller, Err(vec![refusal])));
            return;
        }
        let mut reply = self.orders_for(&beat.node);
        for span in &beat.node_spans {
            self.book_node(now, &beat, span, turn);
        }
        reply.node_booked = self.state.nodes[&beat.node].booked.filter(|(s, _)| *s == books(&beat)).map(|(_, n)| n);
        for report in &beat.holds {
            self.hear_attempt(now, &beat.node, report, &mut reply, turn);
        }
        self.miss_attempts(now, &beat, turn);
        // What was just heard may have changed what is wanted.
        let fresh = self.orders_for(&beat.node);
        (reply.leases, reply.stops, reply.caps) = (fresh.leases, fresh.stops, fresh.caps);
        for footer in self.footers.remove(&beat.node).unwrap_or_default() {
            if beat.holds.iter().any(|held| held.attempt == footer.0) {
                reply.footers.push(footer);
            }
        }
        let patience = TimeDelta::milliseconds(i64::from(beat.patience_ms.min(30_000)));
        if patience > TimeDelta::zero() && !has_news(&reply, &beat) {
            if let Some((older, _)) = self.beats.insert(beat.node.clone(), (caller, now + patience)) {
                let orders = Box::new(self.orders_for(&beat.node));
                turn.effects.push(Effect::Reply(older, Ok(Answer::Orders(orders))));
            }
        } else {
            turn.effects.push(Effect::Reply(caller, Ok(Answer::Orders(Box::new(reply)))));
        }
    }

    /// Notes that the node lives, and what it has if that is new. A beat that was overtaken says nothing about absence.
    fn see_node(&mut self, now: DateTime<Utc>, beat: &Beat, turn: &mut Turn) -> Result<(), Refusal> {
        if !neap_model::job::is_name(&beat.node) {
            let message = format!("`{}` cannot be a node's name", beat.node);
            return Err(Refusal::new(Code::BadValue, message).about("node", &beat.node));
        }
        let configured = self.config.nodes.iter().find(|n| n.name == beat.node).map(|n| n.zone.clone());
        let zone = configured.or_else(|| beat.zone.clone()).unwrap_or_else(|| self.config.home().name.clone());
        if !self.config.zones.iter().any(|z| z.name == zone) {
            let message = format!("node {} says it is in zone `{zone}`, which this site does not have", beat.node);
            return Err(Refusal::new(Code::NoSuchPlace, message).about("zone", zone));
        }
        let known = self.state.nodes.get(&beat.node);
        let session = known.and_then(|node| node.session);
        let inventory = self.as_found(&beat.node, &beat.inventory);
        if known.is_none_or(|node| node.zone != zone || node.inventory != inventory) {
            let inventory = Box::new(inventory);
            self.may_hold_again(&beat.inventory.gpus);
            self.record(now, Event::NodeSeen { node: beat.node.clone(), zone, inventory }, turn);
            self.planning.stale_site();
        }
        let anew = session.is_none_or(|(session, _)| session != beat.session);
        if anew {
            self.may_hold_again(&beat.inventory.gpus);
        }
        let node = self.state.nodes.get_mut(&beat.node).expect("it was just recorded");
        if node.heard.is_none_or(|heard| now - heard > SILENT) {
            self.planning.stale_site();
        }
        node.heard = Some(now);
        self.budgets.drew(now, &beat.gpu_power);
        Ok(())
    }

    fn book_node(&mut self, now: DateTime<Utc>, beat: &Beat, span: &neap_model::ledger::NodeSpan, turn: &mut Turn) {
        let booked = self.state.nodes[&beat.node].booked;
        if booked.is_some_and(|(known, seq)| known == books(beat) && span.seq <= seq) {
            return;
        }
        let event = Event::NodeMetered { node: beat.node.clone(), session: books(beat), span: span.clone() };
        self.record(now, event, turn);
    }

    fn hear_attempt(
        &mut self,
        now: DateTime<Utc>,
        node: &str,
        report: &AttemptReport,
        reply: &mut BeatReply,
        turn: &mut Turn,
    ) {
        let AttemptId { job: id, epoch } = report.attempt;
        let Some(job) = self.state.jobs.get(&id) else {
            // Ended long ago, or from another life of this directory.
            let known = self.state.outcome(id).is_some();
            if known && report.ended.is_some() { &mut reply.settled } else { &mut reply.stale }.push(report.attempt);
            return;
        };
        let current = job.phase.attempt().is_some_and(|(of, at)| of == epoch && at == node);
        if !current {
            let over = report.ended.is_some() && epoch <= job.epoch;
            if over { &mut reply.settled } else { &mut reply.stale }.push(report.attempt);
            if over && epoch == job.epoch && job.phase.is_final() {
                let footer = (self.footer)(&self.report_of(job, now));
                self.footers.entry(node.to_owned()).or_default().push((report.attempt, footer));
            }
            return;
        }
        let fresh = matches!(job.phase, Phase::Leased { .. } | Phase::Stopping { since: None, .. });
        if fresh && report.started.is_some() {
            if job.spec.flex.pause.is_some() {
                // From now on there is a next pause to look out for.
                self.planning.news();
            }
            self.happens(now, id, JobEvent::Started { epoch, log: report.log.clone() }, turn);
        }
        self.budgets.heard(report);
        if let Some(pace) = &report.pace {
            self.pace_heard(now, id, pace, turn);
        }
        for span in &report.spans {
            let booked = self.state.jobs.get(&id).and_then(|job| job.booked);
            if booked.is_none_or(|booked| span.seq > booked) {
                self.book(now, report.attempt, span.clone(), turn);
            }
        }
        if let Some(booked) = self.state.jobs.get(&id).and_then(|job| job.booked).filter(|_| !report.spans.is_empty()) {
            reply.booked.push((report.attempt, booked));
        }
        if let Some((end, at)) = &report.ended {
            match end {
                AttemptEnd::Vanished => self.lose(now, id, epoch, turn),
                AttemptEnd::NotHeld { because } => self.not_held(now, (id, epoch), *because, *at, turn),
                end => self.happens(now, id, JobEvent::AttemptEnded { epoch, end: end.clone(), at: *at }, turn),
            }
            self.over(now, id, turn);
            reply.settled.push(report.attempt);
            let job = self.state.jobs.get(&id).expect("it just ended");
            // Nothing was written where nothing ran.
            if !matches!(end, AttemptEnd::NotHeld { .. }) {
                let footer = (self.footer)(&self.report_of(job, now));
                self.footers.entry(node.to_owned()).or_default().push((report.attempt, footer));
            }
        }
    }

    /// There is proof that an attempt is over, and no word on how it ended: it is tried again as its owner allows.
    fn lose(&mut self, now: DateTime<Utc>, id: JobId, epoch: Epoch, turn: &mut Turn) {
        let job = &self.state.jobs[&id];
        let retried = match (&job.phase, job.spec.retry) {
            (Phase::Stopping { cause, .. }, _) if !matches!(cause, StopCause::Pause { .. }) => false,
            (_, Retry::Never) => false,
            (_, Retry::UpTo(most)) => job.losses < most,
        };
        self.happens(now, id, JobEvent::AttemptLost { epoch, retried }, turn);
    }

    /// Attempts that should be on the node and are not: proof that they are over, unless they were never taken up.
    fn miss_attempts(&mut self, now: DateTime<Utc>, beat: &Beat, turn: &mut Turn) {
        let node = self.state.nodes.get_mut(&beat.node).expect("it was just seen");
        match node.session {
            Some((session, number)) if session == beat.session && number >= beat.number => return,
            _ => node.session = Some((beat.session, beat.number)),
        }
        let missing: Vec<(JobId, Epoch)> = self
            .state
            .live
            .iter()
            .filter_map(|id| {
                let job = &self.state.jobs[id];
                let (epoch, at) = job.phase.attempt()?;
                let taken_up = !matches!(job.phase, Phase::Leased { .. });
                let held = beat.holds.iter().any(|h| h.attempt == AttemptId { job: *id, epoch });
                (at == beat.node && taken_up && !held).then_some((*id, epoch))
            })
            .collect();
        for (id, epoch) in missing {
            self.lose(now, id, epoch, turn);
            self.over(now, id, turn);
        }
    }

    /// After an attempt ended: its room is free, and whoever waited for it goes on.
    fn over(&mut self, now: DateTime<Utc>, id: JobId, turn: &mut Turn) {
        self.planning.news();
        self.capping.forget(id);
        self.budgets.forget(id);
        if self.state.jobs[&id].phase.is_final() {
            self.learn(id);
            self.note_end(id);
            self.leave_queue(id);
            self.dependants(now, id, turn);
        } else {
            self.requeue(now, id);
        }
    }

    /// What the node should run and end, from the state alone.
    fn orders_for(&self, node: &str) -> BeatReply {
        let mut reply = BeatReply {
            incarnation: self.state.incarnation,
            nonce: self.state.nonce,
            leases: Vec::new(),
            stops: Vec::new(),
            settled: Vec::new(),
            stale: Vec::new(),
            booked: Vec::new(),
            node_booked: None,
            caps: Vec::new(),
            footers: Vec::new(),
        };
        for id in self.planning.on_node(node) {
            let Some(job) = self.state.jobs.get(&id) else { continue };
            match &job.phase {
                Phase::Leased { epoch, .. } => {
                    let zone = job.place.as_ref().map(|p| p.zone.clone()).unwrap_or_default();
                    let now = self.planning.site.now;
                    reply.leases.push(Lease {
                        attempt: AttemptId { job: id, epoch: *epoch },
                        owner: job.owner.clone(),
                        spec: job.spec.clone(),
                        intensity: self.grid.get(&zone).and_then(|g| g.curve.series.at(now)).map(|s| s.value),
                        zone,
                        cpus: job.cpus,
                        gpus: job.gpus.clone(),
                        limit: Seconds(
                            job.spec.time.limit.unwrap_or(Seconds::hours(24)).0.saturating_sub(job.ran.0).max(1),
                        ),
                        resumed: job.began_before(),
                        cap: self.cap_told(job),
                        clock_ceiling: self.ceiling_wanted(job),
                        held_first: job.slowed.is_some(),
                    });
                }
                Phase::Running { epoch, .. } if !job.gpus.is_empty() => reply.caps.push(CapOrder {
                    attempt: AttemptId { job: id, epoch: *epoch },
                    limit: self.cap_told(job),
                    clock_ceiling: self.ceiling_wanted(job),
                    order: self.budgets.order(id),
                }),
                Phase::Stopping { epoch, cause, .. } => reply.stops.push(Stop {
                    attempt: AttemptId { job: id, epoch: *epoch },
                    cause: cause.clone(),
                    grace: match (cause, &job.spec.flex.pause) {
                        (StopCause::Pause { .. }, Some(pause)) => pause.grace,
                        _ => GRACE,
                    },
                }),
                _ => {}
            }
        }
        reply
    }

    /// Answers the held-back beat of a node, because there is something for it to do.
    pub(super) fn wake(&mut self, node: &str, turn: &mut Turn) {
        if let Some((caller, _)) = self.beats.remove(node) {
            let orders = Box::new(self.orders_for(node));
            turn.effects.push(Effect::Reply(caller, Ok(Answer::Orders(orders))));
        }
    }

    pub(super) fn wake_node_of(&mut self, _now: DateTime<Utc>, id: JobId, turn: &mut Turn) {
        let node = self.state.jobs.get(&id).and_then(|job| job.phase.attempt().map(|(_, node)| node.to_owned()));
        if let Some(node) = node {
            self.wake(&node, turn);
        }
    }

    pub(super) fn release_beats(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        let due: Vec<String> =
            self.beats.iter().filter(|(_, (_, until))| *until <= now).map(|(node, _)| node.clone()).collect();
        for node in due {
            self.wake(&node, turn);
        }
    }

    /// Nodes fall silent without an event: their rooms are not planned with until they are heard of again.
    pub(super) fn notice_silence(&mut self, now: DateTime<Utc>) {
        let known = |name: &str| self.state.nodes.get(name).and_then(|n| n.heard).is_some_and(|h| now - h <= SILENT);
        if self.planning.site.nodes.iter().any(|n| n.up != known(&n.name)) {
            self.planning.stale_site();
        }
    }
}

/// Whether an answer has anything that the executor does not know yet.
fn has_news(reply: &BeatReply, beat: &Beat) -> bool {
    let held = |attempt: AttemptId| beat.holds.iter().find(|held| held.attempt == attempt);
    reply.leases.iter().any(|lease| held(lease.attempt).is_none())
        || reply.caps.iter().any(|order| {
            held(order.attempt).is_some_and(|held| {
                (held.cap, held.clock_ceiling, held.cap_order) != (order.limit, order.clock_ceiling, order.order)
            })
        })
        || reply.stops.iter().any(|stop| held(stop.attempt).is_some_and(|h| !h.stopping))
        || !(reply.settled.is_empty() && reply.stale.is_empty() && reply.booked.is_empty() && reply.footers.is_empty())
        || !beat.node_spans.is_empty()
}
