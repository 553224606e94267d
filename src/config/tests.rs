use super::paths::Paths;
use super::{DEFAULT, site};
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::Money;
use neap_scheduler::config::Applies;
use std::collections::BTreeMap;

fn paths() -> Paths {
    Paths::of(&BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]))
}

/// Labels and first words of everything that is wrong.
fn wrong(text: &str) -> Vec<(String, usize, String)> {
    let problems = site::read(text, "neap.toml", &paths()).expect_err(text);
    let shown = |p: &crate::diagnostic::Problem| {
        let hints: Vec<&str> = p.refusal.hints.iter().map(|hint| hint.text.as_str()).collect();
        let line = p.place.as_ref().map_or(0, |place| place.line);
        (p.label.unwrap_or("?").to_owned(), line, format!("{} {}", p.refusal.message, hints.join(" ")))
    };
    problems.iter().map(shown).collect()
}

#[test]
fn the_file_of_defaults_says_what_the_program_does_without_it() {
    assert_eq!(site::read(DEFAULT, "default.toml", &paths()), site::read("", "nothing", &paths()));
}

#[test]
fn an_empty_file_is_useful() {
    let (scheduler, executor) = site::read("", "neap.toml", &paths()).expect("nothing is wrong with nothing");
    assert_eq!(scheduler.home().name, "WORLD");
    let (_, queue) = scheduler.default_queue();
    assert_eq!((queue.delay.objective, queue.delay.applies), (Objective::Carbon, Applies::OptIn));
    assert_eq!(queue.delay.max, Seconds::hours(6));
    assert!(scheduler.listen.is_none() && scheduler.socket.is_some());
    assert!(executor.run_dir.starts_with(&scheduler.state_dir));
}

#[test]
fn gpus_in_use_at_once_are_one_number_or_one_a_model() {
    let peak = |text: &str| {
        let (site, _) = site::read(text, "neap.toml", &paths()).expect(text);
        (site.zones[0].peak_gpus.all, site.zones[0].peak_gpus.by_model.clone())
    };
    assert_eq!(peak("[[zone]]\nname = \"DE\"\npeak_gpus = 12\n"), (Some(12), BTreeMap::new()));
    let by_model = BTreeMap::from([("H100".to_owned(), 4), ("A100".to_owned(), 0)]);
    assert_eq!(peak("[[zone]]\nname = \"DE\"\npeak_gpus = { H100 = 4, A100 = 0 }\n"), (None, by_model));
    for bad in ["\"12\"", "1.5", "-3", "{ H100 = \"4\" }"] {
        let found = wrong(&format!("[[zone]]\nname = \"DE\"\npeak_gpus = {bad}\n"));
        assert_eq!((found.len(), found[0].0.as_str(), found[0].1), (1, "P012", 3), "{bad}: {found:?}");
    }
}

#[test]
fn gpu_hours_have_one_price_or_one_a_model() {
    let of = |text: &str| {
        let text = format!("[[zone]]\nname = \"DE\"\n{text}\n");
        let (site, _) = site::read(&text, "neap.toml", &paths()).expect(&text);
        let zone = &site.zones[0];
        (zone.tariff.is_some(), zone.gpu_hours.clone().map(|hours| (hours.currency, hours.prices)))
    };
    let euro = |units: f64| Money::from_base(units).expect("a price");
    let all = Some(("EUR".to_owned(), vec![(String::new(), euro(2.5))]));
    assert_eq!(of("price_per_gpu_hour = 2.5\ncurrency = \"EUR\""), (false, all));
    let by_model = Some(("EUR".to_owned(), vec![("A100".to_owned(), euro(1.0)), ("H100".to_owned(), euro(2.1))]));
    assert_eq!(
        of("price_per_gpu_hour = { H100 = 2.1, A100 = 1 }\ncurrency = \"EUR\"\nprice_per_kwh = 0.2"),
        (true, by_model)
    );
    assert_eq!(of("price_per_kwh = 0.2\ncurrency = \"EUR\""), (true, None));
    for (bad, code) in [
        ("price_per_gpu_hour = 2.5", "P017"),
        ("price_per_gpu_hour = \"2.5\"\ncurrency = \"EUR\"\nprice_per_kwh = 0.2", "P012"),
        ("price_per_gpu_hour = -1\ncurrency = \"EUR\"\nprice_per_kwh = 0.2", "P013"),
        ("price_per_gpu_hour = { H100 = 10001 }\ncurrency = \"EUR\"\nprice_per_kwh = 0.2", "P013"),
        ("currency = \"EUR\"", "P017"),
    ] {
        let found = wrong(&format!("[[zone]]\nname = \"DE\"\n{bad}\n"));
        assert_eq!((found.len(), found[0].0.as_str()), (1, code), "{bad}: {found:?}");
    }
}

#[test]
fn the_shipped_files_are_read() {
    for text in [include_str!("../../configs/workstation.toml"), include_str!("../../configs/cluster.toml")] {
        site::read(text, "shipped", &paths()).expect("a shipped file is right");
    }
}

#[test]
fn a_misspelt_key_is_shown_with_its_line_and_the_right_one() {
    let found = wrong("[queue.batch]\ndefault = true\ndelay = { max = \"12h\", min_savings = \"10%\" }\n");
    assert_eq!(found.len(), 1);
    let (label, line, text) = &found[0];
    assert_eq!((label.as_str(), *line), ("P014", 3));
    assert!(text.contains("`min_savings` in queue.batch.delay") && text.contains("`min_saving`"), "{text}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "[server]\nlisten = \"0.0.0.0:7878\"\nport = 1\n[[zone]]\nname = \"DE\"\npue = 0.9\n[[zone]]\nname = \"DE\"\n\
                [[node]]\nname = \"gpu01\"\nzone = \"SE\"\n[queue.a]\ntime_limit = { default = 3600 }\ndelay = \"sometimes\"\n\
                [[power_domain]]\nname = \"row\"\n";
    let mut labels: Vec<(String, usize)> = wrong(text).into_iter().map(|(label, line, _)| (label, line)).collect();
    labels.sort_by_key(|(_, line)| *line);
    let expected =
        [("P013", 2), ("P014", 3), ("P013", 6), ("P017", 8), ("P016", 11), ("P013", 13), ("P013", 14), ("P013", 16)];
    assert_eq!(labels, expected.map(|(label, line)| (label.to_owned(), line)));
}

#[test]
fn what_is_not_toml_is_shown_where_it_breaks() {
    assert!(matches!(wrong("[server\n").as_slice(), [(label, 1, _)] if label == "P011"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fall_over(text in "\\PC{0,200}") {
        let _ = site::read(&text, "any", &paths());
    }

    #[test]
    fn no_file_with_known_words_makes_it_fall_over(
        lines in proptest::collection::vec(("(server|zone|queue\\.a|grid|executor|delay|pue|name|max|home)", "(1|\"x\"|true|\\[\\]|\\{\\}|\"5 W\"|-1|1e400)"), 0..12),
    ) {
        let text: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let _ = site::read(&text, "any", &paths());
    }
}

#[test]
fn what_may_be_a_key_of_events_is_not_repeated() {
    let text = "[grid.webhook]\nkeys = [{ file = \"canary-canary\" }]\n";
    let problems = site::read(text, "any", &paths()).expect_err("no whole path");
    let manner = crate::diagnostic::Manner { json: false, unicode: true, colour: false };
    let shown = crate::diagnostic::render(&problems, manner, 2);
    assert!(shown.contains("a key is") && !shown.contains("canary"), "{shown}");
}
