//! clap's errors as ours: a code, what was meant, what to type.

use super::Instead;
use super::tree::{NOT_BUILT, tree};
use crate::diagnostic::{Problem, did_you_mean};
use crate::jobfile::draft::unknown_word;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use neap_model::refusal::{Code, Refusal};
use std::ffi::OsString;

fn wrong(refusal: Refusal) -> Instead {
    Instead::Wrong(vec![refusal.into()])
}

/// A value that cannot be used.
pub fn bad_value(name: &str, given: &str, wanted: &str) -> Instead {
    wrong(Refusal::new(Code::BadValue, format!("`{given}` is not {wanted} (--{name})")).about(name, given))
}

/// What to do instead of a verb.
pub fn instead(error: &clap::Error, args: &[OsString]) -> Instead {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Instead::Print(error.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let refusal = Refusal::new(Code::UnknownFlag, "no verb was given")
                .hint("what there is", &["--help"])
                .hint("a first job", &["run", "--", "echo", "hello"]);
            wrong(refusal)
        }
        ErrorKind::UnknownArgument => wrong(unknown(&said(ContextKind::InvalidArg), args)),
        ErrorKind::InvalidSubcommand => wrong(unknown_verb(&said(ContextKind::InvalidSubcommand))),
        ErrorKind::InvalidValue => {
            let (arg, value) = (said(ContextKind::InvalidArg), said(ContextKind::InvalidValue));
            let refusal = if value.is_empty() {
                Refusal::new(Code::BadValue, format!("`{arg}` wants a value"))
            } else {
                Refusal::new(Code::BadValue, format!("`{value}` cannot be used for {arg}")).about(&arg, value)
            };
            let valid = said(ContextKind::ValidValue);
            wrong(if valid.is_empty() { refusal } else { refusal.note(format!("one of: {valid}")) })
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = said(ContextKind::InvalidArg);
            wrong(Refusal::new(Code::BadValue, format!("{missing} is missing")).hint("how it is typed", &help(args)))
        }
        ErrorKind::ArgumentConflict => {
            let message =
                format!("{} is given twice, or beside something it contradicts", said(ContextKind::InvalidArg));
            wrong(Refusal::new(Code::BadValue, message))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            wrong(Refusal::new(Code::BadValue, first).hint("how it is typed", &help(args)))
        }
    }
}

fn verb_of(args: &[OsString]) -> Option<&str> {
    let verbs = tree();
    args.iter().skip(1).filter_map(|arg| arg.to_str()).find(|arg| verbs.find_subcommand(arg).is_some())
}

fn help(args: &[OsString]) -> Vec<&str> {
    verb_of(args).into_iter().chain(["--help"]).collect()
}

fn unknown(arg: &str, args: &[OsString]) -> Refusal {
    let word = arg.split(['=', ' ']).next().unwrap_or_default();
    let message = match verb_of(args) {
        Some(verb) => format!("`neap {verb}` does not take `{word}`"),
        None => format!("`{word}` is not known"),
    };
    let Some(flag) = word.strip_prefix("--") else {
        return Refusal::new(Code::UnknownFlag, message).hint("how it is typed", &help(args));
    };
    let verbs = tree();
    let command = verb_of(args).and_then(|verb| verbs.find_subcommand(verb));
    let takes_a_job = command.is_some_and(|command| command.get_arguments().any(|arg| arg.get_id() == "finish-by"));
    if takes_a_job {
        let refusal = unknown_word(flag, Code::UnknownFlag, &message);
        if refusal.code != Code::UnknownFlag || !refusal.hints.is_empty() || refusal.message.contains("not built") {
            return refusal;
        }
    }
    let known: Vec<&str> =
        command.into_iter().chain([&verbs]).flat_map(Command::get_arguments).filter_map(clap::Arg::get_long).collect();
    let refusal = Refusal::new(Code::UnknownFlag, message);
    match did_you_mean(flag, known) {
        Some(near) => refusal.hint(format!("did you mean `--{near}`?"), &[]),
        None => refusal.hint("how it is typed", &help(args)),
    }
}

fn unknown_verb(verb: &str) -> Refusal {
    if NOT_BUILT.contains(&verb) {
        return Refusal::new(Code::UnknownFlag, format!("`neap {verb}` is not built yet"));
    }
    let tree = tree();
    let known: Vec<&str> = tree.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
    let refusal = Refusal::new(Code::UnknownFlag, format!("`{verb}` is no verb"));
    match did_you_mean(verb, known) {
        Some(near) => refusal.hint("did you mean", &[near]),
        None => refusal.hint("what there is", &["--help"]).hint("a command to run", &["run", "--", verb]),
    }
}

/// Problems from refusals.
impl From<Refusal> for Instead {
    fn from(refusal: Refusal) -> Self {
        Self::Wrong(vec![Problem::from(refusal)])
    }
}
