//! Emissions of making hardware, shared out by the time it is reserved; and carbon intensity per functional unit.

use crate::seconds::Seconds;
use crate::units::{GpuSeconds, GramsCo2e};
use serde::{Deserialize, Serialize};

/// What a site states about its hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Of making one GPU, with its share of the computer if the site counts so.
    pub gpu: Option<GramsCo2e>,
    /// Of making one processor core's share of a computer.
    pub core: Option<GramsCo2e>,
    /// How long hardware is used.
    pub life: Seconds,
    /// Where the figures come from; `assumed` where the site does not say.
    pub source: String,
}

/// A job's or a group's share of the emissions of making what it reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embodied {
    /// The share.
    pub emits: GramsCo2e,
    /// Where the figures come from.
    pub source: String,
}

impl Factors {
    /// `M = TE × TiR / EL` for each GPU and core that was reserved (ISO/IEC 21031:2024, embodied emissions; whole GPUs and
    /// cores are reserved, so the share of resources is 1). `None`: nothing is stated about what was reserved.
    #[must_use]
    pub fn of(&self, gpus: GpuSeconds, core_seconds: u64) -> Option<Embodied> {
        let share = |total: GramsCo2e, reserved: u64| total.scaled(reserved, self.life.0);
        let gpu = self.gpu.filter(|_| gpus.0 > 0).map(|total| share(total, gpus.0));
        let core = self.core.filter(|_| core_seconds > 0).map(|total| share(total, core_seconds));
        // A figure without the GPUs would pass for the whole.
        if gpus.0 > 0 && gpu.is_none() || gpu.is_none() && core.is_none() {
            return None;
        }
        let emits = gpu.unwrap_or_default() + core.unwrap_or_default();
        Some(Embodied { emits, source: self.source.clone() })
    }
}

/// What a job does in all, to tell emissions per one of them: *1000 inferences*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionalUnit {
    /// How many; not zero.
    pub count: u64,
    /// Of what, in one word or a few.
    pub name: String,
}

impl FunctionalUnit {
    /// Whether it counts something, under a name of a word or a few of letters, digits and `-_.`, 40 characters at most.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let word = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        let name = self.name.trim();
        self.count > 0 && !name.is_empty() && name.chars().count() <= 40 && name.chars().all(word)
    }
}

/// Software carbon intensity `(O + M) per R` in grams (ISO/IEC 21031:2024).
#[must_use]
pub fn intensity(operational: GramsCo2e, embodied: GramsCo2e, unit: Option<&FunctionalUnit>) -> f64 {
    (operational + embodied).in_base() / unit.map_or(1, |unit| unit.count.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kilograms(value: u64) -> GramsCo2e {
        GramsCo2e::from_base(value as f64 * 1e3).expect("a mass")
    }

    #[test]
    fn an_hour_of_a_gpu_is_its_share_of_four_years() {
        // 164 kg over 4 years are 4.7 g per GPU and hour, 1,000 kg are 28.5 g.
        let of = |gpu| {
            let life = Seconds::hours(4 * 365 * 24);
            let factors = Factors { gpu: Some(gpu), core: None, life, source: "a label".into() };
            factors.of(GpuSeconds(3_600), 8 * 3_600).expect("stated").emits.in_base()
        };
        assert!((of(kilograms(164)) - 4.68).abs() < 0.01 && (of(kilograms(1_000)) - 28.5).abs() < 0.1);
    }

    #[test]
    fn what_is_not_stated_is_no_zero() {
        let life = Seconds::hours(1_000);
        let mut factors = Factors { gpu: None, core: Some(kilograms(10)), life, source: String::new() };
        assert_eq!(factors.of(GpuSeconds(60), 60), None, "the GPU would be missing");
        let core = factors.of(GpuSeconds(0), 2 * 3_600).expect("stated");
        assert_eq!(core.emits, GramsCo2e::from_base(20.0).expect("a mass"));
        factors.gpu = Some(kilograms(100));
        assert_eq!(factors.of(GpuSeconds(3_600), 3_600).expect("stated").emits.in_base(), 110.0);
        assert_eq!(factors.of(GpuSeconds(0), 0), None, "nothing was reserved");
    }

    #[test]
    fn intensity_is_per_functional_unit() {
        let unit = FunctionalUnit { count: 1_000, name: "inferences".into() };
        let (o, m) = (GramsCo2e::from_base(180.0).expect("a mass"), GramsCo2e::from_base(20.0).expect("a mass"));
        assert!((intensity(o, m, Some(&unit)) - 0.2).abs() < 1e-12);
        assert!((intensity(o, m, None) - 200.0).abs() < 1e-12);
    }
}
