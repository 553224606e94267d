//! Verbs about the site: the grid, the account, how things are.

use super::{Left, print, print_all};
use crate::args::{Format, ReportArgs};
use crate::jobfile::times;
use crate::output;
use crate::render::{data, grid, report as accounts, status as health};
use crate::session::{Problems, Session, Without, problem, problems};
use chrono::{DateTime, Utc};
use neap_model::refusal::{Code, Refusal};
use neap_scheduler::controller::ReportQuery;

/// `neap carbon`.
pub async fn carbon(session: &Session, wanted: &[String], factors: bool) -> Left {
    let reached = session.reach(Without::Looking)?;
    let all = reached.client.grid().await.map_err(problems)?;
    let names: Vec<&str> = all.iter().map(|grid| grid.zone.name.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        let refusal = Refusal::new(Code::NoSuchPlace, format!("no zone `{unknown}`")).about("zone", unknown);
        return Err(problem(refusal.note(format!("zones here: {}", names.join(", ")))));
    }
    let zones: Vec<_> = all.iter().filter(|g| wanted.is_empty() || wanted.contains(&g.zone.name)).cloned().collect();
    let now = session.now();
    let text =
        || if factors { grid::factors(&zones, now, &session.style) } else { grid::carbon(&zones, now, &session.style) };
    print_all(session, text, "neap.grid/1", "zones", || zones.iter().map(data::zone).collect())
}

/// `2026-11-01`, RFC 3339, or `7d`: so long ago.
fn past(session: &Session, text: &str, field: &str) -> Result<DateTime<Utc>, Problems> {
    times::past(text, session.now(), field, session.style.zone).map_err(problem)
}

/// `neap report`.
pub async fn report(session: &Session, args: &ReportArgs) -> Left {
    let query = ReportQuery {
        project: args.project.clone(),
        since: args.since.as_deref().map(|text| past(session, text, "since")).transpose()?,
        until: args.until.as_deref().map(|text| past(session, text, "until")).transpose()?,
        by: args.by,
    };
    let reached = session.reach(Without::Reading)?;
    let report = reached.client.report(&query).await.map_err(problems)?;
    let project = query.project.as_deref();
    match session.format {
        Format::Md => output::out(&accounts::markdown(&report, project, &session.style)),
        Format::Csv => output::out(&data::csv(&data::report_rows(&report))),
        _ => return print(session, || accounts::report(&report, project, &session.style), || data::report(&report)),
    }
    Ok(0)
}

/// `neap status`.
pub async fn status(session: &Session) -> Left {
    let reached = session.reach(Without::Reading)?;
    let status = reached.client.status().await.map_err(problems)?;
    print(session, || health::status(&status, &reached.shown, &session.style), || data::status(&status))
}
