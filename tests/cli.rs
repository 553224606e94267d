//! Bad input at the real binary: every refusal with its code, its exit code and a hint; nothing dropped, nothing queued,
//! never a bare panic.

mod support;

use serde_json::Value;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Site, neap};

fn ran(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

#[test]
fn every_refusal_has_its_code_its_exit_and_a_hint() {
    let mut site = Site::new(
        "[[zone]]\nname = \"DE\"\n[[zone]]\nname = \"FR\"\n[queue.batch]\nplace = { zones = [\"DE\"] }\ntime_limit = { max = \"2d\", default = \"1h\" }\n",
    );
    site.start_scheduler();
    site.start_executor();
    site.until("a node is up", Duration::from_secs(20), |connection| {
        let (_, status) = connection.json("GET", "/v1/status", &Value::Null).expect("an answer");
        status["nodes"][0]["up"] == true
    });
    let file = |name: &str, text: &str| {
        std::fs::write(site.path(name), text).expect("the file is written");
    };
    file("below.sh", "#!/bin/bash\nset -e\n#NEAP --gpus 2\ntrue\n");
    file("misspelt.sh", "#!/bin/bash\n#NEAP --tme 1h\ntrue\n");
    file("slurm.sh", "#!/bin/bash\n#SBATCH --gpus=2\ntrue\n");
    file("deadline.sh", "#!/bin/bash\n#NEAP --deadline 18:00\ntrue\n");
    file("key.toml", "command = [\"true\"]\n[time]\nlimt = \"1h\"\n");
    file("unit.toml", "command = [\"true\"]\n[time]\nlimit = 60\n");
    file("type.toml", "command = \"true\"\n");
    file("syntax.toml", "command = [\n");
    file("nothing.toml", "name = \"x\"\n");
    file("object.json", "[1, 2]");
    file("broken.json", "{\"command\": [\"true\",}");
    std::fs::write(site.path("binary.sh"), [0xff, 0xfe, 0x00]).expect("the file is written");
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (&["sumbit"], "E010", 2, "submit"),
        (&["submit", "--gpu", "1", "--", "true"], "E010", 2, "gpus"),
        (&["submit", "--array", "1-5", "--", "true"], "E010", 2, "not built yet"),
        (&["submit", "--slurm", "slurm.sh"], "E010", 2, "not built yet"),
        (&["top"], "E010", 2, "not built yet"),
        (&["demo", "--days", "0"], "E011", 2, "1 to 14"),
        (&["demo", "--days", "15"], "E011", 2, "1 to 14"),
        (&["demo", "--seed", "one"], "E011", 2, "whole number"),
        (&["submit", "--gpus", "two", "--", "true"], "E011", 2, "whole number"),
        (&["submit", "--gpus", "16..4", "--", "true"], "E011", 2, "such as 4..16"),
        (&["submit", "--finish-by", "soon", "--", "true"], "E011", 2, "tomorrow"),
        (&["submit", "--name", "a b", "--", "true"], "E011", 2, "letters"),
        (&["submit", "--env", "NOT_SET_HERE", "--", "true"], "E011", 2, "NAME=VALUE"),
        (&["submit", "--env", "NEAP_JOB_ID=1", "--", "true"], "E011", 2, "NEAP_"),
        (&["submit"], "E011", 2, "nothing to run"),
        (&["submit", "--deadline", "18:00", "--", "true"], "E012", 2, "--finish-by"),
        (&["submit", "--finish-by", "2027-03-28 02:30", "--", "true"], "E013", 2, "forward"),
        (&["submit", "--time", "60", "--", "true"], "E014", 2, "4h30m"),
        (&["submit", "--mem", "512", "--", "true"], "E014", 2, "GiB"),
        (&["submit", "missing.sh"], "E020", 2, "neap submit -- missing.sh"),
        (&["submit", "."], "E020", 2, "directory"),
        (&["submit", "binary.sh"], "E020", 2, "UTF-8"),
        (&["submit", "syntax.toml"], "E021", 2, "syntax.toml:"),
        (&["submit", "broken.json"], "E021", 2, "broken.json:1"),
        (&["submit", "object.json"], "E021", 2, "object"),
        (&["submit", "key.toml"], "E022", 2, "time.limit"),
        (&["submit", "unit.toml"], "E014", 2, "unit.toml:3"),
        (&["submit", "type.toml"], "E023", 2, "type.toml:1"),
        (&["submit", "nothing.toml"], "E011", 2, "nothing to run"),
        (&["submit", "--finish-by", "+1h", "--start-by", "+2h", "--", "true"], "E024", 2, "not after"),
        (&["submit", "--delay", "none", "--max-delay", "1h", "--", "true"], "E024", 2, "none"),
        (&["submit", "misspelt.sh"], "E030", 2, "misspelt.sh:2"),
        (&["submit", "deadline.sh"], "E012", 2, "deadline.sh:2"),
        (&["submit", "below.sh"], "E031", 2, "below.sh:3"),
        (&["submit", "slurm.sh"], "E032", 2, "slurm.sh:2"),
        (&["submit", "--output", "a%q", "--", "true"], "E033", 2, "%j"),
        (&["submit", "--queue", "nope", "--", "true"], "E041", 6, "batch"),
        (&["submit", "--zones", "SE", "--", "true"], "E041", 6, "DE, FR"),
        (&["submit", "--gpus", "1", "--gpu-model", "H100", "--", "true"], "E04", 6, ""),
        (&["submit", "--cpus", "5000", "--", "true"], "E042", 6, ""),
        (&["submit", "--nodes", "2", "--", "true"], "E042", 6, ""),
        (&["submit", "--finish-by", "+10m", "--expect", "20m", "--", "true"], "E044", 6, "earliest"),
        (&["submit", "--start-by", "2020-01-01 00:00", "--", "true"], "E045", 6, ""),
        (&["submit", "--zones", "FR", "--", "true"], "E047", 6, "DE"),
        (&["submit", "--time", "3d", "--", "true"], "E050", 5, "2 d"),
        (&["show", "4711"], "E080", 4, "4711"),
        (&["show", "nobody"], "E080", 4, "nobody"),
        (&["cancel", "4711"], "E080", 4, "4711"),
        (&["hold", "4711"], "E080", 4, "4711"),
        (&["edit", "4711", "--time", "1h"], "E080", 4, "4711"),
        (&["plan", "--accept", "99", "--", "true"], "E046", 6, "rows"),
        (&["ls", "--state", "happy"], "E011", 2, "queued"),
        (&["carbon", "XX"], "E041", 6, "DE, FR"),
        (&["wait", "--timeout", "soon", "1"], "E011", 112, ""),
        (&["run", "--gpu", "1", "--", "true"], "E010", 112, "gpus"),
        (&["run", "--queue", "nope", "--", "true"], "E041", 116, "batch"),
        (&["help", "E999"], "E010", 2, "error code"),
    ];
    for (args, code, exit, hint) in cases {
        let (left, out, err) = ran(site.neap().args(*args));
        assert_eq!(left, *exit, "{args:?}: {out}{err}");
        assert!(
            err.contains(&format!("error[{code}")) && err.contains(hint),
            "{args:?} wants {code} and {hint}: {err}"
        );
        assert!(out.is_empty(), "{args:?} prints a result: {out}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        // For machines: the same, an object a line.
        let (left, _, err) = ran(site.neap().args([args[0], "-o", "json"]).args(&args[1..]));
        assert_eq!(left, *exit, "{args:?} -o json: {err}");
        let first: Value = serde_json::from_str(err.lines().next().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{args:?} -o json: {error}: {err}"));
        assert!(first["code"].as_str().is_some_and(|c| c.starts_with(code)), "{args:?}: {first}");
        assert_eq!((&first["schema"], &first["exit"]), (&"neap.error/1".into(), &(*exit).into()), "{args:?}");
    }
    let (_, list, _) = ran(site.neap().args(["ls", "--all", "-q"]));
    assert_eq!(list, "", "nothing of all that was queued");
    assert_eq!(ran(site.neap().args(["cancel", "--if-exists", "4711"])).0, 0);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let site = Site::new("");
    std::fs::write(site.path("many.toml"), "nme = \"x\"\ncommand = [\"true\"]\n[time]\nlimit = 60\nexpct = \"1h\"\n")
        .expect("written");
    let (exit, _, err) = ran(site.neap().args(["submit", "many.toml"]));
    assert_eq!(exit, 2);
    assert_eq!(err.matches("error[").count(), 3, "{err}");
    for place in ["many.toml:1", "many.toml:4", "many.toml:5"] {
        assert!(err.contains(place), "{place} in {err}");
    }
}

#[test]
fn several_jobs_of_a_name_are_not_guessed_at() {
    let mut site = Site::new("");
    site.start_scheduler();
    for _ in 0..2 {
        assert_eq!(ran(site.neap().args(["submit", "--hold", "--name", "twin", "--", "true"])).0, 0);
    }
    let (exit, _, err) = ran(site.neap().args(["cancel", "twin"]));
    assert!(exit == 4 && err.contains("E081") && err.contains("1"), "{err}");
    assert_eq!(ran(site.neap().args(["cancel", "--all", "twin"])).0, 0);
    assert_eq!(ran(site.neap().args(["ls", "-q"])).1, "");
    // Without an executor a job waits and says so.
    assert_eq!(ran(site.neap().args(["submit", "-q", "--", "true"])).1, "3\n");
    let (_, why, _) = ran(site.neap().args(["why", "3"]));
    assert!(why.contains("no_executor") && why.contains("neap status"), "{why}");
}

#[test]
fn a_dead_server_is_told_with_what_to_do_and_never_replaced_in_silence() {
    let site = Site::new("");
    for args in [&["ls"][..], &["submit", "--", "true"], &["cancel", "1"], &["status"], &["report"]] {
        let (exit, _, err) = ran(site.neap().args(args));
        assert!(exit == 3 && err.contains("E070") && err.contains("serve --dev"), "{args:?}: {err}");
    }
    let mut nobody = neap();
    nobody.env("HOME", site.dir.path()).env("XDG_RUNTIME_DIR", site.dir.path());
    let (exit, _, err) = ran(nobody.args(["ls"]));
    assert!(exit == 3 && err.contains("NEAP_SERVER is not set"), "{err}");
}

#[test]
fn a_demo_needs_nothing_leaves_nothing_and_says_that_it_is_simulated() {
    let empty = tempfile::tempdir().expect("a directory");
    let demo = |format: &str| {
        let mut command = neap();
        // No server, no configuration, no home worth the name.
        command.env_clear().env("HOME", empty.path()).current_dir(empty.path());
        ran(command.args(["demo", "--days", "1", "--seed", "2", "-o", format]))
    };
    let (exit, text, err) = demo("table");
    assert_eq!((exit, text.starts_with("All of this is simulated")), (0, true), "{text}{err}");
    // On a busy machine it says before how far it is.
    assert!(err.lines().any(|line| line.starts_with("1 day simulated in ")), "{err}");
    let (exit, json, _) = demo("json");
    let value: Value = serde_json::from_str(&json).expect("one document");
    assert_eq!((exit, &value["schema"], &value["simulated"]), (0, &"neap.demo/1".into(), &true.into()));
    assert_eq!((&value["seed"], &value["days"], &value["submitted"]), (&2.into(), &1.into(), &60.into()));
    // The books of the nodes are those of the jobs and of nobody, to the millijoule.
    let joules = |value: &Value| (value.as_f64().expect("joules") * 1e3).round() as u64;
    let (jobs, idle) = (joules(&value["all"]["energy_joules"]), joules(&value["all"]["idle_energy_joules"]));
    assert_eq!(jobs + idle, joules(&value["node_energy_joules"]));
    assert_eq!(std::fs::read_dir(empty.path()).expect("there").count(), 0, "nothing is written");
    assert_eq!(demo("md").0, 2);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child =
        neap().args(["help", "schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let status = child.wait().expect("ends");
    let mut err = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_site_file_with_mistakes_is_refused_with_line_and_word() {
    let site = Site::new("[queue.batch]\ndelay = { max = \"12h\", min_savings = \"10%\" }\n");
    let (exit, out, err) = ran(site.neap().args(["serve", "--check"]));
    assert_eq!((exit, out.as_str()), (2, ""));
    assert!(err.contains("error[P014]: unknown key `min_savings` in queue.batch.delay"), "{err}");
    assert!(err.contains("did you mean `min_saving`?") && err.contains("neap.toml:6"), "{err}");
    let (exit, _, err) = ran(site.neap().arg("serve"));
    assert!(exit == 78 && err.contains("P014"), "{err}");
    let fine = Site::new("");
    assert_eq!(ran(fine.neap().args(["serve", "--check"])).0, 0);
    assert_eq!(ran(fine.neap().args(["executor", "--check"])).0, 0);
}

#[test]
fn two_servers_do_not_share_a_state() {
    let mut site = Site::new("");
    site.start_scheduler();
    let (exit, _, err) = ran(site.neap().arg("serve"));
    assert!(exit == 78 && err.contains("held by another scheduler"), "{err}");
}
