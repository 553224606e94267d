//! `#NEAP` lines of a script. Every one of them is applied or refused; none is passed over.

use super::draft::{Draft, Origin, split, unknown_word};
use super::settings::{Shape, by_flag};
use crate::diagnostic::{Place, Problem, place_of};
use neap_model::refusal::{Code, Refusal};

/// Reads a script's directives into the draft, and keeps its text.
pub fn read(draft: &mut Draft, file: &str, text: &str) {
    let mut command = None;
    let mut offset = 0;
    for (number, raw) in text.split_inclusive('\n').enumerate() {
        let line = raw.trim_end_matches(['\n', '\r']);
        let range = offset..offset + line.len();
        offset += raw.len();
        let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { line };
        let place = || place_of(file, text, range.clone());
        if let Some(rest) = directive(line, "#NEAP") {
            match &command {
                None => one(draft, rest, &place()),
                Some((at, what)) => {
                    let refusal = Refusal::new(Code::MisplacedDirective, "directive after the first command")
                        .note(format!("line {at} (`{what}`) is a command; directives below it would not be read"))
                        .hint(format!("move it above line {at}, or pass {}", rest.trim()), &[]);
                    draft.problems.push(Problem { refusal, place: Some(place()), label: None });
                }
            }
        } else if directive(line, "#SBATCH").is_some() {
            let refusal =
                Refusal::new(Code::SbatchDirective, "this is a directive for Slurm, and Neap would not follow it")
                    .note("translating #SBATCH lines (--slurm) is not built yet")
                    .hint("say the same with #NEAP and remove this line", &[]);
            draft.problems.push(Problem { refusal, place: Some(place()), label: None });
        } else if command.is_none() && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            command = Some((number + 1, line.trim().chars().take(60).collect::<String>()));
        }
    }
    draft.script = Some(text.to_owned());
}

/// What follows the mark, if the line is such a directive.
fn directive<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(mark)?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(rest)
}

fn one(draft: &mut Draft, rest: &str, place: &Place) {
    let mut wrong = |refusal| draft.problems.push(Problem { refusal, place: Some(place.clone()), label: None });
    let Some(words) = shlex::split(rest) else {
        return wrong(Refusal::new(Code::UnknownDirective, "a quotation that does not end"));
    };
    if words.is_empty() {
        return wrong(Refusal::new(Code::UnknownDirective, "a directive that says nothing"));
    }
    let mut said = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            wrong(Refusal::new(Code::UnknownDirective, format!("`{word}` is no flag")));
            continue;
        };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (flag, None),
        };
        let Some(setting) = by_flag(flag) else {
            wrong(unknown_word(flag, Code::UnknownDirective, &format!("unknown directive `--{flag}`")));
            if value.is_none() {
                // What follows is its value, not another mistake.
                words.next_if(|next| !next.starts_with("--"));
            }
            continue;
        };
        let value = match (setting.shape, value) {
            (Shape::Flag, None) => String::new(),
            (Shape::Flag, Some(value)) => {
                wrong(Refusal::new(Code::BadValue, format!("`--{flag}` takes no value, `{value}` was given")));
                continue;
            }
            (_, Some(value)) => value,
            (_, None) => match words.next() {
                Some(value) => value,
                None => {
                    wrong(Refusal::new(Code::BadValue, format!("`--{flag}` wants a value ({})", setting.value)));
                    continue;
                }
            },
        };
        said.push((setting, split(setting, &value)));
    }
    for (setting, texts) in said {
        draft.say(setting, texts, Origin::File(place.clone()));
    }
}
