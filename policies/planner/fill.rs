//! Fills the room anew at prices: the tightest jobs choose first, each its cheapest way with room paid for; then each is
//! lifted and put back at half the prices, and at a quarter. What comes of it are wishes; the queue grants them.

use super::better::{Cost, Settled, settle};
use super::certificate::{self, Prices};
use super::decide::{Desk, Target};
use super::line::{Line, Standing, Wish, has_a_choice};
use super::priced::Curves;
use super::search::{self, Choice};
use crate::likely::Lengths;
use crate::problem::Job;
use crate::room::Room;
use crate::stamp::{Stamp, stamp};
use neap_model::units::Percent;

/// How many orders are tried in which nobody may be late; fewer where there are more jobs times nodes than that.
const FILLS: usize = 10;
const FEW: usize = 2;
const MANY: usize = 50_000;

/// Share of the prices of room that is tried too where jobs can be quicker for more energy.
const QUICKLY: f64 = 1.1;

/// Grams × 10⁶ for what a [`search::Price`] counts.
const FINEST: f64 = 1e-12 / 3.6e6 * 1e6;

/// The plans that prices lead to. They depend on nothing that was decided before.
pub(super) fn anew<'a>(line: &Line<'a>, queue: &Settled<'a>) -> Vec<Settled<'a>> {
    if queue.pass.standing.len() < 2 || ideal(line, queue) {
        return Vec::new();
    }
    let Some(prices) = prices(line, queue) else { return Vec::new() };
    let mut beds = vec![without(queue)];
    let others = || queue.pass.decisions.iter().any(|(job, _)| queue.pass.room.slots.contains_key(job));
    if line.looks <= MANY && others() {
        let nobody = vec![Wish::First(Vec::new()); line.problem.waiting.len()];
        beds.push(line.pass(&nobody, false, |job| !has_a_choice(line.problem, job)).room);
    }
    // Prices at which all want just the room there is are those at which the last of them could as well want more of it.
    let quick = queue.pass.standing.iter().any(|standing| !standing.job.ways.is_empty());
    let shares: &[f64] = if quick && line.looks <= MANY { &[1.0, QUICKLY] } else { &[1.0] };
    let all = beds.iter().flat_map(|bed| shares.iter().map(move |share| (bed, *share)));
    all.map(|(bed, share)| settle(line, fill(line, queue, bed, &prices, share))).collect()
}

/// Whether nobody is in anybody's way: each has the best he could have alone from his first moment on, or what he could have
/// is not worth a wait.
fn ideal(line: &Line<'_>, settled: &Settled<'_>) -> bool {
    let desk = Desk { room: &settled.pass.room, policy: line.policy, now: line.problem.site.now };
    let content = |(standing, target): (&Standing<'_>, &Target)| {
        let Some(price) = target.choice.price else { return true };
        let asks =
            if target.why.is_some() { desk.asks(standing.job, &target.choice, &standing.first) } else { Percent(0) };
        // Those before him may have put off even his first start.
        let alone = Choice { start: stamp(desk.now.max(standing.job.eligible)), ..standing.first };
        desk.nothing_below(standing.job, &alone, price.less(asks))
    };
    Cost::of(settled).late == 0 && settled.pass.standing.iter().zip(&settled.targets).all(content)
}

/// The room of a plan without those who have a choice.
fn without(settled: &Settled<'_>) -> Room {
    let mut room = settled.pass.room.clone();
    settled.pass.standing.iter().for_each(|standing| room.release(standing.job.id));
    room
}

fn prices(line: &Line<'_>, base: &Settled<'_>) -> Option<Prices> {
    let desk = Desk { room: &base.pass.room, policy: line.policy, now: line.problem.site.now };
    let now = stamp(line.problem.site.now);
    let window = |standing: &Standing<'_>| {
        Some((now.max(stamp(standing.job.eligible)), desk.until(standing.job)?.max(standing.first.start)))
    };
    let jobs: Vec<(&Job, Stamp, Stamp)> = base
        .pass
        .standing
        .iter()
        .filter(|standing| standing.first.price.is_some())
        .filter_map(|standing| window(standing).map(|(from, last)| (standing.job, from, last)))
        .collect();
    let emits =
        base.targets.iter().filter_map(|target| target.choice.price).map(|price| price.emits as f64).sum::<f64>();
    certificate::prices(&without(base), now, &jobs, emits * FINEST)
}

/// Wishes for everybody who has a choice, and the others' first starts.
fn fill<'a>(line: &Line<'a>, base: &Settled<'a>, bed: &Room, prices: &Prices, share: f64) -> Vec<Wish<'a>> {
    let now = line.problem.site.now;
    let mut order: Vec<(f64, usize, &'a Job)> = base
        .pass
        .standing
        .iter()
        .map(|standing| {
            let desk = Desk { room: bed, policy: line.policy, now };
            let from = stamp(now.max(standing.job.eligible));
            let slack = desk.until(standing.job).unwrap_or(from).saturating_sub(from);
            (slack as f64 / standing.target.choice.shape.millis() as f64, standing.index, standing.job)
        })
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.id.cmp(&b.2.id)));
    let full = Curves::at(prices, share);
    let mut wishes = vec![Wish::First(Vec::new()); line.problem.waiting.len()];
    let mut room = bed.clone();
    let fills = if line.looks > MANY { FEW } else { FILLS };
    for again in 1..=fills {
        let mut late = vec![false; line.problem.waiting.len()];
        for (_, index, job) in &order {
            let desk = Desk { room: &room, policy: line.policy, now };
            let Some((target, is_late)) = desk.cheapest(job, &full) else { continue };
            late[*index] = is_late;
            room.promise(job.id, target.slots());
            wishes[*index] = asked(target);
        }
        if again == fills || !late.contains(&true) {
            break;
        }
        order.sort_by_key(|(_, index, _)| !late[*index]);
        room = bed.clone();
    }
    for share in [0.5, 0.25] {
        let curves = Curves::at(prices, share);
        for (_, index, job) in &order {
            room.release(job.id);
            let desk = Desk { room: &room, policy: line.policy, now };
            let Some((target, _)) = desk.cheapest(job, &curves) else { continue };
            room.promise(job.id, target.slots());
            wishes[*index] = asked(target);
        }
    }
    wishes
}

/// A wish for that place. Whoever starts as early as he can holds it, too: those before him in the queue would else take it, and
/// he had the only one left in time.
fn asked(target: Target) -> Wish<'static> {
    if target.why.is_none() { Wish::There(Box::new(target), None) } else { Wish::First(target.slots()) }
}

impl Desk<'_> {
    /// The cheapest way to run where room has a price, and whether it is late. It waits only for what its wait asks for,
    /// and prices do not count in that. `None`: no node that is up can run it.
    fn cheapest(&self, job: &Job, curves: &Curves<'_>) -> Option<(Target, bool)> {
        let first = search::earliest(self.room, job, stamp(self.now.max(job.eligible)))?;
        let at_first = super::line::at_first(job, first);
        let Some(until) = self.until(job).filter(|until| first.start <= *until) else {
            return Some((at_first, true));
        };
        let Some(now) = first.price else { return Some((at_first, false)) };
        let priced = |choice: &Choice| {
            let curve = curves.of(self.room, choice.node, &choice.shape, job);
            let cost = curve.expected(choice.start, &Lengths::of(job, choice.shape.length))?;
            let power = self.room.zones[choice.zone].rate(&choice.shape);
            Some(power.saturating_mul(cost.integral).saturating_add(choice.price?.hire))
        };
        let mut least = priced(&first).unwrap_or(u128::MAX);
        let mut best = at_first;
        let worth = |choice: &Choice| choice.price.is_some_and(|then| then.saves(now, self.asks(job, choice, &first)));
        let (_, any) = search::cleanest(self.room, job, &first, until, first.shape.rank, curves);
        if let Some(found) = any.filter(|found| found.start > first.start) {
            let cost = found.price.map_or(u128::MAX, |price| price.emits);
            let found = Choice::at(self.room, job, found.node, found.zone, found.shape, found.start);
            if cost < least && worth(&found) {
                least = cost;
                best = Target { choice: found, why: None, ..best };
            }
        }
        if let Some((target, cost)) = self.in_pieces(job, &first, curves)
            && cost < least
            && target.choice.start > first.start
            && worth(&target.choice)
        {
            best = target;
        }
        Some((best, false))
    }
}
