//! From what a person wrote, wherever they wrote it, to a job's specification. Nothing is passed over in silence.

pub mod directives;
pub mod draft;
pub mod edit;
pub mod file;
pub mod merged;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod times;

use crate::diagnostic::Problem;
use draft::{Draft, Origin, Surroundings, split};
use neap_model::refusal::{Code, Refusal};
use settings::{Setting, Shape};

/// Largest job file and script, in bytes.
const LARGEST: (u64, u64) = (256 << 10, 512 << 10);

/// What is to be run: a file, or a command behind `--`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct What {
    /// A script or job file.
    pub file: Option<String>,
    /// A command, or a script's arguments.
    pub command: Vec<String>,
}

/// Reads a job: environment, then file or directives, then flags, each going before the one before.
#[must_use]
pub fn read(what: &What, flags: &[(&'static Setting, Vec<String>)], around: &Surroundings) -> Draft {
    let mut draft = Draft::default();
    match &what.file {
        Some(file) => read_file(&mut draft, file),
        None => draft.command.clone_from(&what.command),
    }
    let mut from_file = std::mem::take(&mut draft);
    // A file's word goes below the environment's, and the environment's below a flag's.
    from_file.take_variables(&around.environment);
    draft = from_file;
    if what.file.is_some() && !what.command.is_empty() {
        if draft.script.is_some() {
            draft.command.clone_from(&what.command);
        } else {
            let message = "a job file names its command; nothing can follow it";
            draft.problems.push(Refusal::new(Code::Contradiction, message).into());
        }
    }
    for (setting, texts) in flags {
        let texts = match setting.shape {
            Shape::List => texts.iter().flat_map(|text| split(setting, text)).collect(),
            _ => texts.clone(),
        };
        draft.say(setting, texts, Origin::Flag);
    }
    draft
}

fn read_file(draft: &mut Draft, file: &str) {
    let problem = |code, message: String| Problem::from(Refusal::new(code, message));
    let lower = file.to_lowercase();
    let is_job_file = lower.ends_with(".toml") || lower.ends_with(".json");
    let limit = if is_job_file { LARGEST.0 } else { LARGEST.1 };
    let bytes = match std::fs::metadata(file) {
        Ok(known) if known.len() > limit => {
            let message = format!("{file} is {} bytes long, {limit} are the limit", known.len());
            return draft.problems.push(problem(Code::Unreadable, message));
        }
        Ok(known) if known.is_dir() => {
            return draft.problems.push(problem(Code::Unreadable, format!("{file} is a directory")));
        }
        _ => std::fs::read(file),
    };
    let text = match bytes.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return draft.problems.push(problem(Code::Unreadable, format!("{file} is not UTF-8 text"))),
        Err(error) => {
            let refusal = Refusal::new(Code::Unreadable, format!("cannot read {file}: {error}"));
            let refusal = if file.contains(char::is_whitespace) {
                refusal
            } else {
                refusal.hint("a command goes behind two dashes", &["submit", "--", file])
            };
            return draft.problems.push(refusal.into());
        }
    };
    draft.stem = std::path::Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if lower.ends_with(".toml") {
        file::read_toml(draft, file, &text);
    } else if lower.ends_with(".json") {
        file::read_json(draft, file, &text);
    } else {
        directives::read(draft, file, &text);
    }
}
