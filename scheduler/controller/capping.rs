//! How hard each job runs: its own steps are watched at a few limits, and the one of least energy within its slowdown stays. Where
//! no limit slows it because it waits for memory, ceilings of the clock take the place of limits (`clocks`).
//!
//! A job is watched as it was found first, so one that counts no steps is never slowed to save energy. What was learned of a
//! project's job on a board is used at the next start. An operator's limit for a node goes before all of it.

mod back;
mod clocks;
mod known;
pub(super) mod rungs;

use self::known::{curve, key_of, making_watts, percent, points};
use self::rungs::between;
use super::state::{Job, Node};
use super::{Controller, Turn};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::{CapPoint, CapReason, Pace, Settable};
use neap_model::fleet::Gpu;
use neap_model::job::JobId;
use neap_model::lifecycle::{JobEvent, Phase};
use neap_model::units::{Megahertz, Percent, Watts};
use neap_policies::power::{Choice, ClockProbe, Clocks, Key, Learned, Next, Point, Probe, Terms};
use std::collections::BTreeMap;

/// A job that stops counting its steps in the middle of a search goes back to what was found after so many windows' time.
const SILENT: i32 = 10;
/// At least that long.
const SILENT_LEAST: TimeDelta = TimeDelta::minutes(2);
/// Windows in a row at another rate: another phase of the job, and everything is watched anew.
const DRIFT: u32 = 3;
/// Limits that are tried lie a tenth of the highest apart, in steps of 5 W.
const RUNGS: u64 = 10;
const RUNG_WATTS: u64 = 5_000;

/// Everything that is being found out.
#[derive(Debug, Default)]
pub(super) struct Capping {
    searches: BTreeMap<JobId, Search>,
    learned: Learned,
    /// The same of jobs that no limit slows.
    clocks: Learned<Clocks>,
    /// What holds each running job lower than its own search would: an operator, or its power domain.
    over: BTreeMap<JobId, (Watts, CapReason)>,
}

#[derive(Debug)]
struct Search {
    probe: Probe,
    /// Once it turned out that no limit slows it, ceilings are searched and not limits.
    clocks: Option<ClockProbe>,
    terms: Terms,
    key: Key,
    /// The limit that was chosen with its start, while what was known then holds.
    planned: Option<Watts>,
    /// The limit that was found: the highest.
    top: Watts,
    /// The last window that was taken in.
    seen: Option<u32>,
    want: Option<Watts>,
    ceiling: Option<Megahertz>,
    since: DateTime<Utc>,
    window: TimeDelta,
    stays: bool,
    /// Why it stays where it is.
    because: Option<CapReason>,
    drift: u32,
}

impl Capping {
    /// The attempt is over.
    pub(super) fn forget(&mut self, id: JobId) {
        self.searches.remove(&id);
        self.over.remove(&id);
    }
}

impl Controller {
    /// After a start: what earlier jobs showed, and what running ones are held at.
    pub(super) fn resume_capping(&mut self) {
        let jobs: Vec<_> = self.state.jobs.values().filter(|job| !job.cap_points.is_empty()).cloned().collect();
        for job in jobs {
            let Some(board) = self.gpus_of(&job).and_then(|gpus| Some(gpus.first()?.model.clone())) else { continue };
            let at = job.started.unwrap_or(job.submitted);
            match clocks::known(&job.cap_points) {
                Some(known) => self.capping.clocks.keep(key_of(&job, board), at, known),
                None => self.capping.learned.keep(key_of(&job, board), at, curve(&job.cap_points)),
            }
        }
    }

    /// Whether the GPUs of a job may be held at limits to save energy, and at which: highest found, rungs below it.
    fn rungs(&self, job: &Job) -> Option<(Vec<Watts>, String)> {
        if job.spec.flex.slowdown == Percent(0) || job.gpus.is_empty() {
            return None;
        }
        let (mut least, mut top, mut board) = (Watts::ZERO, Watts(u64::MAX), None);
        for gpu in self.gpus_of(job)? {
            let range = gpu.settable?;
            least = least.max(range.least);
            top = range.nearest(top.min(gpu.limit));
            if *board.get_or_insert(&gpu.model) != &gpu.model {
                return None;
            }
        }
        let rungs = between(least, top);
        (rungs.len() > 1).then(|| (rungs, board.cloned().unwrap_or_default()))
    }

    fn node_of(&self, job: &Job) -> Option<&Node> {
        self.state.nodes.get(&job.place.as_ref()?.node)
    }

    /// The GPUs of a job as its node describes them; `None` if the node does not know one of them.
    pub(super) fn gpus_of(&self, job: &Job) -> Option<Vec<&Gpu>> {
        let known = &self.node_of(job)?.inventory.gpus;
        job.gpus.iter().map(|uuid| known.iter().find(|gpu| gpu.uuid == *uuid)).collect()
    }

    /// A job was given to a node, or its node can set limits now.
    pub(super) fn begin_capping(&mut self, now: DateTime<Utc>, id: JobId, turn: &mut Turn) {
        let Some(job) = self.state.jobs.get(&id).cloned() else { return };
        let Some((rungs, board)) = self.rungs(&job) else { return };
        let key = key_of(&job, board);
        let known = self.capping.learned.of(&key, now).cloned().unwrap_or_default();
        let host = self.node_of(&job).map_or(Watts::ZERO, |node| {
            Watts(node.inventory.watts_per_cpu.0 * u64::from(job.cpus) / job.gpus.len() as u64)
        });
        let delay = self.making_now(&job);
        let terms = Terms { host: host.in_base(), delay, ..Terms::within(job.spec.flex.slowdown.ratio()) };
        let top = rungs.first().copied().unwrap_or_default();
        let probe = Probe::new(&rungs, terms, known, id.0);
        let below = self.capping.clocks.of(&key, now).cloned().zip(self.clocks_of(&job));
        let clocks = below.map(|(known, range)| ClockProbe::new(range, known, terms));
        let search = Search {
            probe,
            clocks,
            terms,
            key,
            planned: job.width().and_then(|width| width.limit),
            top,
            seen: None,
            want: None,
            ceiling: None,
            since: now,
            window: SILENT_LEAST,
            stays: false,
            because: None,
            drift: 0,
        };
        self.capping.searches.insert(id, search);
        // What is known of it already needs no watching; else it is watched as it was found first.
        self.go_on(now, id, false, turn);
    }

    /// What the making of the hardware that a job holds comes to at the grid's present intensity where it runs, as watts a GPU.
    fn making_now(&self, job: &Job) -> f64 {
        let Some(zone) = job.place.as_ref().map(|place| place.zone.as_str()) else { return 0.0 };
        let now = self.planning.site.now;
        let intensity = self.grid.get(zone).and_then(|grid| grid.curve.series.at(now)).map(|span| span.value);
        let intensity = intensity.map_or(0.0, |intensity| intensity.in_base()) * self.pue_of(zone);
        making_watts(self.config.embodied.as_ref(), (job.gpus.len() as u64, u64::from(job.cpus)), intensity)
    }

    /// A whole window of a job's own steps. The same window again is not new; an executor that was started anew counts from 0.
    pub(super) fn pace_heard(&mut self, now: DateTime<Utc>, id: JobId, pace: &Pace, turn: &mut Turn) {
        if !self.capping.searches.contains_key(&id) {
            self.begin_capping(now, id, turn);
        }
        let gpus = self.state.jobs.get(&id).map_or(1, |job| job.gpus.len().max(1));
        let Some(search) = self.capping.searches.get_mut(&id) else { return };
        if search.seen == Some(pace.number) || pace.steps_ms == 0 || pace.energy_ms == 0 {
            return;
        }
        search.seen = Some(pace.number);
        // A board that is asked for what was found is at its highest.
        let below = |limit: Option<Watts>| limit.filter(|limit| *limit < search.top);
        let pace = &Pace { limit: below(pace.limit), ..*pace };
        // Under another limit, an operator's: it tells nothing about the one that was asked for.
        if (pace.limit, pace.clock_ceiling) != (below(search.want), search.ceiling) {
            return;
        }
        search.since = now;
        search.window =
            TimeDelta::milliseconds(i64::try_from(pace.steps_ms.max(pace.energy_ms)).unwrap_or(i64::MAX / 100));
        let limit = pace.limit.unwrap_or(search.top);
        let rate = pace.steps as f64 * 1e3 / pace.steps_ms as f64;
        // Millijoules a millisecond are watts.
        let power = pace.energy.0 as f64 / pace.energy_ms as f64 / gpus as f64;
        if search.stays {
            let another = match &search.clocks {
                Some(clocks) => clocks.is_another_phase(pace.clock_ceiling, rate),
                None => search.probe.is_another_phase(limit, rate),
            };
            search.drift = if another { search.drift + 1 } else { 0 };
            if search.drift < DRIFT {
                return;
            }
            if let Some(search) = self.capping.searches.remove(&id) {
                self.capping.learned.drop_curve(&search.key);
                self.capping.clocks.drop_curve(&search.key);
                self.learned_more(id);
            }
            self.begin_capping(now, id, turn);
            // What it was planned by does not hold any more.
            if let Some(search) = self.capping.searches.get_mut(&id) {
                search.planned = None;
            }
            return;
        }
        let point = Point { limit, rate, power };
        match &mut search.clocks {
            Some(clocks) => clocks.measured(pace.clock_ceiling, point),
            None => {
                search.probe.measured(point);
                self.weigh_levers(id, pace, point);
            }
        }
        self.go_on(now, id, true, turn);
    }

    /// Goes to what is to be watched next, where it may, or stays at what was chosen.
    fn go_on(&mut self, now: DateTime<Utc>, id: JobId, may_move: bool, turn: &mut Turn) {
        let Some(search) = self.capping.searches.get_mut(&id) else { return };
        if let Some(clocks) = &search.clocks {
            let next = clocks.next();
            return self.go_on_below(now, id, next, may_move, turn);
        }
        if let Some(choice) = search.planned.and_then(|limit| search.probe.curve().choice(limit)) {
            return self.stay(now, id, choice, turn);
        }
        match search.probe.next() {
            Some(Next::Measure(limit)) if may_move => search.want = Some(limit),
            Some(Next::Stay(choice)) => self.stay(now, id, choice, turn),
            _ => {}
        }
    }

    /// The search is over: what was chosen is written down with what it rests on.
    fn stay(&mut self, now: DateTime<Utc>, id: JobId, choice: Choice, turn: &mut Turn) {
        let Some(search) = self.capping.searches.get_mut(&id) else { return };
        search.want = (choice.limit < search.top).then_some(choice.limit);
        let curve = search.probe.curve().clone();
        let points = points(&curve);
        let news = self.capping.learned.of(&search.key, now) != Some(&curve);
        self.capping.learned.keep(search.key.clone(), now, curve);
        if news {
            self.learned_more(id);
        }
        self.decided(now, id, (choice.time, choice.energy), points, turn);
    }

    fn decided(
        &mut self,
        now: DateTime<Utc>,
        id: JobId,
        (time, energy): (f64, f64),
        points: Vec<CapPoint>,
        turn: &mut Turn,
    ) {
        let Some(search) = self.capping.searches.get_mut(&id) else { return };
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some((epoch, _)) = job.phase.attempt() else { return };
        (search.stays, search.drift) = (true, 0);
        let (limit, clock_ceiling) = (search.want, search.ceiling);
        let (time, energy) = (percent(time), percent(energy));
        let slowdown = job.spec.flex.slowdown;
        let because = match search.planned {
            Some(planned) if search.own().is_some_and(|own| own.limit != planned) => {
                CapReason::Planned { time, energy, slowdown }
            }
            _ => CapReason::LeastEnergy { time, energy, slowdown },
        };
        search.because = Some(because.clone());
        if (job.capped.as_ref(), job.clock_ceiling) != (Some(&(limit, because.clone())), clock_ceiling) {
            self.happens(now, id, JobEvent::Capped { epoch, limit, clock_ceiling, because, points }, turn);
        }
    }

    /// What the limit of a job's GPUs should be now; `None`: as it was found.
    pub(super) fn cap_wanted(&self, job: &Job) -> Option<Watts> {
        let searched = match self.capping.searches.get(&job.id) {
            Some(search) => search.want,
            // Not heard of since this start: it stays as it was decided.
            None => {
                let decided = job.capped.as_ref().filter(|(_, why)| why.own().is_some());
                decided.and_then(|(limit, _)| *limit)
            }
        };
        let over = self.held_over(job).map(|(limit, _)| limit);
        let wanted = [searched, over].into_iter().flatten().min()?;
        // A limit that no GPU of the job may be told is not asked for.
        let ranges: Option<Vec<Settable>> = self.gpus_of(job)?.iter().map(|gpu| gpu.settable).collect();
        ranges?.iter().map(|range| range.nearest(wanted)).max()
    }

    /// The lowest limit that somebody else than the job's own search asks for.
    fn held_over(&self, job: &Job) -> Option<(Watts, CapReason)> {
        let node = &job.place.as_ref()?.node;
        let stated = self.state.notices.gpu_cap(self.planning.site.now, node);
        let stated = stated.map(|(limit, notice)| (limit, CapReason::Node { event: notice.id.clone() }));
        [stated, self.budgets.limit(job), self.held_from_start(job)]
            .into_iter()
            .flatten()
            .min_by_key(|(limit, _)| *limit)
    }

    /// What is known of a job's speed by limit.
    pub(super) fn points_of(&self, job: &Job) -> Vec<(Watts, f64)> {
        let searched = self.capping.searches.get(&job.id).map(|search| search.probe.curve().clone());
        let known = searched.filter(|curve| curve.points().len() > 1).unwrap_or_else(|| curve(&job.cap_points));
        known.points().iter().map(|point| (point.limit, point.rate)).collect()
    }

    /// Time passed: a search that hears nothing any more ends, and operators' limits that begin or end are written down.
    pub(super) fn tend_caps(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        let silent = |search: &Search| {
            let held = search.want.is_some() || search.ceiling.is_some();
            held && !search.stays && now - search.since > (search.window * SILENT).max(SILENT_LEAST)
        };
        for search in self.capping.searches.values_mut().filter(|search| silent(search)) {
            (search.want, search.ceiling, search.stays) = (None, None, true);
        }
        let running: Vec<JobId> = self.planning.placed.values().flatten().copied().collect();
        for id in running {
            let Some(job) = self.state.jobs.get(&id).filter(|job| !job.gpus.is_empty()) else { continue };
            let Phase::Running { epoch, node, .. } = &job.phase else { continue };
            let (epoch, node) = (*epoch, node.clone());
            if self.give_back(now, id, turn) {
                self.wake(&node, turn);
            }
            let Some(job) = self.state.jobs.get(&id) else { continue };
            let search = self.capping.searches.get(&id);
            let searched = search.and_then(|search| search.want);
            let over = self.held_over(job).filter(|(limit, _)| searched.is_none_or(|searched| *limit < searched));
            if over.as_ref() == self.capping.over.get(&id) {
                continue;
            }
            let because = match &over {
                Some((_, because)) => because.clone(),
                None => search.and_then(|search| search.because.clone()).unwrap_or(CapReason::Free),
            };
            let undecided = search.is_some_and(|search| search.because.is_none());
            let (limit, clock_ceiling) = (self.cap_wanted(job), self.ceiling_wanted(job));
            let points = job.cap_points.clone();
            if (job.capped.as_ref(), job.clock_ceiling) != (Some(&(limit, because.clone())), clock_ceiling) {
                self.happens(now, id, JobEvent::Capped { epoch, limit, clock_ceiling, because, points }, turn);
            }
            if over.is_none() && undecided {
                self.capping.searches.remove(&id);
                self.begin_capping(now, id, turn);
            }
            match over {
                Some(over) => self.capping.over.insert(id, over),
                None => self.capping.over.remove(&id),
            };
            self.wake(&node, turn);
        }
    }
}
