//! Classifies images with a trained model: each worker a range of indices, each range a file that is whole or absent.
//! It refuses to join ranges of another model or another number of images.

use super::KernelError;
use super::checkpoint::load_model;
use super::crew::Crew;
use super::digits;
use super::sealed::{self, Fnv};
use super::signals::{self, Stop};
use super::{EXIT_PAUSED, EXIT_TERMINATED};
use serde_json::json;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Most workers.
const MOST_WORKERS: usize = 1024;

/// What to classify, and with how many.
#[derive(Clone, Debug, PartialEq)]
pub struct InferOptions {
    /// What training wrote with `--model-out`.
    pub model: PathBuf,
    /// How many images; past the 1,797 of the set it starts again from the first.
    pub images: usize,
    /// Processes, 1 to 1024.
    pub workers: usize,
    /// Which of them this is; `None`: the one that starts the others.
    pub rank: Option<usize>,
    /// `index,label,predicted`, one line an image by index, under a line of names.
    pub output: Option<PathBuf>,
    /// One JSON object instead of text.
    pub json: bool,
}

impl InferOptions {
    /// The command line that stands for these options, from `kernel` on.
    pub fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["kernel".into(), "infer".into(), "--model".into(), (&self.model).into()];
        let mut put = |flag: &str, value: OsString| args.extend([flag.into(), value]);
        put("--images", self.images.to_string().into());
        put("--workers", self.workers.to_string().into());
        if let Some(rank) = self.rank {
            put("--rank", rank.to_string().into());
        }
        if let Some(path) = &self.output {
            put("--output", path.into());
        }
        if self.json {
            args.push("--json".into());
        }
        args
    }

    fn check(&self) -> Result<(), KernelError> {
        if !(1..=MOST_WORKERS).contains(&self.workers) {
            let (option, allowed) = ("--workers", "1 to 1024");
            return Err(KernelError::Option { option, allowed, given: self.workers.to_string() });
        }
        match self.rank {
            Some(rank) if rank >= self.workers || self.output.is_none() => {
                Err(KernelError::Rank { rank, peers: 0, workers: self.workers })
            }
            _ => Ok(()),
        }
    }
}

/// Classifies. Returns the exit code: 0 done, 85 paused, 143 terminated; finished ranges are kept for the next start.
/// Fails with the options, the files, or the worker that is to blame.
pub fn infer(options: &InferOptions, out: &mut dyn Write) -> Result<u8, KernelError> {
    options.check()?;
    signals::listen()?;
    let began = Instant::now();
    if let (Some(rank), Some(output)) = (options.rank, &options.output) {
        return Ok(code(shard(options, output, rank, &signals::asked)?));
    }
    // Nobody wants the lines: they go where the job may leave things, and are removed.
    let scratch = std::env::var_os("NEAP_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let output = options.output.clone().unwrap_or(scratch.join(format!("neap-infer-{}.csv", std::process::id())));
    let ended = work(options, &output)?;
    if ended != Stop::Not {
        return Ok(code(ended));
    }
    let right = join(options, &output)?;
    if options.output.is_none() {
        fs::remove_file(&output).map_err(|source| KernelError::Write { path: output, source })?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let (accuracy, rate) = (right as f64 / options.images.max(1) as f64, options.images as f64 / seconds);
    let line = if options.json {
        json!({ "images": options.images, "accuracy": accuracy, "seconds": seconds, "images_per_second": rate })
            .to_string()
    } else {
        format!("done  {} images  accuracy {accuracy:.4}  {rate:.0} images/s", options.images)
    };
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(KernelError::Print)?;
    Ok(0)
}

fn code(stop: Stop) -> u8 {
    match stop {
        Stop::Not => 0,
        Stop::Pause => EXIT_PAUSED,
        Stop::Terminate => EXIT_TERMINATED,
    }
}

/// All ranges, the first in this process.
fn work(options: &InferOptions, output: &Path) -> Result<Stop, KernelError> {
    let mut crew = Crew::default();
    for rank in 1..options.workers {
        let theirs = InferOptions { rank: Some(rank), output: Some(output.to_owned()), ..options.clone() };
        crew.start(rank, theirs.args(), None, 0)?;
    }
    let mut ended = shard(options, output, 0, &signals::asked)?;
    loop {
        ended = ended.max(signals::asked());
        if ended != Stop::Not {
            return Ok(ended);
        }
        match crew.look()? {
            (Some((_, status)), _) if status.code() == Some(i32::from(EXIT_PAUSED)) => ended = Stop::Pause,
            (Some((_, status)), _) if status.code() == Some(i32::from(EXIT_TERMINATED)) => ended = Stop::Terminate,
            (Some((rank, status)), _) => return Err(KernelError::Worker { rank, status }),
            (None, true) => return Ok(Stop::Not),
            (None, false) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// The indices of a rank: as equal as they come, in order.
pub(super) fn range(images: usize, workers: usize, rank: usize) -> Range<usize> {
    let start = |rank: usize| rank * (images / workers) + rank.min(images % workers);
    start(rank)..start(rank + 1)
}

pub(super) fn shard_path(output: &Path, rank: usize) -> PathBuf {
    let mut path = output.as_os_str().to_owned();
    path.push(format!(".shard-{rank}"));
    path.into()
}

/// A shard's first line: which lines it holds, of which model.
fn title(options: &InferOptions, range: &Range<usize>) -> Result<String, KernelError> {
    let read = fs::read(&options.model).map_err(|source| KernelError::Read { path: options.model.clone(), source })?;
    Ok(format!("# {}..{} of {} by {:016x}", range.start, range.end, options.images, Fnv::of(&read)))
}

/// Writes a rank's range, unless it is there already.
pub(super) fn shard(
    options: &InferOptions,
    output: &Path,
    rank: usize,
    stop: &dyn Fn() -> Stop,
) -> Result<Stop, KernelError> {
    let network = load_model(&options.model)?;
    let range = range(options.images, options.workers, rank);
    let path = shard_path(output, rank);
    let title = title(options, &range)?;
    if read_shard(&path, &title, |_| Ok(())).is_ok() {
        return Ok(Stop::Not);
    }
    let (all, mut active, mut sum, mut line) = (digits::all(), Vec::new(), Fnv::START, Vec::new());
    let mut asked = Stop::Not;
    let written = sealed::replace(&path, |file| {
        writeln!(file, "{title}")?;
        for index in range {
            asked = if index % 256 == 0 { stop() } else { asked };
            if asked != Stop::Not {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let digit = &all[index % all.len()];
            line.clear();
            writeln!(line, "{index},{},{}", digit.label, network.classify(&digit.pixels, &mut active))?;
            sum.update(&line);
            file.write_all(&line)?;
        }
        writeln!(file, "# {:016x}", sum.0)
    });
    match written {
        Err(_) if asked != Stop::Not => Ok(asked),
        other => other.map(|()| Stop::Not),
    }
}

/// Hands each line (with its end) to `take`. Fails when the title is another or the checksum differs.
fn read_shard(path: &Path, title: &str, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), KernelError> {
    let failed = |source| KernelError::Read { path: path.to_owned(), source };
    let damaged = |what| Err(KernelError::Damaged { path: path.to_owned(), what });
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        file.read_until(b'\n', line)
    };
    next(&mut line).map_err(failed)?;
    if line.strip_suffix(b"\n") != Some(title.as_bytes()) {
        return damaged("another range, or by another model");
    }
    let mut sum = Fnv::START;
    loop {
        match next(&mut line).map_err(failed)? {
            0 => return damaged("cut short"),
            _ if line.starts_with(b"#") => break,
            _ => {
                sum.update(&line);
                take(&line).map_err(failed)?;
            }
        }
    }
    if line == format!("# {:016x}\n", sum.0).as_bytes() { Ok(()) } else { damaged("the checksum differs") }
}

/// Joins all ranges into `output`, removes them, and returns how many images were recognised.
pub(super) fn join(options: &InferOptions, output: &Path) -> Result<usize, KernelError> {
    let mut right = 0;
    let mut failure = None;
    let joined = sealed::replace(output, |file| {
        writeln!(file, "index,label,predicted")?;
        for rank in 0..options.workers {
            let part = title(options, &range(options.images, options.workers, rank)).and_then(|title| {
                read_shard(&shard_path(output, rank), &title, |line| {
                    // `…,7,7`: the last two digits of a line are label and prediction.
                    right += usize::from(matches!(line, [.., b',', a, b',', b, b'\n'] if a == b));
                    file.write_all(line)
                })
            });
            if let Err(e) = part {
                failure = Some(e);
                return Err(io::Error::other("a range is missing"));
            }
        }
        Ok(())
    });
    if let Some(e) = failure {
        return Err(e);
    }
    joined?;
    for path in (0..options.workers).map(|rank| shard_path(output, rank)) {
        fs::remove_file(&path).map_err(|source| KernelError::Write { path, source })?;
    }
    Ok(right)
}
