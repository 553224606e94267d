//! How far long work has come, on standard error: a bar on a terminal after half a second, elsewhere a line each ten.

use crate::output;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(10);
const WIDTH: usize = 24;

/// Work that is being done.
#[derive(Debug)]
pub struct Progress {
    what: String,
    began: Instant,
    told: Option<Instant>,
    quiet: bool,
    terminal: bool,
    drawn: bool,
}

impl Progress {
    /// It begins now. A quiet one says nothing.
    #[must_use]
    pub fn new(what: &str, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { what: what.to_owned(), began: Instant::now(), told: None, quiet, terminal, drawn: false }
    }

    /// `done` of `all` steps are done.
    pub fn at(&mut self, done: usize, all: usize) {
        if self.quiet || all == 0 {
            return;
        }
        let elapsed = self.began.elapsed();
        let (first, next) = if self.terminal { (PATIENCE, REDRAW) } else { (LINE, LINE) };
        if elapsed < first || self.told.is_some_and(|told| told.elapsed() < next) {
            return;
        }
        self.told = Some(Instant::now());
        let line = line(&self.what, done, all, elapsed.as_secs_f64(), self.terminal);
        if self.terminal {
            output::raw(&format!("\r{line}\x1b[K"));
            self.drawn = true;
        } else {
            output::note(&line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            output::raw("\r\x1b[K");
        }
    }
}

fn line(what: &str, done: usize, all: usize, seconds: f64, bar: bool) -> String {
    let share = done as f64 / all as f64;
    let rate = done as f64 / seconds.max(1e-3);
    let left = if rate > 0.0 { (all - done.min(all)) as f64 / rate } else { 0.0 };
    let filled = ((share * WIDTH as f64) as usize).min(WIDTH);
    let bar = if bar { format!(" [{}{}]", "#".repeat(filled), " ".repeat(WIDTH - filled)) } else { String::new() };
    format!("{what}{bar} {done} of {all}, {rate:.0} a second, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_has_rate_and_time_left() {
        assert_eq!(super::line("neap", 50, 200, 10.0, false), "neap 50 of 200, 5 a second, 30 s left");
        assert!(super::line("neap", 100, 200, 1.0, true).contains("[############            ]"));
    }
}
