use super::{decode, encode};
use neap_model::job::{JobId, JobSpec, Launch, Person, Resources, Retry, Task, TimeTerms};
use neap_model::lifecycle::{Event, JobEvent};

fn submitted(command: &str) -> Event {
    let spec = JobSpec {
        functional_unit: None,
        name: "llama-ft".into(),
        project: "nlp".into(),
        queue: Some("batch".into()),
        task: Task { command: vec![command.into()], workdir: "/home/ada".into(), ..Task::default() },
        resources: Resources::default(),
        launch: Launch::Job,
        time: TimeTerms::default(),
        flex: neap_model::job::Flex::default(),
        after: Vec::new(),
        retry: Retry::default(),
        hold: false,
    };
    let owner = Person { uid: 1000, name: "ada".into() };
    let happened = JobEvent::Submitted { owner, spec: Box::new(spec), key: "k".into(), digest: "d".into() };
    Event::Job { job: JobId(7), happened }
}

fn cancelled() -> Event {
    let happened = JobEvent::Cancelled { by: "ada".into(), reason: Some("typo".into()) };
    Event::Job { job: JobId(6), happened }
}

#[test]
fn a_turn_comes_back_whole_and_its_public_part_names_no_command() {
    let turn = vec![submitted("train-secret.py"), cancelled(), submitted("other.py")];
    let bytes = encode(turn.clone());
    assert_eq!(decode(1, &bytes.public, &bytes.private).expect("it was just written"), turn);
    let public = String::from_utf8(bytes.public).expect("JSON");
    assert!(public.contains("llama-ft") && public.contains("typo"));
    assert!(!public.contains("train-secret") && !public.contains("/home/ada"), "{public}");
}

#[test]
fn a_missing_private_part_is_noticed() {
    let bytes = encode(vec![submitted("train.py")]);
    let error = decode(9, &bytes.public, b"").expect_err("a task is missing");
    assert_eq!(error.to_string(), "turn 9 has 0 private parts where 1 belong");
}

#[test]
fn unknown_fields_and_events_are_refused() {
    for text in [r#"[{"jobb":{}}]"#, r#"[{"started":{"incarnation":1,"nonce":2}}]"#, "{}"] {
        assert!(decode(1, text.as_bytes(), b"").is_err(), "{text}");
    }
}
