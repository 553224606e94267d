//! What waiting for cheaper hours is worth, in the words and figures of money. Prices are those of energy alone.

use super::decide::Desk;
use super::search::Choice;
use crate::likely::lengths;
use crate::order::by_price;
use crate::problem::Job;
use crate::stamp::{later, time};
use neap_model::reason::{Costs, Reason, WhyNow};
use neap_model::seconds::Seconds;
use neap_model::units::{Money, Percent, Price};

impl Desk<'_> {
    /// What a run is expected to cost from that start on, and the mean price it meets: both over its likely lengths. `None`
    /// where part of its planning length has no price, beyond which no run counts that goes by prices.
    fn cost(&self, job: &Job, choice: &Choice) -> Option<(Money, Price)> {
        let (zone, start) = (&self.room.zones[choice.zone], time(choice.start));
        let series = &zone.money.tariff.as_ref()?.series;
        let mean = |length: Seconds| {
            let end = later(start, length);
            series.mean(start, end).filter(|mean| mean.covered >= end - start)
        };
        mean(choice.shape.length)?;
        let (mut costs, mut count, mut weighed, mut time) = (Money::default(), 0i64, 0i128, 0i128);
        for length in lengths(job, choice.shape.length) {
            let price = mean(length)?.value;
            costs = costs + (choice.shape.watts * length).at_facility(zone.pue) * price;
            count += 1;
            weighed += i128::from(price.0) * i128::from(length.0);
            time += i128::from(length.0);
        }
        let price = i64::try_from(weighed.checked_div(time)?).ok()?;
        Some((Money(costs.0.checked_div(count)?), Price(price)))
    }

    /// The later run against the first start the job could have; both in one currency.
    pub(super) fn costs(&self, job: &Job, first: &Choice, later: &Choice) -> Option<Costs> {
        let ((instead_of, now), (costs, then)) = (self.cost(job, first)?, self.cost(job, later)?);
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
