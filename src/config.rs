//! The site's file, found and read into the typed configuration of each crate. Unknown keys, bare numbers and names that
//! stand for nothing are all reported at once; nothing is passed over.

mod feeds;
pub mod paths;
mod power;
pub mod powerd;
mod site;
mod tariff;
#[cfg(test)]
mod tests;
mod vtn;
mod walk;

use crate::diagnostic::Problem;
use neap_model::refusal::{Code, Refusal};
use paths::Paths;
use std::path::{Path, PathBuf};

/// Every default, with comments. An empty file means the same.
pub const DEFAULT: &str = include_str!("../configs/default.toml");

/// Largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The configuration of every part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it comes from; `None`: built in.
    pub file: Option<PathBuf>,
    /// For the scheduler.
    pub scheduler: neap_scheduler::config::Config,
    /// For the executor.
    pub executor: neap_executor::config::Config,
}

impl Config {
    /// Where it comes from, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        self.file.as_ref().map_or_else(|| "built in".to_owned(), |file| file.display().to_string())
    }
}

/// Reads the configuration: `--config`, `NEAP_CONFIG`, `/etc/neap/neap.toml`, `$XDG_CONFIG_HOME/neap/neap.toml`, built in.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load(flag: Option<&Path>, paths: &Paths) -> Result<Config, Vec<Problem>> {
    let (text, file) = match find(flag, paths) {
        None => (String::new(), None),
        Some(file) => (text_of(&file).map_err(|refusal| vec![labelled(refusal, "P010")])?, Some(file)),
    };
    let shown = file.as_ref().map_or_else(|| "built in".to_owned(), |file| file.display().to_string());
    let (scheduler, executor) = site::read(&text, &shown, paths)?;
    Ok(Config { file, scheduler, executor })
}

/// The configuration of a site whose file is part of the program.
///
/// # Errors
/// Everything that is wrong with it.
pub fn built_in(text: &str, shown: &str) -> Result<Config, Vec<Problem>> {
    let mut paths = Paths::default();
    "localhost".clone_into(&mut paths.host);
    let (scheduler, executor) = site::read(text, shown, &paths)?;
    Ok(Config { file: None, scheduler, executor })
}

fn find(flag: Option<&Path>, paths: &Paths) -> Option<PathBuf> {
    let named = flag.map(Path::to_owned).or_else(|| paths.named_config.clone());
    named.or_else(|| paths.usual_configs().into_iter().find(|file| file.exists()))
}

fn text_of(file: &Path) -> Result<String, Refusal> {
    let wrong = |why: String| Refusal::new(Code::Unreadable, format!("cannot read {}: {why}", file.display()));
    let known = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if known.len() > LARGEST {
        return Err(wrong(format!("it is {} bytes long, {LARGEST} are the limit", known.len())));
    }
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))
}

fn labelled(refusal: Refusal, label: &'static str) -> Problem {
    Problem { refusal, place: None, label: Some(label) }
}
