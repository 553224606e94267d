//! CICS: an ordinary dispatcher under an hourly curve of capacity that is drawn for the day ahead and follows the grid.
//!
//! The published description leaves constants open; those chosen here are named below. The rule looks at past days
//! for load and at the coming day for intensity, and it moves no single job. That is what is weak in it, and that it
//! was made for loads much wider than a job: under a curve narrower than itself a job waits until its slack is spent.

mod deviations;
#[cfg(test)]
mod tests;

pub use deviations::{Day, deviations};

use super::Lengths;
use super::moments::{SAME, whole};
use crate::replay::{Case, Ran, TraceJob, quantile};
use std::collections::BTreeMap;

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
/// Days of load that are looked back upon.
const REMEMBERED: i64 = 7;
/// The quantile of past days that the curve must cover, for load that cannot move and for a day's requests.
const COVERED: f64 = 0.97;
/// How far an hour's share of the flexible load may depart from an even one.
const MOST: f64 = 0.5;
/// A job waits for the curve this long at most, whatever its slack.
const PATIENCE: f64 = 7.0 * DAY;

/// Runs every zone by itself, whole widths, at home, nothing overtakes its own kind. A job without slack, or whose
/// slack is spent, is inflexible: it starts before flexible ones and obeys the zone's GPUs alone; a flexible one
/// starts only below the curve. On two days in a row with more requests than foreseen the curve is not used, until a
/// day goes by without.
pub fn run(case: &Case, lengths: Lengths) -> Vec<Ran> {
    let mut ran = vec![Ran::new(); case.jobs.len()];
    for (place, gpus) in case.places.iter().map(|p| p.gpus.unwrap_or(f64::INFINITY)).enumerate() {
        let mut jobs: Vec<usize> = (0..case.jobs.len()).filter(|&j| case.jobs[j].home == place).collect();
        jobs.retain(|&j| case.jobs[j].width <= gpus + SAME);
        jobs.sort_by(|&a, &b| case.jobs[a].arrival.total_cmp(&case.jobs[b].arrival).then(a.cmp(&b)));
        Zone::new(case, lengths, place, gpus).run(&jobs, &mut ran);
    }
    ran
}

struct Zone<'a> {
    case: &'a Case,
    lengths: Lengths,
    place: usize,
    gpus: f64,
    used: f64,
    /// Ends and GPUs of what runs, the next to end last.
    running: Vec<(f64, f64)>,
    /// Jobs that wait, in the order they came.
    waiting: Vec<usize>,
    /// Runs of jobs without slack: from, until, GPUs.
    inflexible: Vec<(f64, f64, f64)>,
    /// Flexible GPU-hours asked for and foreseen, by day.
    asked: BTreeMap<i64, f64>,
    foreseen: BTreeMap<i64, f64>,
    today: Option<i64>,
    /// Today's curve, in GPUs by hour; none while shaping is off.
    curve: Option<Vec<f64>>,
}

impl<'a> Zone<'a> {
    fn new(case: &'a Case, lengths: Lengths, place: usize, gpus: f64) -> Self {
        Self {
            case,
            lengths,
            place,
            gpus,
            used: 0.0,
            running: Vec::new(),
            waiting: Vec::new(),
            inflexible: Vec::new(),
            asked: BTreeMap::new(),
            foreseen: BTreeMap::new(),
            today: None,
            curve: None,
        }
    }

    fn run(&mut self, jobs: &[usize], ran: &mut [Ran]) {
        let mut coming = jobs.iter().copied().peekable();
        let mut last = f64::NEG_INFINITY;
        loop {
            let arrival = coming.peek().map(|&j| self.case.jobs[j].arrival);
            let end = self.running.last().map(|(ends, _)| *ends);
            let events = arrival.into_iter().chain(end).chain(self.turns(last));
            let Some(now) = events.min_by(f64::total_cmp) else { break };
            while let Some((_, gpus)) = self.running.pop_if(|(ends, _)| *ends <= now) {
                self.used = if self.running.is_empty() { 0.0 } else { self.used - gpus };
            }
            let day = (now / DAY).floor() as i64;
            if self.today != Some(day) {
                self.begin(day);
            }
            while let Some(job) = coming.next_if(|&j| self.case.jobs[j].arrival <= now) {
                self.waiting.push(job);
                if patience(&self.case.jobs[job]) > 0.0 {
                    *self.asked.entry(day).or_insert(0.0) += self.work(job);
                }
            }
            self.dispatch(now, ran);
            last = now;
        }
    }

    /// When something changes for the jobs that wait although none comes or ends: the next hour, and each one's last
    /// moment of patience.
    fn turns(&self, last: f64) -> Option<f64> {
        let spent = self.waiting.iter().map(|&j| latest(&self.case.jobs[j])).filter(|at| *at > last);
        let spent = spent.min_by(f64::total_cmp)?;
        Some(spent.min(((last / HOUR).floor() + 1.0) * HOUR)).filter(|at| *at > last)
    }

    fn dispatch(&mut self, now: f64, ran: &mut [Ran]) {
        let (must, may): (Vec<usize>, Vec<usize>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|&j| now >= latest(&self.case.jobs[j]));
        let hour = (((now / HOUR).floor() as i64).rem_euclid(24)) as usize;
        let curve = self.curve.as_ref().map_or(f64::INFINITY, |curve| curve[hour]);
        let mut held = false;
        for (jobs, limit) in [(must, self.gpus), (may, self.gpus.min(curve))] {
            for job in jobs {
                held = held || self.used + self.case.jobs[job].width > limit + SAME;
                if held {
                    self.waiting.push(job);
                } else {
                    self.start(job, now, ran);
                }
            }
        }
        self.waiting.sort_unstable();
    }

    fn start(&mut self, job: usize, now: f64, ran: &mut [Ran]) {
        let it = &self.case.jobs[job];
        let (ends, gpus) = (now + it.length.max(0.0), it.width.max(0.0));
        ran[job] = whole(it, now);
        self.used += gpus;
        let at = self.running.partition_point(|(other, _)| *other > ends);
        self.running.insert(at, (ends, gpus));
        if patience(it) == 0.0 {
            self.inflexible.push((now, ends, gpus));
        }
    }

    /// Draws the curve of a day from the days before it and the work that waits.
    fn begin(&mut self, day: i64) {
        let first = self.today.map_or(day, |_| self.asked.keys().next().copied().unwrap_or(day));
        let days: Vec<i64> = (first.max(day - REMEMBERED)..day).collect();
        self.today = Some(day);
        self.inflexible.retain(|run| run.1 > (day - REMEMBERED) as f64 * DAY);
        let mut asked: Vec<f64> = days.iter().map(|d| self.asked.get(d).copied().unwrap_or(0.0)).collect();
        asked.sort_by(f64::total_cmp);
        let flexible = quantile(&asked, COVERED) + self.waiting.iter().map(|&j| self.work(j)).sum::<f64>();
        let missed =
            |d: i64| self.foreseen.get(&d).is_some_and(|foreseen| self.asked.get(&d).unwrap_or(&0.0) > foreseen);
        let off = days.is_empty() || (missed(day - 1) && missed(day - 2));
        if !days.is_empty() {
            self.foreseen.insert(day, flexible);
        }
        self.curve = (!off).then(|| self.draw(day, &days, flexible));
    }

    fn draw(&self, day: i64, days: &[i64], flexible: f64) -> Vec<f64> {
        let place = &self.case.places[self.place];
        let hour_of = |day: i64, hour: usize| (day * 24 + hour as i64) as f64 * HOUR;
        let load = |from: f64| {
            let shared = |run: &(f64, f64, f64)| (run.1.min(from + HOUR) - run.0.max(from)).max(0.0) / HOUR * run.2;
            self.inflexible.iter().map(shared).sum::<f64>()
        };
        let inflexible = (0..24).map(|hour| {
            let mut loads: Vec<f64> = days.iter().map(|d| load(hour_of(*d, hour))).collect();
            loads.sort_by(f64::total_cmp);
            quantile(&loads, COVERED)
        });
        let intensity = (0..24).map(|hour| place.curve.integral(hour_of(day, hour), hour_of(day, hour + 1)));
        let mut ahead = Day {
            intensity: intensity.collect(),
            inflexible: inflexible.collect(),
            flexible,
            power: vec![(0.0, 0.0), (1.0, self.case.kw_per_gpu * place.pue)],
            most: MOST,
            carbon: 1.0,
            peak: 0.0,
        };
        // A kW of the highest power counts as much as that kW for an hour at the day's mean.
        ahead.peak = ahead.intensity.iter().sum::<f64>() / 24.0;
        let shares = deviations(&ahead).into_iter().zip(&ahead.inflexible);
        shares.map(|(d, fixed)| fixed + (1.0 + d) * flexible / 24.0).collect()
    }

    /// GPU-hours, as far as the length is known.
    fn work(&self, job: usize) -> f64 {
        let it = &self.case.jobs[job];
        it.width.max(0.0) * self.lengths.of(it) / HOUR
    }
}

fn patience(job: &TraceJob) -> f64 {
    job.slack.clamp(0.0, PATIENCE)
}

fn latest(job: &TraceJob) -> f64 {
    job.arrival + patience(job)
}
