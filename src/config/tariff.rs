//! `[[zone]]`: what a site pays for electricity, by the hours of the week.

use super::site::bad;
use super::walk::Table;
use chrono_tz::Tz;
use neap_model::units::Money;
use neap_model::units::Price;
use neap_scheduler::config::{DAY, GpuHours, Hours, STEP, Tariff};

const GPU_HOUR: &str = "price_per_gpu_hour";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The keys of a zone that are about money: what energy costs, and what GPUs do. `None`: it has no price, or a wrong one.
pub(super) fn money(zone: &mut Table<'_>, timezone: Option<Tz>) -> (Option<Tariff>, Option<GpuHours>) {
    let usual = price(zone);
    let gpus = gpu_hours(zone);
    let currency = zone.text("currency");
    let rows = zone.tables("tariff");
    if currency.as_ref().is_some_and(|text| text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase())) {
        zone.wrong("P013", "currency", bad("a currency has three capital letters: \"EUR\""));
    }
    if usual.is_none() && (currency.is_some() && gpus.is_empty() || !rows.is_empty()) {
        let key = if rows.is_empty() { "currency" } else { "tariff" };
        zone.wrong(
            "P017",
            key,
            bad("it needs `price_per_kwh` beside it: the price whenever no row of the tariff fits"),
        );
    }
    if (usual.is_some() || !gpus.is_empty()) && currency.is_none() {
        let key = if usual.is_some() { "price_per_kwh" } else { GPU_HOUR };
        zone.wrong("P017", key, bad("a price needs its `currency`").hint("currency = \"EUR\"", &[]));
    }
    if !rows.is_empty() && timezone.is_none() {
        let refusal = bad("hours of a tariff are read from local clocks, and the site's time zone is not stated");
        zone.wrong("P017", "tariff", refusal.hint("timezone = \"Europe/Berlin\" in [server]", &[]));
    }
    let hours = rows.into_iter().filter_map(hours).collect();
    let gpu_hours = currency.clone().filter(|_| !gpus.is_empty()).map(|currency| GpuHours { currency, prices: gpus });
    let timezone = timezone.unwrap_or(Tz::UTC);
    (currency.zip(usual).map(|(currency, usual)| Tariff { currency, usual, hours, timezone }), gpu_hours)
}

/// What GPUs cost for an hour, by the beginning of their model's name; one number is for all of them.
fn gpu_hours(zone: &mut Table<'_>) -> Vec<(String, Money)> {
    let (all, by_model) = zone.float_or_named(GPU_HOUR);
    let mut prices = Vec::new();
    for (model, units) in all.map(|units| (String::new(), units)).into_iter().chain(by_model) {
        // A day of any board costs less than that.
        match Money::from_base(units).filter(|_| (0.0..=10_000.0).contains(&units)) {
            Some(price) => prices.push((model, price)),
            None => {
                let message = format!("{units} is no price of a GPU-hour: currency units, from 0 to 10000");
                zone.wrong("P013", GPU_HOUR, bad(message));
            }
        }
    }
    prices
}

fn hours(mut row: Table<'_>) -> Option<Hours> {
    let days = match row.text("days") {
        None => Some([true; 7]),
        Some(text) => {
            let known = days(&text);
            if known.is_none() {
                row.wrong("P013", "days", bad(format!("`{text}` names no days: \"mon-fri\", \"sat,sun\"")));
            }
            known
        }
    };
    let mut clock = |key| {
        let text = row.text(key);
        let minute = text.as_deref().map_or(Some(0), minute);
        if minute.is_none() {
            let message = "a time of day on the quarter of an hour: \"17:00\", \"24:00\" at most";
            row.wrong("P013", key, bad(format!("`{}` is not {message}", text.unwrap_or_default())));
        }
        minute
    };
    let (from, to) = (clock("from"), clock("to"));
    if row.get("price_per_kwh").is_none() {
        row.wrong("P017", "price_per_kwh", bad("a row of a tariff needs its price"));
    }
    let price = price(&mut row);
    row.finish(&[]);
    // Without an end, or to midnight: the rest of the day.
    let to = to.map(|to| if to == 0 { DAY } else { to });
    Some(Hours { days: days?, from: from?, to: to?, price: price? })
}

/// Currency units per kWh.
fn price(table: &mut Table<'_>) -> Option<Price> {
    let value = table.float("price_per_kwh")?;
    // 100 a kWh is far beyond any market, and a figure per MWh looks like that.
    let price = Price::from_base(value * 1e3).filter(|_| value.abs() <= 100.0);
    if price.is_none() {
        let message = format!("{value} a kWh is no price: currency units per kilowatt-hour, between -100 and 100");
        table.wrong("P013", "price_per_kwh", bad(message));
    }
    price
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour.checked_mul(60)?.checked_add(minute)?;
    let quarter = u16::try_from(STEP.num_minutes()).ok()?;
    (minute < 60 && all <= DAY && all % quarter == 0).then_some(all)
}

fn days(text: &str) -> Option<[bool; 7]> {
    let place = |word: &str| DAYS.iter().position(|day| *day == word.trim().to_lowercase());
    let mut all = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        // `sat-mon` goes around the week's end.
        for step in 0..=(last + 7 - first) % 7 {
            all[(first + step) % 7] = true;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read() {
        let of = |days: &[usize]| Some(std::array::from_fn(|day| days.contains(&day)));
        assert_eq!(days("mon-fri"), of(&[0, 1, 2, 3, 4]));
        assert_eq!(days("Sat, sun"), of(&[5, 6]));
        assert_eq!(days("sat-mon,wed"), of(&[5, 6, 0, 2]));
        for wrong in ["", "mon-", "monday", "mon,,tue", "1-5"] {
            assert_eq!(days(wrong), None, "{wrong}");
        }
        assert_eq!((minute("17:00"), minute("00:15"), minute("24:00")), (Some(1020), Some(15), Some(1440)));
        for wrong in ["17", "17:05", "24:15", "12:75", "-1:00", "1:2:3", "99999:00"] {
            assert_eq!(minute(wrong), None, "{wrong}");
        }
    }
}
