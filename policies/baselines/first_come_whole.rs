//! First come, first served for whole jobs: each takes its cheapest unbroken stretch in what earlier jobs left.

use super::first_come::by_arrival;
use super::moments::{SAME, cheaper, end, whole, within};
use crate::replay::{Case, Ran, TraceJob};
use std::collections::BTreeMap;

/// Starts lie on whole minutes.
const MINUTE: f64 = 60.0;

/// GPUs in use at every instant of one zone: the level from each key (a minute) to the next.
#[derive(Clone, Debug, Default)]
struct Levels(BTreeMap<i64, f64>);

impl Levels {
    fn at(&self, minute: i64) -> f64 {
        self.0.range(..=minute).next_back().map_or(0.0, |(_, level)| *level)
    }

    fn add(&mut self, from: i64, until: i64, gpus: f64) {
        for edge in [from, until] {
            let level = self.at(edge);
            self.0.insert(edge, level);
        }
        self.0.range_mut(from..until).for_each(|(_, level)| *level += gpus);
    }

    /// The ranges of minutes within `[first, last]` at which a job may start that holds its GPUs for so many minutes.
    fn starts(&self, first: i64, last: i64, minutes: i64, most: f64) -> Vec<(i64, i64)> {
        let mut free = Vec::new();
        let mut from = first;
        let until = last.saturating_add(minutes).max(first + 1);
        let levels =
            std::iter::once((first, self.at(first))).chain(self.0.range(first + 1..until).map(|(m, l)| (*m, *l)));
        let mut levels = levels.peekable();
        while let Some((minute, level)) = levels.next() {
            if level > most + SAME {
                if from <= minute.saturating_sub(minutes) {
                    free.push((from, minute - minutes));
                }
                from = levels.peek().map_or(i64::MAX, |(next, _)| *next);
            }
        }
        if from <= last {
            free.push((from, last));
        }
        free
    }
}

/// A choice: what it emits per GPU and kW, when it starts (a minute), where.
type Choice = (f64, i64, usize);

/// Whole widths under the whole GPUs of a zone, at every instant; windows are rounded inwards to minutes, and a job
/// holds and prices the minutes it begins. One that finds no stretch in its window takes the earliest one behind it,
/// and is late.
pub fn run(case: &Case) -> Vec<Ran> {
    let mut levels = vec![Levels::default(); case.places.len()];
    let mut ran = vec![Ran::new(); case.jobs.len()];
    for index in by_arrival(case) {
        let job = &case.jobs[index];
        let Some((_, start, place)) = choose(case, &levels, job) else { continue };
        ran[index] = whole(&TraceJob { home: place, ..*job }, start as f64 * MINUTE);
        let minutes = (job.length.max(0.0) / MINUTE).ceil() as i64;
        levels[place].add(start, start.saturating_add(minutes), job.width.max(0.0));
    }
    ran
}

fn choose(case: &Case, levels: &[Levels], job: &TraceJob) -> Option<Choice> {
    let length = job.length.max(0.0);
    let minutes = (length / MINUTE).ceil() as i64;
    let first = (job.arrival / MINUTE).ceil() as i64;
    // Behind the curves nothing gets cheaper.
    let known = case.places.iter().map(|p| (end(&p.curve) / MINUTE).ceil() as i64).fold(first, i64::max);
    let last = (((job.arrival + length + job.slack.max(0.0)) / MINUTE).floor() as i64 - minutes).min(known);
    let all = case.places.len();
    let places = (0..all).filter(|&p| job.home < all && (case.anywhere || p == job.home));
    let free = |place: usize, first, last| {
        let gpus = case.places[place].gpus.unwrap_or(f64::INFINITY).floor();
        let fits = job.width <= gpus + SAME;
        if fits { levels[place].starts(first, last, minutes, gpus - job.width.max(0.0)) } else { Vec::new() }
    };
    let held = minutes as f64 * MINUTE;
    let cost = |place: usize, start: i64| {
        let from = start as f64 * MINUTE;
        (case.places[place].pue * case.places[place].curve.integral(from, from + held), start, place)
    };
    let within_window = places.clone().flat_map(|place| {
        let ranges = free(place, first, last).into_iter();
        ranges.flat_map(move |range| kinks(case, place, range, held)).map(move |start| cost(place, start))
    });
    let choices: Vec<Choice> = within_window.collect();
    let least = choices.iter().map(|choice| choice.0).fold(f64::INFINITY, f64::min);
    let best = choices.into_iter().filter(|choice| !cheaper(least, choice.0));
    let sooner = |a: &Choice, b: &Choice| a.1.cmp(&b.1).then(a.0.total_cmp(&b.0)).then(a.2.cmp(&b.2));
    best.min_by(sooner).or_else(|| {
        let behind = |place| Some(cost(place, free(place, first.max(last + 1), i64::MAX / 4).first()?.0));
        places.filter_map(behind).min_by(sooner)
    })
}

/// The minutes of a range at which the cost of a stretch can be least: both ends, and beside every instant at which its
/// start or its end meets a step of the curve. In between it changes at one rate.
fn kinks(case: &Case, place: usize, (first, last): (i64, i64), held: f64) -> Vec<i64> {
    let curve = &case.places[place].curve;
    let (from, until) = (first as f64 * MINUTE, last as f64 * MINUTE);
    let starts = within(curve, from, until).into_iter().map(|m| m.from);
    let ends = within(curve, from + held, until + held).into_iter().map(|m| m.from - held);
    let minutes = starts.chain(ends).map(|at| at / MINUTE).flat_map(|at| [at.floor() as i64, at.ceil() as i64]);
    minutes.chain([first, last]).filter(|minute| (first..=last).contains(minute)).collect()
}
