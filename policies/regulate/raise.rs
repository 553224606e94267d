//! When a limit moves: down at once where it must, for somebody else's good where that is worth it, and up in steps.

use super::Because;
use super::ledger::STUCK;
use super::pace::Way;
use super::shares::{Stake, share};
use super::turn::{Ground, Regulator, Seat};
use neap_model::job::JobId;
use neap_model::units::Watts;
use std::time::Duration;

/// Differences below that share of the budget are let be.
const IGNORED: f64 = 0.02;
/// A raise is at least that share of the limit,
const LEAST: f64 = 0.05;
/// and at most that share of the highest.
const MOST: f64 = 0.20;
/// A limit does not bind a job whose GPUs were seen to draw less than that share of it;
const BINDS: f64 = 0.95;
/// then it needs that much of what they drew.
const HEADROOM: f64 = 1.10;
/// How long a job must have stood at its limit before what it draws says anything,
const TELLING: Duration = Duration::from_secs(10);
/// and before watts are taken from it on the strength of that.
const WATCHED: Duration = Duration::from_secs(60);
/// Speeds together must gain that share before limits are traded.
const GAIN: f64 = 0.01;
/// After an order the domain's power says what it did, and not before.
const EFFECT: Duration = Duration::from_secs(2);

fn whole(watts: f64) -> Watts {
    Watts((watts / 1_000.0).ceil().max(0.0) as u64 * 1_000)
}

impl Seat {
    fn set(&mut self, limit: Watts, because: Because, now: Duration) {
        let way = if limit > self.limit { Way::Up } else { Way::Down };
        self.pace.change(way, now);
        (self.limit, self.because, self.since) = (limit, because, now);
    }
}

impl Regulator {
    fn lower_to(&mut self, id: JobId, limit: Watts, because: Because, now: Duration) {
        let seat = self.seats.get_mut(&id).expect("it has a seat");
        let limit = limit.max(seat.floor);
        if limit < seat.limit {
            seat.set(limit, because, now);
        }
    }

    /// What has to be lower now: GPUs without samples, all of them without a reading of the domain, and what is over the budget.
    pub(super) fn lower(&mut self, now: Duration, ground: &Ground) {
        for id in self.seats.keys().copied().collect::<Vec<_>>() {
            let stale = self.seats[&id].ranks.iter().map(|n| &self.gpus[*n]);
            let stale = stale.filter(|gpu| gpu.is_ours() && gpu.is_stale(now));
            if let Some(safe) = stale.map(|gpu| gpu.board.left()).min() {
                self.lower_to(id, safe, Because::Stale, now);
            }
        }
        if ground.blind {
            self.static_shares(now, ground);
        }
        if ground.besides + self.held() > ground.budget {
            let stakes: Vec<(JobId, Stake)> =
                self.seats.iter().map(|(id, seat)| (*id, self.stake(seat, seat.limit))).collect();
            self.cut(now, ground.spend, stakes, Because::Budget);
        } else if let Some(over) = self.overdrawn(now, ground) {
            let drawing = |seat: &Seat| {
                let power = seat.ranks.iter().map(|n| self.gpus[*n].power).max().flatten();
                power.map_or(seat.limit, |power| whole(power.0 as f64)).clamp(seat.floor, seat.limit)
            };
            let stakes: Vec<(JobId, Stake)> =
                self.seats.iter().map(|(id, seat)| (*id, self.stake(seat, drawing(seat)))).collect();
            let drawn: u64 = stakes.iter().map(|(_, stake)| stake.top.0 * u64::from(stake.gpus)).sum();
            self.cut(now, drawn.saturating_sub(over), stakes, Because::Overdrawn);
        }
    }

    /// Jobs' GPUs that can be set, at their job's limit.
    fn held(&self) -> u64 {
        let ours = |seat: &Seat| seat.ranks.iter().filter(|n| self.gpus[**n].is_ours()).count() as u64;
        self.seats.values().map(|seat| seat.limit.0 * ours(seat)).sum()
    }

    /// By how much the domain draws more than it should, once what was lowered before has had its effect.
    fn overdrawn(&self, now: Duration, ground: &Ground) -> Option<u64> {
        let (_, at) = self.site?;
        let told = at >= self.lowered + EFFECT && !self.gpus.iter().any(|gpu| gpu.falls(now, STUCK));
        ground.drawn.filter(|_| told)?.checked_sub(ground.goal).filter(|over| *over > 0)
    }

    /// Divides what there is; who would get less than its top goes down to that.
    fn cut(&mut self, now: Duration, spend: u64, stakes: Vec<(JobId, Stake)>, because: Because) {
        let stakes: Vec<(JobId, Stake)> = stakes.into_iter().filter(|(_, stake)| stake.gpus > 0).collect();
        let (ids, stakes): (Vec<JobId>, Vec<Stake>) = stakes.into_iter().unzip();
        let shares = share(spend, &stakes);
        for ((id, stake), limit) in ids.into_iter().zip(&stakes).zip(shares.limits) {
            if limit < stake.top {
                self.lower_to(id, limit, because, now);
            }
        }
    }

    /// Every GPU at its safe cap, or at that share of it for which the budget has room.
    fn static_shares(&mut self, now: Duration, ground: &Ground) {
        let ours = |seat: &Seat| seat.ranks.iter().filter(|n| self.gpus[**n].is_ours()).copied().collect::<Vec<_>>();
        let ranks: Vec<(JobId, Vec<usize>)> = self.seats.iter().map(|(id, seat)| (*id, ours(seat))).collect();
        let all: u64 = ranks.iter().flat_map(|(_, ranks)| ranks).map(|n| self.gpus[*n].board.left().0).sum();
        let part = ground.spend.min(all);
        for (id, ranks) in ranks {
            let safe = ranks.iter().map(|n| self.gpus[*n].board.left()).min();
            if let Some(safe) = safe {
                let limit = Watts(safe.scaled(part, all).0 / 1_000 * 1_000);
                self.lower_to(id, limit, Because::Blind, now);
            }
        }
    }

    /// The most that a job has a use for, as far as what its GPUs draw shows, and may have by now.
    fn useful(&self, now: Duration, seat: &Seat) -> Watts {
        let most = seat.job.most.map_or(Watts(u64::MAX), |most| most.max(seat.limit));
        self.has_a_use_for(now, seat).min(most)
    }

    fn has_a_use_for(&self, now: Duration, seat: &Seat) -> Watts {
        if seat.ranks.iter().any(|n| self.gpus[*n].is_stale(now)) {
            return seat.limit;
        }
        let peak = seat.ranks.iter().map(|n| self.gpus[*n].peak()).max().unwrap_or_default();
        let tells = now >= seat.since + TELLING && peak > Watts::ZERO;
        // Who consented to nothing keeps its watts in reserve.
        if tells && seat.job.least_speed < 1.0 && (peak.0 as f64) < BINDS * seat.limit.0 as f64 {
            whole(peak.0 as f64 * HEADROOM).clamp(seat.floor, seat.highest)
        } else {
            seat.highest
        }
    }

    /// What there is room for: watts taken from where they do nothing, or else raises. `committed` is all that counts now.
    pub(super) fn raise(&mut self, now: Duration, ground: &Ground, committed: u64) {
        let ignored = (ground.budget as f64 * IGNORED) as u64;
        let Some(drawn) = ground.drawn.filter(|_| !ground.blind) else { return };
        let may = |seat: &Seat, way: Way| seat.pace.allows(way, now, seat.seed);
        if !self.seats.values().any(|seat| seat.limit < seat.highest && may(seat, Way::Up)) {
            return;
        }
        let seats: Vec<(JobId, Stake, Watts)> = self
            .seats
            .iter()
            .map(|(id, seat)| (*id, self.stake(seat, self.useful(now, seat)), seat.limit))
            .filter(|(_, stake, _)| stake.gpus > 0)
            .collect();
        let stakes: Vec<Stake> = seats.iter().map(|(_, stake, _)| stake.clone()).collect();
        let shares = share(ground.spend, &stakes);
        let mut left = shares.left;
        let mut goals: Vec<(JobId, Stake, Watts)> = Vec::new();
        for ((id, stake, limit), mut goal) in seats.into_iter().zip(shares.limits) {
            if goal < limit {
                // What nobody else has a use for stays where it is.
                let kept = (left / u64::from(stake.gpus)).min(limit.0 - goal.0) / 1_000 * 1_000;
                left -= kept * u64::from(stake.gpus);
                goal.0 += kept;
            }
            goals.push((id, stake, goal));
        }
        // Watts are taken before they are given: for that the domain needs no room.
        let slack = ground.goal.checked_sub(drawn).filter(|slack| *slack > ignored);
        if !self.trade(now, ignored, &goals)
            && let Some(slack) = slack
        {
            self.step_up(now, ground.goal.saturating_sub(committed), slack, goals);
        }
    }

    /// Takes watts from where they do little for those who have a use for them, and from those who have more than they
    /// consented to for those who have less. Whether any were taken.
    fn trade(&mut self, now: Duration, ignored: u64, goals: &[(JobId, Stake, Watts)]) -> bool {
        let (mut lower, mut moved, mut gain, mut weights, mut owed) = (Vec::new(), 0, 0.0, 0.0, false);
        for (id, stake, goal) in goals {
            let seat = &self.seats[id];
            let seen = |limit: Watts| stake.speed(limit.min(stake.top));
            weights += stake.weight;
            gain += stake.weight * (seen(*goal) - seen(seat.limit));
            // Somebody is held lower than he consented to, who need not be.
            owed |= seat.limit < stake.consent && *goal > seat.limit;
            let less = seat.limit.saturating_sub(*goal);
            let watched = now >= seat.since + WATCHED || seat.pace.is_fresh();
            if less.0 as f64 >= LEAST * seat.limit.0 as f64 && watched && seat.pace.allows(Way::Down, now, seat.seed) {
                lower.push((*id, *goal));
                moved += less.0 * u64::from(stake.gpus);
            }
        }
        if lower.is_empty() || moved < ignored || gain < GAIN * weights && !owed {
            return false;
        }
        lower.into_iter().for_each(|(id, goal)| self.lower_to(id, goal, Because::Reused, now));
        true
    }

    /// Raises, the least tolerant first, while limits and measured power both leave room.
    fn step_up(&mut self, now: Duration, mut room: u64, mut slack: u64, mut goals: Vec<(JobId, Stake, Watts)>) {
        goals.sort_by(|a, b| b.1.least_speed.total_cmp(&a.1.least_speed).then(a.0.cmp(&b.0)));
        for (id, stake, goal) in goals {
            let seat = self.seats.get_mut(&id).expect("it has a seat");
            if goal <= seat.limit || !seat.pace.allows(Way::Up, now, seat.seed) {
                continue;
            }
            let gpus = u64::from(stake.gpus);
            let most = if seat.pace.is_fresh() { goal } else { goal.min(seat.limit + share_of(seat.highest, MOST)) };
            let more = (most.0 - seat.limit.0).min(room / gpus).min(slack / gpus) / 1_000 * 1_000;
            if more == 0 || (!seat.pace.is_fresh() && more < share_of(seat.limit, LEAST).0) {
                continue;
            }
            room -= more * gpus;
            slack -= more * gpus;
            let limit = Watts(seat.limit.0 + more);
            seat.set(limit, Because::Raised, now);
        }
    }
}

fn share_of(limit: Watts, share: f64) -> Watts {
    whole(limit.0 as f64 * share)
}
