//! Pods of a cluster with GPUs, and its list of nodes. Pods that never ran or hold no GPU are left out and counted; pods
//! of the class LS are not delayed; those that end with the trace may have been cut off.

use super::text::{File, Mistakes, number};
use super::trace::{Job, Trace};
use crate::session::Problems;
use neap_model::refusal::{Code, Refusal};

/// Thousandths of a GPU.
const WHOLE: f64 = 1_000.0;

fn columns<const N: usize>(file: &File, names: [&str; N]) -> Result<[usize; N], Problems> {
    let header = file.lines().next().map_or("", |(_, line)| line);
    let known: Vec<&str> = header.split(',').map(str::trim).collect();
    let mut found = [0; N];
    for (place, name) in found.iter_mut().zip(names) {
        *place = known.iter().position(|column| *column == name).ok_or_else(|| {
            let refusal = Refusal::new(Code::Syntax, format!("there is no column `{name}` in the first line"));
            vec![file.wrong(header, refusal)]
        })?;
    }
    Ok(found)
}

/// What became of a line.
enum Read {
    Job { job: Job, end: f64, shared: bool },
    NeverRan,
    NoGpu,
    Zero,
}

/// Reads the pods. With `whole` a shared GPU counts as one, otherwise as its fraction.
///
/// # Errors
/// A missing column, or wrong lines.
pub fn read(file: &File, whole: bool) -> Result<Trace, Problems> {
    let names = ["name", "num_gpu", "gpu_milli", "qos", "creation_time", "deletion_time", "scheduled_time"];
    let at = columns(file, names)?;
    let mut mistakes = Mistakes::of(file);
    let (mut never_ran, mut no_gpu, mut zero, mut shared) = (0, 0, 0, 0);
    let mut jobs: Vec<(Job, f64)> = Vec::new();
    for (_, line) in file.lines().skip(1) {
        match job(line, &at, whole) {
            Ok(Read::Job { job, end, shared: is_shared }) => {
                shared += u64::from(is_shared);
                jobs.push((job, end));
            }
            Ok(Read::NeverRan) => never_ran += 1,
            Ok(Read::NoGpu) => no_gpu += 1,
            Ok(Read::Zero) => zero += 1,
            Err(message) => mistakes.add(line, message),
        }
    }
    mistakes.end()?;
    let last = jobs.iter().map(|(_, end)| *end).max_by(f64::total_cmp).unwrap_or(0.0);
    let mut cut = 0;
    for (job, end) in &mut jobs {
        job.cut = *end >= last;
        cut += u64::from(job.cut);
    }
    let rounded = if whole { "shared a GPU, counted as one" } else { "shared a GPU, counted as a fraction" };
    let counts = [
        ("never ran", never_ran),
        ("without a GPU", no_gpu),
        ("ran zero seconds", zero),
        (rounded, shared),
        ("end with the trace, left out of slowdowns", cut),
    ];
    Ok(Trace::new(jobs.into_iter().map(|(job, _)| job).collect(), None, &counts))
}

fn job(line: &str, at: &[usize; 7], whole: bool) -> Result<Read, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let cell = |n: usize| fields.get(at[n]).copied().ok_or_else(|| format!("only {} fields", fields.len()));
    let (gpus, milli) = (number(cell(1)?, "num_gpu")?, number(cell(2)?, "gpu_milli")?);
    let arrival = number(cell(4)?, "creation_time")?;
    if cell(6)?.is_empty() {
        return Ok(Read::NeverRan);
    }
    let (end, start) = (number(cell(5)?, "deletion_time")?, number(cell(6)?, "scheduled_time")?);
    if end < start || start < arrival || gpus < 0.0 || milli < 0.0 {
        return Err("it is created, scheduled and deleted in that order, with no negative GPUs".to_owned());
    }
    if gpus == 0.0 {
        return Ok(Read::NoGpu);
    }
    if end == start {
        return Ok(Read::Zero);
    }
    let shared = gpus == 1.0 && milli < WHOLE;
    let width = if shared && !whole { milli / WHOLE } else { gpus };
    if width <= 0.0 {
        return Ok(Read::NoGpu);
    }
    let urgent = cell(3)? == "LS";
    let job = Job { name: cell(0)?.to_owned(), arrival, length: end - start, width, urgent, ..Job::default() };
    Ok(Read::Job { job, end, shared })
}

/// GPUs of a list of nodes: `sn,cpu_milli,memory_mib,gpu,model`.
///
/// # Errors
/// A missing column, or wrong lines.
pub fn gpus(file: &File) -> Result<f64, Problems> {
    let [at, _] = columns(file, ["gpu", "model"])?;
    let mut mistakes = Mistakes::of(file);
    let mut sum = 0.0;
    for (_, line) in file.lines().skip(1) {
        match number(line.split(',').nth(at).unwrap_or_default(), "gpu") {
            Ok(gpus) if gpus >= 0.0 => sum += gpus,
            Ok(_) => mistakes.add(line, "`gpu` is negative".to_owned()),
            Err(message) => mistakes.add(line, message),
        }
    }
    mistakes.end()?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time";

    fn lines(rows: &str, whole: bool) -> Result<Trace, Problems> {
        read(&File::of("pods.csv", format!("{HEADER}\n{rows}")), whole)
    }

    #[test]
    fn pods_become_jobs_and_the_others_are_counted() {
        let rows = "a,1,1,1,460,,LS,Running,0,500,100\n\
                    b,1,1,2,1000,V100M16|V100M32,BE,Failed,10,900,20\n\
                    c,1,1,1,1000,,BE,Pending,20,30,\n\
                    d,1,1,0,0,,BE,Running,30,60,40\n\
                    e,1,1,1,1000,,BE,Failed,50,50,50\n";
        let trace = lines(rows, true).expect("a trace");
        let jobs: Vec<_> = trace.jobs.iter().map(|j| (j.arrival, j.length, j.width, j.urgent, j.cut)).collect();
        assert_eq!(jobs, [(0.0, 400.0, 1.0, true, false), (10.0, 880.0, 2.0, false, true)]);
        let counts: Vec<u64> = trace.counts.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1]);
        assert_eq!(lines(rows, false).expect("a trace").jobs[0].width, 0.46);
    }

    #[test]
    fn pods_out_of_order_and_missing_columns_are_refused() {
        let wrong = lines("a,1,1,1,1000,,BE,Running,100,50,100\nb,1,1\n", true).expect_err("two bad lines");
        assert_eq!(wrong.len(), 2);
        assert!(read(&File::of("x", "name,qos\n".to_owned()), true).is_err());
    }

    #[test]
    fn nodes_add_up() {
        let file = File::of("nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\nn0,1,1,2,P100\nn1,1,1,8,G2\n".to_owned());
        assert_eq!(gpus(&file).expect("nodes"), 10.0);
    }
}
