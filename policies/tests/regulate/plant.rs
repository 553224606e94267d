//! GPUs, helpers, executors and jobs as they are, whatever is believed of them. A tick is a quarter of a second.
//!
//! A helper keeps the rules of `neap powerd`: a lease of 60 s, given back within 10 s of its end; on a start and without a lease
//! every GPU at its safe cap; what somebody else set is left alone; every lease held against its device every 10 s.

use crate::dice::Dice;
use neap_model::job::JobId;
use neap_model::units::Watts;
use neap_policies::regulate::{Board, Config, Job, Seen, SetPoint, Stand};
use std::time::Duration;

pub const TICK: Duration = Duration::from_millis(250);
pub const TICKS: u64 = 4;
const LEASE: u64 = 60 * TICKS;
const LOOK: u64 = 10 * TICKS;

/// How messages fare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Net {
    /// Share that is lost.
    pub loss: f64,
    /// Longest on the way, in seconds.
    pub slowest: f64,
}

/// What may go wrong, by how often in seconds; infinity: never.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub lost_node: f64,
    pub storm: f64,
    pub reload: f64,
    pub foreign: f64,
    pub restart: f64,
    pub meter: f64,
    pub site: f64,
    /// Share of GPUs on which no limit may be set.
    pub refused: f64,
    /// Share of GPUs that do not keep the lowest tenth of their range.
    pub overshoot: f64,
    /// An order is answered and not carried out, share of orders.
    pub ignored: f64,
}

impl Faults {
    pub const NONE: Self = Self {
        lost_node: f64::INFINITY,
        storm: f64::INFINITY,
        reload: f64::INFINITY,
        foreign: f64::INFINITY,
        restart: f64::INFINITY,
        meter: f64::INFINITY,
        site: f64::INFINITY,
        refused: 0.0,
        overshoot: 0.0,
        ignored: 0.0,
    };
    pub const ALL: Self = Self {
        lost_node: 900.0,
        storm: 900.0,
        reload: 900.0,
        foreign: 1_500.0,
        restart: 1_500.0,
        meter: 600.0,
        site: 900.0,
        refused: 0.04,
        overshoot: 0.15,
        ignored: 0.02,
    };
}

#[derive(Clone, Debug)]
pub struct Device {
    pub board: Board,
    pub node: usize,
    /// In force.
    pub limit: u64,
    /// Drawn.
    pub power: f64,
    overshoots: bool,
    refuses: bool,
    /// The order that was carried out last, and its limit.
    order: u64,
    ours: u64,
    /// The lease, if any, ends at that tick.
    lease: Option<u64>,
    foreign: bool,
    /// The executor takes its lease up again then, at the same limit.
    resume: Option<u64>,
    /// The helper puts right or notices what it sees then.
    look: Option<u64>,
    meter_back: u64,
    /// The last good sample.
    pub sampled: u64,
    /// What a job would draw of it at the highest limit.
    pub demand: f64,
    /// Something raised its limit that the regulator cannot know of yet, at that tick.
    pub unknown: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Plant {
    pub dice: Dice,
    pub faults: Faults,
    pub net: Net,
    calm: Net,
    pub storm_until: u64,
    pub devices: Vec<Device>,
    /// By node: until when it cannot be reached.
    pub away: Vec<u64>,
    pub site_back: u64,
    orders: Vec<(u64, u64, usize, u64, u64)>,
    reads: Vec<(u64, usize, Seen)>,
    sites: Vec<(u64, Watts, Duration)>,
    pub jobs: Vec<(Job, u64)>,
    next_job: u64,
    pub others: u64,
    /// When a limit was raised last that nobody ordered.
    pub raised: Option<u64>,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub lost_nodes: u64,
    pub storms: u64,
    pub reloads: u64,
    pub foreign: u64,
    pub restarts: u64,
    pub stale: u64,
    pub blind: u64,
    pub lost_messages: u64,
    pub ignored: u64,
}

pub fn time(tick: u64) -> Duration {
    TICK * u32::try_from(tick).expect("an episode is short")
}

impl Plant {
    pub fn new(seed: u64, faults: Faults, net: Net) -> Self {
        let mut dice = Dice(seed);
        let nodes = 1 + dice.below(4);
        let mut devices = Vec::new();
        for node in 0..nodes {
            let (highest, lowest) = [(300, 100), (400, 100), (700, 200)][dice.below(3)];
            for n in 0..1 + dice.below(4) {
                let floor = (highest as f64 * dice.between(0.25, 0.4)) as u64;
                let safe = floor + dice.below((highest / 6) as usize) as u64;
                let board = Board {
                    gpu: format!("GPU-{node}-{n}"),
                    node: format!("n{node}"),
                    floor: Watts::whole(floor.max(lowest)),
                    highest: Watts::whole(highest),
                    vouched: None,
                    safe: Some(Watts::whole(safe.max(lowest))),
                    unheard: None,
                };
                let refuses = dice.chance(faults.refused);
                // Where the helper may set it, it stood at its safe cap before anybody came.
                let limit = if refuses { board.highest.0 } else { board.left().0 };
                let overshoots = dice.chance(faults.overshoot);
                devices.push(Device {
                    node,
                    limit,
                    power: 0.1 * board.highest.0 as f64,
                    overshoots,
                    refuses,
                    order: 0,
                    ours: limit,
                    lease: None,
                    foreign: false,
                    resume: None,
                    look: None,
                    meter_back: 0,
                    sampled: 0,
                    demand: 0.0,
                    unknown: None,
                    board,
                });
            }
        }
        let others = 100_000 * nodes as u64;
        let away = vec![0; nodes];
        Self {
            dice,
            faults,
            net,
            calm: net,
            storm_until: 0,
            devices,
            away,
            site_back: 0,
            orders: Vec::new(),
            reads: Vec::new(),
            sites: Vec::new(),
            jobs: Vec::new(),
            next_job: 1,
            others,
            raised: None,
            counts: Counts::default(),
        }
    }

    pub fn in_force(&self) -> u64 {
        self.others + self.devices.iter().map(|device| device.limit).sum::<u64>()
    }

    /// Power of the domain, in milliwatts.
    pub fn drawn(&self) -> f64 {
        0.9 * self.others as f64 + self.devices.iter().map(|device| device.power).sum::<f64>()
    }

    pub fn is_calm(&self, tick: u64) -> bool {
        tick >= self.storm_until
    }

    fn delay(&mut self) -> Option<u64> {
        if self.dice.chance(self.net.loss) {
            self.counts.lost_messages += 1;
            return None;
        }
        // Most are quick.
        let slow = self.dice.unit();
        Some((slow * slow * self.net.slowest * TICKS as f64) as u64)
    }

    /// An order leaves the scheduler.
    pub fn send(&mut self, tick: u64, set: &SetPoint) {
        let n = self.devices.iter().position(|device| device.board.gpu == set.gpu).expect("it is here");
        if let Some(delay) = self.delay().filter(|_| self.away[self.devices[n].node] <= tick) {
            self.orders.push((tick + delay, tick, n, set.order, set.limit.0));
        }
    }

    /// What is on its way is lost with the scheduler.
    pub fn drop_messages(&mut self) {
        self.orders.clear();
        self.reads.clear();
    }

    /// Readings that have arrived.
    pub fn arrived(&mut self, tick: u64) -> (Vec<Seen>, Option<(Watts, Duration)>) {
        let (mut seen, away) = (Vec::new(), &self.away);
        self.reads.retain(|(at, node, read)| {
            let here = *at <= tick;
            if here && away[*node] <= tick {
                seen.push(read.clone());
            }
            !here
        });
        let site = self.sites.iter().filter(|(at, ..)| *at <= tick).max_by_key(|(.., read)| *read);
        let site = site.map(|(_, power, read)| (*power, *read));
        self.sites.retain(|(at, ..)| *at > tick);
        (seen, site)
    }

    /// A quarter of a second passes.
    pub fn pass(&mut self, tick: u64, life: Duration) {
        self.mishaps(tick);
        let due: Vec<_> = self.orders.iter().filter(|order| order.0 <= tick).copied().collect();
        self.orders.retain(|order| order.0 > tick);
        for (_, sent, n, order, limit) in due {
            if self.away[self.devices[n].node] <= tick && time(tick) <= time(sent) + life {
                self.carry_out(tick, n, order, limit);
            }
        }
        for n in 0..self.devices.len() {
            self.helper(tick, n);
        }
        self.draw(tick);
        if tick.is_multiple_of(TICKS) {
            self.report(tick);
        }
    }

    fn carry_out(&mut self, tick: u64, n: usize, order: u64, limit: u64) {
        let ignored = self.dice.chance(self.faults.ignored);
        let device = &mut self.devices[n];
        if order <= device.order || device.foreign || device.refuses {
            return;
        }
        if ignored {
            // The driver refused it for now: nothing is confirmed.
            self.counts.ignored += 1;
            return;
        }
        if device.look.is_some() && device.lease.is_some() && device.limit != device.ours {
            // A renewal looks first: what stands there is not ours, and may be a driver that was just loaded.
            self.put_right(tick, n);
            if self.devices[n].foreign {
                return;
            }
        }
        let device = &mut self.devices[n];
        (device.order, device.ours, device.limit, device.look) = (order, limit, limit, None);
        device.resume = None;
        device.lease = Some(tick + LEASE);
    }

    /// What the helper does by itself.
    fn helper(&mut self, tick: u64, n: usize) {
        let reachable = self.away[self.devices[n].node] <= tick;
        let late = self.dice.below(LOOK as usize) as u64;
        let device = &mut self.devices[n];
        if device.resume.is_some_and(|at| at <= tick) {
            device.resume = None;
            if reachable && !device.foreign && device.lease.is_none() && device.look.is_none() {
                (device.limit, device.lease) = (device.ours, Some(tick + LEASE));
            }
        }
        if let Some(ends) = device.lease {
            if reachable && tick < ends {
                device.lease = Some(tick + LEASE);
            } else if tick >= ends && device.look.is_none() {
                device.look = Some(tick + late);
            }
        }
        if self.devices[n].look.is_some_and(|at| at <= tick) {
            self.put_right(tick, n);
        }
    }

    fn put_right(&mut self, tick: u64, n: usize) {
        let device = &mut self.devices[n];
        device.look = None;
        if device.refuses || device.foreign {
            return;
        }
        match device.lease {
            Some(ends) if tick < ends && device.limit == device.ours => {}
            Some(ends) if tick < ends && device.limit == device.board.highest.0 => device.limit = device.ours,
            Some(ends) if tick < ends => (device.foreign, device.lease) = (true, None),
            _ => (device.limit, device.lease) = (device.board.left().0, None),
        }
    }

    fn mishaps(&mut self, tick: u64) {
        let faults = self.faults;
        if tick >= self.storm_until {
            self.net = self.calm;
            if self.dice.every(faults.storm) {
                self.storm_until = tick + (self.dice.between(5.0, 60.0) * 4.0) as u64;
                self.net = Net { loss: self.dice.between(0.1, 0.7), slowest: self.dice.between(2.0, 14.0) };
                self.counts.storms += 1;
            }
        }
        for node in 0..self.away.len() {
            if self.away[node] <= tick && self.dice.every(faults.lost_node) {
                self.away[node] = tick + (self.dice.between(3.0, 240.0) * 4.0) as u64;
                self.counts.lost_nodes += 1;
            }
            if self.dice.every(faults.restart) {
                self.counts.restarts += 1;
                let there = |n: &usize| self.devices[*n].node == node;
                for n in (0..self.devices.len()).filter(there).collect::<Vec<_>>() {
                    self.restart(tick, n);
                }
            }
        }
        if self.site_back <= tick && self.dice.every(faults.site) {
            self.site_back = tick + (self.dice.between(3.0, 90.0) * 4.0) as u64;
            self.counts.blind += 1;
        }
        for n in 0..self.devices.len() {
            if self.dice.every(faults.reload) {
                self.counts.reloads += 1;
                let look = tick + self.dice.below(LOOK as usize) as u64;
                let device = &mut self.devices[n];
                device.limit = device.board.highest.0;
                device.look = Some(device.look.unwrap_or(look));
                self.unordered(tick, n);
            }
            if self.devices[n].foreign {
                if self.dice.every(120.0) {
                    // Its owner gives it back: the helper takes it in hand again.
                    let device = &mut self.devices[n];
                    (device.foreign, device.limit) = (false, device.board.left().0);
                    self.unordered(tick, n);
                }
            } else if self.dice.every(faults.foreign) {
                self.counts.foreign += 1;
                let share = self.dice.between(0.3, 1.0);
                let look = tick + self.dice.below(LOOK as usize) as u64;
                let device = &mut self.devices[n];
                device.limit = (device.board.highest.0 as f64 * share) as u64 / 1_000 * 1_000;
                device.look = Some(device.look.unwrap_or(look));
                self.unordered(tick, n);
            }
            if self.devices[n].meter_back <= tick && self.dice.every(faults.meter) {
                self.devices[n].meter_back = tick + (self.dice.between(1.0, 60.0) * 4.0) as u64;
                self.counts.stale += 1;
            }
        }
    }

    /// The helper starts anew: every GPU at its safe cap. The executor takes its leases up again with its next look.
    fn restart(&mut self, tick: u64, n: usize) {
        let (again, wait) = (self.dice.chance(0.5), self.dice.below(12) as u64);
        let device = &mut self.devices[n];
        if device.refuses || device.foreign {
            return;
        }
        let before = device.limit;
        device.resume = (again && device.lease.is_some()).then_some(tick + wait);
        (device.limit, device.lease, device.look) = (device.board.left().0, None, None);
        if device.limit > before {
            self.unordered(tick, n);
        }
    }

    /// A limit was raised by somebody who had no order to.
    fn unordered(&mut self, tick: u64, n: usize) {
        self.devices[n].unknown = Some(tick);
        self.raised = Some(tick);
    }

    fn draw(&mut self, tick: u64) {
        let phase = tick.is_multiple_of(40 * TICKS);
        for n in 0..self.devices.len() {
            let owner = self.jobs.iter().find(|(job, _)| job.gpus.contains(&self.devices[n].board.gpu));
            let busy = owner.is_some();
            let wobble = 0.98 + 0.02 * self.dice.unit();
            if busy && (self.devices[n].demand == 0.0 || (phase && self.dice.chance(0.2))) {
                self.devices[n].demand = self.dice.between(0.4, 1.1).min(1.0);
            }
            let device = &mut self.devices[n];
            if !busy {
                device.demand = 0.0;
            }
            let highest = device.board.highest.0 as f64;
            let wants = if busy { device.demand * highest * wobble } else { 0.1 * highest };
            let lowest_tenth = device.board.floor.0 + (device.board.highest.0 - device.board.floor.0) / 10;
            let over = if device.overshoots && device.limit <= lowest_tenth { 1.1 } else { 1.0 };
            let target = wants.min(device.limit as f64 * over);
            // First order, 200 ms.
            device.power = target + (device.power - target) * (-0.25f64 / 0.2).exp();
        }
    }

    fn report(&mut self, tick: u64) {
        for n in 0..self.devices.len() {
            let delay = self.delay();
            let device = &self.devices[n];
            let (Some(delay), true) = (delay, self.away[device.node] <= tick) else { continue };
            let stand = if device.refuses {
                Stand::Refused
            } else if device.foreign {
                Stand::Foreign
            } else if device.lease.is_some_and(|ends| tick < ends) {
                // The holder counts from when it asked: a lease that ended is not called held.
                Stand::Held { order: device.order }
            } else {
                Stand::Free
            };
            if device.meter_back <= tick {
                self.devices[n].sampled = tick;
            }
            let device = &self.devices[n];
            let power = (device.meter_back <= tick).then_some(Watts(device.power as u64));
            let gpu = device.board.gpu.clone();
            let seen = Seen { gpu, at: time(tick), stand, limit: Watts(device.limit), power };
            self.reads.push((tick + delay, device.node, seen));
        }
        let noise = self.dice.between(0.995, 1.005);
        if let Some(delay) = self.delay().filter(|_| self.site_back <= tick) {
            self.sites.push((tick + delay, Watts((self.drawn() * noise) as u64), time(tick)));
        }
    }

    /// Jobs come and go; those that come take idle GPUs.
    pub fn work(&mut self, tick: u64, start: bool, pause: &[JobId]) {
        for (job, ends) in &mut self.jobs {
            if pause.contains(&job.id) && !job.pausing {
                (job.pausing, *ends) = (true, (*ends).min(tick + 20 * TICKS));
            }
        }
        self.jobs.retain(|(_, ends)| *ends > tick);
        let taken = |gpu: &String| self.jobs.iter().any(|(job, _)| job.gpus.contains(gpu));
        let idle: Vec<usize> = (0..self.devices.len()).filter(|n| !taken(&self.devices[*n].board.gpu)).collect();
        if !start || idle.is_empty() || !self.dice.chance(0.3) {
            return;
        }
        // Boards of one kind, nearly always.
        let kind = self.devices[idle[0]].board.highest;
        let mixed = self.dice.chance(0.05);
        let idle: Vec<usize> = idle.into_iter().filter(|n| mixed || self.devices[*n].board.highest == kind).collect();
        let many = 1 + self.dice.below(idle.len().min(4));
        let gpus: Vec<usize> = idle[..many].to_vec();
        let highest = gpus.iter().map(|n| self.devices[*n].board.highest.0).min().expect("at least one");
        let bend = self.dice.between(0.2, 1.0);
        let point = |share: f64| (Watts((highest as f64 * share) as u64), 10.0 * share.powf(bend));
        let known = self.dice.chance(0.8);
        let id = JobId(self.next_job);
        self.next_job += 1;
        let job = Job {
            id,
            gpus: gpus.iter().map(|n| self.devices[*n].board.gpu.clone()).collect(),
            weight: self.dice.between(0.5, 2.0),
            least_speed: [1.0, 0.9, 0.75, 0.5][self.dice.below(4)],
            most: None,
            may_pause: self.dice.chance(0.4),
            pausing: false,
            points: if known { [0.45, 0.7, 1.0].map(point).to_vec() } else { Vec::new() },
        };
        let lasts = self.dice.between(60.0, 1_800.0);
        self.jobs.push((job, tick + (lasts * TICKS as f64) as u64));
    }

    /// Boards as they are configured.
    pub fn boards(&self) -> Vec<Board> {
        self.devices.iter().map(|device| device.board.clone()).collect()
    }

    /// A budget that carries the safe caps, and not all at their highest.
    pub fn budget(&mut self) -> u64 {
        let least: u64 = self.devices.iter().map(|d| if d.refuses { d.board.highest } else { d.board.left() }.0).sum();
        let most: u64 = self.devices.iter().map(|d| d.board.highest.0).sum();
        let share = self.dice.between(0.0, 1.0);
        (((least as f64 + share * (most - least) as f64) + self.others as f64) / 0.97) as u64 + 1_000
    }
}

pub fn config(seed: u64) -> Config {
    Config { seed, ..Config::default() }
}
