//! Columns. Nothing is left out for want of width unless the output is a terminal.

use super::Style;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// Rows under a line of names.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

/// Cells on a terminal: combining marks are rare enough in what we print to be counted.
fn width(text: &str) -> usize {
    text.chars().count()
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&str, Side)]) -> Self {
        Self { columns: columns.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// As text, two blanks between columns.
    #[must_use]
    pub fn text(&self, style: &Style) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(n, (name, _))| self.rows.iter().map(|row| width(&row[n])).chain([width(name)]).max().unwrap_or(0))
            .collect();
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut text = String::new();
        for row in std::iter::once(&names).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, (_, side)), wide) in row.iter().zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(wide - width(cell));
                if !line.is_empty() {
                    line.push_str("  ");
                }
                match side {
                    Side::Left => line.extend([cell.as_str(), &pad]),
                    Side::Right => line.extend([pad.as_str(), cell]),
                }
            }
            let line = line.trim_end();
            match style.width {
                Some(most) if width(line) > most && most > 1 => {
                    text.extend(line.chars().take(most - 1));
                    text.push('…');
                }
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        style.draw(text)
    }

    /// As a table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let cells = |row: &[String]| {
            format!("| {} |\n", row.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
        };
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let rule: Vec<String> =
            self.columns.iter().map(|(_, side)| if *side == Side::Right { "---:" } else { "---" }.to_owned()).collect();
        let mut text = cells(&names) + &cells(&rule);
        for row in &self.rows {
            text.push_str(&cells(row));
        }
        text
    }
}
