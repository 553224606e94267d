//! Jobs for people: what `submit` answers, `ls` lists and `show` tells.

use super::table::{Side, Table};
use super::{Style, data, escape, footer, numbers, times};
use chrono::{DateTime, Utc};
use neap_model::grid::Grade;
use neap_model::lifecycle::{Phase, StopCause};
use neap_model::plan::{Decision, Outlook, Verdict};
use neap_model::protocol::{Accepted, JobPage, JobReport};
use neap_model::reason::{Reason, WhyNow};
use neap_model::seconds::Seconds;
use std::fmt::Write as _;

/// The answer to a submission.
#[must_use]
pub fn accepted(accepted: &Accepted, now: DateTime<Utc>, style: &Style) -> String {
    let job = &accepted.job;
    let mut text = head(job, style);
    if accepted.deduplicated {
        text.push_str("  (submitted before with the same key; nothing was queued twice)\n");
    }
    match &job.decision {
        Some(decision) => text.push_str(&outlook(job, decision, now, style)),
        None => {
            let _ = writeln!(text, "  {}", when(job, now, style));
        }
    }
    style.draw(text)
}

fn head(job: &JobReport, style: &Style) -> String {
    let spec = &job.spec;
    let mut text = format!("job {}  {}  {}", job.id, escape(&spec.name), numbers::resources(spec));
    if let Some(queue) = &spec.queue {
        let _ = write!(text, "  queue {}", escape(queue));
    }
    if let Some(by) = spec.time.finish_by {
        let _ = write!(text, "  finish-by {}", times::full(by, style));
    }
    if let Some(by) = spec.time.start_by {
        let _ = write!(text, "  start-by {}", times::full(by, style));
    }
    text.push('\n');
    text
}

/// The lines about start, energy and carbon of a decision.
#[must_use]
pub fn outlook(job: &JobReport, decision: &Decision, now: DateTime<Utc>, style: &Style) -> String {
    let (state, place) = match &decision.verdict {
        Verdict::Start { place, .. } => ("starts now", Some(place)),
        Verdict::Hold { place, .. } => (data::state(job), place.as_ref()),
    };
    let mut text = String::new();
    let Some(expected) = &decision.expected else {
        let because = decision.because().map_or_else(String::new, |because| sentence(because, now, style));
        let _ = writeln!(text, "  {state}  {because}");
        return text;
    };
    let width = decision.width.as_ref().map_or_else(String::new, |width| format!(" on {}", numbers::width(width)));
    let zone = place.map_or_else(String::new, |place| format!("{width} in {}", escape(&place.zone)));
    let start = if matches!(decision.verdict, Verdict::Start { .. }) {
        format!("  {state} → ~{}{zone}", times::short(expected.end, now, style))
    } else {
        let mark = if decision.is_planned() { "" } else { "~" };
        format!(
            "  {state:<8} {mark}{} → ~{}{zone}",
            times::day_clock(expected.start, style),
            times::short(expected.end, expected.start, style)
        )
    };
    let spare =
        job.spec.time.finish_by.map_or_else(String::new, |by| format!("{} to spare", times::between(expected.end, by)));
    let columns = |left: String, right: &str| if right.is_empty() { left } else { format!("{left:<44}  {right}") };
    let _ = writeln!(text, "{}", columns(start, &spare));
    let energy = format!("  energy   ~{}", numbers::energy(expected.energy));
    let _ = writeln!(text, "{}", columns(energy, "estimated from cores, power limits and PUE"));
    let _ = writeln!(
        text,
        "{}",
        columns(format!("  carbon   ~{}", numbers::carbon(expected.emits)), &compared(decision, expected))
    );
    match (&decision.verdict, decision.because()) {
        (Verdict::Start { because, .. }, _) => {
            let _ = writeln!(text, "  {}", why_now(because, decision.expected.as_ref()));
        }
        (_, Some(Reason::CleanerLater { .. } | Reason::CheaperLater { .. })) => {
            let _ = writeln!(
                text,
                "  It waits {} for that.  Start at once: neap now {}   Reasons: neap why {}",
                times::between(now, expected.start),
                job.id,
                job.id
            );
        }
        (_, Some(because)) => {
            let _ = writeln!(text, "  It waits: {}.  Reasons: neap why {}", sentence(because, now, style), job.id);
        }
        _ => {}
    }
    text
}

fn compared(decision: &Decision, expected: &Outlook) -> String {
    let grade = expected.grade.word();
    match (&decision.run_now, decision.savings()) {
        (Some(run_now), Some(savings)) if run_now.start != expected.start && expected.grade.may_shift() => {
            format!("run now: ~{} · {} ({grade})", numbers::carbon(run_now.emits), numbers::saving(&savings, false))
        }
        _ => format!("{}, {grade}", expected.intensity),
    }
}

/// Why a job starts now, in a sentence.
#[must_use]
pub fn why_now(because: &WhyNow, expected: Option<&Outlook>) -> String {
    let twice = expected.is_some_and(|outlook| outlook.grade == Grade::Climatology);
    match because {
        WhyNow::NotAsked => "It did not ask to wait for the grid (--delay carbon or --finish-by).".to_owned(),
        WhyNow::CleanestNow => "Now is the cleanest start it has.".to_owned(),
        WhyNow::WithPauses { pauses, savings } => format!(
            "Now is clean enough to begin; it is to pause {} later, which {}.",
            if *pauses == 1 { "once".to_owned() } else { format!("{pauses} times") },
            numbers::saving(savings, false)
        ),
        WhyNow::SavingTooSmall { savings, asks } => format!(
            "Waiting would save {}; it asks for {asks} at least{}.",
            savings.ratio().map_or_else(|| "nothing".to_owned(), numbers::percent),
            if twice { ", twice its minimum, because only a climatology is known" } else { "" }
        ),
        WhyNow::WithinError { savings, asks } => format!(
            "Waiting would save {}; forecasts were off so much lately that less than {asks} is not waited for.",
            savings.ratio().map_or_else(|| "nothing".to_owned(), numbers::percent),
        ),
        WhyNow::CheapestNow => "Now is the cheapest start it has.".to_owned(),
        WhyNow::TooLittleCheaper { costs, asks } => {
            let share = costs.asked_ratio().map_or_else(|| "too little".to_owned(), numbers::percent);
            format!("Waiting for cheaper hours would save {share}; it asks for {asks} at least.")
        }
        WhyNow::NoPrices => "It would wait for cheaper hours, but no prices are known for its run.".to_owned(),
        WhyNow::NoForecast { grade: Some(grade) } => {
            format!("Nothing trustworthy is known about the hours ahead ({} only).", grade.word())
        }
        WhyNow::NoForecast { grade: None } => "Nothing is known about the hours ahead.".to_owned(),
        WhyNow::LatestStart => "Its latest start has come.".to_owned(),
        WhyNow::Override { by } => format!("{} said so (neap now).", escape(by)),
    }
}

/// A reason as half a sentence, with the times that belong to it.
#[must_use]
pub fn sentence(reason: &Reason, now: DateTime<Utc>, style: &Style) -> String {
    match reason {
        Reason::NotBefore { at } => format!("asked not to start before {}", times::short(*at, now, style)),
        Reason::Gpus { needs, free, of, model } => {
            let model = model.as_ref().map_or_else(|| "GPUs".to_owned(), |model| escape(model));
            format!("it needs {needs} {model}, {free} of {of} are free")
        }
        Reason::Cpus { needs, free, of } => format!("it needs {needs} cores, {free} of {of} are free"),
        Reason::Memory { needs, free, of } => format!("it needs {needs} of memory, {free} of {of} are free"),
        Reason::Fragmented { needs, free } => format!("it needs {needs} on one node; {free} are free, on several"),
        Reason::Power { domain, needs, free, limit, event, from } => {
            let event = event.as_ref().map_or_else(String::new, |id| format!(" (event {})", escape(id)));
            let when = from.map_or_else(String::new, |at| format!(" from {} on", times::short(at, now, style)));
            format!("it needs up to {needs}, {free} of {limit} are left in {}{when}{event}", escape(domain))
        }
        Reason::Ramp { domain, needs, started, limit } => format!(
            "it needs up to {needs}; {started} of {limit} that may be started a minute were just started in {}",
            escape(domain)
        ),
        Reason::Peak { place, model, needs, free, limit } => {
            let model = model.as_ref().map_or_else(|| "GPUs".to_owned(), |model| escape(model));
            format!(
                "it needs {needs} {model}; of {limit} that may be in use at once in {} {free} are left",
                escape(place)
            )
        }
        Reason::CheaperLater { costs, .. } => format!("cheaper hours come: {}", numbers::costs(costs)),
        Reason::Reserved { job } => format!("the room that is free is promised to job {job}"),
        other => escape(&other.to_string()),
    }
}

/// The column WHEN: start or end, as far as anybody can say.
#[must_use]
pub fn when(job: &JobReport, now: DateTime<Utc>, style: &Style) -> String {
    let at = |at| times::short(at, now, style);
    match &job.phase {
        Phase::Ended { at: ended, .. } => {
            let lasted =
                job.started.map_or_else(String::new, |s| format!("{}, ", times::brief(times::between(s, *ended))));
            format!("{lasted}ended {}", at(*ended))
        }
        Phase::Running { since, .. } => {
            let ran = times::brief(times::between(*since, now));
            match job.decision.as_ref().and_then(|d| d.expected).map(|e| e.end) {
                Some(end) if end > now => format!("{ran}, ends ~{}", at(end)),
                _ => ran,
            }
        }
        Phase::Leased { at: since, .. } => format!("given to its node {}", at(*since)),
        Phase::Stopping { cause: StopCause::Pause { until, .. }, .. } => format!("pausing until {}", at(*until)),
        Phase::Stopping { .. } => "being ended".to_owned(),
        Phase::Held { .. } => "–".to_owned(),
        Phase::Queued | Phase::Paused { .. } => match &job.decision {
            Some(decision) if decision.is_planned() => {
                let start = decision.start().unwrap_or(now);
                let word = if matches!(job.phase, Phase::Paused { .. }) { "resumes" } else { "starts" };
                format!("{word} {} ({})", at(start), times::brief(times::between(now, start)))
            }
            Some(Decision { verdict: Verdict::Hold { until: Some(until), .. }, .. }) => format!("~{}", at(*until)),
            _ => "–".to_owned(),
        },
    }
}

/// The column WHY.
#[must_use]
pub fn why(job: &JobReport) -> String {
    match (&job.phase, &job.decision) {
        (Phase::Ended { outcome, .. }, _) => match outcome {
            neap_model::lifecycle::Outcome::Succeeded => String::new(),
            other => footer::ended(other),
        },
        (Phase::Held { by }, _) => format!("held by {}", escape(by)),
        (Phase::Queued | Phase::Paused { .. }, Some(decision)) => {
            decision.because().map_or_else(String::new, |because| escape(&because.to_string()))
        }
        (Phase::Queued | Phase::Paused { .. }, None) => "being planned".to_owned(),
        _ => String::new(),
    }
}

/// Energy and carbon of a job: booked, or planned with a `~`.
fn costs(job: &JobReport) -> (String, String) {
    let account = &job.account;
    if account.actual.energy.0 > 0 || job.phase.is_final() {
        return (numbers::energy(account.actual.energy), numbers::carbon(account.actual.emits));
    }
    match job.decision.as_ref().and_then(|decision| decision.expected) {
        Some(expected) => {
            (format!("~{}", numbers::energy(expected.energy)), format!("~{}", numbers::carbon(expected.emits)))
        }
        None => ("–".to_owned(), "–".to_owned()),
    }
}

/// The list, and a line of what the grid does where that is known.
#[must_use]
pub fn list(page: &JobPage, now: DateTime<Utc>, wide: bool, style: &Style) -> String {
    if page.jobs.is_empty() {
        return "no jobs here (neap ls --all lists those that are over; neap submit queues one)\n".to_owned();
    }
    let mut columns = vec![
        ("ID", Side::Right),
        ("NAME", Side::Left),
        ("PROJECT", Side::Left),
        ("STATE", Side::Left),
        ("WHEN", Side::Left),
        ("NEEDS", Side::Left),
        ("ENERGY", Side::Right),
        ("CO2E", Side::Right),
    ];
    if wide {
        columns.extend([("QUEUE", Side::Left), ("OWNER", Side::Left), ("NODE", Side::Left), ("SUBMITTED", Side::Left)]);
    }
    columns.push(("WHY", Side::Left));
    let mut table = Table::new(&columns);
    for job in &page.jobs {
        let (energy, carbon) = costs(job);
        let mut cells = vec![
            job.id.to_string(),
            escape(&job.spec.name),
            escape(&job.spec.project),
            data::state(job).to_owned(),
            when(job, now, style),
            numbers::resources(&job.spec),
            energy,
            carbon,
        ];
        if wide {
            cells.extend([
                escape(job.spec.queue.as_deref().unwrap_or("–")),
                escape(&job.owner),
                job.place.as_ref().map_or_else(|| "–".to_owned(), |place| escape(&place.node)),
                times::short(job.submitted, now, style),
            ]);
        }
        cells.push(why(job));
        table.row(cells);
    }
    let mut text = table.text(style);
    let shown = page.jobs.len() as u64;
    if shown < page.total {
        let _ = writeln!(text, "{shown} of {} jobs (--limit)", page.total);
    }
    text
}

/// Everything about one job.
#[must_use]
pub fn show(job: &JobReport, now: DateTime<Utc>, style: &Style) -> String {
    let spec = &job.spec;
    let mut text = head(job, style);
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<10} {value}");
        }
    };
    let state = match &job.phase {
        Phase::Ended { outcome, .. } => footer::ended(outcome),
        _ => data::state(job).to_owned(),
    };
    let when = when(job, now, style);
    line("state", if when == "–" { state } else { format!("{state} · {when}") });
    line("why", if job.phase.is_final() { String::new() } else { why(job) });
    line("project", format!("{} · owner {}", escape(&spec.project), escape(&job.owner)));
    line("command", command(job));
    line("submitted", times::full(job.submitted, style));
    line("started", job.started.map_or_else(String::new, |at| times::full(at, style)));
    line("ended", job.ended.map_or_else(String::new, |at| times::full(at, style)));
    line("place", job.place.as_ref().map_or_else(String::new, |p| format!("{}, {}", escape(&p.node), escape(&p.zone))));
    line("power", super::capping::now(job).unwrap_or_default());
    line("limit", spec.time.limit.map_or_else(String::new, |limit| limit.to_string()));
    line("consents", consents(job));
    if job.attempts > 1 {
        line("attempts", job.attempts.to_string());
    }
    line(
        "waited",
        if job.waited_for_grid > Seconds::ZERO {
            format!("{} for the grid", job.waited_for_grid)
        } else {
            String::new()
        },
    );
    line("log", job.log.as_deref().map_or_else(String::new, escape));
    if job.account.actual.energy.0 > 0 || job.phase.is_final() {
        text.push_str(&footer::used(job));
        if !job.phase.is_final() {
            text.push_str("so far; the last minute is not booked yet\n");
        }
    } else if let Some(decision) = &job.decision {
        text.push_str(&outlook(job, decision, now, style));
    }
    style.draw(text)
}

fn command(job: &JobReport) -> String {
    let task = &job.spec.task;
    let words: Vec<String> = task
        .command
        .iter()
        .map(|word| shlex::try_quote(word).map_or_else(|_| word.clone(), |quoted| quoted.into_owned()))
        .collect();
    let shown: String = match &task.script {
        Some(_) => format!("a script {}", words.join(" ")),
        None => words.join(" "),
    };
    let shown = escape(shown.trim_end());
    if shown.chars().count() > 200 { shown.chars().take(199).chain(['…']).collect() } else { shown }
}

fn consents(job: &JobReport) -> String {
    let flex = &job.spec.flex;
    let mut all = Vec::new();
    if let Some(delay) = flex.delay.filter(|delay| *delay != neap_model::job::Objective::None) {
        let longest = flex.max_delay.map_or_else(String::new, |max| format!(" up to {max}"));
        let least = flex.min_saving.map_or_else(String::new, |min| format!(" for {min} or more"));
        all.push(format!("to wait for {}{longest}{least}", delay.word()));
    }
    if flex.slowdown.0 > 0 {
        all.push(format!("to be {} slower", flex.slowdown));
    }
    if !flex.zones.is_empty() {
        all.push(format!("to run in {}", escape(&flex.zones.join(", "))));
    }
    all.join(" · ")
}
