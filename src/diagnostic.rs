//! Errors as people and machines read them: code, place, what is wrong, what is possible, and hints that can be pasted.

use neap_model::refusal::{Code, Refusal};
use serde::Serialize;
use std::fmt::Write as _;

/// Where in a file a mistake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File, as it was named.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// How many characters are meant.
    pub length: usize,
    /// The line's text.
    pub text: String,
}

/// A mistake, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub refusal: Refusal,
    /// Where, if it stands in a file.
    pub place: Option<Place>,
    /// The printed code where it is not one of [`Code`]: configuration mistakes are `P014`.
    pub label: Option<&'static str>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, place: None, label: None }
    }
}

impl Problem {
    /// A mistake at a byte range of a text.
    #[must_use]
    pub fn at(refusal: Refusal, file: &str, text: &str, range: std::ops::Range<usize>) -> Self {
        Self { refusal, place: Some(place_of(file, text, range)), label: None }
    }
}

/// Line and column of a byte range.
#[must_use]
pub fn place_of(file: &str, text: &str, range: std::ops::Range<usize>) -> Place {
    let start = range.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let meant = text.get(range.start..range.end.min(line_start + line.len()).max(range.start)).unwrap_or_default();
    Place {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: text.get(line_start..start).map_or(1, |part| part.chars().count() + 1),
        length: meant.chars().count().max(1),
        text: line.to_owned(),
    }
}

/// How errors are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// One JSON object a line.
    pub json: bool,
    /// Box drawing characters can be shown.
    pub unicode: bool,
    /// Colour is wanted.
    pub colour: bool,
}

/// All problems, as text or as JSON lines.
#[must_use]
pub fn render(problems: &[Problem], manner: Manner, exit: u8) -> String {
    let mut out = String::new();
    for problem in problems {
        if manner.json { json(&mut out, problem, exit) } else { text(&mut out, problem, manner) }
    }
    out
}

fn text(out: &mut String, problem: &Problem, manner: Manner) {
    let refusal = &problem.refusal;
    let (corner, bar) = if manner.unicode { ("┌", "│") } else { ("-->", "|") };
    let (red, plain) = if manner.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let code = problem.label.unwrap_or(refusal.code.text());
    let _ = writeln!(out, "{red}error[{code}]{plain}: {}", crate::render::escape(&refusal.message));
    if let Some(place) = &problem.place {
        let number = place.line.to_string();
        let pad = " ".repeat(number.len());
        let shown: String = place.text.chars().take(400).collect();
        let _ = writeln!(out, "{pad} {corner} {}:{}", crate::render::escape(&place.file), place.line);
        let _ = writeln!(out, "{number} {bar} {}", crate::render::escape(&shown));
        let caret = "^".repeat(place.length.min(400));
        let _ = writeln!(out, "{pad} {bar} {}{caret}", " ".repeat(place.column.saturating_sub(1).min(400)));
    }
    if let Some(note) = &refusal.note {
        let _ = writeln!(out, "  = {}", crate::render::escape(note));
    }
    for hint in &refusal.hints {
        let args = if hint.args.is_empty() { String::new() } else { format!(": neap {}", shell(&hint.args)) };
        let _ = writeln!(out, "  = help: {}{args}", crate::render::escape(&hint.text));
    }
}

/// Arguments as a shell takes them.
fn shell(args: &[String]) -> String {
    args.iter()
        .map(|arg| shlex::try_quote(arg).map_or_else(|_| arg.clone(), std::borrow::Cow::into_owned))
        .collect::<Vec<_>>()
        .join(" ")
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    code: &'a str,
    kind: neap_model::refusal::ErrorKind,
    field: Option<&'a str>,
    given: Option<&'a str>,
    message: &'a str,
    note: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    exit: u8,
    facts: &'a std::collections::BTreeMap<String, neap_model::refusal::Fact>,
    hints: &'a [neap_model::refusal::Hint],
}

fn json(out: &mut String, problem: &Problem, exit: u8) {
    let refusal = &problem.refusal;
    let line = Line {
        schema: "neap.error/1",
        code: problem.label.unwrap_or(refusal.code.text()),
        kind: refusal.code.kind(),
        field: refusal.field.as_deref(),
        given: refusal.given.as_deref(),
        message: &refusal.message,
        note: refusal.note.as_deref(),
        file: problem.place.as_ref().map(|p| p.file.as_str()),
        line: problem.place.as_ref().map(|p| p.line),
        column: problem.place.as_ref().map(|p| p.column),
        exit,
        facts: &refusal.facts,
        hints: &refusal.hints,
    };
    out.push_str(&serde_json::to_string(&line).expect("a line is plain data"));
    out.push('\n');
}

/// The exit code of a set of problems: that of the first.
#[must_use]
pub fn exit_of(problems: &[Problem]) -> u8 {
    problems.first().map_or(Code::Internal.kind().exit(), |problem| problem.refusal.code.kind().exit())
}

/// The known word nearest to a misspelt one, if any is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| strsim::damerau_levenshtein(word, candidate) <= 1 + word.len() / 4;
    known.into_iter().filter(near).min_by_key(|candidate| strsim::damerau_levenshtein(word, candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Manner = Manner { json: false, unicode: true, colour: false };

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let script = "#!/bin/bash\nset -e\n#NEAP --gpus 2\n";
        let refusal = Refusal::new(Code::MisplacedDirective, "directive after the first command")
            .hint("move it above line 2, or pass --gpus 2", &[]);
        let shown = render(&[Problem::at(refusal, "bad.sh", script, 19..33)], PLAIN, 2);
        let expected = "error[E031]: directive after the first command\n  ┌ bad.sh:3\n3 │ #NEAP --gpus 2\n  │ ^^^^^^^^^^^^^^\n  \
                        = help: move it above line 2, or pass --gpus 2\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn machines_get_one_object_a_line() {
        let refusal = Refusal::new(Code::FinishBy, "cannot be finished by then").about("time.finish_by", "x");
        let shown = render(&[refusal.into()], Manner { json: true, ..PLAIN }, 6);
        let value: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!((&value["code"], &value["kind"], &value["exit"]), (&"E044".into(), &"infeasible".into(), &6.into()));
        assert_eq!(shown.lines().count(), 1);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["finish-by", "start-by", "gpus", "name"];
        assert_eq!(did_you_mean("finsh-by", known), Some("finish-by"));
        assert_eq!(did_you_mean("gpu", known), Some("gpus"));
        assert_eq!(did_you_mean("umbrella", known), None);
    }
}
