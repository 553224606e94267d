//! One turn: take in what was read, lower at once, raise when all lowerings are confirmed, send again what was not.

use super::ledger::Gpu;
use super::pace::{Pace, Way, mixed};
use super::shares::{Stake, consent, relative};
use super::{BLIND, Because, Board, Config, EVERY, Job, Readings, Slowed, Stand, Turn};
use neap_model::job::JobId;
use neap_model::units::Watts;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What somebody consented to must have been too much for so long before anybody is asked to pause: a driver that is loaded anew
/// is held again by then.
const SCARCE: Duration = Duration::from_secs(15);
/// A lowering that is not confirmed holds raises back so long; after that what it still could be in force counts alone.
const PATIENCE: Duration = Duration::from_secs(30);

/// The closed loop of one power domain.
#[derive(Clone, Debug)]
pub struct Regulator {
    pub(super) config: Config,
    pub(super) gpus: Vec<Gpu>,
    at: BTreeMap<String, usize>,
    pub(super) seats: BTreeMap<JobId, Seat>,
    next: u64,
    now: Duration,
    begun: Duration,
    pub(super) site: Option<(Watts, Duration)>,
    /// When an order to go lower left last.
    pub(super) lowered: Duration,
    scarce: Option<Duration>,
}

/// A job on its GPUs.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) job: Job,
    pub(super) ranks: Vec<usize>,
    pub(super) floor: Watts,
    pub(super) highest: Watts,
    pub(super) points: Vec<(Watts, f64)>,
    pub(super) consent: Watts,
    pub(super) limit: Watts,
    pub(super) pace: Pace,
    pub(super) because: Because,
    pub(super) since: Duration,
    /// It is asked to pause, or does.
    pub(super) leaves: bool,
    pub(super) seed: u64,
}

/// The budget and what of it is spoken for, in milliwatts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground {
    pub(super) budget: u64,
    /// The budget without its margin.
    pub(super) goal: u64,
    /// Everything but jobs' GPUs that can be set.
    pub(super) besides: u64,
    /// For jobs' GPUs that can be set.
    pub(super) spend: u64,
    /// Power of the domain, if that is known.
    pub(super) drawn: Option<u64>,
    pub(super) blind: bool,
}

impl Regulator {
    /// For a domain with these GPUs, of which nothing is known yet: all count at the most. `first` is above every order of an
    /// earlier life, none of which can still arrive.
    #[must_use]
    pub fn new(config: Config, boards: Vec<Board>, first: u64, now: Duration) -> Self {
        let gpus: Vec<Gpu> = boards.into_iter().map(|board| Gpu::new(board, now)).collect();
        let at = gpus.iter().enumerate().map(|(n, gpu)| (gpu.board.gpu.clone(), n)).collect();
        let seats = BTreeMap::new();
        let next = first.max(1);
        Self { config, gpus, at, seats, next, now, begun: now, site: None, lowered: now, scarce: None }
    }

    /// From now on the domain has these GPUs; of those that are new nothing is known, what is known of others stays.
    pub fn set_boards(&mut self, boards: Vec<Board>, now: Duration) {
        let mut known: BTreeMap<String, Gpu> = self.gpus.drain(..).map(|gpu| (gpu.board.gpu.clone(), gpu)).collect();
        let before = std::mem::take(&mut self.at);
        for board in boards {
            let gpu = match known.remove(&board.gpu) {
                Some(gpu) if gpu.board == board => gpu,
                _ => Gpu::new(board, now),
            };
            self.at.insert(gpu.board.gpu.clone(), self.gpus.len());
            self.gpus.push(gpu);
        }
        let moved: BTreeMap<usize, usize> =
            before.iter().filter_map(|(gpu, from)| Some((*from, *self.at.get(gpu)?))).collect();
        for seat in self.seats.values_mut() {
            seat.ranks = seat.ranks.iter().filter_map(|rank| moved.get(rank).copied()).collect();
            seat.ranks.sort_unstable();
        }
        self.seats.retain(|_, seat| !seat.ranks.is_empty());
    }

    /// The highest limit that could be in force on a GPU.
    #[must_use]
    pub fn reserved(&self, gpu: &str) -> Option<Watts> {
        self.at.get(gpu).map(|n| self.gpus[*n].reserved())
    }

    /// The last order that asked for this limit on a GPU: for those who report a limit and no order. Right where no order older
    /// than the one reported can still arrive.
    #[must_use]
    pub fn order_of(&self, gpu: &str, limit: Watts) -> Option<u64> {
        self.at.get(gpu).and_then(|n| self.gpus[*n].order_of(limit))
    }

    /// When it is to be asked again at the latest.
    #[must_use]
    pub fn due(&self) -> Duration {
        let soonest = self.gpus.iter().filter_map(Gpu::due).filter(|due| *due > self.now).min();
        soonest.unwrap_or(Duration::MAX).min(self.now + EVERY)
    }

    /// Takes in what is known at `now`, and says what is to be done.
    pub fn regulate(&mut self, now: Duration, readings: &Readings) -> Turn {
        let now = now.max(self.now);
        self.now = now;
        self.absorb(now, readings);
        self.seat(now, &readings.jobs);
        let ground = self.ground(now, readings);
        let mut turn = Turn { may_start: true, ..Turn::default() };
        self.consents(now, &ground, &mut turn);
        self.lower(now, &ground);
        let besides = readings.others.0;
        self.align(now, ground.goal, besides, false, &mut turn);
        if !self.gpus.iter().any(|gpu| gpu.falls(now, PATIENCE)) {
            let committed = besides + self.committed();
            self.raise(now, &ground, committed);
            self.align(now, ground.goal, besides, true, &mut turn);
        }
        turn.set.extend(self.gpus.iter_mut().filter_map(|gpu| gpu.again(now)));
        self.tell(readings, &mut turn);
        turn
    }

    fn absorb(&mut self, now: Duration, readings: &Readings) {
        for seen in &readings.gpus {
            if let Some(n) = self.at.get(&seen.gpu) {
                if let Stand::Held { order } = seen.stand {
                    self.next = self.next.max(order + 1);
                }
                self.gpus[*n].hear(seen, now);
            }
        }
        for gpu in &mut self.gpus {
            match readings.lost.iter().find(|(node, _)| *node == gpu.board.node) {
                Some((_, heard)) => gpu.lose(*heard, now, &self.config),
                None => gpu.contact(now),
            }
        }
        if readings.site.is_some_and(|(_, at)| self.site.is_none_or(|(_, known)| at > known)) {
            self.site = readings.site;
        }
    }

    /// Gives every job its place; those that are over leave theirs.
    fn seat(&mut self, now: Duration, jobs: &[Job]) {
        let live: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        self.seats.retain(|id, _| live.contains(id));
        let mut taken = vec![false; self.gpus.len()];
        for job in jobs {
            let known = job.gpus.iter().filter_map(|gpu| self.at.get(gpu).copied());
            let mut ranks: Vec<usize> = known.filter(|n| !std::mem::replace(&mut taken[*n], true)).collect();
            ranks.sort_unstable();
            if ranks.is_empty() {
                self.seats.remove(&job.id);
                continue;
            }
            match self.seats.get_mut(&job.id) {
                Some(seat) if seat.ranks == ranks && seat.job.points == job.points => {
                    if seat.job.least_speed != job.least_speed {
                        seat.consent = consent(&seat.points, job.least_speed);
                    }
                    seat.job.clone_from(job);
                }
                _ => {
                    let seat = self.new_seat(now, job, ranks);
                    self.seats.insert(job.id, seat);
                }
            }
        }
        for (gpu, taken) in self.gpus.iter_mut().zip(taken) {
            if !taken && !self.config.hold_idle && gpu.is_free() {
                gpu.settle();
            }
        }
    }

    fn new_seat(&mut self, now: Duration, job: &Job, ranks: Vec<usize>) -> Seat {
        let of = |n: &usize| &self.gpus[*n];
        let highest = ranks.iter().map(|n| of(n).board.range().1).min().unwrap_or_default();
        let floor = ranks.iter().map(|n| of(n).board.range().0).max().unwrap_or_default().min(highest);
        let points = relative(&job.points, floor, highest);
        let consent = consent(&points, job.least_speed);
        let mut job = job.clone();
        if !(job.weight.is_finite() && job.weight >= 0.0) {
            job.weight = 1.0;
        }
        if let Some(known) = self.seats.get(&job.id) {
            // The same job with other GPUs, or with more that was learned of it.
            let limit = known.limit.clamp(floor, highest);
            return Seat { job, ranks, floor, highest, points, consent, limit, ..known.clone() };
        }
        let stands = ranks.iter().map(of).filter(|gpu| gpu.is_ours());
        // Nothing is known of its GPUs yet: idle ones are held low, or else it came to them as they stand.
        let first = if self.config.hold_idle { floor } else { highest };
        let limit = stands.map(|gpu| gpu.future().unwrap_or(gpu.reserved())).min().unwrap_or(first);
        let limit = limit.min(job.most.unwrap_or(Watts(u64::MAX)));
        let limit = Watts(limit.0 / 1_000 * 1_000).clamp(floor, highest);
        ranks.iter().for_each(|n| self.gpus[*n].forget_power());
        let (mut pace, because, leaves) = (Pace::default(), Because::Began, false);
        if job.most.is_some() {
            // What it began with counts as a change: it rises from there in steps.
            pace.change(Way::Up, now);
        }
        let seed = mixed(self.config.seed ^ mixed(job.id.0));
        Seat { job, ranks, floor, highest, points, consent, limit, pace, because, since: now, leaves, seed }
    }

    fn owners(&self) -> Vec<Option<JobId>> {
        let mut owners = vec![None; self.gpus.len()];
        for (id, seat) in &self.seats {
            seat.ranks.iter().for_each(|n| owners[*n] = Some(*id));
        }
        owners
    }

    /// What a GPU should be at; `None`: it is left as it is.
    fn wanted(&self, n: usize, owner: Option<JobId>) -> Option<(Watts, Because)> {
        let (low, high) = self.gpus[n].board.range();
        match owner {
            Some(id) => {
                let seat = &self.seats[&id];
                Some((seat.limit.max(low).min(high), seat.because))
            }
            None => self.config.hold_idle.then_some((low, Because::Idle)),
        }
    }

    fn ground(&self, now: Duration, readings: &Readings) -> Ground {
        let budget = readings.budget.0;
        let goal = (budget as f64 * (1.0 - self.config.margin.clamp(0.0, 0.5))) as u64;
        let mut besides = readings.others.0;
        for ((n, gpu), owner) in self.gpus.iter().enumerate().zip(self.owners()) {
            besides += match (gpu.is_ours(), owner, self.wanted(n, None)) {
                // Boards of two kinds: one may not go as low as the other's highest.
                (true, Some(id), _) => gpu.over().0 + gpu.board.range().0.saturating_sub(self.seats[&id].floor).0,
                (true, None, Some((limit, _))) => limit.0,
                _ => gpu.reserved().0,
            };
        }
        let read = self.site.filter(|(_, at)| now <= *at + BLIND);
        Ground {
            budget,
            goal,
            besides,
            spend: goal.saturating_sub(besides),
            drawn: read.map(|(power, _)| power.0),
            blind: read.is_none() && now > self.begun + BLIND,
        }
    }

    /// All GPUs at what could be in force.
    pub(super) fn committed(&self) -> u64 {
        self.gpus.iter().map(|gpu| gpu.reserved().0 + gpu.over().0).sum()
    }

    /// A job's stake up to `top`, if any of its GPUs can be set.
    pub(super) fn stake(&self, seat: &Seat, top: Watts) -> Stake {
        let gpus = seat.ranks.iter().filter(|n| self.gpus[**n].is_ours()).count();
        Stake {
            gpus: u32::try_from(gpus).unwrap_or(u32::MAX),
            weight: seat.job.weight,
            least_speed: seat.job.least_speed,
            leaves: seat.leaves,
            floor: seat.floor,
            top: top.max(seat.floor),
            points: seat.points.clone(),
            consent: seat.consent,
        }
    }

    /// Whether what jobs consented to fits, and who should pause if that is not so for a while.
    fn consents(&mut self, now: Duration, ground: &Ground, turn: &mut Turn) {
        let due = |gpus: &[Gpu], seat: &Seat, limit: Watts| {
            limit.0 * seat.ranks.iter().filter(|n| gpus[**n].is_ours()).count() as u64
        };
        let (mut wanted, mut floors) = (0u64, 0u64);
        for seat in self.seats.values_mut() {
            seat.leaves = seat.job.pausing;
            let limit = if seat.leaves { seat.floor } else { seat.consent.max(seat.floor) };
            wanted += due(&self.gpus, seat, limit);
            floors += due(&self.gpus, seat, seat.floor);
        }
        turn.short = Watts((ground.besides + floors).saturating_sub(ground.budget));
        if wanted <= ground.spend {
            self.scarce = None;
            return;
        }
        turn.may_start = false;
        let since = *self.scarce.get_or_insert(now);
        if now < since + SCARCE {
            return;
        }
        let may = |seat: &&mut Seat| seat.job.may_pause && !seat.job.pausing;
        let mut order: Vec<&mut Seat> = self.seats.values_mut().filter(may).collect();
        order.sort_by(|a, b| {
            let tolerant = a.job.least_speed.total_cmp(&b.job.least_speed);
            a.job.weight.total_cmp(&b.job.weight).then(tolerant).then(b.job.id.cmp(&a.job.id))
        });
        for seat in order {
            if wanted <= ground.spend {
                break;
            }
            // Once it is gone its GPUs are idle: they stand at their floor, or draw next to nothing.
            wanted -= due(&self.gpus, seat, seat.consent.max(seat.floor)) - due(&self.gpus, seat, seat.floor);
            seat.leaves = true;
            turn.pause.push(seat.job.id);
        }
    }

    /// Sends what GPUs should be at and are not: what raises nothing that counts, or what does and has room.
    fn align(&mut self, now: Duration, goal: u64, others: u64, up: bool, turn: &mut Turn) {
        let mut committed = others + self.committed();
        for (n, owner) in self.owners().into_iter().enumerate() {
            let Some((limit, because)) = self.wanted(n, owner).filter(|_| self.gpus[n].is_ours()) else { continue };
            let gpu = &mut self.gpus[n];
            let reserved = gpu.reserved();
            let more = limit.saturating_sub(reserved).0;
            if gpu.future() == Some(limit) || up != (more > 0) || (up && committed + more > goal) {
                continue;
            }
            committed += more;
            if !up {
                self.lowered = now;
            }
            turn.set.push(gpu.order(self.next, limit, because, now));
            self.next += 1;
        }
    }

    fn tell(&self, readings: &Readings, turn: &mut Turn) {
        turn.committed = Watts(readings.others.0 + self.committed());
        let not_ours = |gpu: &&Gpu| !gpu.is_ours() && !gpu.is_lost();
        turn.uncapped = self.gpus.iter().filter(not_ours).map(|gpu| gpu.board.gpu.clone()).collect();
        for (id, seat) in &self.seats {
            let stake = self.stake(seat, seat.highest);
            turn.jobs.push(Slowed {
                job: *id,
                limit: seat.limit,
                highest: seat.highest,
                speed: stake.speed(seat.limit),
                assumed: seat.job.points.is_empty(),
                beyond_consent: seat.limit < seat.consent.max(seat.floor),
                because: seat.because,
                not_ours: seat.ranks.len() - stake.gpus as usize,
            });
        }
    }
}
