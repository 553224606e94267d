//! Energy of GPUs that do nothing, under the conventions that are in use. It is an account of what ran and changes
//! nothing of it; the reference is charged by the same rule.

use super::options::{Idle, Options};
use neap_policies::replay::{Case, Ran};

/// A GPU that slept draws idle power for that long before it works again, in seconds.
const BOOT: f64 = 120.0;
/// Seconds below which two instants are the same.
const SAME: f64 = 1e-6;

/// Energy and emissions beside those of the work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extra {
    /// At the meter of the site, in kWh.
    pub energy_kwh: f64,
    /// In grams CO2e.
    pub grams: f64,
}

impl Extra {
    fn add(&mut self, case: &Case, place: usize, kw: f64, from: f64, until: f64) {
        if until <= from {
            return;
        }
        let kw = kw * case.places[place].pue;
        self.energy_kwh += kw * (until - from) / 3600.0;
        self.grams += kw * case.places[place].curve.integral(from, until);
    }
}

/// What GPUs without work drew between the beginning and `end`.
#[must_use]
pub fn idle(case: &Case, ran: &[Ran], options: &Options, end: f64) -> Extra {
    let mut extra = Extra::default();
    let kw = options.idle_watts / 1e3;
    match options.idle {
        Idle::Nothing => {}
        Idle::Attributed => {
            for (job, pair) in case.jobs.iter().zip(ran).flat_map(|(job, ran)| ran.windows(2).map(move |w| (job, w))) {
                extra.add(case, pair[0].place, job.width * kw, pair[0].until, pair[1].from);
            }
        }
        Idle::On => all(case, ran, kw, f64::INFINITY, end, &mut extra),
        Idle::OffAfter(seconds) => all(case, ran, kw, seconds, end, &mut extra),
    }
    extra
}

/// What pauses cost: work run again at the place and time of the next stretch, and energy each.
#[must_use]
pub fn pauses(case: &Case, ran: &[Ran], options: &Options) -> Extra {
    let (seconds, kwh) = options.pause_cost;
    let mut extra = Extra::default();
    for (job, pair) in case.jobs.iter().zip(ran).flat_map(|(job, ran)| ran.windows(2).map(move |w| (job, w))) {
        let next = &pair[1];
        if next.from <= pair[0].until + SAME && next.place == pair[0].place {
            continue;
        }
        extra.add(case, next.place, job.width * case.kw_per_gpu, next.from, next.from + seconds);
        extra.energy_kwh += kwh * case.places[next.place].pue;
        extra.grams += kwh * case.places[next.place].pue * case.places[next.place].curve.at(next.from);
    }
    extra
}

/// GPUs are used from the first on: the k-th is idle while fewer than k are in use.
fn all(case: &Case, ran: &[Ran], kw: f64, asleep_after: f64, end: f64, extra: &mut Extra) {
    for (place, gpus) in case.places.iter().enumerate().filter_map(|(n, place)| Some((n, place.gpus?))) {
        let mut changes: Vec<(f64, f64)> = Vec::new();
        for segment in ran.iter().flatten().filter(|s| s.place == place && s.until > s.from) {
            changes.push((segment.from, segment.gpus));
            changes.push((segment.until, -segment.gpus));
        }
        changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let whole = gpus.ceil() as usize;
        // Since when each is idle; it slept before the beginning only if it is allowed to sleep at once.
        let mut since: Vec<Option<f64>> = vec![Some(0.0); whole];
        let size = |k: usize| (gpus - k as f64).min(1.0);
        let mut used = 0.0;
        let mut charge = |k: usize, from: f64, until: f64, returns: bool| {
            let asleep = until - from > asleep_after;
            extra.add(case, place, size(k) * kw, from, if asleep { from + asleep_after } else { until });
            if asleep && returns {
                extra.add(case, place, size(k) * kw, until - BOOT.min(until - from - asleep_after), until);
            }
        };
        for (n, (at, change)) in changes.iter().enumerate() {
            used += change;
            if changes.get(n + 1).is_some_and(|next| next.0 - at <= SAME) {
                continue;
            }
            for (k, idle_since) in since.iter_mut().enumerate() {
                let busy = used > k as f64 + SAME;
                match (*idle_since, busy) {
                    (Some(from), true) => {
                        charge(k, from, *at, true);
                        *idle_since = None;
                    }
                    (None, false) => *idle_since = Some(*at),
                    _ => {}
                }
            }
        }
        for (k, from) in since.iter().enumerate().filter_map(|(k, since)| Some((k, (*since)?))) {
            charge(k, from, end, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::options::Given;
    use neap_policies::replay::{Curve, Place, Segment, TraceJob};
    use std::collections::{BTreeMap, BTreeSet};

    fn case() -> (Case, Vec<Ran>) {
        let curve = Curve::new(0.0, 3600.0, vec![100.0; 24]).expect("a curve");
        let place = Place { name: "A".to_owned(), curve, forecast: None, pue: 1.5, gpus: Some(2.0) };
        let job =
            TraceJob { arrival: 0.0, length: 7200.0, width: 1.0, slack: 7200.0, assumed: 7200.0, queue: 0, home: 0 };
        let segment = |from: f64, until: f64| Segment { from, until, gpus: 1.0, place: 0 };
        let ran = vec![segment(0.0, 3600.0), segment(7200.0, 10800.0)];
        (Case { places: vec![place], jobs: vec![job], anywhere: false, kw_per_gpu: 1.0 }, vec![ran])
    }

    fn options(idle: &str) -> Options {
        let flags = [
            ("format", "gaia-s"),
            ("carbon", "x"),
            ("policy", "run-now"),
            ("idle", idle),
            ("idle-watts", "100"),
            ("capacity", "2"),
            ("pause-cost", "360s,0.5"),
        ];
        let values: BTreeMap<&'static str, String> = flags.map(|(k, v)| (k, v.to_owned())).into();
        Options::of(Given { trace: Some("x"), values: &values, switches: &BTreeSet::new() }).expect("options")
    }

    #[test]
    fn each_convention_charges_what_it_says() {
        let (case, ran) = case();
        let kwh = |what: &str| (idle(&case, &ran, &options(what), 14_400.0).energy_kwh / 0.15 * 1e9).round() / 1e9;
        assert_eq!(kwh("none"), 0.0);
        assert_eq!(kwh("attributed"), 1.0, "an hour of pause");
        assert_eq!(kwh("on"), 6.0, "two GPUs for four hours, two of them at work");
        // The first: 30 min of its pause and its boot, 30 min behind the end; the second: 30 min, once.
        assert_eq!(kwh("off:1800"), 1.5 + (120.0f64 / 3600.0 * 1e9).round() / 1e9);
        let grams = idle(&case, &ran, &options("on"), 14_400.0).grams;
        assert!((grams - 90.0).abs() < 1e-9, "{grams}");
    }

    #[test]
    fn a_pause_costs_time_and_energy() {
        let (case, ran) = case();
        let extra = pauses(&case, &ran, &options("none"));
        assert!((extra.energy_kwh - (0.15 + 0.75)).abs() < 1e-12, "{extra:?}");
        assert!((extra.grams - 90.0).abs() < 1e-9, "{extra:?}");
    }
}
