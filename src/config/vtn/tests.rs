use super::super::paths::Paths;
use super::super::site;
use super::*;
use neap_scheduler::config::Key;

const WHOLE: &str =
    "url = \"https://vtn.example.org/openadr3/3.0.1/\"\nclient_id = \"site-7\"\nsecret = { file = \"/etc/neap/s\" }";

fn read(text: &str) -> Result<Vec<Vtn>, Vec<String>> {
    let paths = Paths::of(&BTreeMap::from([("HOME".to_owned(), "/home/ada".to_owned())]));
    let text = format!("[[zone]]\nname = \"DE\"\n[[power_domain]]\nname = \"row-a\"\nnodes = [\"gpu1\"]\n{text}");
    let read = site::read(&text, "neap.toml", &paths);
    read.map(|(scheduler, _)| scheduler.vtns).map_err(|wrong| {
        let text = |p: &crate::diagnostic::Problem| format!("{} {:?}", p.refusal.message, p.refusal);
        wrong.iter().map(text).collect()
    })
}

#[test]
fn a_server_of_events_has_sensible_defaults() {
    let vtn = read(&format!("[[grid.vtn]]\n{WHOLE}\n")).expect("right").remove(0);
    assert_eq!((vtn.name.as_str(), vtn.base.as_str()), ("openadr", "https://vtn.example.org/openadr3/3.0.1"));
    assert_eq!(
        (vtn.poll, vtn.max_cap_age, vtn.secret),
        (Seconds(60), Seconds::hours(24), Key::File("/etc/neap/s".into()))
    );
    assert_eq!((vtn.site, vtn.program, vtn.units, vtn.base_load), (None, None, None, Watts(0)));
}

#[test]
fn everything_that_a_server_may_say_is_read() {
    let more = "name = \"utility\"\nprogram = \"p\"\nsite = \"row-a\"\nscope = \"read_all\"\ntargets = [\"north\"]\npoll = \"30s\"\n\
                max_cap_age = \"6h\"\nbase_load = \"20 kW\"\nunits = \"KW\"\ntoken_url = \"https://id.example.org/token\"\n\
                simple = { 1 = \"80%\", 3 = \"10 kW\" }";
    let vtn = read(&format!("[[grid.vtn]]\n{WHOLE}\n{more}\n[[grid.vtn]]\n{WHOLE}\n")).expect("right").remove(0);
    assert_eq!(vtn.simple.get(&1), Some(&Level::Share(Percent::whole(80))));
    assert_eq!(vtn.simple.get(&3), Some(&Level::Cap(Watts::whole(10_000))));
    assert_eq!(
        (vtn.site.as_deref(), vtn.units, vtn.base_load),
        (Some("row-a"), Some(PowerUnit::Kilowatts), Watts::whole(20_000))
    );
    assert_eq!((vtn.poll, vtn.max_cap_age), (Seconds(30), Seconds::hours(6)));
}

#[test]
fn mistakes_are_named_and_no_secret_is_repeated() {
    let check = |lines: &str, word: &str| {
        let wrong = read(&format!("[[grid.vtn]]\n{lines}\n")).expect_err(lines);
        assert!(wrong.iter().any(|text| text.contains(word)), "{lines}: {wrong:?}");
        assert!(wrong.iter().all(|text| !text.contains("canary")), "{wrong:?}");
    };
    check("client_id = \"x\"\nsecret = { env = \"S\" }", "needs its `url`");
    check("url = \"https://x\"\nsecret = { env = \"S\" }", "client_id");
    check("url = \"https://x\"\nclient_id = \"x\"", "needs `secret =");
    check("url = \"https://x\"\nclient_id = \"x\"\nsecret = \"canary\"", "cannot stand in this file");
    check("url = \"https://u:canary@x\"\nclient_id = \"x\"\nsecret = { env = \"S\" }", "without query or password");
    for (line, word) in [
        ("site = \"row-b\"", "row-a, DE"),
        ("name = \"eia\"", "name of a feed"),
        ("name = \"a/b\"", "cannot name"),
        ("poll = \"1s\"", "every 10 s"),
        ("poll = \"1h\"\nmax_cap_age = \"1h\"", "at least two polls"),
        ("units = \"MW\"", "one of KW, W"),
        ("simple = { 4 = \"10%\" }", "no level"),
        ("simple = { 1 = \"120%\" }", "more than all"),
        ("simple = { 1 = \"10\" }", "level 1"),
        ("progam = \"p\"", "did you mean"),
    ] {
        check(&format!("{WHOLE}\n{line}"), word);
    }
    assert!(read(&format!("[[grid.vtn]]\n{WHOLE}\n[[grid.vtn]]\n{WHOLE}\n")).expect_err("twice")[0].contains("twice"));
}
