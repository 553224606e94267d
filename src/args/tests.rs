use super::{Format, Instead, Invocation, Verb, parse};
use neap_model::refusal::Code;

fn read(line: &str) -> Result<Invocation, Instead> {
    parse(line.split(' ').map(Into::into))
}

fn refused(line: &str) -> (Code, String) {
    match read(line) {
        Err(Instead::Wrong(problems)) => {
            let refusal = &problems[0].refusal;
            let hints: Vec<String> = refusal.hints.iter().map(|h| format!("{} {}", h.text, h.args.join(" "))).collect();
            (refusal.code, format!("{} | {}", refusal.message, hints.join(" | ")))
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_tree_is_sound() {
    super::tree::tree().debug_assert();
}

#[test]
fn a_job_is_read_from_flags_and_a_command() {
    let Ok(Invocation { verb: Verb::Submit(job), common }) =
        read("neap submit -o json --gpus 8 --zones DE,SE3 --env A=1 --env B=2 --hold -- python -u train.py --gpus")
    else {
        panic!("a submission")
    };
    assert_eq!(common.format, Some(Format::Json));
    assert_eq!(job.what.command, ["python", "-u", "train.py", "--gpus"]);
    let said: Vec<(&str, Vec<String>)> = job.flags.iter().map(|(s, texts)| (s.flag, texts.clone())).collect();
    let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        said,
        [
            ("gpus", texts(&["8"])),
            ("hold", texts(&[""])),
            ("zones", texts(&["DE", "SE3"])),
            ("env", texts(&["A=1", "B=2"]))
        ]
    );
}

#[test]
fn the_noun_may_come_first() {
    assert!(
        matches!(read("neap jobs show 7"), Ok(Invocation { verb: Verb::Show(which), .. }) if which.selectors == ["7"])
    );
    assert!(matches!(read("neap jobs --all"), Ok(Invocation { verb: Verb::List(list), .. }) if list.all));
}

#[test]
fn slips_of_the_finger_are_told_what_was_meant() {
    assert!(matches!(refused("neap sumbit x"), (Code::UnknownFlag, text) if text.contains("submit")));
    assert!(matches!(refused("neap submit --gpu 2 x"), (Code::UnknownFlag, text) if text.contains("`gpus`")));
    assert!(matches!(refused("neap ls --stat x"), (Code::UnknownFlag, text) if text.contains("--state")));
    assert!(
        matches!(refused("neap submit --deadline 18:00 x"), (Code::RefusedWord, text) if text.contains("--finish-by"))
    );
    assert!(
        matches!(refused("neap submit --array 1-5 x"), (Code::UnknownFlag, text) if text.contains("not built yet"))
    );
    assert!(matches!(refused("neap top"), (Code::UnknownFlag, text) if text.contains("not built yet")));
    assert!(matches!(refused("neap ls -o xml"), (Code::BadValue, text) if text.contains("xml")));
    assert!(matches!(refused("neap ls --limit many"), (Code::BadValue, text) if text.contains("whole number")));
    assert!(matches!(refused("neap show"), (Code::BadValue, text) if text.contains("missing")));
    assert!(matches!(refused("neap"), (Code::UnknownFlag, _)));
}

#[test]
fn help_and_version_are_not_errors() {
    assert!(matches!(read("neap --help"), Err(Instead::Print(text)) if text.contains("submit")));
    assert!(matches!(read("neap --version"), Err(Instead::Print(text)) if text.starts_with("neap 0")));
    assert!(matches!(read("neap submit --help"), Err(Instead::Print(text)) if text.contains("--finish-by")));
}

#[test]
fn what_the_kernel_writes_as_arguments_it_reads_again() {
    let options = neap_executor::kernels::TrainOptions {
        workers: 2,
        rank: Some(1),
        peers: vec!["127.0.0.1:4000".parse().expect("an address"), "127.0.0.1:4001".parse().expect("an address")],
        pace: Some(150.0),
        checkpoint: Some("a.ckpt".into()),
        json: true,
        ..Default::default()
    };
    let args = std::iter::once("neap".into()).chain(options.args());
    assert!(matches!(parse(args), Ok(Invocation { verb: Verb::Train(read), .. }) if *read == options));
}

#[test]
fn every_verb_has_help_completions_and_a_manual_page() {
    assert!(super::help_of(Some("why")).expect("a verb").contains("--history"));
    assert!(super::help_of(Some("guard")).is_none(), "hidden verbs are not advertised");
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(super::completion(shell)).expect("text");
        assert!(script.contains("finish-by"), "{shell}");
    }
    let page = String::from_utf8(super::man(Some("submit")).expect("a verb")).expect("text");
    assert!(page.contains("finish\\-by"), "{page}");
}
