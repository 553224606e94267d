//! Reading a TOML table key by key: what nobody asked for is unknown, and every mistake is kept with its place.

use crate::diagnostic::{Problem, did_you_mean};
use neap_model::refusal::{Code, Refusal};
use neap_model::units::QuantityError;
use std::cell::RefCell;
use std::ops::Range;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file, and what is wrong with it so far.
pub struct Source<'a> {
    /// Its name, for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// What is wrong.
    pub problems: RefCell<Vec<Problem>>,
}

impl Source<'_> {
    /// The text as TOML. Where it is none, what is wrong with it.
    ///
    /// # Errors
    /// The place where it breaks.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
        DeTable::parse(self.text).map_err(|error| {
            let refusal = Refusal::new(Code::Syntax, error.message().to_owned());
            self.wrong("P011", error.span().unwrap_or(0..0), refusal);
            self.problems.take()
        })
    }

    /// Something is wrong there.
    pub fn wrong(&self, label: &'static str, span: Range<usize>, refusal: Refusal) {
        let problem = Problem { label: Some(label), ..Problem::at(refusal, self.file, self.text, span) };
        self.problems.borrow_mut().push(problem);
    }
}

type Value<'t> = &'t Spanned<DeValue<'t>>;

/// One table. `None` stands for a table that is not there: everything keeps its default.
pub struct Table<'t> {
    source: &'t Source<'t>,
    path: String,
    table: Option<&'t DeTable<'t>>,
    asked: Vec<&'static str>,
}

/// What the design knows and this version does not do, by table: `zone.tariff`.
type NotBuilt = &'static [&'static str];

fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

impl<'t> Table<'t> {
    /// The table at that path.
    pub fn new(source: &'t Source<'t>, path: impl Into<String>, table: Option<&'t DeTable<'t>>) -> Self {
        Self { source, path: path.into(), table, asked: Vec::new() }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, and where it stands.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.asked.push(key);
        self.table?.get(key)
    }

    fn wrong_type(&self, key: &str, value: Value<'_>, wanted: &str) {
        let refusal = Refusal::new(Code::WrongType, format!("`{}` is {wanted}", self.full(key)));
        self.source.wrong("P012", value.span(), refusal);
    }

    /// The place of a key, for mistakes that show later; the whole file where it is not there.
    pub fn span(&self, key: &str) -> Range<usize> {
        self.table.and_then(|table| table.get(key)).map_or(0..0, Spanned::span)
    }

    /// Something is wrong with the value of a key.
    pub fn wrong(&self, label: &'static str, key: &str, refusal: Refusal) {
        self.source.wrong(label, self.span(key), refusal);
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.wrong_type(key, value, "a text");
                None
            }
        }
    }

    /// A quantity with its unit, in quotes.
    pub fn quantity<T: FromStr<Err = QuantityError>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.get(key)?;
        let refusal = match value.get_ref() {
            DeValue::String(text) => match text.parse() {
                Ok(quantity) => return Some(quantity),
                Err(error) => Refusal::new(Code::BadValue, format!("`{}`: {error}", self.full(key))),
            },
            DeValue::Integer(_) | DeValue::Float(_) => {
                Refusal::new(Code::NoUnit, format!("`{}` is a bare number where a unit belongs", self.full(key)))
                    .hint("write it in quotes with its unit", &[])
            }
            _ => {
                return {
                    self.wrong_type(key, value, "a text with a unit");
                    None
                };
            }
        };
        self.source.wrong("P013", value.span(), refusal);
        None
    }

    /// A whole number.
    pub fn whole<T: FromStr>(&mut self, key: &'static str) -> Option<T> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong_type(key, value, "a whole number");
        }
        number
    }

    /// A number.
    pub fn float(&mut self, key: &'static str) -> Option<f64> {
        let value = self.get(key)?;
        let number = float(value.get_ref());
        if number.is_none() {
            self.wrong_type(key, value, "a number");
        }
        number
    }

    /// True or false.
    pub fn switch(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(on) => Some(*on),
            _ => {
                self.wrong_type(key, value, "true or false");
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == word).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is one of {}, not `{word}`", self.full(key), words.join(", "));
            self.wrong("P013", key, Refusal::new(Code::BadValue, message));
        }
        found
    }

    /// Texts.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let all = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        all.unwrap_or_else(|| {
            self.wrong_type(key, value, "a list of texts");
            Vec::new()
        })
    }

    /// Names and texts.
    pub fn pairs(&mut self, key: &'static str) -> Vec<(String, String)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let all = match value.get_ref() {
            DeValue::Table(table) => table
                .iter()
                .map(|(name, value)| match value.get_ref() {
                    DeValue::String(text) => Some((name.get_ref().to_string(), text.to_string())),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        all.unwrap_or_else(|| {
            self.wrong_type(key, value, "a table of texts");
            Vec::new()
        })
    }

    /// One whole number, or a table of names and whole numbers.
    pub fn whole_or_named<T: FromStr>(&mut self, key: &'static str) -> (Option<T>, Vec<(String, T)>) {
        let whole = |value: &DeValue<'_>| match value {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        self.one_or_named(key, whole, "a whole number, or a table of whole numbers by name")
    }

    /// A number, or numbers by name.
    pub fn float_or_named(&mut self, key: &'static str) -> (Option<f64>, Vec<(String, f64)>) {
        self.one_or_named(key, float, "a number, or a table of numbers by name")
    }

    fn one_or_named<T>(
        &mut self,
        key: &'static str,
        number: impl Fn(&DeValue<'_>) -> Option<T>,
        wanted: &str,
    ) -> (Option<T>, Vec<(String, T)>) {
        let Some(value) = self.get(key) else { return (None, Vec::new()) };
        let found = match value.get_ref() {
            DeValue::Table(table) => {
                let one = |(name, value): (_, &Spanned<DeValue<'_>>)| {
                    let name: &Spanned<_> = name;
                    Some((ToString::to_string(name.get_ref()), number(value.get_ref())?))
                };
                table.iter().map(one).collect::<Option<Vec<_>>>().map(|all| (None, all))
            }
            value => number(value).map(|number| (Some(number), Vec::new())),
        };
        found.unwrap_or_else(|| {
            self.wrong_type(key, value, wanted);
            (None, Vec::new())
        })
    }

    /// Whole numbers in a list.
    pub fn wholes<T: FromStr>(&mut self, key: &'static str) -> Vec<T> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let number = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let all = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(number).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        all.unwrap_or_else(|| {
            self.wrong_type(key, value, "a list of whole numbers");
            Vec::new()
        })
    }

    /// A table inside.
    pub fn table(&mut self, key: &'static str) -> Table<'t> {
        let inner = self.get(key).and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong_type(key, value, "a table");
                None
            }
        });
        Table::new(self.source, self.full(key), inner)
    }

    /// Tables inside, one after the other: `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of tables: [[…]]");
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::Table(table) => Some(Table::new(self.source, self.full(key), Some(table))),
            _ => {
                self.wrong_type(key, item, "a list of tables: [[…]]");
                None
            }
        });
        tables.collect()
    }

    /// Tables by name: `[key.NAME]`.
    pub fn named(&mut self, key: &'static str) -> Vec<(String, Table<'t>)> {
        let inner = self.table(key);
        let all = inner.table.into_iter().flatten().filter_map(|(name, value)| {
            let path = inner.full(name.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => Some((name.get_ref().to_string(), Table::new(self.source, path, Some(table)))),
                _ => {
                    inner.wrong_type(name.get_ref(), value, "a table");
                    None
                }
            }
        });
        all.collect()
    }

    /// Nothing else is known here: every other key is a mistake, or not built yet.
    pub fn finish(self, not_built: NotBuilt) {
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            if not_built.contains(&name) {
                let message = format!("`{}` is not built yet", self.full(name));
                let refusal = Refusal::new(Code::UnknownKey, message).hint("take it out: it would have no effect", &[]);
                self.source.wrong("P015", key.span(), refusal);
                continue;
            }
            let place = if self.path.is_empty() { "this file".to_owned() } else { self.path.clone() };
            let refusal = Refusal::new(Code::UnknownKey, format!("unknown key `{name}` in {place}"));
            let refusal = match did_you_mean(name, self.asked.iter().copied()) {
                Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
                None => refusal.note(format!("known here: {}", self.asked.join(", "))),
            };
            self.source.wrong("P014", key.span(), refusal);
        }
    }
}
