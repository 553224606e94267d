//! Figures of a replay: a table, an object a policy, an object a job, and a picture of carbon against waiting.

pub mod picture;

use super::numbers::{carbon, digits, energy, percent};
use super::table::{Side, Table};
use super::{Style, escape};
use crate::simulate::case::Setting;
use crate::simulate::intensity::show;
use crate::simulate::measure::{Figures, Reference, is_held, run_now, wait};
use crate::simulate::options::{Capacity, Forecast, Idle, Lengths, Model, Moves, Options};
use chrono::{SecondsFormat, TimeDelta};
use neap_model::units::{GramsCo2e, Joules};
use neap_policies::replay::quantile;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Figures that conditions may be about.
pub const FIGURES: &[&str] = &[
    "jobs",
    "unfinished_jobs",
    "carbon_grams",
    "carbon_ratio",
    "carbon_ratio_same_capacity",
    "marginal_ratio",
    "energy_kwh",
    "late_jobs",
    "late_work_ratio",
    "held_jobs",
    "wait_hours_mean",
    "wait_hours_p50",
    "wait_hours_p95",
    "slowdown_mean",
    "slowdown_p50",
    "slowdown_p95",
    "peak_gpus",
    "peak_kw",
    "moves",
    "pauses",
    "lost_work_kwh",
    "bound_ratio",
    "gap_ratio",
    "gap_ratio_max",
    "realised_over_clairvoyant",
    "plan_seconds_p50",
    "plan_seconds_p99",
    "plan_seconds_max",
];

/// Figures carry no more digits than they mean.
fn round(value: f64) -> Value {
    let rounded = (value * 1e6).round() / 1e6;
    // No `-0.0`.
    json!(rounded + 0.0)
}

fn maybe(value: Option<f64>) -> Value {
    value.filter(|value| value.is_finite()).map_or(Value::Null, round)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// What stands for a quantile of nothing is nothing.
fn quantile_of(values: &[f64], part: f64) -> Option<f64> {
    (!values.is_empty()).then(|| quantile(&sorted(values), part))
}

fn word<T: PartialEq>(value: &T, words: &[(T, &'static str)]) -> &'static str {
    words.iter().find(|(known, _)| known == value).map_or("", |(_, word)| word)
}

/// The set-up, so that a run can be told from another and run again.
fn set_up(setting: &Setting, options: &Options) -> Value {
    let idle = match options.idle {
        Idle::Nothing => "none".to_owned(),
        Idle::Attributed => "attributed".to_owned(),
        Idle::On => "on".to_owned(),
        Idle::OffAfter(seconds) => format!("off:{seconds}"),
    };
    let forecast = word(
        &options.forecast,
        &[
            (Forecast::Perfect, "perfect"),
            (Forecast::Column, "column"),
            (Forecast::Blend, "blend"),
            (Forecast::Yesterday, "yesterday"),
            (Forecast::DampLong, "damp_long"),
            (Forecast::Nothing, "none"),
        ],
    );
    let lengths = [
        (Lengths::True, "true"),
        (Lengths::QueueMean, "queue-mean"),
        (Lengths::Quantiles, "quantiles"),
        (Lengths::Asked, "asked"),
    ];
    json!({
        "begins": setting.begins.to_rfc3339_opts(SecondsFormat::Secs, true),
        "format": options.format.word(),
        "model": word(&options.model, &[(Model::Whole, "whole"), (Model::Divisible, "divisible")]),
        "arrivals": if options.online { "online" } else { "all" },
        "forecast": forecast,
        "forecast_trusted_hours": options.trusted.map(|seconds| seconds / 3600.0),
        "lag_seconds": options.lag,
        "lengths": word(&options.lengths, &lengths),
        "interruptible": options.interruptible,
        "moves": word(&options.moves, &[(Moves::Any, "any"), (Moves::Choose, "choose"), (Moves::Home, "home")]),
        "slot_seconds": options.slot,
        "capacity_multiple": match options.capacity { Capacity::Mean(multiple) => json!(multiple), _ => Value::Null },
        "capacity_gpus": setting.case.places.iter().map(|place| maybe(place.gpus)).collect::<Vec<_>>(),
        "mean_demand_gpus": round(setting.mean_demand),
        "watts_per_gpu": options.watts,
        "idle": idle,
        "idle_watts_per_gpu": options.idle_watts,
        "pue": setting.case.places.iter().map(|place| place.pue).collect::<Vec<_>>(),
        "pause_cost_seconds": options.pause_cost.0,
        "pause_cost_kwh": options.pause_cost.1,
        "wait_price": options.wait_price,
        "truncate_seconds": options.truncate,
        "transfer": "not counted",
        "seed": options.seed,
        "version": env!("CARGO_PKG_VERSION"),
        "inputs": setting.inputs.iter().map(|(what, name, digest)| json!({
            "what": what, "file": name, "sha256": digest,
        })).collect::<Vec<_>>(),
        "holes": setting.holes.iter().map(|hole| json!({
            "zone": hole.zone, "from": show(hole.from), "until": show(hole.until),
        })).collect::<Vec<_>>(),
        "counts": setting.counts.iter().map(|(what, count)| ((*what).to_owned(), json!(count))).collect::<Map<_, _>>(),
        "notes": setting.notes,
    })
}

/// One policy: `neap.simulate/1`.
#[must_use]
pub fn policy(figures: &Figures, setting: &Setting, options: &Options, reference: &Reference) -> Value {
    let (score, case) = (&figures.score, &setting.case);
    let to = |of: f64| if of > 0.0 { Some(figures.grams / of) } else { None };
    let seconds = |part: f64| if options.timing { maybe(quantile_of(&figures.seconds, part)) } else { Value::Null };
    json!({
        "schema": "neap.simulate/1",
        "policy": figures.policy,
        "zones": case.places.iter().map(|place| place.name.clone()).collect::<Vec<_>>(),
        "jobs": score.jobs,
        "unfinished_jobs": score.unfinished,
        "carbon_grams": round(figures.grams),
        "run_now_carbon_grams": round(reference.unlimited),
        "carbon_ratio": maybe(to(reference.unlimited)),
        "carbon_ratio_same_capacity": maybe(reference.same_capacity.and_then(to)),
        "carbon_grams_by_zone": case.places.iter().zip(&score.grams_by_place)
            .map(|(place, grams)| (place.name.clone(), round(*grams))).collect::<Map<_, _>>(),
        "marginal_grams": maybe(figures.marginal.map(|(grams, _)| grams)),
        "marginal_ratio": maybe(figures.marginal.map(|(grams, of)| grams / of)),
        "cost": null,
        "energy_kwh": round(figures.energy_kwh),
        "idle_kwh": round(figures.idle_kwh),
        "late_jobs": score.late_jobs,
        "late_work_ratio": round(score.late_work),
        "held_jobs": figures.held,
        "not_held_jobs": score.jobs - figures.held,
        "wait_hours_mean": round(score.wait_hours.mean),
        "wait_hours_p50": round(score.wait_hours.p50),
        "wait_hours_p95": round(score.wait_hours.p95),
        "slowdown_mean": round(figures.slowdown[0]),
        "slowdown_p50": round(figures.slowdown[1]),
        "slowdown_p95": round(figures.slowdown[2]),
        "peak_gpus": round(score.peak_gpus),
        "peak_kw": round(score.peak_gpus * case.kw_per_gpu),
        "moves": score.moves,
        "pauses": score.pauses,
        "lost_work_kwh": round(figures.pause_kwh),
        "bound_ratio": maybe((reference.unlimited > 0.0).then(|| figures.bound / reference.unlimited)),
        "gap_ratio": maybe(quantile_of(&figures.gaps, 0.5)),
        "gap_ratio_max": maybe(quantile_of(&figures.gaps, 1.0)),
        "realised_over_clairvoyant": maybe(to(figures.bound)),
        "plans": figures.seconds.len(),
        "plan_seconds_p50": seconds(0.5),
        "plan_seconds_p99": seconds(0.99),
        "plan_seconds_max": seconds(1.0),
        "set_up": set_up(setting, options),
    })
}

/// Every job under a policy: `neap.simulate.job/1`.
#[must_use]
pub fn jobs(figures: &Figures, setting: &Setting, options: &Options) -> Vec<Value> {
    let case = &setting.case;
    let time = |seconds: f64| {
        let at = setting.begins + TimeDelta::milliseconds((seconds * 1e3).round() as i64);
        Value::from(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    };
    let of = |((job, ran), of_trace): (
        (&neap_policies::replay::TraceJob, &neap_policies::replay::Ran),
        &crate::simulate::trace::Job,
    )| {
        let grams: f64 = ran.iter().map(|segment| case.grams(segment)).sum();
        let now = run_now(case, job);
        let held = is_held(job, ran);
        let exit = ran.iter().map(|segment| segment.until).max_by(f64::total_cmp);
        let because = match (held, grams < now * (1.0 - 1e-9)) {
            (false, _) => "starts_at_once",
            (true, true) => "grid.cleaner_later",
            (true, false) => "capacity.gpus",
        };
        let mut zones: Vec<&str> = ran.iter().map(|segment| case.places[segment.place].name.as_str()).collect();
        zones.dedup();
        json!({
            "schema": "neap.simulate.job/1",
            "policy": figures.policy,
            "job": of_trace.name,
            "gpus": job.width,
            "home": case.places[job.home].name,
            "zones": zones,
            "submitted": time(job.arrival),
            "finish_by": time(job.arrival + job.length + job.slack),
            "run_seconds": job.length,
            "started": ran.first().map_or(Value::Null, |segment| time(segment.from)),
            "ended": exit.map_or(Value::Null, time),
            "wait_seconds": maybe(wait(job, ran)),
            "late": exit.is_none_or(|exit| exit > job.arrival + job.length + job.slack + 1e-3),
            "decision": if held { "hold" } else { "start" },
            "reason": {"code": because},
            "stretches": ran.len(),
            // With everything known what is planned is what happens; a plan that changes as hours come has no one promise.
            "planned_carbon_grams": if options.online { Value::Null } else { round(grams) },
            "carbon_grams": round(grams),
            "run_now_carbon_grams": round(now),
        })
    };
    case.jobs.iter().zip(&figures.ran).zip(&setting.jobs).map(of).collect()
}

fn grams(value: f64) -> String {
    GramsCo2e::from_base(value.max(0.0)).map_or_else(|| "?".to_owned(), carbon)
}

fn kwh(value: f64) -> String {
    Joules::from_base(value.max(0.0) * 3.6e6).map_or_else(|| "?".to_owned(), energy)
}

fn share(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.4}"))
}

/// A table with a row a policy, and what one must know to read it.
#[must_use]
pub fn table(all: &[(Value, &Figures)], setting: &Setting, options: &Options, style: &Style) -> String {
    let mut table = Table::new(&[
        ("POLICY", Side::Left),
        ("CO2e", Side::Right),
        ("vs NOW", Side::Right),
        ("SAME CAPACITY", Side::Right),
        ("WAIT h", Side::Right),
        ("p95", Side::Right),
        ("SLOWDOWN p95", Side::Right),
        ("LATE", Side::Right),
        ("PEAK", Side::Right),
        ("ENERGY", Side::Right),
        ("PAUSES", Side::Right),
        ("MOVES", Side::Right),
        ("BOUND", Side::Right),
        ("GAP", Side::Right),
        ("PLAN p50", Side::Right),
    ]);
    for (value, figures) in all {
        let score = &figures.score;
        let late = if score.late_jobs == 0 {
            "0".to_owned()
        } else {
            format!("{} ({})", score.late_jobs, percent(score.late_work))
        };
        let gap = value["gap_ratio"].as_f64().map_or_else(|| "–".to_owned(), |gap| format!("{:.2} %", gap * 100.0));
        let took = value["plan_seconds_p50"].as_f64();
        table.row([
            escape(&figures.policy),
            grams(figures.grams),
            share(&value["carbon_ratio"]),
            share(&value["carbon_ratio_same_capacity"]),
            digits(score.wait_hours.mean),
            digits(score.wait_hours.p95),
            digits(figures.slowdown[2]),
            late,
            digits(score.peak_gpus),
            kwh(figures.energy_kwh),
            score.pauses.to_string(),
            score.moves.to_string(),
            share(&value["bound_ratio"]),
            gap,
            took.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.3} s")),
        ]);
    }
    let mut text = table.text(style);
    let case = &setting.case;
    let gpus: Vec<String> = case.places.iter().map(|place| place.gpus.map_or("no limit".to_owned(), digits)).collect();
    let zones: Vec<String> =
        case.places.iter().zip(&gpus).map(|(place, gpus)| format!("{} {gpus}", escape(&place.name))).collect();
    let _ = writeln!(
        text,
        "{} jobs from {} · mean demand {} GPUs · {} · {} W a GPU · forecast {}",
        case.jobs.len(),
        show(setting.begins),
        digits(setting.mean_demand),
        zones.join(", "),
        digits(options.watts),
        set_up(setting, options)["forecast"].as_str().unwrap_or_default(),
    );
    for (what, count) in &setting.counts {
        let _ = writeln!(text, "{count} jobs {what}");
    }
    for hole in &setting.holes {
        let _ = writeln!(text, "no value for {} {} to {}", escape(&hole.zone), show(hole.from), show(hole.until));
    }
    for note in &setting.notes {
        let _ = writeln!(text, "{note}");
    }
    style.draw(text)
}

#[cfg(test)]
mod tests;
