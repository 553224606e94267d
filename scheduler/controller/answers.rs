//! What is known, as messages: pure views of the state, the plan and the grid.

use super::state::Job;
use super::{Controller, Grouping, ReportQuery, Viewer, ZoneCurve};
use crate::config::Config;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::embodied::Factors;
use neap_model::fleet::{Quality, Zone};
use neap_model::footprint::Market;
use neap_model::grid::{Kind, Series};
use neap_model::lifecycle::{JobEvent, Outcome, Phase};
use neap_model::plan::Verdict;
use neap_model::protocol::{
    Degraded, Happened, JobFilter, JobPage, JobReport, NodeReport, PROTOCOL, PowerReport, StatusReport, UsageReport,
    UsageRow, WhyReport, ZoneGrid,
};
use neap_model::seconds::Seconds;
use neap_model::units::{Joules, Pue};
use std::collections::BTreeMap;

/// Most jobs on one page.
pub const PAGE: u32 = 1_000;

/// The row of a report that work goes to which did not succeed.
pub const FAILED: &str = "failed";

/// The recorded decision of a job that is not over: with which it was started, or what it was told while it waits.
#[must_use]
pub fn decision_of(job: &Job) -> Option<neap_model::plan::Decision> {
    match (job.phase.is_final(), job.phase.attempt()) {
        (true, _) => None,
        (false, Some(_)) => job.starting.clone(),
        (false, None) => job.told.clone(),
    }
}

/// What the configuration says that stands beside a job's own figures.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    zones: Vec<(String, Option<Pue>)>,
    home: String,
    embodied: Option<Factors>,
    kind: Kind,
}

impl Terms {
    /// Of that configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            zones: config.zones.iter().map(|zone| (zone.name.clone(), zone.pue)).collect(),
            home: config.home().name.clone(),
            embodied: config.embodied.clone(),
            kind: config.grid.kind,
        }
    }

    /// Power usage effectiveness of a zone, else of the home zone; `None`: not stated.
    #[must_use]
    pub fn pue(&self, zone: Option<&str>) -> Option<Pue> {
        let zone = zone.unwrap_or(&self.home);
        self.zones.iter().find(|(name, _)| name == zone)?.1
    }
}

/// A job as a message; `decision` is the planner's present word on it.
#[must_use]
pub fn report_of(job: &Job, decision: Option<neap_model::plan::Decision>, terms: &Terms) -> JobReport {
    let embodied = terms.embodied.as_ref();
    JobReport {
        embodied: embodied.and_then(|factors| factors.of(job.account.gpu_seconds, job.account.core_seconds)),
        kind: terms.kind,
        id: job.id,
        owner: job.owner.name.clone(),
        spec: job.spec.clone(),
        phase: job.phase.clone(),
        submitted: job.submitted,
        started: job.started,
        ended: job.ended,
        decision,
        first_told: job.first_told.clone(),
        place: job.place.clone(),
        gpus: job.gpus.clone(),
        boards: job.boards.clone(),
        log: job.log.clone(),
        attempts: job.epoch.0,
        overridden: job.forced_by.is_some(),
        account: job.account.clone(),
        capped: job.capped.clone().map(|(limit, because)| {
            let clock_ceiling = job.clock_ceiling;
            neap_model::protocol::Capped { limit, clock_ceiling, because }
        }),
        pue: terms.pue(job.place.as_ref().map(|place| place.zone.as_str())),
        revision: job.revision,
        waited_for_grid: job.waited_for_grid,
    }
}

/// The history with its first entry, which a job does not keep twice.
#[must_use]
pub fn history_of(job: &Job) -> Vec<Happened> {
    let submitted = Happened {
        at: job.submitted,
        event: JobEvent::Submitted {
            owner: job.owner.clone(),
            spec: Box::new(job.spec.clone()),
            key: job.key.clone(),
            digest: job.digest.clone(),
        },
    };
    std::iter::once(submitted).chain(job.history.iter().cloned()).collect()
}

/// Whether a job belongs on a page.
#[must_use]
pub fn matches(job: &Job, filter: &JobFilter, viewer: &Viewer, planned: bool) -> bool {
    let state = if planned { "planned" } else { job.phase.word() };
    viewer.sees(&job.owner)
        && filter.mine.is_none_or(|mine| !mine || job.owner.uid == viewer.person.uid)
        && filter.live.is_none_or(|live| live != job.phase.is_final())
        && filter.state.as_ref().is_none_or(|asked| asked == state)
        && filter.project.as_ref().is_none_or(|project| *project == job.spec.project)
        && filter.name.as_ref().is_none_or(|name| *name == job.spec.name)
        && filter.since.is_none_or(|since| job.ended.is_none_or(|ended| ended >= since))
        && filter.until.is_none_or(|until| job.ended.is_some_and(|ended| ended < until))
        && filter.before.is_none_or(|before| job.id.0 < before)
}

/// Adds a job that ended to the rows of a report.
pub fn add_to_report(rows: &mut BTreeMap<String, UsageRow>, job: &Job, query: &ReportQuery, viewer: &Viewer) {
    let Phase::Ended { outcome, .. } = &job.phase else { return };
    let Some(ended) = job.ended else { return };
    let wanted = viewer.sees(&job.owner)
        && query.project.as_ref().is_none_or(|project| *project == job.spec.project)
        && query.since.is_none_or(|since| ended >= since)
        && query.until.is_none_or(|until| ended < until);
    if !wanted {
        return;
    }
    let group = match query.by {
        _ if *outcome != Outcome::Succeeded => FAILED.to_owned(),
        Grouping::Project => job.spec.project.clone(),
        Grouping::Name => job.spec.name.clone(),
        Grouping::Queue => job.spec.queue.clone().unwrap_or_default(),
        Grouping::Zone => job.place.as_ref().map_or_else(String::new, |p| p.zone.clone()),
        Grouping::Month => ended.format("%Y-%m").to_string(),
    };
    let row = rows.entry(group.clone()).or_insert_with(|| UsageRow { group, ..UsageRow::default() });
    let account = &job.account;
    row.jobs += 1;
    row.gpu_seconds.0 += account.gpu_seconds.0;
    row.core_seconds += account.core_seconds;
    account.bills.iter().for_each(|bill| bill.into_list(&mut row.bills));
    row.market = either(row.market, account.market, Market::and);
    row.actual = row.actual.and(account.actual);
    row.run_now = row.run_now.and(account.run_now);
    let measured: Joules =
        account.parts.iter().filter(|p| p.source.quality() == Quality::Measured).map(|p| p.energy).sum();
    row.measured_energy += account.actual.energy.scaled(measured.0, account.it_energy().0);
    row.waited_for_grid = row.waited_for_grid + job.waited_for_grid;
    row.missed += u64::from(job.missed_finish_by());
    row.overrides += u64::from(job.forced_by.is_some());
    row.quality = either(row.quality, account.quality(), Quality::and);
}

/// Both together where both are known, else the one that is.
fn either<T>(one: Option<T>, other: Option<T>, both: fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    }
}

/// The rows of a report, by size of emissions, failed work last; and their sum.
#[must_use]
pub fn completed(rows: BTreeMap<String, UsageRow>, terms: &Terms) -> (Vec<UsageRow>, UsageRow) {
    let mut rows: Vec<UsageRow> = rows.into_values().collect();
    rows.sort_by(|a, b| {
        let key = |row: &UsageRow| (row.group == FAILED, std::cmp::Reverse(row.actual.emits), row.group.clone());
        key(a).cmp(&key(b))
    });
    let mut total = UsageRow { group: "total".to_owned(), ..UsageRow::default() };
    for row in &rows {
        total.jobs += row.jobs;
        total.gpu_seconds.0 += row.gpu_seconds.0;
        total.core_seconds += row.core_seconds;
        row.bills.iter().for_each(|bill| bill.into_list(&mut total.bills));
        total.market = either(total.market, row.market, Market::and);
        total.actual = total.actual.and(row.actual);
        total.run_now = total.run_now.and(row.run_now);
        total.measured_energy += row.measured_energy;
        total.waited_for_grid = total.waited_for_grid + row.waited_for_grid;
        total.missed += row.missed;
        total.overrides += row.overrides;
        total.quality = either(total.quality, row.quality, Quality::and);
    }
    for row in rows.iter_mut().chain([&mut total]) {
        row.embodied = terms.embodied.as_ref().and_then(|factors| factors.of(row.gpu_seconds, row.core_seconds));
    }
    (rows, total)
}

impl Controller {
    pub(super) fn report_of(&self, job: &Job, now: DateTime<Utc>) -> JobReport {
        let decision = self.planning.decision(job.id).cloned().or_else(|| decision_of(job));
        let mut report = report_of(job, decision, &self.terms);
        if let Phase::Paused { since } = job.phase {
            report.waited_for_grid = Seconds(job.waited_for_grid.0 + Seconds::between(since, now).0);
        } else if job.first_leased.is_none() && matches!(job.phase, Phase::Queued | Phase::Held { .. }) {
            // Still waiting: for the grid, only since it could have run.
            if let Some(first) = job.first_told.as_ref().and_then(|d| d.run_now).map(|o| o.start) {
                report.waited_for_grid = Seconds::between(first, now);
            }
        }
        report
    }

    pub(super) fn why(&self, job: &Job, now: DateTime<Utc>) -> WhyReport {
        let decision = self.planning.decision(job.id);
        let zone = job
            .place
            .as_ref()
            .or(match decision.map(|d| &d.verdict) {
                Some(Verdict::Start { place, .. } | Verdict::Hold { place: Some(place), .. }) => Some(place),
                _ => None,
            })
            .map_or(self.config.home().name.as_str(), |p| p.zone.as_str());
        WhyReport {
            job: self.report_of(job, now),
            history: history_of(job),
            grid: self.zone_grids(now).into_iter().find(|grid| grid.zone.name == zone),
            alternatives: self.ways_of(job.id),
            certificate: self.planning.certificate(),
            not_compared: self.unlike_for(&job.spec),
            now,
        }
    }

    pub(super) fn list(&self, filter: &JobFilter, viewer: &Viewer, now: DateTime<Utc>) -> JobPage {
        let limit = filter.limit.unwrap_or(PAGE).min(PAGE) as usize;
        let planned = |id| self.planning.decision(id).is_some_and(neap_model::plan::Decision::is_planned);
        let ids: Vec<_> = self.state.live.iter().rev().copied().collect();
        let mut total = 0;
        let mut jobs = Vec::new();
        for id in ids {
            let job = &self.state.jobs[&id];
            if matches(job, filter, viewer, planned(id)) {
                total += 1;
                if jobs.len() < limit {
                    jobs.push(self.report_of(job, now));
                }
            }
        }
        let next = jobs.last().map(|job| job.id).filter(|_| total > jobs.len() as u64);
        JobPage { jobs, total, next }
    }

    /// A report with everything but its rows.
    pub(super) fn report_frame(&self, query: &ReportQuery, now: DateTime<Utc>) -> UsageReport {
        let mut credits: Vec<String> =
            self.grid.values().flat_map(|g| g.curve.origins.iter().filter_map(|o| o.credit.clone())).collect();
        credits.sort();
        credits.dedup();
        UsageReport {
            since: query.since,
            until: query.until,
            rows: Vec::new(),
            total: UsageRow::default(),
            basis: self.basis(),
            credits,
            zones: self.zones(),
            now,
        }
    }

    fn zones(&self) -> Vec<Zone> {
        let zone = |z: &crate::config::ZoneConfig| Zone { name: z.name.clone(), home: z.home, pue: z.pue };
        self.config.zones.iter().map(zone).collect()
    }

    pub(super) fn zone_grids(&self, now: DateTime<Utc>) -> Vec<ZoneGrid> {
        self.zones()
            .into_iter()
            .map(|zone| {
                let known: Option<&ZoneCurve> = self.grid.get(&zone.name);
                let at = known.and_then(|g| g.curve.series.at(now));
                // What a service forbids to republish is served to nobody; plans and sums made from it are ours.
                let shown = known.filter(|g| !g.curve.origins.iter().any(|origin| origin.private));
                ZoneGrid {
                    now: at.filter(|_| shown.is_some()).map(|span| span.value),
                    grade: at.map(|span| span.grade),
                    basis: known
                        .and_then(|g| g.curve.origins.first())
                        .map_or_else(|| self.basis(), |origin| origin.basis.clone()),
                    series: shown.map_or_else(Series::default, |g| {
                        g.curve.series.trim(now - TimeDelta::hours(24), now + TimeDelta::hours(72))
                    }),
                    origins: known.map(|g| g.curve.origins.clone()).unwrap_or_default(),
                    prices: known.and_then(|g| g.prices.clone()).filter(|prices| !prices.origin.private),
                    zone,
                }
            })
            .collect()
    }

    pub(super) fn status(&self, now: DateTime<Utc>) -> StatusReport {
        let mut jobs: BTreeMap<&str, u64> = BTreeMap::new();
        for id in &self.state.live {
            let planned = self.planning.decision(*id).is_some_and(neap_model::plan::Decision::is_planned);
            let word = if planned { "planned" } else { self.state.jobs[id].phase.word() };
            *jobs.entry(word).or_default() += 1;
        }
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            now,
            incarnation: self.state.incarnation,
            started: self.state.started.unwrap_or(now),
            jobs: jobs.into_iter().map(|(word, count)| (word.to_owned(), count)).collect(),
            nodes: self.node_reports(),
            degraded: self.degraded_modes(),
            certificate: self.planning.certificate(),
            notices: self.state.notices.ahead(now).into_iter().cloned().collect(),
            vtns: self.vtn_reports(now),
            power: self
                .power_groups(now)
                .into_iter()
                .map(|group| PowerReport {
                    name: group.name,
                    limit: group.limit,
                    committed: group.committed,
                    event: group.event,
                })
                .collect(),
            store_lag: 0,
            journal_seq: 0,
        }
    }

    /// Every reduced mode of work, a sentence each: those of the shell and those seen from here.
    #[must_use]
    pub fn degraded_modes(&self) -> Vec<Degraded> {
        let mut modes = self.degraded.clone();
        let mode = |mode: &str, detail: String| Degraded { mode: mode.to_owned(), detail };
        if self.read_only {
            modes.push(mode("read_only", "the disk is full: new jobs are refused, all else goes on".to_owned()));
        }
        for trouble in &self.troubles {
            modes.push(mode("no_grid_data", trouble.clone()));
        }
        for (name, heard) in &self.vtns {
            if let Some(trouble) = &heard.trouble {
                let last = self.state.programs.get(name).and_then(|program| program.last).max(heard.answered);
                let since = last.map_or_else(
                    || "never answered".to_owned(),
                    |last| format!("last answered {}", last.format("%Y-%m-%dT%H:%M:%SZ")),
                );
                modes.push(mode("no_events", format!("{name}: {trouble} ({since}; what it announced holds on)")));
            }
        }
        let silent: Vec<&str> = self.planning.site.nodes.iter().filter(|n| !n.up).map(|n| n.name.as_str()).collect();
        if !silent.is_empty() {
            modes.push(mode("node_down", format!("not heard of: {}", silent.join(", "))));
        } else if self.state.nodes.is_empty() {
            modes.push(mode("no_executor", "no executor has connected yet: jobs wait".to_owned()));
        }
        if let Some(kinds) = self.unlike(self.config.zones.iter().map(|zone| zone.name.as_str())) {
            modes.push(mode(
                "unlike_zones",
                format!("not compared with each other, jobs wait within one kind: {kinds}"),
            ));
        }
        modes.extend(self.not_holding().into_iter().map(|detail| mode("holding_off", detail)));
        if self.planning.refused_plans > 0 {
            let count = self.planning.refused_plans;
            modes.push(mode("planner_fallback", format!("{count} plans were refused by the audit since the start")));
        }
        modes
    }

    /// Nodes, as the scheduler sees them.
    #[must_use]
    pub fn node_reports(&self) -> Vec<NodeReport> {
        self.state
            .nodes
            .iter()
            .map(|(name, node)| NodeReport {
                name: name.clone(),
                zone: node.zone.clone(),
                up: self.planning.site.nodes.iter().any(|n| n.name == *name && n.up),
                heard: node.heard,
                inventory: node.inventory.clone(),
                attempts: u32::try_from(self.planning.on_node(name).count()).unwrap_or(u32::MAX),
            })
            .collect()
    }

    /// What the planner is told and what it answered, for metrics.
    #[must_use]
    pub fn planning(&self) -> &super::planning::Planning {
        &self.planning
    }

    /// The composed curves by zone, for metrics.
    #[must_use]
    pub fn curves(&self) -> &BTreeMap<String, ZoneCurve> {
        &self.grid
    }
}
