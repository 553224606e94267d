//! Figures for people: three significant digits in a unit that suits, the same wherever a figure is printed.

use neap_model::fleet::Quality;
use neap_model::footprint::Savings;
use neap_model::job::JobSpec;
use neap_model::plan::{Certificate, Width};
use neap_model::reason::Costs;
use neap_model::units::{GramsCo2e, Joules, Money, Price};

/// A unit, its size in the base unit, and its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    size: f64,
    /// As printed behind figures and over columns.
    pub name: &'static str,
}

const ENERGY: [(f64, Unit); 4] = [
    (3.6e9, Unit { size: 3.6e9, name: "MWh" }),
    (3.6e5, Unit { size: 3.6e6, name: "kWh" }),
    (360.0, Unit { size: 3.6e3, name: "Wh" }),
    (0.0, Unit { size: 3.6, name: "mWh" }),
];

const CARBON: [(f64, Unit); 4] = [
    (1e6, Unit { size: 1e6, name: "t" }),
    (1e2, Unit { size: 1e3, name: "kg" }),
    (0.1, Unit { size: 1.0, name: "g" }),
    (0.0, Unit { size: 1e-3, name: "mg" }),
];

fn unit_of(value: f64, units: &[(f64, Unit)]) -> Unit {
    units.iter().find(|(least, _)| value >= *least).or(units.last()).map(|(_, unit)| *unit).expect("units are listed")
}

/// An amount of money: two decimals, more where it is small.
#[must_use]
pub fn money(amount: Money, currency: &str) -> String {
    format!("{} {}", self::amount(amount), super::escape(currency))
}

/// The same without its currency.
#[must_use]
pub fn amount(amount: Money) -> String {
    let value = amount.in_base();
    // Cents, or three digits of what is less than one.
    let small = value != 0.0 && value.abs() < 1.0;
    let decimals = if small { 2 - (value.abs().log10().floor() as i32).clamp(-7, -1) } else { 2 };
    let decimals = usize::try_from(decimals).unwrap_or(2);
    format!("{value:.decimals$}")
}

/// What a run costs later, against now: `1.20 EUR → 0.40 EUR, 67 % less`, with what of it is paid for GPU-hours.
#[must_use]
pub fn costs(costs: &Costs) -> String {
    let share = costs.ratio().map_or_else(String::new, |ratio| format!(", {} less", percent(ratio)));
    let both = |then: Money, now: Money| format!("{} → {}", money(now, &costs.currency), money(then, &costs.currency));
    let gpus = match costs.gpus {
        None => String::new(),
        Some(gpus) if gpus.costs == gpus.instead_of => format!(" (GPUs {})", money(gpus.costs, &costs.currency)),
        Some(gpus) => format!(" (GPUs {})", both(gpus.costs, gpus.instead_of)),
    };
    format!("{}{share}{gpus}", both(costs.costs, costs.instead_of))
}

/// A price: `81.50 EUR/MWh`.
#[must_use]
pub fn price(price: Price, currency: &str) -> String {
    format!("{:.2} {}/MWh", price.in_base(), super::escape(currency))
}

/// The unit that suits an amount of energy.
#[must_use]
pub fn energy_unit(energy: Joules) -> Unit {
    unit_of(energy.in_base(), &ENERGY)
}

/// The unit that suits an amount of emissions.
#[must_use]
pub fn carbon_unit(carbon: GramsCo2e) -> Unit {
    unit_of(carbon.in_base(), &CARBON)
}

/// The unit of a column whose greatest figure is that: tons and megawatt-hours only where they have three digits.
#[must_use]
pub fn energy_column(greatest: Joules) -> Unit {
    energy_unit(greatest.min(if greatest.in_base() < 100.0 * 3.6e9 { Joules(3_599_999_999_000) } else { greatest }))
}

/// The same for emissions.
#[must_use]
pub fn carbon_column(greatest: GramsCo2e) -> Unit {
    carbon_unit(greatest.min(if greatest.in_base() < 100.0 * 1e6 { GramsCo2e(999_999_000_000) } else { greatest }))
}

/// Three significant digits, as far as they lie behind the point two at most.
#[must_use]
pub fn digits(value: f64) -> String {
    let size = value.abs();
    let places = if size >= 99.95 || size == 0.0 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.places$}")
}

impl Unit {
    /// An amount in this unit, without its name.
    #[must_use]
    pub fn of(self, base: f64) -> String {
        digits(base / self.size)
    }
}

/// `28.6 kWh`.
#[must_use]
pub fn energy(energy: Joules) -> String {
    let unit = energy_unit(energy);
    format!("{} {}", unit.of(energy.in_base()), unit.name)
}

/// `7.40 kg`.
#[must_use]
pub fn carbon(carbon: GramsCo2e) -> String {
    let unit = carbon_unit(carbon);
    format!("{} {}", unit.of(carbon.in_base()), unit.name)
}

/// `saves 4.20 kg (35 %)`, `costs 0.30 kg more (3 %)`: the sign is always told.
#[must_use]
pub fn saving(savings: &Savings, done: bool) -> String {
    let grams = savings.grams();
    if grams == 0.0 {
        return if done { "saved nothing" } else { "saves nothing" }.to_owned();
    }
    let amount = carbon(GramsCo2e::from_base(grams.abs()).unwrap_or_default());
    let share = savings.ratio().map_or_else(String::new, |ratio| format!(" ({})", percent(ratio.abs())));
    match (grams < 0.0, done) {
        (false, true) => format!("saved {amount}{share}"),
        (false, false) => format!("saves {amount}{share}"),
        (true, true) => format!("{amount} more{share}"),
        (true, false) => format!("costs {amount} more{share}"),
    }
}

/// `3 jobs around the grid: 12.1 kg together, at most 0.4 % above the best possible`.
#[must_use]
pub fn certified(certificate: &Certificate) -> String {
    let jobs = if certificate.jobs == 1 { "1 job".to_owned() } else { format!("{} jobs", certificate.jobs) };
    let emits = carbon(certificate.emits);
    let best = match certificate.gap() {
        // Rounded up: what is printed is a bound as well.
        Some(gap) => format!("at most {} above the best possible", percent((gap * 1e3).ceil().max(0.0) / 1e3)),
        None => "nothing is proven about how good that is".to_owned(),
    };
    format!("{jobs} around the grid: {emits} together, {best}")
}

/// `35 %`, with one digit below ten.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if value.abs() < 9.95 && value != 0.0 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// `8×H100`, of an elastic job `4..16×H100`, `2 cores`.
#[must_use]
pub fn resources(spec: &JobSpec) -> String {
    let asked = &spec.resources;
    let gpus = asked.gpus_up_to.map_or_else(|| asked.gpus.to_string(), |most| format!("{}..{most}", asked.gpus));
    match (asked.gpus, asked.gpu_model.first(), asked.cpus) {
        (0, _, None | Some(1)) => "1 core".to_owned(),
        (0, _, Some(cpus)) => format!("{cpus} cores"),
        (_, Some(model), _) => format!("{gpus}×{}", super::escape(model)),
        (_, None, _) => format!("{gpus}×GPU"),
    }
}

/// `8×H100`, `8×H100 at 500 W`: what a job gets that could have got others.
#[must_use]
pub fn width(width: &Width) -> String {
    let limit = width.limit.map_or_else(String::new, |limit| format!(" at {limit}"));
    format!("{}×{}{limit}", width.gpus, super::escape(&width.model))
}

/// The word for a quality that may be unknown.
#[must_use]
pub fn quality(quality: Option<Quality>) -> &'static str {
    quality.map_or("none", Quality::word)
}
