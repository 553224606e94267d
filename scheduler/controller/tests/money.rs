//! Waiting for cheaper hours, and what energy cost: by the real controller and its journal, in moved time.

use super::world::{World, ada, config, curve_of, hours, job, midnight, phase_word};
use crate::config::{GpuHours, Hours, Tariff};
use crate::controller::answers::{Terms, add_to_report, completed};
use crate::controller::{Grouping, ReportQuery, Viewer, ZoneCurve};
use neap_model::embodied::{Factors, FunctionalUnit};
use neap_model::fleet::{Board, Inventory};
use neap_model::footprint::{Beside, Bill, Market};
use neap_model::grid::{Grade, PriceCurve};
use neap_model::job::Objective;
use neap_model::ledger::{Account, EnergySpan};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Intensity, Joules, Money, Price};
use std::collections::BTreeMap;

/// 0.40 a kWh, from one to five 0.10; the cleanest hours are others.
fn prices() -> ZoneCurve {
    let night = Hours { days: [true; 7], from: 60, to: 300, price: Price(100_000) };
    let (currency, usual) = ("EUR".to_owned(), Price(400_000));
    let tariff = Tariff { currency: currency.clone(), usual, hours: vec![night], timezone: chrono_tz::UTC };
    let mut curve = curve_of(&[300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 100, 100], Grade::Forecast);
    let series = tariff.series(midnight() - hours(48), midnight() + hours(192));
    let origin = curve.curve.origins[0].clone();
    curve.prices = Some(PriceCurve { series, currency, origin });
    curve
}

/// Ten in the morning.
fn morning(config: crate::config::Config) -> World {
    let mut world = World::of(config, 4);
    world.now = midnight() + hours(10);
    world.grid(&prices());
    world.beat();
    world
}

const KWH: Joules = Joules(3_600_000_000);

#[test]
fn a_job_waits_for_cheaper_hours_and_its_bill_says_what_that_saved() {
    let mut world = morning(config());
    let mut spec = job("thrifty", hours(2));
    (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Price), Some(Seconds::hours(24)));
    let id = world.submit(spec).expect("accepted").id;
    let told = world.show(id);
    let decision = told.decision.clone().expect("decided");
    assert_eq!((phase_word(&told), decision.start()), ("planned", Some(midnight() + hours(25))));
    let Some(Reason::CheaperLater { costs, .. }) = decision.because() else { panic!("{decision:?}") };
    assert_eq!((costs.then, costs.now, costs.currency.as_str()), (Price(100_000), Price(400_000), "EUR"));
    world.pass(hours(20));
    let done = world.show(id);
    assert_eq!((phase_word(&done), world.started[&id][0]), ("succeeded", midnight() + hours(25)));
    // 0.2 kWh at 0.10 instead of 0.40.
    let (paid, run_now) = (Money(20_000_000), Money(80_000_000));
    let (priced, unpriced) = (KWH.scaled(1, 5), Joules::ZERO);
    let bill = Bill { currency: "EUR".into(), paid, run_now, priced, unpriced };
    assert_eq!(done.account.bills, [bill]);
    assert_eq!(done.account.signals, ["test"], "whose intensities these were");
    assert_eq!(done.account.by_signal, [("test".to_owned(), done.account.actual.energy)], "and for how much");
    assert_eq!(
        (done.waited_for_grid, done.account.core_seconds),
        (Seconds::hours(15), 7_140),
        "a beat after it was leased it started"
    );
    let text = crate::metrics::exposition(&world.controller, &crate::daemon::Vitals::default(), world.now);
    let text = String::from_utf8(text.expect("text")).expect("text");
    for line in [
        "neap_energy_cost_total{zone=\"DE\",queue=\"batch\",project=\"test\"} 0.02",
        "neap_energy_credit_total{zone=\"DE\",queue=\"batch\",project=\"test\"} 0",
        "neap_tariff_info{zone=\"DE\",currency=\"EUR\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    world.check_replay();
}

#[test]
fn what_waited_for_clean_hours_may_cost_more_and_what_has_no_price_is_not_free() {
    let mut world = morning(config());
    let mut spec = job("clean", hours(2));
    (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Carbon), Some(Seconds::hours(3)));
    let id = world.submit(spec).expect("accepted").id;
    // Prices are known for the first of its two hours only; they are those of the day it runs on.
    let mut short = prices();
    let known = short.prices.as_mut().expect("prices");
    known.series = known.series.trim(midnight(), midnight() + hours(13));
    world.grid(&short);
    world.pass(hours(10));
    let done = world.show(id);
    assert_eq!(world.started[&id], [midnight() + hours(12)]);
    let [bill] = done.account.bills.as_slice() else { panic!("{:?}", done.account.bills) };
    // This executor says at the end what it used in all: a span that is not priced whole is not priced at all.
    assert_eq!((bill.priced, bill.unpriced), (Joules::ZERO, done.account.actual.energy));
    assert_eq!((bill.paid, bill.run_now, bill.mean()), (Money(0), Money(0), None));
    world.check_replay();
}

#[test]
fn of_two_models_the_one_of_the_most_work_per_cost_is_taken_once_both_are_known() {
    // An H100 is twice as fast and twice as hungry; an hour of it costs so much, of an A100 one.
    let chosen = |h100: i64| {
        let mut site = config();
        let prices = vec![("A100".to_owned(), Money(1_000_000_000)), ("H100".to_owned(), Money(h100 * 1_000_000))];
        site.zones[0].gpu_hours = Some(GpuHours { currency: "EUR".into(), prices });
        let mut world = World::of(site, 16).with_gpus(&[("h0", "H100"), ("a0", "A100")]);
        world.grid(&prices_all_day());
        world.speeds.insert("train".into(), |_, model| if model == "H100" { 2.0 } else { 1.0 });
        world.beat();
        let on = |models: &[&str]| {
            let mut spec = job("train", hours(2));
            spec.resources.gpus = 1;
            spec.resources.gpu_model = models.iter().map(|model| (*model).to_owned()).collect();
            spec
        };
        // The slowest is at 1, and the length of two hours is that of the slowest.
        for model in ["H100", "A100"] {
            world.submit(on(&[model])).expect("accepted");
            world.pass(hours(3));
        }
        world.grid(&prices_all_day());
        let mut spec = on(&["H100", "A100"]);
        (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Price), Some(Seconds::hours(2)));
        let id = world.submit(spec).expect("accepted").id;
        let width = world.show(id).decision.and_then(|decision| decision.width).expect("a choice");
        world.check_replay();
        width.model
    };
    // Energy costs alike on both or a little more, here and there; an hour of an H100 does what two of an A100 do.
    assert_eq!((chosen(2_500).as_str(), chosen(1_500).as_str()), ("A100", "H100"));
}

/// 0.40 a kWh.
fn prices_all_day() -> ZoneCurve {
    let mut curve = prices();
    let known = curve.prices.as_mut().expect("prices");
    let (from, until) = (midnight() - hours(48), midnight() + hours(192));
    let (grade, value) = (Grade::Measured, Price(400_000));
    known.series = neap_model::grid::Series::new([neap_model::grid::Span { from, until, value, grade }]);
    curve
}

#[test]
fn a_report_tells_money_making_and_the_market_beside_the_grid() {
    let mut site = config();
    site.zones[0].market = Some(Intensity::grams(500));
    let core = "87.6 kg".parse().ok();
    let life = Seconds::hours(24 * 365);
    site.embodied = Some(Factors { gpu: None, core, life, source: "a label".into() });
    let mut world = morning(site);
    let mut spec = job("epochs", hours(2));
    spec.functional_unit = Some(FunctionalUnit { count: 4, name: "epochs".into() });
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(3));
    let done = world.show(id);
    // 0.2 kWh; a core for 2 of 8,760 hours less the minute before it started.
    let market = Market::of(KWH.scaled(1, 5), Some(Intensity::grams(500)));
    assert_eq!((market.emits.in_base(), done.account.market), (100.0, Some(market)));
    let embodied = done.embodied.clone().expect("stated");
    assert_eq!((embodied.emits.in_base().round(), embodied.source.as_str()), (20.0, "a label"));
    let query = ReportQuery { by: Grouping::Name, ..ReportQuery::default() };
    let (viewer, mut rows) = (Viewer { person: ada(), all: false }, BTreeMap::new());
    add_to_report(&mut rows, &world.controller.state().jobs[&id], &query, &viewer);
    let terms = Terms::of(world.controller.config());
    let (rows, total) = completed(rows, &terms);
    let row = &rows[0];
    assert_eq!((&row.bills, row.market, row.embodied.as_ref()), (&done.account.bills, Some(market), Some(&embodied)));
    assert_eq!((&total.bills, total.embodied.as_ref()), (&done.account.bills, Some(&embodied)));
    world.check_replay();
}

#[test]
fn spans_of_earlier_versions_say_nothing_of_power_and_of_whose_intensities_they_met() {
    let text = r#"{"seq":0,"from":"2026-01-01T00:00:00Z","until":"2026-01-01T00:01:00Z","parts":[],"gap_ms":0}"#;
    let span: EnergySpan = serde_json::from_str(text).expect("it is read");
    assert_eq!((span.power.mean(), span.power.highest()), (None, None));
    let beside: Beside = serde_json::from_str(r#"{"bill":null,"market":null}"#).expect("it is read");
    let mut account = Account::default();
    account.add_parts(&span);
    account.add_beside(&beside);
    assert!(account.power.is_empty() && account.signals.is_empty() && account.by_signal.is_empty());
    let text = r#"{"cpus":4,"memory":1,"gpus":[{"uuid":"a","index":0,"model":"A40","limit":300000}],"watts_per_cpu":5000,"meters":[],"boot":"b"}"#;
    let node: Inventory = serde_json::from_str(text).expect("it is read");
    let board = Board { uuid: "a".into(), model: Some("A40".into()), ..Board::default() };
    assert_eq!((node.board("a"), node.board("b")), (board, Board { uuid: "b".into(), ..Board::default() }));
    assert_eq!(serde_json::to_string(&node).expect("it serializes"), text, "and written as it was");
}
