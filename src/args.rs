//! What was typed, and nothing more. The only module that names clap.

mod shell;
mod tree;
mod wrong;

pub use shell::{completion, help_of, man};

use crate::diagnostic::Problem;
use crate::jobfile::What;
use crate::jobfile::draft::split;
use crate::jobfile::settings::{SETTINGS, Setting, Shape};
use crate::simulate::flags;
use clap::ArgMatches;
use neap_executor::kernels::{InferOptions, TrainOptions};
use neap_scheduler::controller::Grouping;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people with wide screens.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values under a line of names.
    Csv,
    /// The merged job as a job file (`plan`).
    Toml,
    /// A table in Markdown (`report`).
    Md,
}

impl Format {
    const NAMES: [(&str, Self); 7] = [
        ("table", Self::Table),
        ("wide", Self::Wide),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("csv", Self::Csv),
        ("toml", Self::Toml),
        ("md", Self::Md),
    ];

    /// By its word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == word).map(|(_, format)| *format)
    }

    /// Whether machines read it.
    #[must_use]
    pub const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// What every verb understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// Where the scheduler is.
    pub server: Option<String>,
    /// File with the token of a loopback door.
    pub token_file: Option<PathBuf>,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// How results are printed; `None`: as `NEAP_OUTPUT` says.
    pub format: Option<Format>,
    /// Ids only, no progress.
    pub quiet: bool,
    /// No colour.
    pub no_color: bool,
}

/// A job as it was typed.
#[derive(Clone, Debug, Default)]
pub struct JobArgs {
    /// Script, job file or command.
    pub what: What,
    /// Flags that were given, in the order of the table.
    pub flags: Vec<(&'static Setting, Vec<String>)>,
    /// Idempotency key.
    pub key: Option<String>,
}

/// Which jobs are meant: numbers, names, `last`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// As typed.
    pub selectors: Vec<String>,
    /// All live jobs of a name.
    pub all: bool,
}

/// What `ls` filters by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    /// Jobs that ended as well.
    pub all: bool,
    /// Own jobs only.
    pub mine: bool,
    /// A state's word.
    pub state: Option<String>,
    /// A project.
    pub project: Option<String>,
    /// A name, exactly.
    pub name: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// What `report` sums up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportArgs {
    /// A project.
    pub project: Option<String>,
    /// From,
    pub since: Option<String>,
    /// until.
    pub until: Option<String>,
    /// What a row is about.
    pub by: Grouping,
}

/// What an operator announces, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventArgs {
    /// `cap`, `demand_response`, `gpu_cap`, `plenty`, `alert`, `hold_again`.
    pub kind: Option<String>,
    /// Watts, or a share of the usual limit.
    pub limit: Option<String>,
    /// How long it lasts,
    pub lasts: Option<String>,
    /// from when,
    pub from: Option<String>,
    /// until when.
    pub until: Option<String>,
    /// A power domain or a zone.
    pub site: Option<String>,
    /// 0 is the highest.
    pub priority: Option<u32>,
    /// Its name, and how often it was changed.
    pub id: Option<String>,
    /// Higher replaces lower.
    pub revision: Option<u64>,
    /// The event to take back.
    pub cancel: Option<String>,
    /// In the person's words.
    pub reason: Option<String>,
}

/// What `node cap` was asked for, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCapArgs {
    /// Which node.
    pub node: String,
    /// Watts, or `off`.
    pub limit: String,
    /// How long it lasts,
    pub lasts: Option<String>,
    /// or until when.
    pub until: Option<String>,
    /// In the person's words.
    pub reason: Option<String>,
}

/// What `simulate` was asked for, as typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulateArgs {
    /// The trace.
    pub trace: Option<String>,
    /// Flags with their values, by name.
    pub values: BTreeMap<&'static str, String>,
    /// Flags without one that were given.
    pub switches: BTreeSet<&'static str>,
}

/// What is to be done; the verbs are explained where they are typed, in `tree`.
#[derive(Clone, Debug)]
pub enum Verb {
    Submit(JobArgs),
    Run { job: JobArgs, embedded: bool },
    Plan { job: JobArgs, accept: Option<usize> },
    List(ListArgs),
    Show(Which),
    Why { which: Which, history: bool },
    Logs { which: Which, follow: bool, tail: Option<usize> },
    Wait { which: Which, timeout: Option<String>, any: bool },
    Now { which: Which, reason: Option<String> },
    Hold(Which),
    Release(Which),
    Edit { which: Which, job: JobArgs },
    Cancel { which: Which, reason: Option<String>, if_exists: bool },
    Carbon { zones: Vec<String>, factors: bool },
    Report(ReportArgs),
    Simulate(Box<SimulateArgs>),
    Demo { seed: Option<u64>, days: Option<u32> },
    Status,
    PolicyEvent(Box<EventArgs>),
    PolicyCheck(Option<String>),
    NodeCap(Box<NodeCapArgs>),
    Powerd { file: Option<PathBuf>, restore_all: bool, check: bool },
    Serve { check: bool, dev: bool },
    Executor { check: bool, nvml_lib: Option<std::path::PathBuf> },
    Doctor { strict: bool, gpu: Option<bool>, nvml_lib: Option<std::path::PathBuf> },
    Completion(String),
    Man(Option<String>),
    Help(Option<String>),
    Train(Box<TrainOptions>),
    Infer(Box<InferOptions>),
    Guard(PathBuf),
}

/// What was typed.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What is to be done.
    pub verb: Verb,
    /// What every verb understands.
    pub common: Common,
}

/// Why nothing is done: help was asked for, or something is wrong.
#[derive(Debug)]
pub enum Instead {
    /// Print that on stdout and leave with 0.
    Print(String),
    /// Print these on stderr.
    Wrong(Vec<Problem>),
}

/// Understands a command line.
///
/// # Errors
/// [`Instead`]: text that was asked for, or what is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Instead> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // `neap jobs show 7` is another way to say `neap show 7`.
    if args.len() > 2 && args[1] == "jobs" && tree::VERBS_OF_JOBS.iter().any(|verb| args[2] == *verb) {
        args.remove(1);
    }
    let matches = tree::tree().try_get_matches_from(&args).map_err(|error| wrong::instead(&error, &args))?;
    let common = common(&matches);
    let (name, given) = matches.subcommand().expect("a verb is required");
    Ok(Invocation { verb: verb(name, given)?, common })
}

fn common(given: &ArgMatches) -> Common {
    // A global flag may stand before or behind the verb.
    let deepest = given.subcommand().map_or(given, |(_, inner)| inner);
    let text = |name: &str| deepest.try_get_one::<String>(name).ok().flatten().cloned();
    let flag = |name: &str| deepest.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    Common {
        server: text("server"),
        token_file: text("token-file").map(PathBuf::from),
        config: text("config").map(PathBuf::from),
        format: text("format").and_then(|word| Format::of(&word)),
        quiet: flag("quiet"),
        no_color: flag("no-color"),
    }
}

fn text(given: &ArgMatches, name: &str) -> Option<String> {
    given.get_one::<String>(name).cloned()
}

fn texts(given: &ArgMatches, name: &str) -> Vec<String> {
    given.get_many::<String>(name).map(|all| all.cloned().collect()).unwrap_or_default()
}

fn which(given: &ArgMatches) -> Which {
    let all = given.try_get_one::<bool>("all").ok().flatten().copied().unwrap_or(false);
    Which { selectors: texts(given, "job"), all }
}

fn number<T: std::str::FromStr>(given: &ArgMatches, name: &str) -> Result<Option<T>, Instead> {
    let Some(text) = text(given, name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| wrong::bad_value(name, &text, "a whole number"))
}

fn job(given: &ArgMatches, with_task: bool) -> JobArgs {
    let mut flags = Vec::new();
    for setting in SETTINGS {
        match setting.shape {
            Shape::Flag => {
                if given.get_flag(setting.flag) {
                    flags.push((setting, vec![String::new()]));
                }
            }
            _ => {
                let all = texts(given, setting.flag);
                if !all.is_empty() {
                    flags.push((setting, all.iter().flat_map(|text| split(setting, text)).collect()));
                }
            }
        }
    }
    let what =
        if with_task { What { file: text(given, "file"), command: texts(given, "command") } } else { What::default() };
    JobArgs { what, flags, key: given.try_get_one::<String>("key").ok().flatten().cloned() }
}

fn verb(name: &str, given: &ArgMatches) -> Result<Verb, Instead> {
    let flag = |name: &str| given.get_flag(name);
    Ok(match name {
        "submit" => Verb::Submit(job(given, true)),
        "run" => Verb::Run { job: job(given, true), embedded: !flag("no-embedded") },
        "plan" => Verb::Plan { job: job(given, true), accept: number(given, "accept")? },
        "ls" => Verb::List(ListArgs {
            all: flag("all"),
            mine: flag("mine"),
            state: text(given, "state"),
            project: text(given, "project"),
            name: text(given, "name"),
            limit: number(given, "limit")?,
        }),
        "show" => Verb::Show(which(given)),
        "why" => Verb::Why { which: which(given), history: flag("history") },
        "logs" => Verb::Logs { which: which(given), follow: flag("follow"), tail: number(given, "tail")? },
        "wait" => Verb::Wait { which: which(given), timeout: text(given, "timeout"), any: flag("any") },
        "now" => Verb::Now { which: which(given), reason: text(given, "reason") },
        "hold" => Verb::Hold(which(given)),
        "release" => Verb::Release(which(given)),
        "edit" => Verb::Edit { which: which(given), job: job(given, false) },
        "cancel" => Verb::Cancel { which: which(given), reason: text(given, "reason"), if_exists: flag("if-exists") },
        "carbon" => Verb::Carbon { zones: texts(given, "zone"), factors: flag("factors") },
        "report" => Verb::Report(ReportArgs {
            project: text(given, "project"),
            since: text(given, "since"),
            until: text(given, "until"),
            by: match text(given, "by").as_deref() {
                Some("project") => Grouping::Project,
                Some("queue") => Grouping::Queue,
                Some("zone") => Grouping::Zone,
                Some("month") => Grouping::Month,
                _ => Grouping::Name,
            },
        }),
        "simulate" => Verb::Simulate(Box::new(simulate(given))),
        "demo" => Verb::Demo { seed: number(given, "seed")?, days: number(given, "days")? },
        "status" => Verb::Status,
        "powerd" => Verb::Powerd {
            file: text(given, "file").map(PathBuf::from),
            restore_all: flag("restore-all"),
            check: flag("check"),
        },
        "policy" => match given.subcommand() {
            Some(("event", given)) => Verb::PolicyEvent(Box::new(event(given)?)),
            Some((_, given)) => Verb::PolicyCheck(text(given, "file")),
            None => return Err(wrong::bad_value("policy", "", "check or event")),
        },
        "node" => match given.subcommand() {
            Some((_, given)) => Verb::NodeCap(Box::new(NodeCapArgs {
                node: text(given, "node").unwrap_or_default(),
                limit: text(given, "limit").unwrap_or_default(),
                lasts: text(given, "for"),
                until: text(given, "until"),
                reason: text(given, "reason"),
            })),
            None => return Err(wrong::bad_value("node", "", "cap")),
        },
        "serve" => Verb::Serve { check: flag("check"), dev: flag("dev") },
        "executor" => Verb::Executor { check: flag("check"), nvml_lib: text(given, "nvml-lib").map(Into::into) },
        "doctor" => Verb::Doctor {
            strict: flag("strict"),
            gpu: flag("gpu").then(|| flag("yes")),
            nvml_lib: text(given, "nvml-lib").map(Into::into),
        },
        "completion" => Verb::Completion(text(given, "shell").unwrap_or_default()),
        "man" => Verb::Man(text(given, "verb")),
        "help" => Verb::Help(text(given, "topic")),
        "guard" => Verb::Guard(text(given, "dir").unwrap_or_default().into()),
        "kernel" => match given.subcommand() {
            Some(("infer", given)) => Verb::Infer(Box::new(infer(given)?)),
            Some((_, given)) => Verb::Train(Box::new(train(given)?)),
            None => return Err(wrong::bad_value("kernel", "", "train or infer")),
        },
        other => return Err(wrong::bad_value("verb", other, "a verb")),
    })
}

fn event(given: &ArgMatches) -> Result<EventArgs, Instead> {
    Ok(EventArgs {
        kind: text(given, "kind"),
        limit: text(given, "limit"),
        lasts: text(given, "for"),
        from: text(given, "from"),
        until: text(given, "until"),
        site: text(given, "site"),
        priority: number(given, "priority")?,
        id: text(given, "id"),
        revision: number(given, "revision")?,
        cancel: text(given, "cancel"),
        reason: text(given, "reason"),
    })
}

fn simulate(given: &ArgMatches) -> SimulateArgs {
    let id = |name: &'static str| if name == "format" { "trace-format" } else { name };
    SimulateArgs {
        trace: text(given, "trace"),
        values: flags::VALUES.iter().filter_map(|flag| Some((flag.name, text(given, id(flag.name))?))).collect(),
        switches: flags::SWITCHES.iter().map(|(name, _)| *name).filter(|name| given.get_flag(name)).collect(),
    }
}

fn train(given: &ArgMatches) -> Result<TrainOptions, Instead> {
    let usual = TrainOptions::default();
    let peers = text(given, "peers").unwrap_or_default();
    let peers: Result<Vec<_>, _> = peers.split(',').filter(|peer| !peer.is_empty()).map(str::parse).collect();
    Ok(TrainOptions {
        workers: number(given, "workers")?.unwrap_or(usual.workers),
        rank: number(given, "rank")?,
        peers: peers
            .map_err(|_| wrong::bad_value("peers", &texts(given, "peers").join(","), "addresses: HOST:PORT,…"))?,
        epochs: number(given, "epochs")?.unwrap_or(usual.epochs),
        hidden: number(given, "hidden")?.unwrap_or(usual.hidden),
        seed: number(given, "seed")?.unwrap_or(usual.seed),
        pace: number(given, "pace")?,
        checkpoint: text(given, "checkpoint").map(PathBuf::from),
        model_out: text(given, "model-out").map(PathBuf::from),
        resume: given.get_flag("resume"),
        json: given.get_flag("json"),
        device: text(given, "device").unwrap_or(usual.device),
    })
}

fn infer(given: &ArgMatches) -> Result<InferOptions, Instead> {
    Ok(InferOptions {
        model: text(given, "model").unwrap_or_default().into(),
        images: number(given, "images")?.unwrap_or(neap_executor::kernels::digits::COUNT),
        workers: number(given, "workers")?.unwrap_or(1),
        rank: number(given, "rank")?,
        output: text(given, "output").map(PathBuf::from),
        json: given.get_flag("json"),
    })
}

#[cfg(test)]
mod tests;
