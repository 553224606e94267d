//! Which kind of GPU for a job, and how many: what the work costs on each, in money and in energy, scaling included.
//!
//! The rule is the **most** work per cost, or, which is the same, the least cost per unit of work. The article that this
//! scheduler goes back to prints it as the *minimum* of performance over cost; taken as printed, that chooses the worst
//! machine on offer. Performance is that of the whole set at its width: ten devices at 60 % parallel efficiency do the work
//! of six and cost as much as ten, so a kind that wins alone may lose as soon as a deadline asks for width.

mod ways;

use std::cmp::Ordering;
pub use ways::{ASSUMED, Asked, Ran, ways};

/// How speed grows with width.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Every device adds as much as the first.
    Linear,
    /// Measured: width and how many times faster than one device. Only these widths, and one device, are used.
    SpeedUp(Vec<(u32, f64)>),
    /// Measured: width and speed-up ÷ width. Only these widths, and one device, are used.
    Efficiency(Vec<(u32, f64)>),
    /// Every doubling of the width keeps this share (0.5 to 1) of the efficiency; in between likewise.
    Doubling {
        /// Speed-up of a doubling ÷ 2.
        efficiency: f64,
    },
    /// At width `at`, the devices spend this share (0 to 1) of a step on communication. The rest divides by the width; the
    /// communication takes as long at every width above one, as that of a ring limited by bandwidth nearly does.
    Communication {
        /// Share of the time of a step.
        share: f64,
        /// The width it was measured at, two at least.
        at: u32,
    },
}

impl Scaling {
    /// How many times faster than one device; `None` where that is not known or makes no sense.
    #[must_use]
    pub fn speed_up(&self, width: u32) -> Option<f64> {
        let listed = |list: &[(u32, f64)]| list.iter().find(|(at, _)| *at == width).map(|(_, value)| *value);
        let many = f64::from(width);
        let found = match self {
            _ if width == 0 => None,
            _ if width == 1 => Some(1.0),
            Self::Linear => Some(many),
            Self::SpeedUp(list) => listed(list),
            Self::Efficiency(list) => listed(list).map(|efficiency| efficiency * many),
            Self::Doubling { efficiency } => Some((2.0 * efficiency).powf(many.log2())),
            Self::Communication { share, at } if *at >= 2 && (0.0..1.0).contains(share) => {
                let compute = (1.0 - share) * f64::from(*at);
                Some(compute / (compute / many + share))
            }
            Self::Communication { .. } => None,
        };
        found.filter(|speed_up| speed_up.is_finite() && *speed_up > 0.0)
    }

    /// Widths at which it is known, rising, up to `most`.
    fn widths(&self, most: u32) -> Vec<u32> {
        let mut widths: Vec<u32> = match self {
            Self::Linear | Self::Doubling { .. } | Self::Communication { .. } => (1..=most).collect(),
            Self::SpeedUp(list) | Self::Efficiency(list) => {
                list.iter().map(|(width, _)| *width).chain([1]).filter(|width| *width <= most).collect()
            }
        };
        widths.sort_unstable();
        widths.dedup();
        widths.retain(|width| self.speed_up(*width).is_some());
        widths
    }
}

/// A kind of GPU on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Units of this job's work that one device does in an hour.
    pub work_per_hour: f64,
    /// Mean watts of one device while it works, its share of the host included.
    pub watts: f64,
    /// What one device costs for an hour, in any currency.
    pub cost_per_hour: f64,
    /// Devices that can be had.
    pub available: u32,
    /// How this job scales on it.
    pub scaling: Scaling,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Units of work.
    pub work: f64,
    /// Hours it may take; `None`: no matter.
    pub within_hours: Option<f64>,
}

/// What counts. A weight turns its quantity into the common measure: grams per currency, grams per kWh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Per unit of currency.
    pub cost: f64,
    /// Per kWh.
    pub kwh: f64,
}

impl Weights {
    /// Money alone: the most work per cost.
    pub const COST: Self = Self { cost: 1.0, kwh: 0.0 };
    /// Energy alone: the most work per joule.
    pub const ENERGY: Self = Self { cost: 0.0, kwh: 1.0 };
}

/// A kind at a width, doing all of the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Index of the kind.
    pub kind: usize,
    /// Devices.
    pub width: u32,
    /// Speed-up ÷ width.
    pub efficiency: f64,
    /// How long it takes.
    pub hours: f64,
    /// What that costs.
    pub cost: f64,
    /// The energy of it.
    pub kwh: f64,
    /// Cost and energy, weighted: less is better.
    pub measure: f64,
}

/// Why a kind was not chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// None is free.
    NoneAvailable,
    /// Its speed, power or cost is not known.
    Unknown,
    /// At its fastest width it takes longer than there is time.
    TooSlow {
        /// That width.
        width: u32,
        /// Hours it takes.
        hours: f64,
    },
    /// The winner is better by the measure; equal ones go by time, then by their order.
    Worse {
        /// This kind at its best.
        fit: Fit,
        /// Its measure ÷ that of the winner; 1: a tie. Infinite where the winner is free.
        times: f64,
    },
}

/// The kind to take, and why not the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The winner, if any kind will do.
    pub best: Option<Fit>,
    /// All others by index, the better ones first.
    pub others: Vec<(usize, Against)>,
}

/// The kinds for a need, best first. Of every kind the best width that meets the deadline counts; with an efficiency that
/// falls with width, as it mostly does, that is the smallest one. Equal widths of a kind go to the smaller.
#[must_use]
pub fn choose(kinds: &[Kind], need: Need, weights: Weights) -> Choice {
    let (mut fits, mut out) = (Vec::new(), Vec::new());
    for index in 0..kinds.len() {
        match best_width(kinds, index, need, weights) {
            Ok(fit) => fits.push(fit),
            Err(against) => out.push((index, against)),
        }
    }
    fits.sort_by(by_measure);
    let mut fits = fits.into_iter();
    let best = fits.next();
    let worse = |fit: Fit| {
        let least = best.map_or(0.0, |best| best.measure);
        let times = if fit.measure == least { 1.0 } else { fit.measure / least };
        (fit.kind, Against::Worse { fit, times })
    };
    Choice { best, others: fits.map(worse).chain(out).collect() }
}

fn by_measure(a: &Fit, b: &Fit) -> Ordering {
    a.measure.total_cmp(&b.measure).then(a.hours.total_cmp(&b.hours)).then(a.kind.cmp(&b.kind))
}

/// All of the work on a kind at a width; `None` if how it scales to that width is not known.
#[must_use]
pub fn fit(kinds: &[Kind], kind: usize, width: u32, work: f64, weights: Weights) -> Option<Fit> {
    let of = kinds.get(kind)?;
    let speed_up = of.scaling.speed_up(width)?;
    let devices = f64::from(width);
    let hours = work / (of.work_per_hour * speed_up);
    let (cost, kwh) = (hours * devices * of.cost_per_hour, hours * devices * of.watts / 1000.0);
    let measure = weights.cost * cost + weights.kwh * kwh;
    Some(Fit { kind, width, efficiency: speed_up / devices, hours, cost, kwh, measure })
}

fn best_width(kinds: &[Kind], index: usize, need: Need, weights: Weights) -> Result<Fit, Against> {
    let kind = &kinds[index];
    let known = |value: f64| value.is_finite() && value >= 0.0;
    if !(known(kind.work_per_hour) && kind.work_per_hour > 0.0 && known(kind.watts) && known(kind.cost_per_hour)) {
        return Err(Against::Unknown);
    }
    let (mut best, mut fastest): (Option<Fit>, Option<Fit>) = (None, None);
    for width in kind.scaling.widths(kind.available) {
        let Some(fit) = fit(kinds, index, width, need.work, weights) else { continue };
        if fastest.is_none_or(|fastest| fit.hours < fastest.hours) {
            fastest = Some(fit);
        }
        let in_time = need.within_hours.is_none_or(|hours| fit.hours <= hours);
        if in_time && best.is_none_or(|best| fit.measure < best.measure) {
            best = Some(fit);
        }
    }
    match (best, fastest) {
        (Some(best), _) => Ok(best),
        (None, Some(fastest)) => Err(Against::TooSlow { width: fastest.width, hours: fastest.hours }),
        (None, None) => Err(Against::NoneAvailable),
    }
}

#[cfg(test)]
mod tests;
