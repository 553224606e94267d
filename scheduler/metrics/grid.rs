//! Series about the grid: intensities, prices, forecasts, feeds and servers of events.

use super::{HORIZONS, Page};
use crate::controller::Controller;
use crate::daemon::Vitals;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::units::Pue;
use std::collections::BTreeMap;

pub(super) fn grid(page: &mut Page, controller: &Controller, vitals: &Vitals, now: DateTime<Utc>) {
    for zone in &controller.config().zones {
        page.gauge(
            "neap_zone_pue_ratio",
            "Power usage effectiveness applied to metered energy.",
            &[("zone", &zone.name)],
            zone.pue.unwrap_or(Pue::ONE).ratio(),
        );
        let Some(known) = controller.curves().get(&zone.name) else { continue };
        if let Some(prices) = &known.prices {
            page.gauge(
                "neap_tariff_info",
                "Currency of the prices; the value is always 1.",
                &[("zone", &zone.name), ("currency", &prices.currency)],
                1.0,
            );
        }
        let kind = match controller.config().grid.kind {
            neap_model::grid::Kind::Average => "average",
            neap_model::grid::Kind::Marginal => "marginal",
        };
        if known.curve.origins.iter().any(|origin| origin.private) {
            // Its terms forbid to republish it.
            continue;
        }
        if let Some(span) = known.curve.series.at(now) {
            page.gauge(
                "neap_grid_intensity_grams_per_kwh",
                "Grid carbon intensity used for accounting now; one series per zone.",
                &[("zone", &zone.name), ("kind", kind), ("grade", span.grade.word())],
                span.value.in_base(),
            );
        }
        for hours in HORIZONS {
            if let Some(span) = known.curve.series.at(now + TimeDelta::hours(hours)) {
                page.gauge(
                    "neap_grid_forecast_grams_per_kwh",
                    "Forecast grid carbon intensity, by horizon.",
                    &[("zone", &zone.name), ("horizon", &format!("{hours}h"))],
                    span.value.in_base(),
                );
            }
        }
    }
    for feed in &vitals.feeds {
        if let Some(age) = feed.age_seconds {
            page.gauge(
                "neap_feed_age_seconds",
                "Age of the newest value of the feed.",
                &[("feed", &feed.feed), ("zone", &feed.zone)],
                age,
            );
        }
    }
    let circuits: BTreeMap<&String, bool> =
        vitals.feeds.iter().filter_map(|feed| Some((&feed.feed, feed.circuit_open?))).collect();
    for (feed, open) in circuits {
        page.gauge(
            "neap_feed_circuit_open",
            "Whether the feed failed so often that it is only probed.",
            &[("feed", feed)],
            f64::from(u8::from(open)),
        );
    }
    servers_of_events(page, controller, now);
    for (zone, feed, (from, until), error) in &vitals.forecast_errors {
        page.gauge(
            "neap_forecast_error_grams_per_kwh",
            "Mean absolute error of the feed's forecasts over the last four weeks, by hours ahead.",
            &[("feed", feed), ("zone", zone), ("horizon", &format!("{from}-{until}h"))],
            error.in_base(),
        );
    }
    for ((feed, outcome), count) in &vitals.feed_reads {
        page.counter(
            "neap_feed_requests_total",
            "Requests to the feed by outcome.",
            &[("feed", feed), ("outcome", outcome)],
            *count as f64,
        );
    }
}

/// Servers of grid events, in the families of the feeds; their zone is what their events are for.
fn servers_of_events(page: &mut Page, controller: &Controller, now: DateTime<Utc>) {
    for report in controller.vtn_reports(now) {
        let site = controller.config().vtns.iter().find(|vtn| vtn.name == report.name).and_then(|vtn| vtn.site.clone());
        if let Some(answered) = report.answered {
            page.gauge(
                "neap_feed_age_seconds",
                "Age of the newest value of the feed.",
                &[("feed", &report.name), ("zone", site.as_deref().unwrap_or("(site)"))],
                (now - answered).num_milliseconds().max(0) as f64 / 1e3,
            );
        }
        page.gauge(
            "neap_grid_events",
            "Events that the server shows.",
            &[("feed", &report.name)],
            report.events as f64,
        );
    }
    for (name, heard) in controller.vtns() {
        page.gauge(
            "neap_feed_circuit_open",
            "Whether the feed failed so often that it is only probed.",
            &[("feed", name)],
            f64::from(u8::from(heard.circuit_open)),
        );
        for (outcome, count) in &heard.polls {
            let labels = [("feed", name.as_str()), ("outcome", outcome)];
            page.counter("neap_feed_requests_total", "Requests to the feed by outcome.", &labels, *count as f64);
        }
    }
}
