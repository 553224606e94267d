//! The other ways to run a job: now, cleanest, latest, and what further consents would open.

use crate::order::{by_price, latest_start, may_wait};
use crate::planner::priced::Curves;
use crate::planner::search::{self, Choice};
use crate::planner::{Desk, Plan, decided_kit};
use crate::problem::{Job, Policy, Site};
use crate::stamp::{later, millis, stamp, time};
use chrono::{DateTime, Utc};
use neap_model::job::Objective;
use neap_model::plan::{Alternative, Place, Remark, Verdict};
use neap_model::seconds::Seconds;

/// How far `--delay carbon` is shown for a job whose queue states no longest delay.
const A_DAY: Seconds = Seconds::hours(24);

/// The ways to run a job in what the plan leaves: at the first possible moment, as chosen, at the cleanest start, at the
/// latest one, in other zones and with `--delay carbon`. Each start and node once, by time, but the first moment first.
///
/// The job may be new or already waiting; of a waiting one the present choice is marked, and where that is none of these
/// (a plan that was kept although a little more could be had by now) it is listed beside the cleanest with its remark. A job that somebody blocks, or
/// that no node which is up can run, has none. What the curves do not cover is not offered.
#[must_use]
pub fn alternatives(plan: &Plan, site: &Site, policy: &Policy, job: &Job) -> Vec<Alternative> {
    let mut room = plan.room.clone();
    room.release(job.id);
    let desk = Desk { room: &room, policy, now: site.now };
    let from = stamp(site.now.max(job.eligible));
    let Some(first) = search::earliest(&room, job, from) else {
        return Vec::new();
    };
    if job.blocked.is_some() {
        return Vec::new();
    }
    let mut list = List { desk, job, rows: Vec::new() };
    list.add(first, if first.start <= stamp(site.now) { Remark::FitsNow } else { Remark::FirstRoom });
    let horizon = stamp(site.now).saturating_add(millis(policy.horizon));
    let waits = may_wait(job);
    let cleanest = |job: &Job, like: &Choice, until: DateTime<Utc>| {
        search::cleanest(&room, job, like, stamp(until).min(horizon), usize::MAX, &Curves::true_ones()).1
    };
    let mut others: Vec<(&str, u32)> = job.ways.iter().map(|way| (way.model.as_str(), way.gpus)).collect();
    others.sort_unstable();
    others.dedup();
    for kit in others {
        let ways = job.ways.iter().filter(|way| (way.model.as_str(), way.gpus) == kit);
        let alone = Job { ways: ways.cloned().collect(), ..job.clone() };
        if let Some(choice) = search::earliest(&room, &alone, from) {
            list.add(choice, Remark::OtherGpus);
        }
    }
    let latest = latest_start(job);
    if waits
        && let Some(until) = latest
        && let Some(choice) = cleanest(job, &first, until)
    {
        list.add(choice, if by_price(job) { Remark::Cheapest } else { Remark::Cleanest });
    }
    if !waits {
        let delayed = Job {
            delay: crate::problem::Delay { objective: Objective::Carbon, max: longest(job), ..job.delay },
            ..job.clone()
        };
        let until = latest_start(&delayed).unwrap_or_else(|| later(job.eligible, A_DAY));
        let choice =
            cleanest(job, &first, until).filter(|choice| choice.start > first.start && cleaner(choice, &first));
        if let Some(choice) = choice {
            list.add(choice, Remark::Needs { flag: "--delay carbon".to_owned() });
        }
    }
    let chosen = chosen(plan, &desk, job);
    for zone in &room.zones {
        let allowed = room.zones_of(job);
        if allowed.contains(&zone.name) {
            continue;
        }
        let there = Job { zones: vec![zone.name.clone()], ..job.clone() };
        let Some(soonest) = search::earliest(&room, &there, from) else {
            continue;
        };
        let best = match latest.filter(|_| waits) {
            Some(until) => cleanest(&there, &soonest, until).unwrap_or(soonest),
            None => soonest,
        };
        // What measures something else cannot be called cleaner.
        if room.alike(job, best.zone, first.zone) && cleaner(&best, &first) {
            let flag = format!("--zones {},{}", allowed.join(","), zone.name);
            list.add(best, Remark::Needs { flag });
        }
    }
    if let Some(until) = latest.map(stamp).filter(|until| *until > first.start)
        && let Some(choice) = search::last(&room, job, first.start, until)
    {
        list.add(choice, Remark::LatestStart { finish_by: job.finish_by });
    }
    list.mark(chosen)
}

/// Node and start that the planner takes: of a waiting job what it is promised, of a new one what it would be.
fn chosen(plan: &Plan, desk: &Desk<'_>, job: &Job) -> Option<Choice> {
    let (slots, decision) = match (plan.room.slots.get(&job.id), plan.decisions.get(&job.id)) {
        (Some(slots), Some(decision)) => (slots.clone(), decision.clone()),
        _ => {
            let (decision, slots) = desk.decide(job, None);
            (slots, decision)
        }
    };
    let name = match &decision.verdict {
        Verdict::Start { place, .. } => Some(&place.node),
        Verdict::Hold { place, .. } => place.as_ref().map(|place| &place.node),
    }?;
    search::there(desk.room, job, (name, decided_kit(&decision)), slots.first()?.from, usize::MAX)
}

fn longest(job: &Job) -> Seconds {
    if job.delay.max == Seconds::ZERO { A_DAY } else { job.delay.max }
}

fn cleaner(this: &Choice, than: &Choice) -> bool {
    match (this.price, than.price) {
        (Some(this), Some(than)) => this.emits < than.emits,
        _ => false,
    }
}

struct List<'a> {
    desk: Desk<'a>,
    job: &'a Job,
    rows: Vec<(usize, Alternative)>,
}

impl List<'_> {
    fn row(&self, choice: &Choice, remark: Remark) -> Option<Alternative> {
        let outlook = self.desk.outlook(self.job, choice)?;
        let room = self.desk.room;
        let place =
            Place { zone: room.zones[choice.zone].name.clone(), node: room.nodes[choice.node].machine.name.clone() };
        debug_assert_eq!(outlook.end, later(time(choice.start), choice.shape.length));
        let width = self.desk.width(self.job, choice);
        let cost = self.desk.run_cost(self.job, choice);
        Some(Alternative { outlook, place, width, chosen: false, remark, cost })
    }

    /// Whether that row is of this choice.
    fn is(&self, choice: &Choice, node: usize, row: &Alternative) -> bool {
        node == choice.node && row.outlook.start == time(choice.start) && row.width == self.desk.width(self.job, choice)
    }

    fn add(&mut self, choice: Choice, remark: Remark) {
        let same = self.rows.iter().any(|(node, row)| self.is(&choice, *node, row));
        if !same && let Some(row) = self.row(&choice, remark) {
            self.rows.push((choice.node, row));
        }
    }

    /// Marks the chosen way, adds it where it is none of the others, and sorts.
    fn mark(mut self, chosen: Option<Choice>) -> Vec<Alternative> {
        if let Some(choice) = chosen {
            let by_price = by_price(self.job);
            self.add(choice, if by_price { Remark::Cheapest } else { Remark::Cleanest });
            let chosen: Vec<bool> = self.rows.iter().map(|(node, row)| self.is(&choice, *node, row)).collect();
            self.rows.iter_mut().zip(chosen).for_each(|((_, row), chosen)| row.chosen = chosen);
        }
        let mut rows: Vec<Alternative> = self.rows.into_iter().map(|(_, row)| row).collect();
        let ahead = |row: &Alternative| !matches!(row.remark, Remark::FitsNow | Remark::FirstRoom);
        rows.sort_by_key(|row| (ahead(row), row.outlook.start));
        rows
    }
}

#[cfg(test)]
mod tests;
