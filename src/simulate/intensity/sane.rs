//! Whether values can be grams per kilowatt-hour at the start of each step. What cannot be is refused, not corrected.

use super::{Series, show};
use crate::session::{Problems, problem};
use crate::simulate::text::File;
use chrono::Timelike;
use neap_model::refusal::{Code, Refusal};

/// No grid averages more than that, in g/kWh: burning lignite alone gives less.
const HIGHEST_MEAN: f64 = 1_300.0;
/// No step is above that, in g/kWh.
const HIGHEST: f64 = 3_000.0;
/// No grid averages less than that, in g/kWh.
const LOWEST_MEAN: f64 = 2.0;
/// Steps that are usual, in seconds: five minutes to six hours.
const STEPS: std::ops::RangeInclusive<i64> = 300..=6 * 3600;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// Refuses what cannot be.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(name: &str, series: &Series, starts: bool, file: &File) -> Result<(), Problems> {
    let refused = |message: String, note: &str| {
        Err(problem(Refusal::new(Code::BadValue, format!("{}, zone {name}: {message}", file.name)).note(note)))
    };
    let known: Vec<f64> = series.values.iter().flatten().copied().collect();
    if known.is_empty() {
        return refused("there is no value".to_owned(), "an empty cell is a hole");
    }
    if !STEPS.contains(&series.step) {
        return refused(format!("a step is {} s long", series.step), "five minutes to six hours are read");
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let highest = known.iter().copied().fold(0.0, f64::max);
    if mean > HIGHEST_MEAN || highest > HIGHEST {
        let message = format!("the mean is {mean:.0} and the highest value {highest:.0}: no grid emits so much");
        return refused(message, "is it in lb/MWh? intensity is in g/kWh: multiply by 0.45359");
    }
    let zeros = series.values.iter().rev().take_while(|value| **value == Some(0.0)).count();
    if zeros > 0 && zeros < known.len() {
        let from = series.start + chrono::TimeDelta::seconds(series.step * (series.values.len() - zeros) as i64);
        let message = format!("it ends with {zeros} zeros, from {} on", show(from));
        return refused(message, "padding is no measurement: cut these rows off");
    }
    if mean < LOWEST_MEAN {
        return refused(
            format!("the mean is {mean:.3}: no grid emits so little"),
            "is it in kg/kWh? intensity is in g/kWh",
        );
    }
    if starts {
        return Ok(());
    }
    let first = i64::from(series.start.num_seconds_from_midnight());
    let whole_days = DAY % series.step == 0 && (series.values.len() as i64 * series.step) % DAY == 0;
    if first % series.step.min(3600) == series.step.min(3600) - 1 || first % 3600 == 59 * 60 {
        return refused(
            format!("the first stamp is {}, the end of a step", show(series.start)),
            "stamps name the start",
        );
    }
    if whole_days && first == series.step {
        let message = format!("whole days from {}: the stamps seem to name the ends of steps", show(series.start));
        return refused(message, "shift them by one step, or say --stamps start if they are starts");
    }
    Ok(())
}
