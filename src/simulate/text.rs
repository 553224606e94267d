//! A file of lines: its text, its digest, and what is wrong with it, line by line.

use crate::diagnostic::Problem;
use crate::session::{Problems, problem};
use neap_model::refusal::{Code, Refusal};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Largest file that is read.
const LARGEST: u64 = 1 << 30;
/// Mistakes told at once.
const TOLD: usize = 5;

/// A file that was read whole.
#[derive(Clone, Debug)]
pub struct File {
    /// As it was named.
    pub name: String,
    /// What stands in it, without a byte order mark.
    pub text: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
}

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// [`Code::Unreadable`]: it is not there, no plain file, too large, or no text.
    pub fn read(name: &str, what: &str) -> Result<Self, Problems> {
        let unreadable = |why: String| {
            problem(Refusal::new(Code::Unreadable, format!("{what} {name} cannot be read: {why}")).about(what, name))
        };
        let path = Path::new(name);
        let about = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !about.is_file() {
            return Err(unreadable("it is not a plain file".to_owned()));
        }
        if about.len() > LARGEST {
            return Err(unreadable(format!("it has {} bytes, {LARGEST} are the limit", about.len())));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text".to_owned()))?;
        Ok(Self::of(name, text))
    }

    /// From text at hand.
    #[must_use]
    pub fn of(name: &str, text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        Self { name: name.to_owned(), text, digest }
    }

    /// Its lines with their numbers from 1, without line ends; empty ones are left out.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !line.trim().is_empty())
    }

    /// Something is wrong with a part of its text.
    #[must_use]
    pub fn wrong(&self, part: &str, refusal: Refusal) -> Problem {
        let start = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let range = if start <= self.text.len() { start..start + part.len() } else { 0..0 };
        Problem::at(refusal, &self.name, &self.text, range)
    }
}

/// What is wrong with the lines of a file: the first few in full, then how many more.
#[derive(Debug)]
pub struct Mistakes<'a> {
    file: &'a File,
    told: Problems,
    more: usize,
}

impl<'a> Mistakes<'a> {
    /// None so far.
    #[must_use]
    pub const fn of(file: &'a File) -> Self {
        Self { file, told: Vec::new(), more: 0 }
    }

    /// One more, at that part of the text.
    pub fn add(&mut self, part: &str, message: String) {
        if self.told.len() < TOLD {
            self.told.push(self.file.wrong(part, Refusal::new(Code::Syntax, message)));
        } else {
            self.more += 1;
        }
    }

    /// All of them, if there are any.
    ///
    /// # Errors
    /// The mistakes.
    pub fn end(mut self) -> Result<(), Problems> {
        if self.told.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            let message = format!("{} more lines of {} are wrong", self.more, self.file.name);
            self.told.push(Refusal::new(Code::Syntax, message).into());
        }
        Err(self.told)
    }
}

/// A finite number.
///
/// # Errors
/// What it is instead.
pub fn number(text: &str, name: &str) -> Result<f64, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ if text.is_empty() => Err(format!("`{name}` is empty")),
        _ => Err(format!("`{name}` is `{text}`, which is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_knows_its_digest_and_its_lines() {
        let file = File::of("a.csv", "\u{feff}x,y\r\n\r\n1,2\n".to_owned());
        assert_eq!(file.lines().collect::<Vec<_>>(), [(1, "x,y"), (3, "1,2")]);
        let abc = File::of("abc", "abc".to_owned());
        assert_eq!(abc.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn mistakes_name_their_lines_and_are_not_endless() {
        let file = File::of("a.csv", "bad\n".repeat(9));
        let mut mistakes = Mistakes::of(&file);
        file.lines().for_each(|(_, line)| mistakes.add(line, "no number".to_owned()));
        let told = mistakes.end().expect_err("nine mistakes");
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[4].place.as_ref().map(|place| place.line), Some(5));
        assert!(told[5].refusal.message.starts_with("4 more"));
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(number(" 1.5 ", "x"), Ok(1.5));
        for wrong in ["", "NaN", "inf", "1,5", "0x1"] {
            assert!(number(wrong, "x").is_err(), "{wrong}");
        }
    }
}
