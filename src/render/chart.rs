//! A curve drawn with blocks: one row of marks, or a picture with the run under it.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Series;

const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Means of equal slices from `from` on; `None` where nothing is known.
#[must_use]
pub fn slices(series: &Series, from: DateTime<Utc>, step: TimeDelta, count: i32) -> Vec<Option<u64>> {
    (0..count).map(|n| series.mean(from + step * n, from + step * (n + 1)).map(|mean| mean.value.0)).collect()
}

/// Least and greatest of what is known.
#[must_use]
pub fn range(values: &[Option<u64>]) -> Option<(u64, u64)> {
    let known = || values.iter().flatten().copied();
    Some((known().min()?, known().max()?))
}

/// One mark a value; a flat line lies in the middle, what is unknown is a blank.
#[must_use]
pub fn sparkline(values: &[Option<u64>]) -> String {
    let Some((low, high)) = range(values) else { return String::new() };
    values
        .iter()
        .map(|value| value.map_or(' ', |v| if high == low { MARKS[4] } else { MARKS[level(v, low, high, 8)] }))
        .collect()
}

fn level(value: u64, low: u64, high: u64, levels: usize) -> usize {
    let share = (value - low) as f64 / (high - low).max(1) as f64;
    ((share * levels as f64) as usize).min(levels - 1)
}

/// Three rows of a picture, `high` at the top and `low` at the bottom: each column filled up to its value.
#[must_use]
pub fn picture(values: &[Option<u64>], low: u64, high: u64) -> [String; 3] {
    let mut rows = [String::new(), String::new(), String::new()];
    for value in values {
        // 24 steps: eight a row; the lowest value still shows one mark.
        let steps = value.map_or(0, |v| level(v, low, high.max(low + 1), 23) + 1);
        for (n, row) in rows.iter_mut().enumerate() {
            let below = (2 - n) * 8;
            row.push(match steps.saturating_sub(below) {
                0 => ' ',
                part => MARKS[part.min(8) - 1],
            });
        }
    }
    rows.map(|row| row.trim_end().to_owned())
}
