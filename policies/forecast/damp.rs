//! `damp_long` 1.0: the mean day of the last four weeks, weekdays and weekends apart, moved by how far the last day and the
//! last three hours were from it; that distance fades with two time constants. It needs no more than a day of history.

use super::{HORIZON, History};

/// Hours in a block.
pub(super) const DAY: usize = 24;
/// Blocks looked back at.
pub(super) const BLOCKS: usize = 28;
/// Fewer blocks than that tell nothing about weekends.
const A_WEEK: usize = 7;

/// A mean of what is known.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum / f64::from(self.count) }
    }
}

/// What the last weeks say about a typical day, and how far the last hours were from it. In g/kWh.
#[derive(Clone, Debug)]
pub(super) struct Typical {
    /// By position in a block.
    pub day: [f64; DAY],
    /// Of weekdays and weekends.
    pub class: [[f64; DAY]; 2],
    /// Mean distance of the last 24 hours.
    pub a24: f64,
    /// Mean distance of the last 3 hours.
    pub a3: f64,
}

impl Typical {
    /// As of the hour `at`: only `hours[..at]` is looked at. `weekend(n)` tells the class of the block that begins `n` hours
    /// before `at`.
    pub fn of(hours: &[f64], at: usize, weekend: impl Fn(usize) -> bool) -> Self {
        let blocks = (at / DAY).min(BLOCKS);
        let (mut day, mut class) = ([Mean::default(); DAY], [[Mean::default(); DAY]; 2]);
        for block in 1..=blocks {
            let start = at - DAY * block;
            let of = usize::from(weekend(DAY * block));
            for k in 0..DAY {
                day[k].add(hours[start + k]);
                class[of][k].add(hours[start + k]);
            }
        }
        let typical = day.map(Mean::get);
        let class = class.map(|means| {
            let mut values = means.map(Mean::get);
            for k in 0..DAY {
                if means[k].count < 2 || blocks < A_WEEK {
                    values[k] = typical[k];
                }
            }
            values
        });
        let (mut last_day, mut last_hours) = (Mean::default(), Mean::default());
        for k in 0..DAY.min(at) {
            let distance = hours[at - DAY.min(at) + k] - typical[k];
            last_day.add(distance);
            if k >= DAY - 3 {
                last_hours.add(distance);
            }
        }
        let a24 = if last_day.count >= 12 { last_day.get() } else { 0.0 };
        let a3 = if last_day.count >= 12 && last_hours.count >= 2 { last_hours.get() } else { a24 };
        Self { day: typical, class, a24, a3 }
    }

    /// The rule's value `h` hours ahead, `h` from 1 on; `weekend` is the class of the day that holds it.
    pub fn ahead(&self, h: usize, weekend: bool) -> f64 {
        let base = self.class[usize::from(weekend)][(h - 1) % DAY];
        (base + 0.9 * self.a24 * (-(h as f64) / 48.0).exp() + (self.a3 - self.a24) * (-(h as f64) / 12.0).exp())
            .max(0.0)
    }
}

/// The forecast of the hours after the end of the history, in g/kWh. From two days on the rule itself, before that the
/// same hour of yesterday; `None` with less than a day, or where hours of the day were never seen.
#[must_use]
pub fn damp_long(history: &History) -> Option<Vec<f64>> {
    let hours = history.hours();
    if hours.len() < DAY {
        return None;
    }
    if hours.len() < 2 * DAY {
        let yesterday = &hours[hours.len() - DAY..];
        return yesterday.iter().all(|v| !v.is_nan()).then(|| (0..HORIZON).map(|h| yesterday[h % DAY]).collect());
    }
    let typical = Typical::of(hours, hours.len(), |back| history.is_weekend(-i64::try_from(back).unwrap_or(0)));
    let values: Vec<f64> = (1..=HORIZON)
        .map(|h| typical.ahead(h, history.is_weekend(i64::try_from((h - 1) / DAY * DAY).unwrap_or(0))))
        .collect();
    // `max` turns an unknown hour into zero: whether all were seen is asked of the mean day.
    typical.day.iter().all(|value| !value.is_nan()).then_some(values)
}
