//! Carbon intensity from what was generated: Σ energy × factor ÷ Σ energy, over what is attributed and positive. Production
//! only: imports are not in it.
//!
//! Sets of factors never mix; their name is part of what a series measures. Storage is left out, its energy was counted
//! when it was made. What has no class is left out unless the set prices it, and its share is told.

use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use std::collections::BTreeMap;

/// More than that share without a class makes the value an estimate.
const UNSURE: f64 = 0.10;
/// More than that share makes it a hole.
const UNKNOWN: f64 = 0.40;

/// Kinds of generation that factors are stated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Lignite, hard coal, peat.
    Coal,
    /// Natural gas, coal gas.
    Gas,
    /// Oil, oil shale.
    Oil,
    /// Biomass.
    Biomass,
    /// Geothermal.
    Geothermal,
    /// Run of river, reservoirs.
    Hydro,
    /// Nuclear.
    Nuclear,
    /// Solar.
    Solar,
    /// Wind on land.
    WindOnshore,
    /// Wind at sea.
    WindOffshore,
    /// Waves, tides.
    Marine,
    /// Pumped storage, batteries: left out, whatever the sign.
    Storage,
    /// Waste, other, unknown.
    Other,
}

impl Class {
    /// Of an ENTSO-E type (`B14`).
    #[must_use]
    pub fn of_entsoe(code: &str) -> Self {
        match code {
            "B02" | "B05" | "B08" => Self::Coal,
            "B03" | "B04" => Self::Gas,
            "B06" | "B07" => Self::Oil,
            "B01" => Self::Biomass,
            "B09" => Self::Geothermal,
            "B11" | "B12" => Self::Hydro,
            "B14" => Self::Nuclear,
            "B16" => Self::Solar,
            "B19" => Self::WindOnshore,
            "B18" => Self::WindOffshore,
            "B13" => Self::Marine,
            "B10" | "B25" => Self::Storage,
            _ => Self::Other,
        }
    }

    /// Of an EIA fuel (`NG`).
    #[must_use]
    pub fn of_eia(code: &str) -> Self {
        match code {
            "COL" => Self::Coal,
            "NG" => Self::Gas,
            "OIL" => Self::Oil,
            "BM" => Self::Biomass,
            "GEO" => Self::Geothermal,
            "WAT" => Self::Hydro,
            "NUC" => Self::Nuclear,
            "SUN" | "SNB" => Self::Solar,
            "WND" | "WNB" => Self::WindOnshore,
            "PS" | "BAT" | "UES" => Self::Storage,
            _ => Self::Other,
        }
    }
}

/// A named set of factors in g/kWh.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// Its name.
    pub name: String,
    /// What the factors count.
    pub scope: Scope,
    /// By class; one that is not there is left out like [`Class::Other`].
    of: BTreeMap<Class, f64>,
    /// What unknown generation is priced at; `None`: left out.
    unknown: Option<f64>,
}

/// Coal, gas, oil, biomass, geothermal, hydro, nuclear, solar, wind on land and at sea, marine.
type Row = [f64; 11];

const CLASSES: [Class; 11] = [
    Class::Coal,
    Class::Gas,
    Class::Oil,
    Class::Biomass,
    Class::Geothermal,
    Class::Hydro,
    Class::Nuclear,
    Class::Solar,
    Class::WindOnshore,
    Class::WindOffshore,
    Class::Marine,
];

/// IPCC, fifth assessment report, working group III, annex III, medians (2014). Oil is not in it: 650 is a convention.
const AR5: Row = [820.0, 490.0, 650.0, 230.0, 38.0, 24.0, 12.0, 48.0, 11.0, 12.0, 17.0];
/// UNECE, life-cycle assessment of electricity generation (2021/22), EU28 in 2020; what it does not state is as in AR5.
const UNECE: Row = [1_023.0, 434.0, 650.0, 230.0, 38.0, 10.7, 5.1, 37.0, 12.0, 14.0, 17.0];
/// What leaves the stack; IPCC, as above, direct column. Oil is a convention.
const DIRECT: Row = [760.0, 370.0, 406.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

impl Factors {
    /// The set of that name: `ar5-2014`, `unece-2022`, `direct`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (scope, row) = match name {
            "ar5-2014" => (Scope::Lifecycle, AR5),
            "unece-2022" => (Scope::Lifecycle, UNECE),
            "direct" => (Scope::Direct, DIRECT),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), scope, of: CLASSES.into_iter().zip(row).collect(), unknown: None })
    }

    /// The set with some factors of the site's own and unknown generation priced, under another name.
    #[must_use]
    pub fn changed(mut self, name: &str, own: &[(Class, f64)], unknown: Option<f64>) -> Self {
        self.of.extend(own.iter().copied());
        Self { name: name.to_owned(), unknown, ..self }
    }

    /// What a series made with this set measures.
    #[must_use]
    pub fn basis(&self) -> Basis {
        Basis {
            kind: Kind::Average,
            scope: self.scope,
            accounting: Accounting::Production,
            factors: Some(self.name.clone()),
        }
    }
}

/// What a mix comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    /// g/kWh; `None`: too little is known.
    pub grams: Option<f64>,
    /// Share of the generation without a factor.
    pub unattributed: f64,
    /// How well it is known.
    pub grade: Grade,
}

/// The intensity of what was generated, in any one unit of power or energy.
#[must_use]
pub fn mixed(generation: &[(Class, f64)], factors: &Factors) -> Mixed {
    let (mut energy, mut emitted, mut rest) = (0.0, 0.0, 0.0);
    for &(class, amount) in generation {
        if class == Class::Storage || !amount.is_finite() || amount <= 0.0 {
            continue;
        }
        match factors.of.get(&class).copied().or(factors.unknown) {
            Some(factor) => {
                energy += amount;
                emitted += amount * factor;
            }
            None => rest += amount,
        }
    }
    let unattributed = if energy + rest > 0.0 { rest / (energy + rest) } else { 0.0 };
    let known = energy > 0.0 && unattributed <= UNKNOWN;
    Mixed {
        grams: known.then(|| emitted / energy),
        unattributed,
        grade: if unattributed > UNSURE { Grade::Estimated } else { Grade::Measured },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_and_load_are_left_out_and_unknown_is_told() {
        let factors = Factors::named("ar5-2014").expect("known");
        let mix = [
            (Class::Gas, 100.0),
            (Class::Nuclear, 100.0),
            (Class::Storage, 50.0),
            (Class::Solar, -5.0),
            (Class::Other, 10.0),
        ];
        let found = mixed(&mix, &factors);
        assert_eq!(found.grams, Some((49_000.0 + 1_200.0) / 200.0));
        assert!((found.unattributed - 10.0 / 210.0).abs() < 1e-12);
        assert_eq!(found.grade, Grade::Measured);
    }

    #[test]
    fn much_that_is_unknown_makes_an_estimate_and_more_a_hole() {
        let factors = Factors::named("direct").expect("known");
        let of = |other: f64| mixed(&[(Class::Gas, 100.0), (Class::Other, other)], &factors);
        assert_eq!((of(20.0).grade, of(20.0).grams), (Grade::Estimated, Some(370.0)));
        assert_eq!(of(70.0).grams, None);
        assert_eq!(mixed(&[], &factors).grams, None);
        let priced = factors.changed("ours", &[(Class::Gas, 400.0)], Some(700.0));
        assert_eq!(mixed(&[(Class::Gas, 100.0), (Class::Other, 100.0)], &priced).grams, Some(550.0));
        assert_eq!(priced.basis().factors.as_deref(), Some("ours"));
    }
}
