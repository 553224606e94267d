//! The controller as Prometheus sees it. The only file that names prometheus.
//!
//! Every scrape builds its families from the state of that moment, so a series can neither outlive its subject nor
//! miss its first value. No label carries a job, a person or free text, and their number is bounded.

use crate::controller::Controller;
use crate::controller::ledger::{DELAY_BOUNDS, Histogram};
use crate::daemon::Vitals;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Component, Gpu};
use neap_model::units::{Joules, Pue};
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
    fleet(&mut page, controller);
    power(&mut page, controller, now);
    jobs(&mut page, controller);
    energy(&mut page, controller);
    grid(&mut page, controller, vitals, now);
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

fn power(page: &mut Page, controller: &Controller, now: DateTime<Utc>) {
    for group in controller.power_groups(now) {
        let labels = [("domain", group.name.as_str())];
        if let Some(limit) = group.limit {
            page.gauge("neap_power_cap_watts", "Power cap in force on the power domain.", &labels, limit.in_base());
        }
        let help = "The most that the power domain could draw as things stand: limits in force, idle parts included.";
        page.gauge("neap_power_committed_watts", help, &labels, group.committed.in_base());
    }
}

fn gpu_limits(page: &mut Page, controller: &Controller, gpu: &Gpu, labels: &[(&str, &str); 3]) {
    let held = controller.cap_held(&gpu.uuid);
    let found = held.and_then(|held| held.found).unwrap_or(gpu.limit);
    let limits = [
        ("enforced", held.and_then(|held| held.enforced).or(Some(found))),
        ("requested", held.and_then(|held| held.requested)),
        ("found", Some(found)),
    ];
    for (kind, limit) in limits.into_iter().filter_map(|(kind, limit)| Some((kind, limit?))) {
        let [node, index, uuid] = *labels;
        page.gauge(
            "neap_gpu_limit_watts",
            "Power limits of the graphics processor: in force, asked for by us, found before ours.",
            &[node, index, uuid, ("kind", kind)],
            limit.in_base(),
        );
    }
    page.gauge(
        "neap_gpu_cappable",
        "Whether limits can be set on the graphics processor.",
        labels,
        f64::from(u8::from(gpu.settable.is_some())),
    );
}

fn fleet(page: &mut Page, controller: &Controller) {
    let mut states: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let mut gpus: BTreeMap<(String, String, &str), u64> = BTreeMap::new();
    for node in controller.node_reports() {
        let up = f64::from(u8::from(node.up));
        let labels = [("node", node.name.as_str()), ("zone", node.zone.as_str())];
        page.gauge("neap_node_up", "Whether the executor of the node was heard from within its lease.", &labels, up);
        let state = match (node.up, node.attempts) {
            (false, _) => "down",
            (true, 0) => "idle",
            (true, _) => "busy",
        };
        *states.entry((node.zone.clone(), state)).or_default() += 1;
        let held: BTreeSet<String> = controller
            .planning()
            .on_node(&node.name)
            .filter_map(|id| controller.state().jobs.get(&id))
            .flat_map(|job| job.gpus.clone())
            .collect();
        for gpu in &node.inventory.gpus {
            let state = if held.contains(&gpu.uuid) { "allocated" } else { "free" };
            *gpus.entry((node.zone.clone(), gpu.model.clone(), state)).or_default() += 1;
            let index = gpu.index.to_string();
            let labels = [("node", node.name.as_str()), ("gpu", &index), ("uuid", &gpu.uuid)];
            gpu_limits(page, controller, gpu, &labels);
            let used = controller.state().totals.gpus.get(&(node.name.clone(), gpu.uuid.clone()));
            let used = used.copied().unwrap_or_default();
            let help = "Energy used by the graphics processor, whoever it was for.";
            page.counter("neap_gpu_energy_joules_total", help, &labels, used.energy.in_base());
            let help = "Time for which the power limit held the graphics processor back.";
            page.counter("neap_gpu_cap_bound_seconds_total", help, &labels, used.bound_ms as f64 / 1e3);
        }
        for meter in &node.inventory.meters {
            let (component, source) = (meter.component.word(), meter.source.word());
            let quality = meter.source.quality().word();
            let labels =
                [("node", node.name.as_str()), ("component", component), ("source", source), ("quality", quality)];
            page.gauge(
                "neap_meter_info",
                "Where the power figures of the node come from; the value is always 1.",
                &labels,
                1.0,
            );
        }
    }
    for ((zone, state), count) in states {
        page.gauge("neap_nodes", "Nodes by state.", &[("zone", &zone), ("state", state)], count as f64);
    }
    for ((zone, model, state), count) in gpus {
        let labels = [("zone", zone.as_str()), ("model", &model), ("state", state)];
        page.gauge("neap_gpus", "Graphics processors by model and state.", &labels, count as f64);
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

fn energy(page: &mut Page, controller: &Controller) {
    let totals = &controller.state().totals;
    for ((node, component), joules) in node_energy(controller) {
        page.counter(
            "neap_node_energy_joules_total",
            "Energy used by the node, by component; the components do not overlap.",
            &[("node", &node), ("component", component.word())],
            joules.in_base(),
        );
    }
    for ((node, component), gap_ms) in &totals.gaps {
        page.counter(
            "neap_meter_gap_seconds_total",
            "Time for which energy had to be filled in because no reading arrived.",
            &[("node", node), ("component", component.word())],
            *gap_ms as f64 / 1e3,
        );
    }
    let help = "Facility energy attributed to jobs and to idle capacity, overhead included.";
    for ((zone, queue, project), spent) in &totals.spent {
        let labels = [("zone", zone.as_str()), ("queue", queue), ("project", project)];
        page.counter("neap_energy_joules_total", help, &labels, spent.energy.in_base());
        page.counter(
            "neap_carbon_grams_total",
            "Operational emissions of that energy, in grams of carbon dioxide equivalent.",
            &labels,
            spent.carbon.in_base(),
        );
        page.counter(
            "neap_carbon_run_now_grams_total",
            "Emissions had each job started when it first could; idle capacity counts as in the actual series.",
            &labels,
            spent.run_now.in_base(),
        );
        page.counter(
            "neap_carbon_estimated_grams_total",
            "The part of the emissions that rests on estimated power or on fallback intensity.",
            &labels,
            spent.estimated.in_base(),
        );
        if controller.curves().get(zone).is_some_and(|known| known.prices.is_some()) {
            page.counter(
                "neap_energy_cost_total",
                "Money paid for that energy at prices above zero, in the currency named by neap_tariff_info.",
                &labels,
                spent.cost.in_base(),
            );
            page.counter(
                "neap_energy_credit_total",
                "Money got for that energy at prices below zero, in the currency named by neap_tariff_info.",
                &labels,
                spent.credit.in_base(),
            );
        }
    }
    let mut idle: BTreeMap<&String, Joules> = BTreeMap::new();
    for ((zone, _), joules) in &totals.idle_energy {
        *idle.entry(zone).or_default() += *joules;
    }
    for (zone, joules) in idle {
        let pue = controller.config().zones.iter().find(|z| z.name == *zone).and_then(|z| z.pue).unwrap_or(Pue::ONE);
        let facility = joules.at_facility(pue).in_base();
        let labels = [("zone", zone.as_str()), ("queue", "(none)"), ("project", "(idle)")];
        page.counter("neap_energy_joules_total", help, &labels, facility);
        page.counter(
            "neap_unattributed_joules_total",
            "What the idle row consists of, by cause; overhead included.",
            &[("zone", zone), ("why", "idle")],
            facility,
        );
    }
}

/// The sources of a component added up.
/// Sums over sources; what a known meter has not counted yet is there as zero.
fn node_energy(controller: &Controller) -> BTreeMap<(String, Component), Joules> {
    let metered = controller.node_reports().into_iter().flat_map(|node| {
        let name = node.name;
        node.inventory.meters.into_iter().map(move |meter| ((name.clone(), meter.component), Joules::ZERO))
    });
    let mut sums: BTreeMap<(String, Component), Joules> = metered.collect();
    for ((node, component, _), joules) in &controller.state().totals.node_energy {
        *sums.entry((node.clone(), *component)).or_default() += *joules;
    }
    sums
}

fn grid(page: &mut Page, controller: &Controller, vitals: &Vitals, now: DateTime<Utc>) {
    for zone in &controller.config().zones {
        page.gauge(
            "neap_zone_pue_ratio",
            "Power usage effectiveness applied to metered energy.",
            &[("zone", &zone.name)],
            zone.pue.unwrap_or(Pue::ONE).ratio(),
        );
        let Some(known) = controller.curves().get(&zone.name) else { continue };
        if let Some(prices) = &known.prices {
            page.gauge(
                "neap_tariff_info",
                "Currency of the prices; the value is always 1.",
                &[("zone", &zone.name), ("currency", &prices.currency)],
                1.0,
            );
        }
        let kind = match controller.config().grid.kind {
            neap_model::grid::Kind::Average => "average",
            neap_model::grid::Kind::Marginal => "marginal",
        };
        if known.curve.origins.iter().any(|origin| origin.private) {
            // Its terms forbid to republish it.
            continue;
        }
        if let Some(span) = known.curve.series.at(now) {
            page.gauge(
                "neap_grid_intensity_grams_per_kwh",
                "Grid carbon intensity used for accounting now; one series per zone.",
                &[("zone", &zone.name), ("kind", kind), ("grade", span.grade.word())],
                span.value.in_base(),
            );
        }
        for hours in HORIZONS {
            if let Some(span) = known.curve.series.at(now + TimeDelta::hours(hours)) {
                page.gauge(
                    "neap_grid_forecast_grams_per_kwh",
                    "Forecast grid carbon intensity, by horizon.",
                    &[("zone", &zone.name), ("horizon", &format!("{hours}h"))],
                    span.value.in_base(),
                );
            }
        }
    }
    for feed in &vitals.feeds {
        if let Some(age) = feed.age_seconds {
            page.gauge(
                "neap_feed_age_seconds",
                "Age of the newest value of the feed.",
                &[("feed", &feed.feed), ("zone", &feed.zone)],
                age,
            );
        }
    }
    let circuits: BTreeMap<&String, bool> =
        vitals.feeds.iter().filter_map(|feed| Some((&feed.feed, feed.circuit_open?))).collect();
    for (feed, open) in circuits {
        page.gauge(
            "neap_feed_circuit_open",
            "Whether the feed failed so often that it is only probed.",
            &[("feed", feed)],
            f64::from(u8::from(open)),
        );
    }
    servers_of_events(page, controller, now);
    for (zone, feed, (from, until), error) in &vitals.forecast_errors {
        page.gauge(
            "neap_forecast_error_grams_per_kwh",
            "Mean absolute error of the feed's forecasts over the last four weeks, by hours ahead.",
            &[("feed", feed), ("zone", zone), ("horizon", &format!("{from}-{until}h"))],
            error.in_base(),
        );
    }
    for ((feed, outcome), count) in &vitals.feed_reads {
        page.counter(
            "neap_feed_requests_total",
            "Requests to the feed by outcome.",
            &[("feed", feed), ("outcome", outcome)],
            *count as f64,
        );
    }
}

/// Servers of grid events, in the families of the feeds; their zone is what their events are for.
fn servers_of_events(page: &mut Page, controller: &Controller, now: DateTime<Utc>) {
    for report in controller.vtn_reports(now) {
        let site = controller.config().vtns.iter().find(|vtn| vtn.name == report.name).and_then(|vtn| vtn.site.clone());
        if let Some(answered) = report.answered {
            page.gauge(
                "neap_feed_age_seconds",
                "Age of the newest value of the feed.",
                &[("feed", &report.name), ("zone", site.as_deref().unwrap_or("(site)"))],
                (now - answered).num_milliseconds().max(0) as f64 / 1e3,
            );
        }
        page.gauge(
            "neap_grid_events",
            "Events that the server shows.",
            &[("feed", &report.name)],
            report.events as f64,
        );
    }
    for (name, heard) in controller.vtns() {
        page.gauge(
            "neap_feed_circuit_open",
            "Whether the feed failed so often that it is only probed.",
            &[("feed", name)],
            f64::from(u8::from(heard.circuit_open)),
        );
        for (outcome, count) in &heard.polls {
            let labels = [("feed", name.as_str()), ("outcome", outcome)];
            page.counter("neap_feed_requests_total", "Requests to the feed by outcome.", &labels, *count as f64);
        }
    }
}
