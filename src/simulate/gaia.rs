//! Traces with the header `arrival_time,length,cpus`. It is the same in seconds and in hours, so the unit is named by
//! the caller and refused where the lengths plainly say otherwise.

use super::text::{File, Mistakes, number};
use super::trace::{Job, Trace};
use crate::session::{Problems, problem};
use neap_model::refusal::{Code, Refusal};

const HEADER: &str = "arrival_time,length,cpus";
/// In seconds, half of all jobs shorter than that are no jobs.
const SHORT_MEDIAN: f64 = 60.0;
/// In hours, a job longer than that is none.
const LONG: f64 = 2_000.0;

/// The unit of arrivals and lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `gaia-s`.
    Seconds,
    /// `gaia-h`.
    Hours,
}

/// Reads it.
///
/// # Errors
/// A wrong header, wrong lines, or the wrong unit.
pub fn read(file: &File, unit: Unit) -> Result<Trace, Problems> {
    let mut lines = file.lines();
    let header = lines.next().map_or("", |(_, line)| line).trim();
    if header != HEADER {
        let refusal = Refusal::new(Code::Syntax, format!("the first line is not `{HEADER}`"));
        return Err(vec![file.wrong(header, refusal.hint("swf, openb and jsonl are the other formats", &[]))]);
    }
    let mut mistakes = Mistakes::of(file);
    let (mut jobs, mut empty) = (Vec::new(), 0);
    for (number, line) in lines {
        match job(line, number) {
            Ok(job) if job.length > 0.0 => jobs.push(job),
            Ok(_) => empty += 1,
            Err(message) => mistakes.add(line, message),
        }
    }
    mistakes.end()?;
    let mut lengths: Vec<f64> = jobs.iter().map(|job| job.length).collect();
    lengths.sort_by(f64::total_cmp);
    let (median, longest) = (lengths.get(lengths.len() / 2).copied(), lengths.last().copied());
    let refused = |message: String, word: &str| {
        let refusal =
            Refusal::new(Code::BadValue, message).note("the header does not say the unit, so it must be named");
        Err(problem(refusal.hint(format!("read it with --format {word}"), &[])))
    };
    match (unit, median, longest) {
        (Unit::Seconds, Some(median), _) if median < SHORT_MEDIAN => {
            return refused(
                format!("half of the jobs of {} run less than {median} s: it is in hours", file.name),
                "gaia-h",
            );
        }
        (Unit::Hours, _, Some(longest)) if longest > LONG => {
            return refused(format!("a job of {} would run {longest} h: it is in seconds", file.name), "gaia-s");
        }
        _ => {}
    }
    if unit == Unit::Hours {
        for job in &mut jobs {
            job.arrival *= 3600.0;
            job.length *= 3600.0;
        }
    }
    Ok(Trace::new(jobs, None, &[("without a length", empty)]))
}

fn job(line: &str, row: usize) -> Result<Job, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [arrival, length, width] = fields[..] else {
        return Err(format!("{} fields where `{HEADER}` has 3", fields.len()));
    };
    let (arrival, length) = (number(arrival, "arrival_time")?, number(length, "length")?);
    let width = number(width, "cpus")?;
    if arrival < 0.0 || length < 0.0 || width <= 0.0 {
        return Err("arrival and length are not negative, and a job is at least something wide".to_owned());
    }
    Ok(Job { name: (row - 1).to_string(), arrival, length, width, ..Job::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, unit: Unit) -> Result<Trace, Problems> {
        read(&File::of("jobs.csv", text.to_owned()), unit)
    }

    #[test]
    fn jobs_are_read_in_their_unit_and_order() {
        let trace =
            lines("arrival_time,length,cpus\n68.0,1000.0,1\n0.0,6302.5,2\n9,0,1\n", Unit::Seconds).expect("a trace");
        let jobs: Vec<(f64, f64, f64)> = trace.jobs.iter().map(|j| (j.arrival, j.length, j.width)).collect();
        assert_eq!(jobs, [(0.0, 6302.5, 2.0), (68.0, 1000.0, 1.0)]);
        assert_eq!(trace.counts, [("without a length", 1)]);
        let hours = lines("arrival_time,length,cpus\r\n0.5,2,4\r\n", Unit::Hours).expect("a trace");
        assert_eq!((hours.jobs[0].arrival, hours.jobs[0].length), (1800.0, 7200.0));
    }

    #[test]
    fn the_wrong_unit_is_refused_with_the_right_one() {
        let hours = lines("arrival_time,length,cpus\n0,1.5,1\n1,20,1\n2,3,1\n", Unit::Seconds).expect_err("hours");
        assert!(hours[0].refusal.hints[0].text.contains("gaia-h"), "{hours:?}");
        let seconds = lines("arrival_time,length,cpus\n0,20,1\n1,6302,1\n", Unit::Hours).expect_err("seconds");
        assert!(seconds[0].refusal.hints[0].text.contains("gaia-s"), "{seconds:?}");
    }

    #[test]
    fn every_bad_line_is_told_with_its_number() {
        let wrong = lines("arrival_time,length,cpus\n0,1\n0,abc,1\n-1,100,1\n0,100,0\n0,100,1\n", Unit::Seconds);
        let places: Vec<usize> =
            wrong.expect_err("four bad lines").iter().filter_map(|p| Some(p.place.as_ref()?.line)).collect();
        assert_eq!(places, [2, 3, 4, 5]);
        assert!(lines("length,cpus,arrival_time\n", Unit::Seconds).is_err());
        assert!(lines("", Unit::Seconds).is_err());
    }
}
