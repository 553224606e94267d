//! Zones whose curves measure different things: told apart for the planner, and named to people. Nothing here brings one to
//! the other's level; they are simply never compared.

use crate::controller::Controller;
use neap_model::grid::Basis;
use neap_model::job::{JobSpec, Objective};

impl Controller {
    /// What a zone's curve measures; `None`: nothing is known of it yet.
    fn basis_of(&self, zone: &str) -> Option<&Basis> {
        self.grid.get(zone).and_then(|known| known.curve.origins.first()).map(|origin| &origin.basis)
    }

    /// The zone's kind of curve as a number: the place of the first zone that measures the same. What is not known yet goes
    /// with the first zone: it has no curve to be compared by.
    pub(super) fn kind_of_curve(&self, zone: &str) -> usize {
        let Some(basis) = self.basis_of(zone) else { return 0 };
        let like = |name: &str| self.basis_of(name).is_some_and(|other| other.is_like(basis));
        self.config.zones.iter().position(|zone| like(&zone.name)).unwrap_or(0)
    }

    /// A sentence that names the zones of each kind, if there is more than one kind.
    pub(in crate::controller) fn unlike<'a>(&self, zones: impl Iterator<Item = &'a str>) -> Option<String> {
        let mut kinds: Vec<(&Basis, Vec<&str>)> = Vec::new();
        for zone in zones {
            let Some(basis) = self.basis_of(zone) else { continue };
            match kinds.iter_mut().find(|(known, _)| known.is_like(basis)) {
                Some((_, names)) => names.push(zone),
                None => kinds.push((basis, vec![zone])),
            }
        }
        let named = kinds.iter().map(|(basis, names)| format!("{}: {basis}", names.join(", ")));
        (kinds.len() > 1).then(|| named.collect::<Vec<_>>().join("; "))
    }

    /// Of a job that waits for cleaner hours and may run in several zones: which of these are not compared.
    pub(in crate::controller) fn unlike_for(&self, spec: &JobSpec) -> Option<String> {
        spec.flex.delay.filter(|objective| *objective == Objective::Carbon)?;
        self.unlike(spec.flex.zones.iter().map(String::as_str))
    }
}
