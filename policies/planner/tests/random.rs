//! Problems nobody thought of.

use super::{at, job, node, occupant};
use crate::machine::model_matches;
use crate::problem::{
    Good, Job, Level, NodeState, Occupant, PauseTerms, Problem, Running, Shared, Site, Way, ZoneState, slowest,
};
use neap_model::cap::Settable;
use neap_model::fleet::Zone;
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Pue, Watts};
use proptest::prelude::*;
use std::sync::Arc;

const ZONES: [&str; 3] = ["DE", "SE3", "PL"];

/// Spans of up to three hours; some are missing, some are not trustworthy.
pub(crate) fn curve(grades: &'static [Grade], holes: f64) -> impl Strategy<Value = Series> {
    let span = (1i64..180, 0u64..600, prop::sample::select(grades), prop::bool::weighted(1.0 - holes));
    prop::collection::vec(span, 0..30).prop_map(|parts| {
        let mut from = -90;
        let spans = parts.into_iter().filter_map(|(minutes, value, grade, there)| {
            let span = Span { from: at(from), until: at(from + minutes), value: Intensity::grams(value), grade };
            from += minutes;
            there.then_some(span)
        });
        Series::new(spans.collect::<Vec<_>>())
    })
}

fn zones(grades: &'static [Grade], holes: f64) -> impl Strategy<Value = Vec<ZoneState>> {
    let zone = (curve(grades, holes), prop::option::of(1.0f64..2.0));
    prop::collection::vec(zone, 1..=3).prop_map(|zones| {
        let zone = |(index, (curve, pue)): (usize, (Series, Option<f64>))| ZoneState {
            zone: Zone { name: ZONES[index].to_owned(), home: index == 0, pue: pue.and_then(Pue::new) },
            curve: Arc::new(curve),
            basis: index / 2,
            prices: None,
        };
        zones.into_iter().enumerate().map(zone).collect()
    })
}

fn nodes() -> impl Strategy<Value = Vec<NodeState>> {
    let one = (
        0usize..3,
        0u32..4,
        prop::sample::select(&["H100", "A100", "H100-SXM"][..]),
        prop::bool::weighted(0.9),
        0u64..20,
    );
    prop::collection::vec(one, 0..5).prop_map(|nodes| {
        let node = |(index, (zone, gpus, model, up, watts)): (usize, (usize, u32, &str, bool, u64))| {
            let mut node = node(&format!("n{index}"), ZONES[zone], gpus, model);
            if let Some(gpu) = node.gpus.get_mut(2) {
                "A100".clone_into(&mut gpu.model);
            }
            (node.up, node.watts_per_cpu) = (up, Watts::whole(watts));
            // Boards of some nodes start work held, down to that limit.
            let safe = (watts % 3 > 0).then(|| Watts::whole(watts * 20));
            let range =
                Settable { least: Watts::whole(100), most: Watts::whole(1_000), clocks: None, safe, found: None };
            node.gpus.iter_mut().for_each(|gpu| gpu.settable = Some(range));
            node
        };
        nodes.into_iter().enumerate().map(node).collect()
    })
}

/// Terms of a job: when it came, how long, how large, what it promised and consented to.
pub(crate) fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let when = (-300i64..=0, -60i64..200, 1u64..400, -1i32..=1);
    let size = (0u32..3, prop::option::of(1u32..9), 0u64..40, prop::sample::subsequence(vec!["A100", "H100"], 0..=2));
    let promises =
        (prop::option::weighted(0.2, -60i64..600), prop::option::weighted(0.3, 0i64..900), prop::bool::weighted(0.05));
    let pause = prop::option::weighted(0.5, (0u64..20, 5u64..60));
    let speeds = prop::collection::vec((40u64..=100, prop::option::of(200u64..1_000), 0usize..2), 6);
    let likely = prop::option::weighted(0.4, prop::collection::vec(1u32..=1_600, 1..6));
    let kinds = (prop::option::weighted(0.4, speeds), 0u32..40, likely);
    let flex = (any::<bool>(), 0u64..12, 0u32..30, 0u32..20, prop::sample::subsequence(ZONES.to_vec(), 0..=3));
    let one = (when, size, promises, flex, prop::bool::weighted(0.1), pause, kinds).prop_map(
        |(when, size, promises, flex, blocked, pause, (speeds, slowdown, likely))| {
            let mut job = job(0, when.2);
            (job.submitted, job.eligible, job.priority) = (at(when.0), at(when.0.max(when.1)), when.3);
            (job.gpus, job.cpus, job.memory) = (size.0, size.1, Bytes(size.2 << 30));
            job.gpu_model = size.3.into_iter().map(str::to_owned).collect();
            (job.start_by, job.finish_by) = (promises.0.map(at), promises.1.map(at));
            job.forced_by = promises.2.then(|| "ada".to_owned());
            job.delay.objective = if flex.0 { Objective::Carbon } else { Objective::None };
            job.delay.max = Seconds::hours(flex.1);
            (job.delay.min_saving, job.delay.replan_gain) = (Percent::whole(flex.2), Percent::whole(flex.3));
            job.zones = flex.4.into_iter().map(str::to_owned).collect();
            job.blocked = blocked.then(|| Reason::Hold { by: "ada".to_owned() });
            job.pause =
                pause.map(|(cost, least)| PauseTerms { cost: Seconds::minutes(cost), least: Seconds::minutes(least) });
            (job.ways, job.slowdown) =
                (speeds.map(|speeds| ways(&job, &speeds)).unwrap_or_default(), Percent::whole(slowdown));
            let mut likely = likely.unwrap_or_default();
            likely.sort_unstable();
            job.likely = likely.into();
            job.length = slowest(&job.ways).unwrap_or(job.length);
            job
        },
    );
    prop::collection::vec(one, 0..14).prop_map(|mut jobs| {
        (1..).zip(&mut jobs).for_each(|(id, job)| job.id = JobId(id));
        jobs
    })
}

/// One and two times the GPUs of each model that it takes, each with its own speed; some of them at two limits.
fn ways(job: &Job, speeds: &[(u64, Option<u64>, usize)]) -> Arc<[Way]> {
    let models = ["H100", "A100", "H100-SXM"].into_iter().filter(|model| model_matches(&job.gpu_model, model));
    let all = models.flat_map(|model| [1, 2].map(|times| (model, job.gpus * times)));
    let way = |((model, gpus), (share, watts, rank)): ((&str, u32), &(u64, Option<u64>, usize))| Way {
        model: model.to_owned(),
        gpus,
        limit: None,
        length: Seconds((job.length.0 * share / 100).max(1)),
        watts: watts.map(Watts::whole),
        rank: *rank,
        short: false,
    };
    let at_limits = |way: Way| match way.watts.filter(|_| way.length.0 % 2 == 1) {
        None => vec![way],
        Some(watts) => {
            let (length, watts) = (Seconds(way.length.0 * 110 / 100), Some(watts.scaled(3, 4)));
            let lower = Way { limit: Some(Watts::whole(200)), length, watts, ..way.clone() };
            // More energy for fewer watts.
            let (length, watts) = (Seconds(way.length.0 * 125 / 100), lower.watts.map(|watts| watts.scaled(9, 10)));
            let short = Way { limit: Some(Watts::whole(150)), length, watts, short: true, ..way.clone() };
            vec![Way { limit: Some(Watts::whole(300)), ..way }, lower, short]
        }
    };
    if job.gpus == 0 { Arc::default() } else { all.zip(speeds).map(way).flat_map(at_limits).collect() }
}

/// The way that a job which had a choice runs on: the length is that of its slowest.
fn as_it_runs(job: &Job, node: Option<&NodeState>, occupant: &Occupant) -> Arc<[Way]> {
    let gpus = node.into_iter().flat_map(|node| &node.gpus).filter(|gpu| occupant.gpus.contains(&gpu.uuid));
    let models: Vec<&String> = gpus.map(|gpu| &gpu.model).collect();
    match (job.ways.first(), models.as_slice()) {
        (Some(way), [model, others @ ..]) if others.iter().all(|other| other == model) => {
            Arc::new([Way { model: (*model).clone(), gpus: job.gpus, ..way.clone() }])
        }
        _ => Arc::default(),
    }
}

fn occupants() -> impl Strategy<Value = Vec<Occupant>> {
    let one = (0usize..5, prop::sample::subsequence(vec![0u32, 1, 2], 0..=3), 0i64..500);
    prop::collection::vec(one, 0..4).prop_map(|occupants| {
        let made =
            |(id, (node, gpus, until)): (u64, (usize, Vec<u32>, i64))| occupant(id, &format!("n{node}"), &gpus, until);
        (1_000..).zip(occupants).map(made).collect()
    })
}

/// What some of the nodes share: watts, of which there may be more later, or less for a while, or GPUs in use at once.
fn shared() -> impl Strategy<Value = Vec<Arc<Shared>>> {
    let what = prop::sample::select(vec![
        Good::Power,
        Good::Power,
        Good::Gpus { model: None },
        Good::Gpus { model: Some("A100".to_owned()) },
    ]);
    let nodes = prop::sample::subsequence((0..5).collect::<Vec<u32>>(), 1..=5);
    let later = prop::option::of((1i64..400, 0u64..3, prop::option::of((1i64..400, 0u64..5))));
    let one = (what, nodes, 0u64..5, 0u64..500, later);
    type Later = Option<(i64, u64, Option<(i64, u64)>)>;
    let made = |(what, nodes, units, more, later): (Good, Vec<u32>, u64, u64, Later)| {
        let power = what == Good::Power;
        let level = |minutes: i64, units: u64| Level {
            from: at(minutes),
            most: if power { (units * 750 + more) * 1_000 } else { units },
            event: None,
        };
        let first = level(-60, units);
        // For a while there may be less, but not for ever.
        let then = later.into_iter().flat_map(|(minutes, more, between)| {
            let (lasts, fewer) = between.unwrap_or((0, 0));
            let less = between.is_some().then(|| level(minutes, fewer.min(units)));
            less.into_iter().chain([level(minutes + lasts, units + more)])
        });
        Arc::new(Shared {
            name: "row".to_owned(),
            what,
            nodes: nodes.into_iter().map(|node| format!("n{node}")).collect(),
            levels: std::iter::once(first).chain(then).collect(),
            idle: if power { more * 500 } else { 0 },
        })
    };
    prop_oneof![Just(Vec::new()), prop::collection::vec(one.prop_map(made), 1..=2)]
}

/// A whole problem, with curves of these grades, that share of spans missing and nothing decided before.
pub(crate) fn problem(grades: &'static [Grade], holes: f64) -> impl Strategy<Value = Problem> {
    let parts = (zones(grades, holes), nodes(), shared(), jobs(), jobs(), occupants());
    parts.prop_map(|(zones, nodes, shared, jobs, run, occupants)| {
        let pairs = run.into_iter().zip(&occupants).zip(0i64..);
        let running = pairs.map(|((mut job, occupant), ago)| {
            (job.id, job.gpus, job.cpus) = (occupant.job, occupant.gpus.len().try_into().unwrap_or(0), Some(1));
            (job.memory, job.blocked) = (occupant.memory, None);
            let node = nodes.iter().find(|node| node.name == occupant.node);
            job.ways = as_it_runs(&job, node, occupant);
            job.zones = node.map(|node| node.zone.clone()).into_iter().collect();
            Running { job: Arc::new(job), node: occupant.node.clone(), since: at(-20 * ago) }
        });
        Problem {
            running: running.collect(),
            site: Site { now: at(0), zones, nodes, shared },
            occupants,
            waiting: jobs.into_iter().map(Arc::new).collect(),
            previous: Arc::default(),
            arrivals: Arc::default(),
        }
    })
}
