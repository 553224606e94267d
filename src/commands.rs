//! The verbs: each asks, and prints what was answered.

pub mod daemons;
pub mod demo;
pub mod follow;
pub mod jobs;
pub mod node;
pub mod policy;
pub mod simulate;
pub mod site;
pub mod submit;
pub mod which;

use crate::args::Format;
use crate::output;
use crate::render::data;
use crate::session::{Problems, Session, problem};
use neap_model::refusal::{Code, Refusal};
use serde_json::Value;

/// What a verb leaves with: an exit code, or what is wrong.
pub type Left = Result<u8, Problems>;

/// Prints one answer: as text for people, else as the data of `value`.
fn print(session: &Session, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Left {
    match session.format {
        Format::Table | Format::Wide => output::out(&text()),
        Format::Json => output::out(&(pretty(&value()) + "\n")),
        Format::Jsonl => output::out(&format!("{}\n", value())),
        Format::Csv => output::out(&data::csv(&[value()])),
        Format::Toml | Format::Md => return Err(no_such_format(session.format)),
    }
    Ok(0)
}

/// Prints several answers; in JSON as a document of that schema with the answers under `name`.
fn print_all(
    session: &Session,
    text: impl FnOnce() -> String,
    schema: &str,
    name: &str,
    values: impl FnOnce() -> Vec<Value>,
) -> Left {
    match session.format {
        Format::Table | Format::Wide => output::out(&text()),
        Format::Json => {
            let document = serde_json::json!({"schema": schema, name: values()});
            output::out(&(pretty(&document) + "\n"));
        }
        Format::Jsonl => values().iter().for_each(|value| output::out(&format!("{value}\n"))),
        Format::Csv => output::out(&data::csv(&values())),
        Format::Toml | Format::Md => return Err(no_such_format(session.format)),
    }
    Ok(0)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn no_such_format(format: Format) -> Problems {
    let (word, of) = if format == Format::Toml { ("toml", "plan") } else { ("md", "report") };
    problem(
        Refusal::new(Code::BadValue, format!("`-o {word}` is for `neap {of}` only"))
            .note("table, wide, json, jsonl, csv"),
    )
}
