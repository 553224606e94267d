//! Job files: TOML, or JSON with the same schema. Every key is known or refused.

use super::draft::{Draft, Origin, unknown_word};
use super::settings::{Setting, Shape, by_key};
use crate::diagnostic::{Problem, place_of};
use neap_model::refusal::{Code, Refusal};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a TOML job file into the draft.
pub fn read_toml(draft: &mut Draft, file: &str, text: &str) {
    match DeTable::parse(text) {
        Ok(table) => Walk { draft, file, text }.table("", table.get_ref()),
        Err(error) => {
            let refusal = Refusal::new(Code::Syntax, error.message().to_owned());
            let problem = match error.span() {
                Some(span) => Problem::at(refusal, file, text, span),
                None => refusal.into(),
            };
            draft.problems.push(problem);
        }
    }
}

/// Reads a JSON job file into the draft. Its mistakes carry no columns beyond those of its syntax.
pub fn read_json(draft: &mut Draft, file: &str, text: &str) {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => match toml::Value::try_from(strip_nulls(value)).map(|v| toml::to_string(&v)) {
            Ok(Ok(as_toml)) => {
                let before = draft.problems.len();
                read_toml(draft, file, &as_toml);
                // Places in the translation mean nothing to whoever wrote the JSON.
                draft.problems[before..].iter_mut().for_each(|problem| problem.place = None);
            }
            _ => draft.problems.push(Refusal::new(Code::Syntax, "a job file is one JSON object").into()),
        },
        Err(error) => {
            let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = line_start + error.column().saturating_sub(1);
            let refusal = Refusal::new(Code::Syntax, error.to_string());
            draft.problems.push(Problem::at(refusal, file, text, at..at + 1));
        }
    }
}

fn strip_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, strip_nulls(v))).collect()
        }
        other => other,
    }
}

struct Walk<'a> {
    draft: &'a mut Draft,
    file: &'a str,
    text: &'a str,
}

impl Walk<'_> {
    fn wrong(&mut self, refusal: Refusal, span: std::ops::Range<usize>) {
        self.draft.problems.push(Problem::at(refusal, self.file, self.text, span));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            match (path.as_str(), value.get_ref()) {
                ("command", _) => self.command(value),
                ("flex.pause", DeValue::Table(pause)) => self.pause(pause, value.span()),
                ("resources.gpus", DeValue::Integer(_) | DeValue::String(_)) => {
                    self.setting("resources.gpus.count", value, key.span())
                }
                (path @ ("resources" | "time" | "flex" | "resources.gpus"), DeValue::Table(inner)) => {
                    self.table(path, inner);
                }
                (path @ ("resources" | "time" | "flex"), _) => {
                    self.wrong(Refusal::new(Code::WrongType, format!("`{path}` is a table")), value.span());
                }
                (path, _) => self.setting(path, value, key.span()),
            }
        }
    }

    fn setting(&mut self, path: &str, value: &Spanned<DeValue<'_>>, key: std::ops::Range<usize>) {
        let Some(setting) = by_key(path) else {
            let last = path.rsplit('.').next().unwrap_or(path);
            let mut refusal = unknown_word(path, Code::UnknownKey, &format!("unknown key `{path}`"));
            if refusal.hints.is_empty() && !refusal.message.contains("not built") {
                refusal = unknown_word(last, Code::UnknownKey, &format!("unknown key `{path}`"));
            }
            return self.wrong(refusal.about(path, ""), key);
        };
        match texts(setting, value.get_ref()) {
            Ok(None) => {}
            Ok(Some(texts)) => {
                let origin = Origin::File(place_of(self.file, self.text, value.span()));
                self.draft.say(setting, texts, origin);
            }
            Err(refusal) => self.wrong(refusal.about(path, ""), value.span()),
        }
    }

    fn command(&mut self, value: &Spanned<DeValue<'_>>) {
        let words = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err(item.span()),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(value.span()),
        };
        match words {
            Ok(words) => self.draft.command = words,
            Err(span) => {
                let refusal =
                    Refusal::new(Code::WrongType, "`command` is a list of texts: [\"program\", \"argument\"]");
                self.wrong(refusal.about("command", ""), span);
            }
        }
    }

    fn pause(&mut self, pause: &DeTable<'_>, span: std::ops::Range<usize>) {
        let (mut signal, mut grace) = (None, "90s".to_owned());
        for (key, value) in pause {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("checkpoint", DeValue::String(text)) => signal = Some(text.to_string()),
                ("grace", DeValue::String(text)) => grace = text.to_string(),
                ("exit", DeValue::Integer(code)) if code.as_str() == "85" => {}
                ("exit", _) => {
                    let refusal = Refusal::new(Code::BadValue, "only exit code 85 means *saved* in this version");
                    self.wrong(refusal.about("flex.pause.exit", ""), value.span());
                }
                ("checkpoint" | "grace", _) => {
                    let refusal = Refusal::new(Code::WrongType, format!("`{}` is a text", key.get_ref()));
                    self.wrong(refusal, value.span());
                }
                (other, _) => {
                    let refusal = Refusal::new(Code::UnknownKey, format!("unknown key `flex.pause.{other}`"))
                        .note("checkpoint, grace, exit");
                    self.wrong(refusal, key.span());
                }
            }
        }
        let setting = by_key("flex.pause").expect("it is in the table");
        match signal {
            Some(signal) => {
                let origin = Origin::File(place_of(self.file, self.text, span));
                self.draft.say(setting, vec![format!("{signal}:{grace}")], origin);
            }
            None => self.wrong(Refusal::new(Code::BadValue, "`flex.pause` needs `checkpoint`, a signal's name"), span),
        }
    }
}

/// A value of a file as the texts of the command line. `None`: a flag that is off.
fn texts(setting: &Setting, value: &DeValue<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let wrong = |wanted: &str| Refusal::new(Code::WrongType, format!("`{}` is {wanted}", setting.key));
    Ok(Some(match (setting.shape, value) {
        (Shape::Text | Shape::Count, DeValue::String(text)) => vec![text.to_string()],
        (Shape::Count, DeValue::Integer(number)) => vec![number.as_str().to_owned()],
        (Shape::Text, DeValue::Integer(number)) if setting.flag == "retry" => vec![number.as_str().to_owned()],
        (Shape::Text, DeValue::Datetime(time)) => vec![time.to_string()],
        (Shape::Text, DeValue::Integer(_) | DeValue::Float(_)) => {
            return Err(Refusal::new(Code::NoUnit, format!("`{}` is a bare number where a unit belongs", setting.key))
                .note(format!("write it in quotes with its unit ({})", setting.value)));
        }
        (Shape::List, DeValue::String(text)) => vec![text.to_string()],
        (Shape::List, DeValue::Integer(number)) if setting.flag == "after" => vec![number.as_str().to_owned()],
        (Shape::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                DeValue::Integer(number) if setting.flag == "after" => Ok(number.as_str().to_owned()),
                _ => Err(wrong("a list of texts")),
            })
            .collect::<Result<_, _>>()?,
        (Shape::Flag, DeValue::Boolean(true)) => vec![String::new()],
        (Shape::Flag, DeValue::Boolean(false)) => return Ok(None),
        (Shape::Pairs, DeValue::Table(pairs)) => pairs
            .iter()
            .map(|(name, value)| match value.get_ref() {
                DeValue::String(text) => Ok(format!("{}={text}", name.get_ref())),
                DeValue::Integer(number) => Ok(format!("{}={}", name.get_ref(), number.as_str())),
                _ => Err(wrong("a table of texts")),
            })
            .collect::<Result<_, _>>()?,
        (Shape::Text, _) => return Err(wrong("a text")),
        (Shape::Count, _) => return Err(wrong("a whole number")),
        (Shape::List, _) => return Err(wrong("a list of texts")),
        (Shape::Flag, _) => return Err(wrong("true or false")),
        (Shape::Pairs, _) => return Err(wrong("a table of texts")),
    }))
}
