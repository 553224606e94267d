//! Our own history: one `neap.job/1` object a line, as `show -o json` prints it. Fields that are not needed are passed
//! over; a line that is no such object is told with its number.

use super::text::{File, Mistakes};
use super::trace::{Job, Trace};
use crate::session::Problems;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// What became of a line.
enum Read {
    Job(Box<Job>, DateTime<Utc>),
    NotOver,
    NoGpu,
}

/// Reads it. Jobs that did not run to an end or hold no GPU are left out and counted.
///
/// # Errors
/// Lines that are no such objects.
pub fn read(file: &File) -> Result<Trace, Problems> {
    let mut mistakes = Mistakes::of(file);
    let mut jobs: Vec<(Job, DateTime<Utc>)> = Vec::new();
    let (mut not_over, mut no_gpu) = (0, 0);
    for (_, line) in file.lines() {
        match job(line) {
            Ok(Read::Job(job, submitted)) => jobs.push((*job, submitted)),
            Ok(Read::NotOver) => not_over += 1,
            Ok(Read::NoGpu) => no_gpu += 1,
            Err(message) => mistakes.add(line, message),
        }
    }
    mistakes.end()?;
    let begins = jobs.iter().map(|(_, submitted)| *submitted).min();
    let from_there = |(mut job, submitted): (Job, DateTime<Utc>)| {
        job.arrival = begins.map_or(0.0, |first| seconds(first, submitted));
        job
    };
    let jobs = jobs.into_iter().map(from_there).collect();
    Ok(Trace::new(jobs, begins, &[("not over", not_over), ("without a GPU", no_gpu)]))
}

fn seconds(from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    (until - from).num_milliseconds() as f64 / 1e3
}

fn job(line: &str) -> Result<Read, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("it is no JSON object: {error}"))?;
    match value["schema"].as_str() {
        Some("neap.job/1") => {}
        Some(other) => return Err(format!("its schema is `{other}`, not `neap.job/1`")),
        None => return Err("it has no schema; `neap.job/1` is read".to_owned()),
    }
    let time = |names: &[&str]| -> Result<Option<DateTime<Utc>>, String> {
        let Some((name, text)) = names.iter().find_map(|n| Some((n, value[*n].as_str()?))) else { return Ok(None) };
        DateTime::parse_from_rfc3339(text).map(|at| Some(at.to_utc())).map_err(|_| format!("`{name}` is no time"))
    };
    let submitted = time(&["submitted"])?.ok_or("`submitted` is missing")?;
    let (Some(started), Some(ended)) = (time(&["started"])?, time(&["ended", "finished"])?) else {
        return Ok(Read::NotOver);
    };
    let width = ["gpus", "width"].iter().find_map(|name| value[*name].as_f64()).ok_or("`gpus` is missing")?;
    // What it held its GPUs for, all attempts together, where that is known.
    let held = value["gpu_seconds"].as_f64().filter(|held| *held > 0.0 && width > 0.0).map(|held| held / width);
    let length = held.unwrap_or_else(|| seconds(started, ended));
    if width < 0.0 || length < 0.0 || started < submitted {
        return Err("it was submitted, started and ended in that order, with no negative GPUs".to_owned());
    }
    if width == 0.0 || length == 0.0 {
        return Ok(Read::NoGpu);
    }
    let slack = time(&["finish_by"])?.map(|by| (seconds(submitted, by) - length).max(0.0));
    let name = value["id"].as_u64().map_or_else(String::new, |id| id.to_string());
    let zone = value["zone"].as_str().map(str::to_owned);
    let asked = value["limit_seconds"].as_f64();
    Ok(Read::Job(Box::new(Job { name, length, width, asked, slack, zone, ..Job::default() }), submitted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_prints_is_read_again() {
        let text = concat!(
            r#"{"schema":"neap.job/1","id":8,"submitted":"2026-11-01T01:00:00Z","started":"2026-11-01T01:10:00Z","ended":"2026-11-01T02:10:00Z","finish_by":"2026-11-01T04:00:00Z","gpus":4,"zone":"DE","surprise":1}"#,
            "\n",
            r#"{"schema":"neap.job/1","id":7,"submitted":"2026-11-01T00:00:00Z","started":"2026-11-01T00:00:00Z","ended":"2026-11-01T00:30:00Z","finish_by":null,"gpus":1,"gpu_seconds":600}"#,
            "\n",
            r#"{"schema":"neap.job/1","id":9,"submitted":"2026-11-01T00:00:00Z","started":null,"ended":null,"gpus":1}"#,
        );
        let trace = read(&File::of("a.jsonl", text.to_owned())).expect("a trace");
        let jobs: Vec<_> =
            trace.jobs.iter().map(|j| (j.name.as_str(), j.arrival, j.length, j.width, j.slack)).collect();
        assert_eq!(jobs, [("7", 0.0, 600.0, 1.0, None), ("8", 3600.0, 3600.0, 4.0, Some(7200.0))]);
        assert_eq!(trace.jobs[1].zone.as_deref(), Some("DE"));
        assert_eq!(trace.counts, [("not over", 1)]);
        assert_eq!(trace.begins.map(|at| at.to_rfc3339()), Some("2026-11-01T00:00:00+00:00".to_owned()));
    }

    #[test]
    fn a_broken_line_names_its_number() {
        let good = r#"{"schema":"neap.job/1","submitted":"2026-11-01T00:00:00Z","started":null,"ended":null,"gpus":1}"#;
        let text = format!("{good}\n{{\"schema\":\n{{\"schema\":\"neap.plan/1\"}}\n{{}}\n");
        let wrong = read(&File::of("a.jsonl", text)).expect_err("three bad lines");
        let lines: Vec<usize> = wrong.iter().filter_map(|p| Some(p.place.as_ref()?.line)).collect();
        assert_eq!(lines, [2, 3, 4]);
    }
}
