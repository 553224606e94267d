//! What waiting for cheaper hours is worth, in the words and figures of money. Prices are those of energy alone.

use super::decide::Desk;
use super::search::Choice;
use crate::order::by_price;
use crate::problem::Job;
use crate::stamp::{later, time};
use neap_model::reason::{Costs, Reason, WhyNow};
use neap_model::units::{Money, Percent, Price};

impl Desk<'_> {
    /// What a run costs from that start on, and the mean price it meets. `None` where part of it has no price.
    fn cost(&self, choice: &Choice) -> Option<(Money, Price)> {
        let zone = &self.room.zones[choice.zone];
        let (start, end) = (time(choice.start), later(time(choice.start), choice.shape.length));
        let mean = zone.money.tariff.as_ref()?.series.mean(start, end).filter(|mean| mean.covered >= end - start)?;
        let energy = (choice.shape.watts * choice.shape.length).at_facility(zone.pue);
        Some((energy * mean.value, mean.value))
    }

    /// The later run against the first start the job could have; both in one currency.
    pub(super) fn costs(&self, job: &Job, first: &Choice, later: &Choice) -> Option<Costs> {
        let ((instead_of, now), (costs, then)) = (self.cost(first)?, self.cost(later)?);
        let currency = self.room.zones[later.zone].money.tariff.as_ref()?.currency.clone();
        self.room.alike(job, first.zone, later.zone).then_some(Costs { costs, instead_of, then, now, currency })
    }

    /// Why a job that may wait for cheaper hours waits.
    pub(super) fn cheaper(&self, job: &Job, first: &Choice, later: &Choice, asks: Percent) -> Reason {
        let costs = self.costs(job, first, later);
        // Both windows have a price, or it would not wait.
        costs.map_or(Reason::Evaluating, |costs| Reason::CheaperLater { costs, asks, max_delay: job.delay.max })
    }
}

/// Why a job starts now, in the words of what it may wait for.
pub(super) fn in_words(job: &Job, why: &WhyNow) -> WhyNow {
    match why {
        WhyNow::CleanestNow if by_price(job) => WhyNow::CheapestNow,
        WhyNow::NoForecast { .. } if by_price(job) => WhyNow::NoPrices,
        why => why.clone(),
    }
}
