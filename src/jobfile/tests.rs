use super::draft::{Draft, Origin, Surroundings};
use super::settings::{SETTINGS, by_flag};
use super::{What, directives, draft, file, merged};
use crate::diagnostic::Problem;
use chrono::{DateTime, Utc};
use neap_model::job::{JobSpec, Objective};
use neap_model::refusal::Code;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent};
use std::collections::BTreeMap;

fn around() -> Surroundings {
    Surroundings {
        now: time("2026-11-23T18:05:00+01:00"),
        zone: chrono_tz::Europe::Berlin,
        directory: "/home/ada".into(),
        user: "ada".into(),
        environment: BTreeMap::new(),
    }
}

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn toml(text: &str) -> Result<JobSpec, Vec<Problem>> {
    let mut draft = Draft::default();
    file::read_toml(&mut draft, "job.toml", text);
    draft.build(&around())
}

fn script(text: &str) -> Result<JobSpec, Vec<Problem>> {
    let mut draft = Draft::default();
    directives::read(&mut draft, "job.sh", text);
    draft.build(&around())
}

/// Code and line of everything that is wrong.
fn wrong(result: Result<JobSpec, Vec<Problem>>) -> Vec<(Code, usize)> {
    let problems = result.expect_err("something is wrong");
    problems.iter().map(|p| (p.refusal.code, p.place.as_ref().map_or(0, |place| place.line))).collect()
}

const FULL: &str = r#"
name = "llama-ft"
project = "nlp"
command = ["torchrun", "train.py", "--resume"]
workdir = "runs"
output = "logs/%j.log"
retry = "never"
after = [7, "8:any"]

[resources]
gpus = { count = 8, model = ["H100", "A100-80GB"] }
cpus = 64
memory = "512 GiB"

[time]
limit = "6h"
expect = "4h30m"
finish_by = "tomorrow 12:00"
on_expire = "drop"

[flex]
delay = "carbon"
min_saving = "10%"
max_delay = "12h"
slowdown = "10%"
pause = { checkpoint = "SIGUSR1", grace = "90s", exit = 85 }
zones = ["DE", "SE3"]

[env]
WANDB_MODE = "offline"
THREADS = 8
"#;

#[test]
fn a_full_job_file_is_read_as_it_is_meant() {
    let spec = toml(FULL).expect("nothing is wrong");
    assert_eq!((spec.name.as_str(), spec.project.as_str()), ("llama-ft", "nlp"));
    assert_eq!(spec.task.workdir, "/home/ada/runs");
    assert_eq!(spec.resources.gpu_model, ["H100", "A100-80GB"]);
    assert_eq!(spec.resources.memory, Some(Bytes(512 << 30)));
    assert_eq!(spec.time.finish_by, Some(time("2026-11-24T12:00:00+01:00")));
    assert_eq!((spec.time.expect, spec.flex.max_delay), (Some(Seconds(16_200)), Some(Seconds::hours(12))));
    assert_eq!((spec.flex.delay, spec.flex.slowdown), (Some(Objective::Carbon), Percent::whole(10)));
    assert_eq!(
        spec.flex.pause.as_ref().map(|p| (p.signal.as_str(), p.grace, p.exit)),
        Some(("SIGUSR1", Seconds(90), 85))
    );
    assert_eq!(spec.after.iter().map(|a| (a.job.0, a.any)).collect::<Vec<_>>(), [(7, false), (8, true)]);
    assert_eq!(spec.task.env["THREADS"], "8");
}

#[test]
fn json_says_the_same_as_toml() {
    let value: toml::Value = toml::from_str(FULL).expect("TOML");
    let text = serde_json::to_string(&value).expect("JSON");
    let mut draft = Draft::default();
    file::read_json(&mut draft, "job.json", &text);
    assert_eq!(draft.build(&around()).expect("nothing is wrong"), toml(FULL).expect("nothing is wrong"));
}

#[test]
fn directives_say_the_same_as_flags() {
    let text = "#!/bin/bash\n#NEAP --name llama-ft --project=nlp\n\n# a comment\n#NEAP --gpus 8 --gpu-model H100,A100-80GB --finish-by \"tomorrow 12:00\"\ntorchrun train.py\n#NEAPOLITAN is a word\n";
    let spec = script(text).expect("nothing is wrong");
    assert_eq!(spec.task.script.as_deref(), Some(text));
    assert_eq!((spec.resources.gpus, spec.resources.gpu_model.len()), (8, 2));
    assert_eq!(spec.time.finish_by, Some(time("2026-11-24T12:00:00+01:00")));
}

#[test]
fn no_directive_is_passed_over() {
    let below = "#!/bin/sh\nset -e\n#NEAP --gpus 2\n#NEAP --tme 1h\n";
    assert_eq!(wrong(script(below)), [(Code::MisplacedDirective, 3), (Code::MisplacedDirective, 4)]);
    let several = "#!/bin/sh\n#NEAP --tme 1h --gpus 2\n#NEAP nonsense\n#NEAP --name \"unended\n#NEAP\n#NEAP --gpus\n#NEAP --hold=yes\ntrue\n";
    let found = wrong(script(several));
    let expected = [
        (Code::UnknownDirective, 2),
        (Code::UnknownDirective, 3),
        (Code::UnknownDirective, 4),
        (Code::UnknownDirective, 5),
        (Code::BadValue, 6),
        (Code::BadValue, 7),
    ];
    assert_eq!(found, expected);
    assert_eq!(wrong(script("#SBATCH --gpus=2\ntrue\n")), [(Code::SbatchDirective, 1)]);
}

#[test]
fn windows_line_ends_and_a_mark_of_byte_order_change_nothing() {
    let spec = script("\u{feff}#!/bin/sh\r\n#NEAP --gpus 2\r\ntrue\r\n").expect("nothing is wrong");
    assert_eq!(spec.resources.gpus, 2);
    let spec = script("\u{feff}#NEAP --gpus 3\ntrue\n").expect("nothing is wrong");
    assert_eq!(spec.resources.gpus, 3);
}

#[test]
fn every_setting_has_its_own_flag_and_key() {
    let mut flags: Vec<&str> = SETTINGS.iter().map(|s| s.flag).collect();
    let mut keys: Vec<&str> = SETTINGS.iter().map(|s| s.key).collect();
    flags.sort_unstable();
    keys.sort_unstable();
    let before = (flags.len(), keys.len());
    flags.dedup();
    keys.dedup();
    assert_eq!((flags.len(), keys.len()), before);
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("job.toml");
    std::fs::write(&path, "command = [\"true\"]\nname = \"file\"\nproject = \"file\"\nqueue = \"file\"\n")
        .expect("written");
    let mut around = around();
    around.environment =
        [("NEAP_SUBMIT_PROJECT", "variable"), ("NEAP_SUBMIT_QUEUE", "variable"), ("NEAP_JOB_NAME", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let what = What { file: Some(path.display().to_string()), command: Vec::new() };
    let flags = [(by_flag("queue").expect("a flag"), vec!["flag".to_owned()])];
    let draft = super::read(&what, &flags, &around);
    let text = merged::text(&draft, &draft.clone().build(&around).expect("nothing is wrong"));
    let spec = draft.build(&around).expect("nothing is wrong");
    assert_eq!((spec.name.as_str(), spec.project.as_str(), spec.queue.as_deref()), ("file", "variable", Some("flag")));
    for from in ["# from --queue", "# from NEAP_SUBMIT_PROJECT", "job.toml:2"] {
        assert!(text.contains(from), "{from} in {text}");
    }
    around.environment.insert("NEAP_SUBMIT_QEUE".into(), "x".into());
    assert_eq!(wrong(super::read(&what, &flags, &around).build(&around)), [(Code::UnknownFlag, 0)]);
}

#[test]
fn the_merged_job_is_a_job_file_again() {
    let mut draft = Draft::default();
    file::read_toml(&mut draft, "job.toml", FULL);
    let spec = draft.clone().build(&around()).expect("nothing is wrong");
    let text = merged::text(&draft, &spec);
    assert_eq!(toml(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")), spec, "{text}");
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let before = toml(FULL).expect("nothing is wrong");
    let flag = |name: &str, text: &str| (by_flag(name).expect("a flag"), vec![text.to_owned()]);
    let flags = [flag("time", "8h"), flag("env", "NEW=1"), flag("zones", "FR")];
    let after = super::edit::changed(before.clone(), &flags, &around()).expect("nothing is wrong");
    assert_eq!(after.time.limit, Some(Seconds::hours(8)));
    assert_eq!(after.task.env.len(), 3);
    let back =
        JobSpec { time: before.time.clone(), task: before.task.clone(), flex: before.flex.clone(), ..after.clone() };
    assert_eq!(back, before);
    let mut plain = before;
    (plain.time.finish_by, plain.flex.delay) = (None, Some(Objective::None));
    let promised = super::edit::changed(plain, &[flag("finish-by", "+6h")], &around()).expect("nothing is wrong");
    assert_eq!(promised.flex.delay, None, "a new promise brings its consent");
    assert!(super::edit::changed(promised, &[flag("hold", "")], &around()).is_err());
}

#[test]
fn contradictions_are_told() {
    for text in [
        "command = [\"x\"]\n[flex]\ndelay = \"none\"\nmax_delay = \"1h\"\n",
        "command = [\"x\"]\n[time]\nlimit = \"1h\"\nexpect = \"2h\"\n",
        "command = [\"x\"]\n[time]\nfinish_by = \"+1h\"\nstart_by = \"+2h\"\n",
        "command = [\"x\"]\n[resources]\ngpus = { model = [\"H100\"] }\n",
    ] {
        assert!(wrong(toml(text)).iter().all(|(code, _)| *code == Code::Contradiction), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_fall_over(text in "\\PC{0,200}") {
        let _ = toml(&text);
        let _ = script(&text);
        let mut draft = Draft::default();
        file::read_json(&mut draft, "any", &text);
    }

    /// Whatever stands behind `#NEAP` is applied or refused, never passed over.
    #[test]
    fn a_directive_is_applied_or_refused(flag in "[a-z-]{1,12}", value in "[a-zA-Z0-9:%.+ -]{0,12}") {
        let text = format!("#!/bin/sh\n#NEAP --{flag} '{value}'\ntrue\n");
        let mut draft = Draft::default();
        directives::read(&mut draft, "x.sh", &text);
        let said = by_flag(&flag).is_some_and(|setting| draft.said(setting.flag).is_some());
        proptest::prop_assert!(said || !draft.problems.is_empty(), "{text}");
    }

    #[test]
    fn what_is_said_by_flag_is_said_by_directive(value in "[a-z0-9,:%=.-]{1,10}", n in 0usize..SETTINGS.len()) {
        let setting = &SETTINGS[n];
        proptest::prop_assume!(setting.shape != super::settings::Shape::Flag && !value.starts_with('-'));
        let mut by_directive = Draft::default();
        directives::read(&mut by_directive, "x.sh", &format!("#NEAP --{} {value}\n", setting.flag));
        let mut by_flag = Draft::default();
        by_flag.say(setting, draft::split(setting, &value), Origin::Flag);
        let texts = |draft: &Draft| draft.said(setting.flag).map(|said| said.texts.clone());
        proptest::prop_assert_eq!(texts(&by_directive), texts(&by_flag));
    }
}

#[test]
fn a_range_of_gpus_makes_a_job_elastic() {
    let width = |text: &str| {
        let spec = toml(&format!("command = [\"train\"]\n[resources]\ngpus = {text}\n"));
        spec.map(|spec| (spec.resources.gpus, spec.resources.gpus_up_to))
    };
    assert_eq!(width("\"4..16\"").expect("a range"), (4, Some(16)));
    assert_eq!(width("{ count = \"4..16\" }").expect("a range"), (4, Some(16)));
    assert_eq!(width("\"8..8\"").expect("one"), (8, None));
    assert_eq!(width("8").expect("one"), (8, None));
    for text in ["\"0..4\"", "\"8..4\"", "\"..4\"", "\"4..\"", "\"a..b\"", "\"-1..4\""] {
        assert_eq!(wrong(width(text).map(|_| unreachable!("{text}"))), [(Code::BadValue, 3)]);
    }
    assert_eq!(script("#!/bin/sh\n#NEAP --gpus 2..4\ntrain\n").expect("sound").resources.most_gpus(), 4);
}
