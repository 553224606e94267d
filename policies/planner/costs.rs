//! What waiting for cheaper hours is worth, in the words and figures of money: energy, and GPU-hours where these have a price.

use super::decide::Desk;
use super::search::Choice;
use crate::likely::lengths;
use crate::order::by_price;
use crate::problem::Job;
use crate::stamp::{later, time};
use neap_model::plan::RunCost;
use neap_model::reason::{Costs, GpuCosts, Reason, WhyNow};
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

    /// What a run is expected to cost; `None` where nothing is known of that.
    pub fn run_cost(&self, job: &Job, choice: &Choice) -> Option<RunCost> {
        let currency = self.room.zones[choice.zone].money.tariff.as_ref()?.currency.clone();
        let energy = self.cost(job, choice).map(|(energy, _)| energy);
        let gpus = Some(self.gpus_cost(job, choice)).filter(|gpus| *gpus > Money::default());
        (energy.is_some() || gpus.is_some()).then_some(RunCost { energy, gpus, currency })
    }

    /// The later run against the first start the job could have; both in one currency.
    pub(super) fn costs(&self, job: &Job, first: &Choice, later: &Choice) -> Option<Costs> {
        let ((instead_of, now), (costs, then)) = (self.cost(job, first)?, self.cost(job, later)?);
        let currency = self.room.zones[later.zone].money.tariff.as_ref()?.currency.clone();
        let gpus = GpuCosts { costs: self.gpus_cost(job, later), instead_of: self.gpus_cost(job, first) };
        let (costs, instead_of) = (costs + gpus.costs, instead_of + gpus.instead_of);
        let gpus = Some(gpus).filter(|gpus| gpus.costs.max(gpus.instead_of) > Money::default());
        self.room.alike(job, first.zone, later.zone).then_some(Costs { costs, instead_of, then, now, currency, gpus })
    }

    /// What its GPUs are expected to cost, over its likely lengths.
    fn gpus_cost(&self, job: &Job, choice: &Choice) -> Money {
        let Some(hire) = self.room.nodes[choice.node].hire(&choice.shape) else { return Money::default() };
        let all = lengths(job, choice.shape.length);
        let seconds: i128 = all.iter().map(|length| i128::from(length.0)).sum();
        let paid = i128::from(hire.hour.0) * i128::from(choice.shape.gpus()) * seconds;
        let mean = paid / (3_600 * i128::try_from(all.len()).unwrap_or(1));
        Money(i64::try_from(mean).unwrap_or(i64::MAX))
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
