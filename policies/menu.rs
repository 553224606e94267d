//! The menu of a slot: how wide and how hard a job can run there, reduced to what is worth choosing at these costs.
//!
//! Every point (a width at a power rung) does some work in an hour and costs something. Together with not running at all,
//! their lower convex hull is the cheapest way to do any amount of work in the slot, by mixing two neighbours in time; its
//! edges are the marginal steps. Nothing here assumes that speed grows ever more slowly with width: measured profiles do
//! not, and the raw differences between one width and the next are then the wrong steps.

/// What a point gives and takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Offer {
    /// Work done in an hour.
    pub work: f64,
    /// Cost of that hour, in grams; below zero where energy is paid to be used.
    pub cost: f64,
}

impl Offer {
    /// Cost of a unit of work on the way from `before` to here; comparable only if there is work between them.
    #[must_use]
    pub fn rate_from(self, before: Self) -> f64 {
        (self.cost - before.cost) / (self.work - before.work)
    }
}

/// A marginal step: leave one point of the hull for the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The point that is left; `None`: not running.
    pub from: Option<usize>,
    /// The point that is reached.
    pub to: usize,
    /// Work gained in an hour.
    pub work: f64,
    /// Cost added in that hour, in grams.
    pub cost: f64,
}

impl Step {
    /// Cost of a unit of work, in grams.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.cost / self.work
    }
}

/// Indices of the offers on the lower convex hull with (0, 0), by rising work; the origin is left out.
///
/// An offer without work, or that is not a number, is never worth choosing. Of equal offers the first stays; an offer on
/// the line between two others is dropped.
#[must_use]
pub fn hull(offers: &[Offer]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..offers.len()).collect();
    order.sort_by(|&a, &b| offers[a].work.total_cmp(&offers[b].work));
    let mut found = Vec::new();
    hull_in_order(offers, &order, &mut found);
    found
}

/// The same for offers whose order by work is known: work does not change with the price, so it is sorted once.
pub(crate) fn hull_in_order(offers: &[Offer], order: &[usize], found: &mut Vec<usize>) {
    found.clear();
    for &index in order {
        let offer = offers[index];
        if !(offer.work > 0.0 && offer.work.is_finite() && offer.cost.is_finite()) {
            continue;
        }
        let mut keeps = true;
        while let Some(&last) = found.last() {
            let before = if found.len() > 1 { offers[found[found.len() - 2]] } else { Offer::default() };
            if offer.work <= offers[last].work {
                keeps = offer.cost < offers[last].cost;
                if !keeps {
                    break;
                }
            } else if offers[last].rate_from(before) < offer.rate_from(offers[last]) {
                break;
            }
            found.pop();
        }
        if keeps {
            found.push(index);
        }
    }
}

/// The marginal steps of a slot, in order of rising cost per unit of work.
#[must_use]
pub fn steps(offers: &[Offer]) -> Vec<Step> {
    let found = hull(offers);
    let mut at = (None, Offer::default());
    let step = |to: usize| {
        let (from, before) = at;
        let step = Step { from, to, work: offers[to].work - before.work, cost: offers[to].cost - before.cost };
        at = (Some(to), offers[to]);
        step
    };
    found.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests;
