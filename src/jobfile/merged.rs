//! The merged job as a job file: every value, and where it came from.

use super::draft::Draft;
use super::settings::{SETTINGS, Setting, Shape};
use neap_model::job::JobSpec;
use std::fmt::Write as _;

/// Tables of a job file, in their order; the first is the top.
const TABLES: [&str; 5] = ["", "resources", "time", "flex", "env"];

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// Table and key of a setting.
fn place(setting: &Setting) -> (&'static str, &'static str) {
    match setting.key.split_once('.') {
        Some((table, key)) => (table, key),
        None => ("", setting.key),
    }
}

/// What the queue or the server filled in.
fn filled_in(setting: &Setting, spec: &JobSpec) -> Option<String> {
    let seconds = |length: neap_model::seconds::Seconds| quoted(&format!("{}s", length.0));
    match setting.flag {
        "name" => Some(quoted(&spec.name)),
        "project" => Some(quoted(&spec.project)),
        "queue" => spec.queue.as_deref().map(quoted),
        "time" => spec.time.limit.map(seconds),
        "delay" => spec.flex.delay.map(|delay| quoted(delay.word())),
        "max-delay" => spec.flex.max_delay.filter(|_| delays(spec)).map(seconds),
        "min-saving" => spec.flex.min_saving.filter(|_| delays(spec)).map(|least| quoted(&least.to_string())),
        "workdir" => Some(quoted(&spec.task.workdir)),
        _ => None,
    }
}

fn delays(spec: &JobSpec) -> bool {
    spec.flex.delay.is_some_and(|delay| delay != neap_model::job::Objective::None)
}

/// The job file. Read again it makes the same job, but for a script, which stays a file of its own.
#[must_use]
pub fn text(draft: &Draft, spec: &JobSpec) -> String {
    let mut text = String::new();
    let queue = spec.queue.as_deref().unwrap_or("default");
    if draft.script.is_some() {
        text.push_str("# a script: submit it with these as flags, or name it as command\n");
    }
    if !spec.task.command.is_empty() {
        let _ = writeln!(text, "command = {}", list(&spec.task.command));
    }
    for table in TABLES {
        let mut lines = Vec::new();
        for setting in SETTINGS {
            let (of, key) = if setting.shape == Shape::Pairs { ("env", "") } else { place(setting) };
            if of != table {
                continue;
            }
            match (draft.said(setting.flag), setting.shape) {
                (Some(said), Shape::Pairs) => {
                    for pair in &said.texts {
                        let name = pair.split('=').next().unwrap_or_default();
                        let value = spec.task.env.get(name).map(|value| quoted(value)).unwrap_or_default();
                        lines.push((format!("{} = {value}", quoted(name)), said.origin.shown(setting)));
                    }
                }
                (Some(said), shape) => {
                    let value = match shape {
                        Shape::List => list(&said.texts),
                        Shape::Flag => "true".to_owned(),
                        Shape::Count if said.texts.iter().any(|text| text.contains("..")) => {
                            quoted(said.texts.last().map_or("", String::as_str))
                        }
                        Shape::Count => said.texts.last().cloned().unwrap_or_default(),
                        _ => quoted(said.texts.last().map_or("", String::as_str)),
                    };
                    lines.push((format!("{key} = {value}"), said.origin.shown(setting)));
                }
                (None, _) => {
                    if let Some(value) = filled_in(setting, spec) {
                        let from = match setting.flag {
                            "name" | "project" | "workdir" => "default".to_owned(),
                            "delay" if spec.time.finish_by.is_some() => "--finish-by".to_owned(),
                            _ => format!("queue {queue}"),
                        };
                        lines.push((format!("{key} = {value}"), from));
                    }
                }
            }
        }
        if !lines.is_empty() && !table.is_empty() {
            let _ = writeln!(text, "\n[{table}]");
        }
        for (line, from) in lines {
            let _ = writeln!(text, "{line:<44} # from {from}");
        }
    }
    text
}
