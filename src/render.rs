//! Answers as text for people and as data for programs: one source for each figure, whatever the format.

mod beside;
mod capping;
pub mod chart;
pub mod data;
pub mod demo;
pub mod footer;
pub mod grid;
pub mod jobs;
mod metering;
pub mod numbers;
mod parts;
pub mod plan;
pub mod report;
pub mod simulate;
pub mod status;
pub mod table;
#[cfg(test)]
mod tests;
pub mod times;
pub mod why;

use chrono_tz::Tz;

/// How text is drawn for one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The reader's time zone.
    pub zone: Tz,
    /// Characters beyond ASCII can be shown.
    pub unicode: bool,
    /// Columns of the terminal; `None`: not a terminal, nothing is cut.
    pub width: Option<usize>,
}

impl Style {
    /// The text with ASCII in place of the few other signs we draw with, where they cannot be shown.
    #[must_use]
    pub fn draw(&self, text: String) -> String {
        if self.unicode {
            return text;
        }
        let mut plain = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '×' => plain.push('x'),
                '·' => plain.push('-'),
                '→' => plain.push_str("->"),
                '▸' => plain.push('>'),
                '−' | '─' | '–' => plain.push('-'),
                '±' => plain.push_str("+-"),
                '│' | '┤' | '┆' => plain.push('|'),
                '╰' | '╯' => plain.push('`'),
                '▁' | '▂' => plain.push('.'),
                '▃' | '▄' => plain.push('-'),
                '▅' | '▆' => plain.push('='),
                '▇' | '█' => plain.push('#'),
                '…' => plain.push_str("..."),
                '✓' => plain.push('+'),
                c if c.is_ascii() => plain.push(c),
                _ => plain.push('?'),
            }
        }
        plain
    }
}

/// Text from users, fit for a terminal: control and bidirectional characters are shown as escapes.
#[must_use]
pub fn escape(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    safe
}
