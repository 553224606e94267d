//! The controller as Prometheus sees it. The only file that names prometheus.
//!
//! Every scrape builds its families from the state of that moment, so a series can neither outlive its subject nor
//! miss its first value. No label carries a job, a person or free text, and their number is bounded.

mod energy;
mod fleet;
mod grid;

use crate::controller::Controller;
use crate::controller::ledger::{DELAY_BOUNDS, Histogram};
use crate::daemon::Vitals;
use chrono::{DateTime, Utc};
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use std::collections::{BTreeMap, BTreeSet};

/// Horizons of the forecast gauge in hours.
const HORIZONS: [i64; 5] = [1, 3, 6, 12, 24];

/// The label of projects beyond the limit.
const OTHER: &str = "(other)";

/// All families as text, in the format of version 0.0.4.
///
/// # Errors
/// What the encoder says; it cannot fail on families made here.
pub fn exposition(controller: &Controller, vitals: &Vitals, now: DateTime<Utc>) -> Result<Vec<u8>, prometheus::Error> {
    let mut page = Page::default();
    about_us(&mut page, controller, vitals);
    fleet::fleet(&mut page, controller);
    fleet::power(&mut page, controller, now);
    jobs(&mut page, controller);
    energy::energy(&mut page, controller);
    grid::grid(&mut page, controller, vitals, now);
    let mut text = Vec::new();
    TextEncoder::new().encode(&page.0.into_values().collect::<Vec<_>>(), &mut text)?;
    Ok(text)
}

/// The families of a scrape by name.
#[derive(Default)]
struct Page(BTreeMap<&'static str, MetricFamily>);

impl Page {
    fn family(&mut self, name: &'static str, help: &str, kind: MetricType) -> &mut MetricFamily {
        self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        })
    }

    fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.family(name, help, MetricType::GAUGE).mut_metric().push(metric);
    }

    fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.family(name, help, MetricType::COUNTER).mut_metric().push(metric);
    }

    fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let mut histogram = prometheus::proto::Histogram::default();
        let mut below = 0;
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(*bound);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.family(name, help, MetricType::HISTOGRAM).mut_metric().push(metric);
    }
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let mut metric = Metric::default();
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    metric.set_label(pairs.collect());
    metric
}

fn about_us(page: &mut Page, controller: &Controller, vitals: &Vitals) {
    let version = env!("CARGO_PKG_VERSION");
    let revision = option_env!("NEAP_REVISION").unwrap_or("unknown");
    page.gauge(
        "neap_build_info",
        "Build information; the value is always 1.",
        &[("version", version), ("revision", revision), ("component", "scheduler")],
        1.0,
    );
    let on: BTreeSet<String> = controller.degraded_modes().into_iter().map(|d| d.mode).collect();
    const MODES: [&str; 9] = [
        "read_only",
        "no_grid_data",
        "planner_fallback",
        "node_down",
        "no_executor",
        "store",
        "clock",
        "holding_off",
        "unlike_zones",
    ];
    for mode in MODES {
        let value = f64::from(u8::from(on.contains(mode)));
        page.gauge("neap_degraded", "Whether the server works in this reduced mode.", &[("mode", mode)], value);
    }
    page.gauge("neap_store_lag_frames", "Journal frames not yet applied to the store.", &[], vitals.store_lag as f64);
    page.histogram(
        "neap_journal_sync_duration_seconds",
        "Time one durable write of the journal took, as waited for before an acknowledgement.",
        &[],
        &crate::daemon::SYNC_BOUNDS,
        &vitals.syncs.counts,
        vitals.syncs.sum,
    );
    page.histogram(
        "neap_schedule_cycle_duration_seconds",
        "Time one planning turn took.",
        &[],
        &crate::daemon::SYNC_BOUNDS,
        &vitals.plans.counts,
        vitals.plans.sum,
    );
    let certificate = controller.planning().certificate().unwrap_or_default();
    let jobs = f64::from(certificate.jobs);
    page.gauge(
        "neap_plan_jobs",
        "Jobs that the present plan lets wait for the grid or starts in view of it.",
        &[],
        jobs,
    );
    for (kind, grams) in [("planned", certificate.emits), ("bound", certificate.bound)] {
        page.gauge(
            "neap_plan_carbon_grams",
            "What these jobs are planned to emit together, and the proven least that any plan of them emits.",
            &[("kind", kind)],
            grams.in_base(),
        );
    }
    for ((decision, reason), count) in &controller.planning().decisions {
        page.counter(
            "neap_schedule_decisions_total",
            "Planning decisions by kind and reason.",
            &[("decision", decision), ("reason", reason)],
            *count as f64,
        );
    }
}

fn jobs(page: &mut Page, controller: &Controller) {
    let state = controller.state();
    let mut live: BTreeMap<(String, &str, &str), u64> = BTreeMap::new();
    for id in &state.live {
        let job = &state.jobs[id];
        let decision = controller.planning().decision(*id);
        let reason = decision.and_then(|d| d.because()).map_or("none", |reason| reason.code());
        let word = if decision.is_some_and(|d| d.is_planned()) { "planned" } else { job.phase.word() };
        *live.entry((job.spec.queue.clone().unwrap_or_default(), word, reason)).or_default() += 1;
    }
    for ((queue, state, reason), count) in live {
        page.gauge(
            "neap_jobs",
            "Jobs that are not finished, by state and by the binding reason they wait.",
            &[("queue", &queue), ("state", state), ("reason", reason)],
            count as f64,
        );
    }
    let totals = &state.totals;
    let cap = controller.max_projects();
    let known: BTreeSet<&String> = totals.submitted.keys().map(|(_, project)| project).collect();
    let own: BTreeSet<String> = known.iter().take(cap).map(|p| (*p).clone()).collect();
    let label = |project: &String| if own.contains(project) { project.clone() } else { OTHER.to_owned() };
    page.counter(
        "neap_series_dropped_total",
        "Label values folded into the rest because a family was full.",
        &[("family", "neap_jobs_submitted_total")],
        known.len().saturating_sub(cap) as f64,
    );
    let folded = |counts: &BTreeMap<(String, String), u64>| {
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        for ((queue, project), count) in counts {
            *sums.entry((queue.clone(), label(project))).or_default() += count;
        }
        sums
    };
    for (name, help, counts) in [
        ("neap_jobs_submitted_total", "Jobs accepted.", &totals.submitted),
        (
            "neap_job_finish_by_missed_total",
            "Finished or expired jobs that missed their finish-by time.",
            &totals.missed,
        ),
        ("neap_job_override_total", "Starts forced by a person before the planned time.", &totals.overrides),
    ] {
        for ((queue, project), count) in folded(counts) {
            page.counter(name, help, &[("queue", &queue), ("project", &project)], count as f64);
        }
    }
    let mut finished: BTreeMap<(String, String, &str), u64> = BTreeMap::new();
    for ((queue, project, outcome), count) in &totals.finished {
        *finished.entry((queue.clone(), label(project), outcome)).or_default() += count;
    }
    for ((queue, project, outcome), count) in finished {
        let labels = [("queue", queue.as_str()), ("project", &project), ("outcome", outcome)];
        page.counter("neap_jobs_finished_total", "Jobs that reached a final state.", &labels, count as f64);
    }
    for ((verb, code), count) in &totals.refused {
        let labels = [("verb", verb.as_str()), ("code", code)];
        page.counter("neap_jobs_rejected_total", "Requests refused, by error code.", &labels, *count as f64);
    }
    for ((queue, cause), seconds) in &totals.waited {
        page.counter(
            "neap_job_wait_seconds_total",
            "Time jobs spent waiting, by the cause that bound at that moment.",
            &[("queue", queue), ("cause", cause)],
            *seconds as f64,
        );
    }
    for (queue, count) in &totals.pauses {
        page.counter(
            "neap_job_preemptions_total",
            "Running jobs that were stopped to go on later.",
            &[("queue", queue), ("reason", "grid.cleaner_later")],
            *count as f64,
        );
    }
    for ((queue, reason), energy) in &totals.lost_work {
        page.counter(
            "neap_job_lost_work_joules_total",
            "Energy of work thrown away by preemption or failure of a node.",
            &[("queue", queue), ("reason", reason)],
            energy.in_base(),
        );
    }
    let bounds = DELAY_BOUNDS.map(|bound| bound as f64);
    let mut delays = |name, help, by_queue: &BTreeMap<String, Histogram>| {
        for (queue, histogram) in by_queue {
            page.histogram(name, help, &[("queue", queue)], &bounds, &histogram.counts, histogram.sum as f64);
        }
    };
    delays("neap_job_start_delay_seconds", "Time from submission to start.", &totals.start_delay);
    delays(
        "neap_job_plan_error_seconds",
        "Absolute difference between the start time first told to the user and the actual start.",
        &totals.plan_error,
    );
}
