//! Answers for programs: base units in the names, UTC, `null` for unknown, quality beside the figure. Within version 1 of
//! a schema fields are added, never renamed or retyped.

use super::beside;
use chrono::{DateTime, SecondsFormat, Utc};
use neap_model::footprint::Footprint;
use neap_model::lifecycle::Phase;
use neap_model::notice::{Call, Notice};
use neap_model::plan::{Alternative, Certificate, Decision, Outlook, Remark, Run, Verdict};
use neap_model::protocol::{Happened, JobReport, PlanReport, StatusReport, UsageReport, UsageRow, WhyReport, ZoneGrid};
use serde_json::{Map, Value, json};

fn time(at: DateTime<Utc>) -> Value {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()
}

fn maybe(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, time)
}

/// The state's word: what waits with a planned start reads `planned`.
#[must_use]
pub fn state(job: &JobReport) -> &'static str {
    match (&job.phase, &job.decision) {
        (Phase::Queued, Some(decision)) if decision.is_planned() => "planned",
        (phase, _) => phase.word(),
    }
}

/// The code of what binds it or ended it.
#[must_use]
pub fn reason_code(job: &JobReport) -> Option<String> {
    match (&job.phase, &job.decision) {
        (Phase::Ended { outcome, .. }, _) => Some(outcome.code().to_owned()),
        (Phase::Leased { .. }, _) => Some("system.starting".to_owned()),
        (Phase::Queued | Phase::Paused { .. } | Phase::Held { .. }, Some(decision)) => {
            decision.because().map(|because| because.code().to_owned())
        }
        (Phase::Held { .. }, None) => Some("you.hold".to_owned()),
        (Phase::Queued | Phase::Paused { .. }, None) => Some("system.evaluating".to_owned()),
        _ => None,
    }
}

fn outlook(outlook: &Outlook) -> Value {
    json!({
        "start": time(outlook.start),
        "end": time(outlook.end),
        "energy_joules": outlook.energy.in_base(),
        "energy_quality": "estimated",
        "carbon_grams": outlook.emits.in_base(),
        "intensity_grams_per_kwh": outlook.intensity.in_base(),
        "intensity_grade": outlook.grade.word(),
    })
}

fn planned(decision: &Decision, gpus: u32) -> Value {
    let Some(expected) = &decision.expected else { return Value::Null };
    let place = match &decision.verdict {
        Verdict::Start { place, .. } => Some(place),
        Verdict::Hold { place, .. } => place.as_ref(),
    };
    let mut plan = outlook(expected);
    plan["latest_start"] = maybe(decision.latest_start);
    plan["zone"] = place.map_or(Value::Null, |place| place.zone.clone().into());
    plan["nodes"] = place.map_or(json!([]), |place| json!([place.node]));
    plan["gpus"] = decision.width.as_ref().map_or(gpus, |width| width.gpus).into();
    if let Some(width) = &decision.width {
        plan["gpu_model"] = width.model.clone().into();
        plan["speed_ratio"] = (f64::from(width.speed) / 1e3).into();
        if let Some(limit) = width.limit {
            plan["gpu_limit_watts"] = limit.in_base().into();
        }
    }
    if !decision.runs.is_empty() {
        let run = |run: &Run| json!({"from": time(run.from), "until": time(run.until)});
        plan["runs"] = decision.runs.iter().map(run).collect();
    }
    plan
}

fn saving_ratio(decision: &Decision) -> Value {
    match decision.savings().and_then(|savings| savings.ratio()) {
        Some(expected) => json!({"expected": round(expected), "low": null, "high": null}),
        None => Value::Null,
    }
}

/// Ratios carry no more digits than they mean.
fn round(ratio: f64) -> f64 {
    (ratio * 1e6).round() / 1e6
}

/// One job: `neap.job/1`. Neither environment nor script nor secrets are in it.
#[must_use]
pub fn job(job: &JobReport) -> Value {
    let (account, spec) = (&job.account, &job.spec);
    let exit = match &job.phase {
        Phase::Ended { outcome, .. } => Some(outcome.exit_code()),
        _ => None,
    };
    let decision = job.decision.as_ref();
    let savings = account.savings();
    let because = decision.and_then(Decision::because);
    let mut reason = because.map_or_else(|| json!({}), |because| json!(because));
    if reason.get("code").is_none()
        && let Some(code) = reason_code(job)
    {
        reason["code"] = code.into();
    }
    let mut value = json!({
        "schema": "neap.job/1",
        "id": job.id.0,
        "state": state(job),
        "name": spec.name,
        "project": spec.project,
        "queue": spec.queue,
        "owner": job.owner,
        "reason": if reason.as_object().is_some_and(Map::is_empty) { Value::Null } else { reason },
        "why_now": match decision.map(|d| &d.verdict) {
            Some(Verdict::Start { because, .. }) => because.code().into(),
            _ => Value::Null,
        },
        "submitted": time(job.submitted),
        "started": maybe(job.started),
        "ended": maybe(job.ended),
        "finish_by": maybe(spec.time.finish_by),
        "limit_seconds": spec.time.limit.map(|limit| limit.0),
        "gpus": spec.resources.gpus,
        "cpus": spec.resources.cpus,
        "plan": decision.map_or(Value::Null, |decision| planned(decision, spec.resources.gpus)),
        "run_now": decision.and_then(|d| d.run_now.as_ref()).map_or(Value::Null, outlook),
        "saving_ratio": decision.map_or(Value::Null, saving_ratio),
        "zone": job.place.as_ref().map(|place| &place.zone),
        "node": job.place.as_ref().map(|place| &place.node),
        "gpu_uuids": job.gpus,
        "log": job.log,
        "attempts": job.attempts,
        "overridden": job.overridden,
        "waited_for_grid_seconds": job.waited_for_grid.0,
        "exit_code": exit.map(|(code, _)| code),
        "exit_from": exit.map(|(_, from)| from),
        "energy_joules": account.actual.energy.in_base(),
        "energy_quality": account.quality().map(|quality| quality.word()),
        "it_energy_joules": account.it_energy().in_base(),
        "energy_parts": account.parts.iter().map(|part| json!({
            "component": part.component.word(),
            "source": part.source.word(),
            "quality": part.source.quality().word(),
            "energy_joules": part.energy.in_base(),
        })).collect::<Vec<_>>(),
        "pue_ratio": job.pue.map(|pue| pue.ratio()),
        "carbon_grams": account.actual.emits.in_base(),
        "intensity_grams_per_kwh": account.actual.intensity().map(|intensity| intensity.in_base()),
        "intensity_grade": account.actual.worst.map(|grade| grade.word()),
        "run_now_carbon_grams": account.run_now.emits.in_base(),
        "saved_grams": savings.grams(),
        "saved_ratio": savings.ratio().map(round),
        "planned_carbon_grams": account.planned.map(|grams| grams.in_base()),
        "uncovered_joules": account.actual.uncovered.in_base(),
        "gpu_seconds": account.gpu_seconds.0,
        "meter_gap_seconds": account.gap_ms as f64 / 1e3,
        "signal_kind": job.kind,
        "provisional": account.provisional,
        "revision": job.revision,
    });
    if let Some(most) = spec.resources.gpus_up_to {
        value["gpus_up_to"] = most.into();
    }
    super::parts::values(&mut value, job);
    beside::values(&mut value, &account.bills, account.market.as_ref(), job.embodied.as_ref());
    let sci = beside::sci(job);
    value["sci_grams"] = sci.into();
    value["sci_unit"] = sci.map(|_| job.spec.functional_unit.as_ref().map_or("job", |unit| unit.name.as_str())).into();
    // Absent where nothing was ever wanted, never zero.
    if (!account.cap.is_empty() || job.capped.is_some())
        && let (Some(all), Value::Object(more)) = (value.as_object_mut(), super::capping::values(job))
    {
        all.extend(more);
    }
    if !account.metering.is_empty() {
        value["metering"] = super::metering::value(account);
    }
    value
}

fn alternative(row: &Alternative, now: DateTime<Utc>) -> Value {
    let mut value = outlook(&row.outlook);
    value["zone"] = row.place.zone.clone().into();
    value["node"] = row.place.node.clone().into();
    if let Some(width) = &row.width {
        value["gpus"] = width.gpus.into();
        value["gpu_model"] = width.model.clone().into();
        if let Some(limit) = width.limit {
            value["gpu_limit_watts"] = limit.in_base().into();
        }
    }
    value["chosen"] = row.chosen.into();
    value["wait_seconds"] = super::times::between(now, row.outlook.start).0.into();
    let (remark, needs) = match &row.remark {
        Remark::FitsNow => ("fits_now", None),
        Remark::FirstRoom => ("first_room", None),
        Remark::Cleanest => ("cleanest", None),
        Remark::Cheapest => ("cheapest", None),
        Remark::OtherGpus => ("other_gpus", None),
        Remark::LatestStart { .. } => ("latest_start", None),
        Remark::Needs { flag } => ("needs", Some(flag.clone())),
    };
    value["remark"] = remark.into();
    value["needs"] = needs.into();
    if let Some(cost) = &row.cost {
        value["energy_cost"] = cost.energy.map(neap_model::units::Money::in_base).into();
        value["gpu_cost"] = cost.gpus.map(neap_model::units::Money::in_base).into();
        value["currency"] = cost.currency.clone().into();
    }
    value
}

fn decision(decision: &Decision, gpus: u32) -> Value {
    json!({
        "reason": decision.because(),
        "blockers": decision.blockers.iter().map(|blocker| json!({
            "reason": blocker.reason, "clears": maybe(blocker.clears),
        })).collect::<Vec<_>>(),
        "latest_start": maybe(decision.latest_start),
        "plan": planned(decision, gpus),
        "run_now": decision.run_now.as_ref().map_or(Value::Null, outlook),
        "saving_ratio": saving_ratio(decision),
    })
}

/// What would be: `neap.plan/1`.
#[must_use]
pub fn plan(report: &PlanReport) -> Value {
    json!({
        "schema": "neap.plan/1",
        "now": time(report.now),
        "name": report.spec.name,
        "decision": decision(&report.decision, report.spec.resources.gpus),
        "alternatives": report.alternatives.iter().map(|row| alternative(row, report.now)).collect::<Vec<_>>(),
        "grid": report.grid.iter().map(zone).collect::<Vec<_>>(),
        "certificate": report.certificate.as_ref().map(certificate),
    })
}

fn happened(entry: &Happened) -> Value {
    let mut value = json!({"at": time(entry.at), "event": entry.event.word()});
    use neap_model::lifecycle::JobEvent as E;
    match &entry.event {
        E::Submitted { owner, .. } => value["by"] = owner.name.clone().into(),
        E::Planned { decision: planned } => value["decision"] = decision(planned, 0),
        E::Held { by } | E::Released { by } | E::Edited { by, .. } => value["by"] = by.clone().into(),
        E::Overridden { by, reason } | E::Cancelled { by, reason } => {
            value["by"] = by.clone().into();
            value["words"] = reason.clone().into();
        }
        E::Leased { epoch, node, zone, cpus, gpus, decision: chosen, slowed } => {
            value["attempt"] = epoch.0.into();
            value["node"] = node.clone().into();
            value["zone"] = zone.clone().into();
            value["cpus"] = (*cpus).into();
            value["gpu_uuids"] = json!(gpus);
            value["decision"] = decision(chosen, u32::try_from(gpus.len()).unwrap_or(0));
            if let Some(slowed) = slowed {
                value["starts_at_most_watts"] = slowed.in_base().into();
            }
        }
        E::Started { epoch, .. } => value["attempt"] = epoch.0.into(),
        E::Capped { epoch, limit, clock_ceiling, because, points } => {
            value["attempt"] = epoch.0.into();
            value["cap_watts"] = limit.map(neap_model::units::Watts::in_base).into();
            value["clock_ceiling_megahertz"] = json!(clock_ceiling);
            value["because"] = json!(because);
            let point = |point: &neap_model::cap::CapPoint| {
                json!({
                    "limit_watts": point.limit.in_base(),
                    "clock_ceiling_megahertz": point.clock_ceiling,
                    "steps_per_second": point.steps_per_kilosecond as f64 / 1e3,
                    "power_watts": point.power.in_base(),
                })
            };
            value["watched"] = points.iter().map(point).collect();
        }
        E::StopAsked { epoch, cause } => {
            value["attempt"] = epoch.0.into();
            value["cause"] = json!(cause);
        }
        E::AttemptEnded { epoch, end, .. } => {
            value["attempt"] = epoch.0.into();
            value["end"] = json!(end);
        }
        E::AttemptLost { epoch, retried } => {
            value["attempt"] = epoch.0.into();
            value["retried"] = (*retried).into();
        }
        E::Expired => {}
    }
    value
}

/// Why: `neap.why/1`.
#[must_use]
pub fn why(report: &WhyReport) -> Value {
    json!({
        "schema": "neap.why/1",
        "now": time(report.now),
        "job": job(&report.job),
        "decision": report.job.decision.as_ref().map(|d| decision(d, report.job.spec.resources.gpus)),
        "alternatives": report.alternatives.iter().map(|row| alternative(row, report.now)).collect::<Vec<_>>(),
        "history": report.history.iter().map(happened).collect::<Vec<_>>(),
        "grid": report.grid.as_ref().map(zone),
        "certificate": report.certificate.as_ref().map(certificate),
        "not_compared": report.not_compared,
    })
}

/// How good a plan can be at best.
fn certificate(certificate: &Certificate) -> Value {
    json!({
        "jobs": certificate.jobs,
        "planned_carbon_grams": certificate.emits.in_base(),
        "bound_carbon_grams": certificate.bound.in_base(),
        "gap_ratio": certificate.gap().map(round),
    })
}

/// A zone: `neap.zone/1`.
#[must_use]
pub fn zone(grid: &ZoneGrid) -> Value {
    json!({
        "schema": "neap.zone/1",
        "zone": grid.zone.name,
        "home": grid.zone.home,
        "pue_ratio": grid.zone.pue.map(|pue| pue.ratio()),
        "intensity_grams_per_kwh": grid.now.map(|intensity| intensity.in_base()),
        "intensity_grade": grid.grade.map(|grade| grade.word()),
        "basis": grid.basis,
        "origins": grid.origins.iter().map(|origin| json!({
            "feed": origin.feed, "issued": maybe(origin.issued), "fetched": time(origin.fetched),
            "credit": origin.credit, "note": origin.note, "basis": origin.basis, "private": origin.private,
            "usual_error_grams_per_kwh": origin.usual_error.map(|error| error.in_base()),
        })).collect::<Vec<_>>(),
        "spans": grid.series.spans().iter().map(|span| json!({
            "from": time(span.from), "until": time(span.until),
            "intensity_grams_per_kwh": span.value.in_base(), "intensity_grade": span.grade.word(),
        })).collect::<Vec<_>>(),
        "price_currency": grid.prices.as_ref().map(|prices| &prices.currency),
        "prices": grid.prices.as_ref().map(|prices| prices.series.spans().iter().map(|span| json!({
            "from": time(span.from), "until": time(span.until), "price_per_mwh": span.value.0 as f64 / 1e3,
        })).collect::<Vec<_>>()),
    })
}

fn footprint(footprint: &Footprint) -> (f64, f64) {
    (footprint.energy.in_base(), footprint.emits.in_base())
}

fn usage(row: &UsageRow) -> Value {
    let ((energy, carbon), (_, run_now)) = (footprint(&row.actual), footprint(&row.run_now));
    let mut value = json!({
        "group": row.group,
        "jobs": row.jobs,
        "gpu_seconds": row.gpu_seconds.0,
        "energy_joules": energy,
        "energy_quality": row.quality.map(|quality| quality.word()),
        "measured_energy_joules": row.measured_energy.in_base(),
        "carbon_grams": carbon,
        "intensity_grade": row.actual.worst.map(|grade| grade.word()),
        "measured_intensity_joules": row.actual.measured.in_base(),
        "uncovered_joules": row.actual.uncovered.in_base(),
        "run_now_carbon_grams": run_now,
        "saved_grams": row.run_now.emits.in_base() - carbon,
        "waited_for_grid_seconds": row.waited_for_grid.0,
        "finish_by_missed": row.missed,
        "overrides": row.overrides,
        "core_seconds": row.core_seconds,
    });
    beside::values(&mut value, &row.bills, row.market.as_ref(), row.embodied.as_ref());
    value
}

/// The rows of a report, each on its own.
#[must_use]
pub fn report_rows(report: &UsageReport) -> Vec<Value> {
    report.rows.iter().chain([&report.total]).map(usage).collect()
}

/// Sums: `neap.report/1`.
#[must_use]
pub fn report(report: &UsageReport) -> Value {
    json!({
        "schema": "neap.report/1",
        "since": maybe(report.since),
        "until": maybe(report.until),
        "now": time(report.now),
        "basis": report.basis,
        "credits": report.credits,
        "zones": report.zones.iter().map(|zone| json!({
            "zone": zone.name, "pue_ratio": zone.pue.map(|pue| pue.ratio()),
        })).collect::<Vec<_>>(),
        "rows": report.rows.iter().map(usage).collect::<Vec<_>>(),
        "total": usage(&report.total),
    })
}

/// How things are: `neap.status/1`.
#[must_use]
pub fn status(status: &StatusReport) -> Value {
    json!({
        "schema": "neap.status/1",
        "version": status.version,
        "protocol": status.protocol,
        "now": time(status.now),
        "incarnation": status.incarnation,
        "started": time(status.started),
        "jobs": status.jobs.iter().map(|(word, count)| (word.clone(), json!(count))).collect::<Map<_, _>>(),
        "nodes": status.nodes.iter().map(|node| json!({
            "name": node.name, "zone": node.zone, "up": node.up, "heard": maybe(node.heard),
            "cpus": node.inventory.cpus, "memory_bytes": node.inventory.memory.0,
            "gpus": node.inventory.gpus.iter().map(|gpu| json!({
                "uuid": gpu.uuid, "index": gpu.index, "model": gpu.model, "limit_watts": gpu.limit.in_base(),
                "safe_cap_watts": gpu.settable.and_then(|range| range.safe).map(neap_model::units::Watts::in_base),
            })).collect::<Vec<_>>(),
            "meters": node.inventory.meters.iter().map(|meter| json!({
                "component": meter.component.word(), "source": meter.source.word(),
                "quality": meter.source.quality().word(),
            })).collect::<Vec<_>>(),
            "driver": node.inventory.driver,
            "attempts": node.attempts,
        })).collect::<Vec<_>>(),
        "power": status.power.iter().map(|group| json!({
            "name": group.name, "limit_watts": group.limit.map(neap_model::units::Watts::in_base),
            "committed_watts": group.committed.in_base(), "event": group.event,
        })).collect::<Vec<_>>(),
        "event_servers": status.vtns.iter().map(|vtn| json!({
            "name": vtn.name, "answered": maybe(vtn.answered),
            "age_seconds": vtn.answered.map(|at| (status.now - at).num_seconds()), "trouble": vtn.trouble,
            "events": vtn.events, "announced": vtn.announced, "refused": vtn.refused,
        })).collect::<Vec<_>>(),
        "events": status.notices.iter().map(notice).collect::<Vec<_>>(),
        "degraded": status.degraded,
        "certificate": status.certificate.as_ref().map(certificate),
        "store_lag_frames": status.store_lag,
        "journal_seq": status.journal_seq,
    })
}

/// An announcement.
#[must_use]
pub fn notice(notice: &Notice) -> Value {
    let (limit, share) = match notice.call {
        Call::Cap { limit } | Call::GpuCap { limit } => (Some(limit.in_base()), None),
        Call::DemandResponse { share } => (None, Some(share.ratio())),
        Call::Plenty | Call::Alert | Call::HoldAgain => (None, None),
    };
    json!({
        "schema": "neap.event/1", "id": notice.id, "revision": notice.revision, "kind": notice.call.word(),
        "site": notice.place, "limit_watts": limit, "share_ratio": share, "from": time(notice.from),
        "until": maybe(notice.until), "priority": notice.priority, "reason": notice.reason, "source": notice.source,
        "cancelled": notice.cancelled,
    })
}

/// Objects as comma-separated values under a line of names. Nested names are joined by a dot; lists are JSON.
#[must_use]
pub fn csv(objects: &[Value]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for object in objects {
        let mut flat = Map::new();
        flatten("", object, &mut flat);
        for name in flat.keys() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        rows.push(flat);
    }
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let mut text = line(names.iter().map(|name| quoted(name)).collect());
    for row in &rows {
        text.push_str(&line(names.iter().map(|name| cell(row.get(name))).collect()));
    }
    text
}

fn flatten(prefix: &str, value: &Value, into: &mut Map<String, Value>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(_) => flatten(&name, value, into),
            _ => {
                into.insert(name, value.clone());
            }
        }
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text),
        Some(list @ Value::Array(_)) => quoted(&list.to_string()),
        Some(other) => other.to_string(),
    }
}

/// A cell as RFC 4180 has it. A text that a spreadsheet would run as a formula gets an apostrophe in front.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
