//! The Standard Workload Format: 18 fields a line, -1 for unknown, `;` before comments. The asked time of such traces is
//! an estimate and not a bound: jobs are known to run past it.

use super::text::{File, Mistakes, number};
use super::trace::{Job, Trace};
use crate::session::Problems;
use chrono::DateTime;

const FIELDS: usize = 18;
/// Submit times from there on are seconds since 1970, not since the beginning of the trace.
const ABSOLUTE: f64 = 1e9;

/// What became of a line.
enum Read {
    Job(Job),
    NoRunTime,
    NoWidth,
    Zero,
}

/// Reads it. Jobs without a run time (-1) or a width are left out and counted.
///
/// # Errors
/// Lines that are none of the format.
pub fn read(file: &File) -> Result<Trace, Problems> {
    let mut mistakes = Mistakes::of(file);
    let (mut jobs, mut unix_start) = (Vec::new(), None);
    let (mut no_run_time, mut no_width, mut zero, mut longer) = (0, 0, 0, 0);
    for (_, line) in file.lines() {
        if let Some(comment) = line.trim_start().strip_prefix(';') {
            if let Some(start) = comment.trim().strip_prefix("UnixStartTime:") {
                unix_start = start.trim().parse::<f64>().ok();
            }
            continue;
        }
        match job(line) {
            Ok(Read::Job(job)) => jobs.push(job),
            Ok(Read::NoRunTime) => no_run_time += 1,
            Ok(Read::NoWidth) => no_width += 1,
            Ok(Read::Zero) => zero += 1,
            Err(message) => mistakes.add(line, message),
        }
    }
    mistakes.end()?;
    let first = jobs.iter().map(|job: &Job| job.arrival).min_by(f64::total_cmp).unwrap_or(0.0);
    let begins =
        if first >= ABSOLUTE { Some(first) } else { unix_start.filter(|start| *start > 0.0).map(|s| s + first) };
    for job in &mut jobs {
        job.arrival -= first;
        if job.asked.is_some_and(|asked| asked < job.length) {
            longer += 1;
        }
    }
    let begins = begins.and_then(|second| DateTime::from_timestamp(second as i64, 0));
    let counts = [
        ("without a run time", no_run_time),
        ("without a width", no_width),
        ("ran zero seconds", zero),
        ("ran longer than asked for", longer),
    ];
    Ok(Trace::new(jobs, begins, &counts))
}

fn job(line: &str) -> Result<Read, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() != FIELDS {
        return Err(format!("{} fields where the format has {FIELDS}", fields.len()));
    }
    let field = |index: usize, name: &str| number(fields[index - 1], name);
    let (submit, run) = (field(2, "submit time")?, field(4, "run time")?);
    let (used, asked_width) = (field(5, "processors used")?, field(8, "processors asked")?);
    let asked = field(9, "time asked")?;
    if submit < 0.0 {
        return Err("the submit time is negative".to_owned());
    }
    let width = if asked_width > 0.0 { asked_width } else { used };
    Ok(match (run, width) {
        (run, _) if run < 0.0 => Read::NoRunTime,
        (_, width) if width <= 0.0 => Read::NoWidth,
        (0.0, _) => Read::Zero,
        (length, width) => Read::Job(Job {
            name: fields[0].to_owned(),
            arrival: submit,
            length,
            width,
            asked: (asked > 0.0).then_some(asked),
            ..Job::default()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Trace, Problems> {
        read(&File::of("a.swf", text.to_owned()))
    }

    #[test]
    fn fields_are_taken_by_the_rules_and_what_is_unknown_is_counted() {
        let text = "; Computer: x\n\
            7 1356996147 0 100 64 1 1024 32 86400 -1 1 62 1 1 -1 1 1 1\n\
            8 1356996247 0 200 16 1 1024 -1 150 -1 1 62 1 1 -1 1 1 1\n\
            9 1356996347 0 -1 16 1 1024 4 -1 -1 1 62 1 1 -1 1 1 1\n\
            10 1356996347 0 5 -1 1 1024 -1 -1 -1 1 62 1 1 -1 1 1 1\n\
            11 1356996347 0 0 1 1 1024 1 -1 -1 1 62 1 1 -1 1 1 1\n";
        let trace = lines(text).expect("a trace");
        let jobs: Vec<_> = trace.jobs.iter().map(|j| (j.arrival, j.length, j.width, j.asked)).collect();
        assert_eq!(jobs, [(0.0, 100.0, 32.0, Some(86400.0)), (100.0, 200.0, 16.0, Some(150.0))]);
        assert_eq!(trace.begins, DateTime::from_timestamp(1_356_996_147, 0));
        let counts: Vec<u64> = trace.counts.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 1, 1]);
    }

    #[test]
    fn a_start_in_the_header_is_used_and_without_one_the_trace_has_no_date() {
        let line = "1 60 0 100 1 1 1 1 1 1 1 1 1 1 -1 1 1 1\n";
        let dated = lines(&format!("; UnixStartTime: 1000000000\n{line}")).expect("a trace");
        assert_eq!(dated.begins, DateTime::from_timestamp(1_000_000_060, 0));
        assert_eq!(lines(line).expect("a trace").begins, None);
    }

    #[test]
    fn lines_of_another_shape_are_refused() {
        let wrong = lines("1 2 3\n1 x 0 100 1 1 1 1 1 1 1 1 1 1 -1 1 1 1\n").expect_err("two bad lines");
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].refusal.message.contains("3 fields"), "{wrong:?}");
        assert_eq!(wrong[1].place.as_ref().map(|p| p.line), Some(2));
    }
}
