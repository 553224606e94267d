//! `neap doctor`: what this node can measure and do.

use super::{Left, print_all};
use crate::config::powerd as powerd_file;
use crate::output;
use crate::render::Style;
use crate::session::{Session, problem};
use neap_executor::doctor::{Busy, Finding, Level, examine, trial};
use neap_executor::powerd::serve;
use neap_model::refusal::{Code, Refusal};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;

/// `neap doctor`. `gpu`: boards are tried as well; whether limits may be set without asking.
pub fn doctor(session: &Session, strict: bool, gpu: Option<bool>, nvml_lib: Option<PathBuf>) -> Left {
    let config = session.config()?;
    let mut executor = config.executor.clone();
    executor.nvml_lib_typed = nvml_lib;
    if session.named_server().is_none() && config.file.is_none() {
        executor.run_dir = session.paths.personal_state().join("run");
    }
    let mut findings = vec![match &config.file {
        Some(file) => ok("config", file.display().to_string()),
        None => ok("config", "built in (no file was found); neap help config".to_owned()),
    }];
    findings.extend(examine(&executor));
    if let Some(yes) = gpu {
        findings.extend(trial(&executor, yes || may_set()).map_err(|busy| problem(refused(&busy)))?);
    }
    findings.push(grid(&config.scheduler));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let values = || {
        let value = |f: &Finding| json!({"schema": "neap.finding/1", "level": f.level.word(), "topic": f.topic, "text": f.text});
        findings.iter().map(value).collect()
    };
    print_all(session, || text(&findings, &session.style), "neap.doctor/1", "findings", values)?;
    Ok(match (worst, strict) {
        (Level::Fail, _) | (Level::Warn, true) => 1,
        _ => 0,
    })
}

/// Why boards are not tried now, and what to do about it.
fn refused(busy: &Busy) -> Refusal {
    let hint = match busy {
        Busy::Trial(_) => {
            "wait for it, some ten seconds; without --yes meters alone are watched, which disturbs nobody"
        }
        Busy::Held(_) => {
            "try it when these jobs are over, or `neap node cap NODE off` ends an operator's limit; without --yes meters alone are watched"
        }
    };
    Refusal::new(Code::Busy, busy.to_string()).hint(hint, &[])
}

/// Asks whether limits may be set; where nobody can be asked they may not.
fn may_set() -> bool {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    output::raw("A limit a fifth lower is set on every GPU for about a second and given back. Go on? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "yes")
}

/// `neap powerd`.
pub fn powerd(file: Option<PathBuf>, restore_all: bool, check: bool) -> Left {
    let path = file.unwrap_or_else(|| powerd_file::USUAL.into());
    let config = powerd_file::load(&path)?;
    let say = |line: &str| output::note(&format!("neap powerd: {line}"));
    let failed = |why: String| problem(Refusal::new(Code::Internal, why));
    if check {
        output::out(&format!("ok    {}: {} groups\n", path.display(), config.groups.len()));
        return Ok(0);
    }
    if restore_all {
        for event in serve::restore_all(&config).map_err(failed)? {
            say(&format!("{} {}: {}", event.kind, event.gpu, event.detail));
        }
        return Ok(0);
    }
    serve::serve(&config, &say).map_err(failed)?;
    Ok(0)
}

fn ok(topic: &'static str, text: String) -> Finding {
    Finding { level: Level::Ok, topic, text }
}

/// What is known about the grid without asking anybody.
fn grid(config: &neap_scheduler::config::Config) -> Finding {
    let (mut grid, _) = neap_scheduler::feeds::Grid::new(config);
    let now = chrono::Utc::now();
    while grid.load_more(now) {}
    let health = grid.refresh(now);
    let mut troubles = neap_scheduler::feeds::troubles(&health);
    let curves = grid.curves(now);
    troubles.extend(grid.outdone(now));
    let sources: Vec<String> = curves.iter().map(|(zone, curve)| source(zone, curve, now)).collect();
    let static_zones: Vec<String> = curves
        .into_iter()
        .filter(|(_, curve)| curve.series.at(now).is_none_or(|span| !span.grade.may_shift()))
        .map(|(zone, _)| zone)
        .collect();
    match (troubles.as_slice(), static_zones.as_slice()) {
        ([], []) => ok("grid", sources.join("; ")),
        ([], zones) => Finding {
            level: Level::Warn,
            topic: "grid",
            text: format!(
                "{}: a yearly mean only, so nothing waits for it; name a zone (NEAP_ZONE=DE, or [[zone]]) or a feed",
                zones.join(", ")
            ),
        },
        (troubles, _) => Finding { level: Level::Warn, topic: "grid", text: troubles.join("; ") },
    }
}

/// Where the present value of a zone comes from.
fn source(zone: &str, curve: &neap_model::grid::Curve, now: chrono::DateTime<chrono::Utc>) -> String {
    let grade = curve.series.at(now).map_or("unknown", |span| span.grade.word());
    match curve.origins.first() {
        Some(origin) if origin.feed != "table" => {
            let minutes = (now - origin.issued.unwrap_or(origin.fetched)).num_minutes().max(0);
            format!("{zone} {}, {minutes} min old, {grade}", origin.feed)
        }
        _ => format!("{zone} built-in table, {grade}"),
    }
}

fn text(findings: &[Finding], style: &Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ =
            writeln!(text, "{:<5} {:<8} {}", finding.level.word(), finding.topic, crate::render::escape(&finding.text));
    }
    style.draw(text)
}
