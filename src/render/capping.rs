//! How hard a job's GPUs were held: the limit, the ceiling of their clocks, for how long, why, and what it did. A limit nobody was
//! told of is never silent.

use super::times;
use neap_model::cap::{CapReason, CapUse};
use neap_model::protocol::JobReport;
use neap_model::seconds::Seconds;
use neap_model::units::{Megahertz, Percent, Watts};
use serde_json::{Value, json};

/// `150 W (60 % of 250 W)`.
fn of_found(limit: Watts, found: Option<Watts>) -> String {
    match found.filter(|found| found.0 > 0) {
        Some(found) => format!("{limit} ({:.0} % of {found})", limit.0 as f64 / found.0 as f64 * 100.0),
        None => limit.to_string(),
    }
}

/// `3 % slower, 21 % less GPU energy`; what is below half a percent is not claimed.
fn effect(time: Percent, energy: Percent) -> String {
    let slower = time.ratio() * 100.0 - 100.0;
    let less = 100.0 - energy.ratio() * 100.0;
    let slower = if slower < 0.5 { "no slower".to_owned() } else { format!("{slower:.0} % slower") };
    let energy = if less >= 0.0 { format!("{less:.0} % less") } else { format!("{:.0} % more", -less) };
    format!("{slower}, {energy} GPU energy")
}

/// Why, as a sentence's end.
#[must_use]
pub fn because(reason: &CapReason) -> String {
    match reason {
        CapReason::LeastEnergy { time, energy, slowdown } => {
            format!("{} by its own steps, within --slowdown {slowdown}", effect(*time, *energy))
        }
        CapReason::Planned { time, energy, slowdown } => {
            format!(
                "as planned with its start; {} by its own steps, within --slowdown {slowdown}",
                effect(*time, *energy)
            )
        }
        CapReason::Domain { domain, limit, time, event } => {
            let by = event.as_ref().map_or(String::new(), |event| format!(", event {}", super::escape(event)));
            let slower = time.map_or_else(
                || "slowed by nobody knows how much".to_owned(),
                |time| format!("{:.0} % slower", (time.ratio() * 100.0 - 100.0).max(0.0)),
            );
            format!("{} is held at {limit}{by}; {slower}", super::escape(domain))
        }
        CapReason::Node { event } => format!("an operator's limit for this node, event {}", super::escape(event)),
        CapReason::Free => "nothing asks for a limit any more".to_owned(),
    }
}

/// A decision, for the history.
#[must_use]
pub fn decided(limit: Option<Watts>, clock_ceiling: Option<Megahertz>, reason: &CapReason) -> String {
    let held = match (limit, clock_ceiling) {
        (Some(limit), Some(ceiling)) => format!("GPUs at {limit}, clocks at most {ceiling}"),
        (Some(limit), None) => format!("GPUs at {limit}"),
        (None, Some(ceiling)) => format!("GPU clocks at most {ceiling}"),
        (None, None) => "GPUs as they were found".to_owned(),
    };
    format!("{held}: {}", because(reason))
}

/// What a running job is held at now; `None`: at nothing.
#[must_use]
pub fn now(job: &JobReport) -> Option<String> {
    let capped = job.capped.as_ref().filter(|_| !job.phase.is_final())?;
    let held = capped.limit.is_some() || capped.clock_ceiling.is_some();
    held.then(|| decided(capped.limit, capped.clock_ceiling, &capped.because))
}

fn for_so_long(milliseconds: u64) -> String {
    format!("for {}", times::brief(Seconds(milliseconds / 1_000)))
}

/// The line of `show` and of the log's end: what held, and for how long; `None` where nothing was asked for.
#[must_use]
pub fn line(job: &JobReport) -> Option<Vec<String>> {
    let used = &job.account.cap;
    if job.gpus.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    let held = used.requested.filter(|limit| Some(*limit) < used.found);
    if let Some(limit) = held {
        parts.push(format!("power   GPUs at {}", of_found(limit, used.found)));
        parts.push(for_so_long(used.capped_ms));
        if let Some(tighter) = used.enforced.filter(|enforced| *enforced < limit) {
            parts.push(format!("something else holds {tighter}"));
        }
        if used.capped_ms > 0 {
            let bound = used.bound_ms as f64 / used.capped_ms as f64 * 100.0;
            parts.push(format!("it held the clocks down for {:.0} % of that", bound.min(100.0)));
        }
    }
    if let Some(ceiling) = used.clock_ceiling {
        let head = if parts.is_empty() { "power   GPU " } else { "" };
        parts.push(format!("{head}clocks at most {ceiling} {}", for_so_long(used.ceiling_ms)));
    }
    if let Some(why) = used.no_clock_ceiling {
        let head = if parts.is_empty() { "power   " } else { "" };
        parts.push(format!("{head}no ceiling of clocks: {}", why.sentence()));
    }
    if !parts.is_empty() {
        parts.extend(job.capped.as_ref().map(|capped| because(&capped.because)));
        return Some(parts);
    }
    let said = match (&job.capped, used.because) {
        (_, Some(why)) => why.sentence().to_owned(),
        (Some(capped), None) if capped.limit.is_none() => because(&capped.because),
        (None, None) if job.spec.flex.slowdown > Percent(0) && job.phase.is_final() => {
            "this node sets no limits, or the job counted no steps in $NEAP_PROGRESS".to_owned()
        }
        _ => return None,
    };
    Some(vec!["power   cap: none".to_owned(), said])
}

/// `cap_*` of `neap.job/1`, for a job of which any limit was wanted.
#[must_use]
pub fn values(job: &JobReport) -> Value {
    let used = job.account.cap;
    let CapUse { requested, enforced, found, capped_ms, bound_ms, because, .. } = used;
    let watts = |watts: Option<Watts>| watts.map(Watts::in_base);
    json!({
        "cap_requested_watts": watts(requested),
        "cap_enforced_watts": watts(enforced),
        "cap_found_watts": watts(found),
        "capped_seconds": capped_ms as f64 / 1e3,
        "cap_bound_seconds": bound_ms as f64 / 1e3,
        "clock_ceiling_megahertz": used.clock_ceiling,
        "clock_ceiling_seconds": used.ceiling_ms as f64 / 1e3,
        "cap_reason": job.capped.as_ref().map(|capped| json!(capped.because)),
        "uncapped_because": because.map(|why| why.sentence()),
        "no_clock_ceiling_because": used.no_clock_ceiling.map(|why| why.sentence()),
    })
}
