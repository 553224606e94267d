//! The jobs of the demo: a plain mix, drawn from a seed. What a job really does stands in its command, as it does for any
//! job; the scheduler reads only what a person would have promised about it.

use super::START;
use chrono::{DateTime, TimeDelta, Utc};
use neap_executor::domains::simulated::Load;
use neap_model::job::{Flex, JobSpec, Launch, Objective, Pause, Person, Resources, Retry, Task, TimeTerms};
use neap_model::seconds::Seconds;
use neap_model::units::Percent;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Jobs of a run.
const JOBS: usize = 60;
/// The name of the program that the simulated nodes run.
const PROGRAM: &str = "simulated";
/// A run is so much shorter or longer than what its kind usually takes, in hundredths; assumed.
const RUNS_DIFFER: (u64, u64) = (92, 106);
/// People take a job to last so much longer than it usually does, at least and at most, in hundredths; assumed.
const RESERVE: (u64, u64) = (115, 140);
/// Names that jobs of one kind go by. What runs under one name is like its other runs, as with jobs that are submitted again and
/// again: the scheduler learns from that.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// How a kind of job agrees to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terms {
    /// Not at all: somebody waits for it.
    Now,
    /// It is to be done some hours after it could be, at least and at most; of an elastic job some hours from now, for which its
    /// fewest GPUs may be too slow.
    FinishBy(u64, u64),
    /// It waits for cleaner hours, and pauses in dirty ones.
    Pauses,
    /// It waits for cleaner hours.
    Waits,
}

/// A kind of job that people submit again and again.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    project: &'static str,
    /// Of so many jobs, how many are like that.
    share: u32,
    /// On which its watts and its feel for the clock rest.
    load: Workload,
    /// GPUs, of an elastic job the fewest and the most.
    gpus: &'static [(u32, Option<u32>)],
    /// Minutes that it lasts on the fewest GPUs, at least and at most.
    minutes: (u64, u64),
    terms: Terms,
    /// Zones of which it names one list.
    zones: &'static [&'static [&'static str]],
    /// Per cent slower that its GPUs may be held.
    slowdown: u32,
}

const ANYWHERE: &[&str] = &["DE", "GB", "PL"];

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { name: "answer-mails", project: "desk", share: 14, load: Workload::ShuffleNet, gpus: &[(1, None)], minutes: (10, 45),
        terms: Terms::Now, zones: &[&[]], slowdown: 0 },
    Kind { name: "resnet-train", project: "vision", share: 14, load: Workload::ResNet, gpus: &[(2, None), (4, None)], minutes: (60, 240),
        terms: Terms::FinishBy(12, 30), zones: &[&[], ANYWHERE], slowdown: 0 },
    Kind { name: "bert-tune", project: "nlp", share: 12, load: Workload::Bert, gpus: &[(1, None), (2, None)], minutes: (40, 150),
        terms: Terms::FinishBy(8, 24), zones: &[&[], &["DE", "GB"]], slowdown: 0 },
    Kind { name: "speech-train", project: "speech", share: 8, load: Workload::DeepSpeech, gpus: &[(1, Some(8))], minutes: (300, 900),
        terms: Terms::FinishBy(7, 24), zones: &[&[], ANYWHERE], slowdown: 0 },
    Kind { name: "pretrain", project: "nlp", share: 6, load: Workload::Bert, gpus: &[(4, None)], minutes: (360, 720),
        terms: Terms::Pauses, zones: &[&[], &["DE", "GB"]], slowdown: 10 },
    Kind { name: "sweep", project: "vision", share: 6, load: Workload::ShuffleNet, gpus: &[(1, None)], minutes: (30, 90),
        terms: Terms::Waits, zones: &[&["PL"], &["PL", "DE"]], slowdown: 10 },
];

/// What the simulated GPUs can run: one of the public traces. Inference is taken to draw what training of a small network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// ResNet-50 training.
    ResNet,
    /// BERT fine-tuning.
    Bert,
    /// DeepSpeech2 training.
    DeepSpeech,
    /// ShuffleNetV2 training.
    ShuffleNet,
}

impl Workload {
    const ALL: [(&'static str, Self, Load, Load); 4] = [
        ("resnet50", Self::ResNet, Load::RESNET50_V100, Load::RESNET50_A40),
        ("bert", Self::Bert, Load::BERT_V100, Load::BERT_A40),
        ("deepspeech2", Self::DeepSpeech, Load::DEEPSPEECH_V100, Load::DEEPSPEECH_A40),
        ("shufflenet", Self::ShuffleNet, Load::SHUFFLENET_V100, Load::SHUFFLENET_A40),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// What a board of that kind is loaded with.
    #[must_use]
    pub fn load(self, a40: bool) -> Load {
        let row = Self::ALL.iter().find(|row| row.1 == self).unwrap_or(&Self::ALL[0]);
        if a40 { row.3 } else { row.2 }
    }
}

/// What a job really does: a workload, and seconds of it on the fewest GPUs at full clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Which.
    pub load: Workload,
    /// How much.
    pub seconds: f64,
}

impl Work {
    /// From a command of the demo; `None`: another program.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        let [program, load, seconds] = task.command.as_slice() else { return None };
        let load = Workload::ALL.iter().find(|row| row.0 == load).filter(|_| program == PROGRAM)?.1;
        Some(Self { load, seconds: seconds.parse().ok()? })
    }

    /// How many times as fast on so many GPUs as on the fewest: each doubling is worth 1.78 times; assumed.
    #[must_use]
    pub fn speed_up(gpus: usize, fewest: u32) -> f64 {
        let times = gpus / usize::try_from(fewest.max(1)).unwrap_or(1);
        (0..times.max(1).ilog2()).fold(1.0, |speed, _| speed * 1.78)
    }
}

/// What all jobs of one name have in common.
#[derive(Clone, Debug)]
struct Name {
    kind: &'static Kind,
    name: String,
    gpus: u32,
    gpus_up_to: Option<u32>,
    /// What it usually takes on the fewest GPUs.
    minutes: u64,
    /// What people say it takes.
    expect: Seconds,
}

impl Name {
    fn drawn(kind: &'static Kind, suffix: &str, dice: &mut StdRng) -> Self {
        let (gpus, gpus_up_to) = *kind.gpus.choose(dice).expect("a kind has widths");
        let minutes = dice.random_range(kind.minutes.0..=kind.minutes.1);
        let reserve = dice.random_range(RESERVE.0..=RESERVE.1);
        // Nobody says it finer than in steps of five minutes.
        let expect = Seconds((minutes * reserve).div_ceil(500) * 300);
        Self { kind, name: format!("{}-{suffix}", kind.name), gpus, gpus_up_to, minutes, expect }
    }
}

/// A job on its way to the scheduler.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it is submitted.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: Person,
    /// What is asked for.
    pub spec: JobSpec,
}

/// All jobs in the order of their arrival, which is over after `within`.
#[must_use]
pub fn drawn(within: TimeDelta, dice: &mut StdRng) -> Vec<Arrival> {
    let seconds = u64::try_from(within.num_seconds()).unwrap_or(0).max(1);
    let shares: Vec<usize> = (0..KINDS.len()).flat_map(|at| vec![at; KINDS[at].share as usize]).collect();
    // The mix is kept to; the order and all else is drawn.
    let mut kinds: Vec<usize> = (0..JOBS).map(|n| shares[n * shares.len() / JOBS]).collect();
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, dice.random_range(0..=last));
    }
    let mut times: Vec<u64> = (0..JOBS).map(|_| dice.random_range(0..seconds)).collect();
    times.sort_unstable();
    let at = |seconds: u64| START + Seconds(seconds).delta();
    let names: Vec<Vec<Name>> =
        KINDS.iter().map(|kind| NAMES.iter().map(|suffix| Name::drawn(kind, suffix, dice)).collect()).collect();
    times
        .into_iter()
        .zip(kinds)
        .map(|(time, kind)| arrival(names[kind].choose(dice).expect("names"), at(time), dice))
        .collect()
}

fn arrival(name: &Name, at: DateTime<Utc>, dice: &mut StdRng) -> Arrival {
    let (kind, expect) = (name.kind, name.expect);
    let seconds = name.minutes * 60 * dice.random_range(RUNS_DIFFER.0..=RUNS_DIFFER.1) / 100;
    let zones: Vec<String> =
        kind.zones.choose(dice).expect("a kind has zones").iter().map(|z| (*z).to_owned()).collect();
    let pause = || Pause { signal: "SIGUSR1".to_owned(), grace: Seconds(90), exit: 85 };
    let (mut time, mut flex) = (
        TimeTerms { expect: Some(expect), limit: Some(Seconds(expect.0 * 2)), ..TimeTerms::default() },
        Flex { slowdown: Percent::whole(kind.slowdown), zones, ..Flex::default() },
    );
    match kind.terms {
        Terms::Now => flex.delay = Some(Objective::None),
        Terms::FinishBy(least, most) => {
            // A quarter of an hour is as fine as people say such things.
            let quarters = dice.random_range(least * 4..=most * 4)
                + if name.gpus_up_to.is_some() { 0 } else { expect.0.div_ceil(900) };
            let whole = at.timestamp().div_euclid(900) * 900 + i64::try_from(quarters * 900).unwrap_or(0);
            time.finish_by = DateTime::from_timestamp(whole, 0);
        }
        Terms::Pauses => (flex.delay, flex.pause) = (Some(Objective::Carbon), Some(pause())),
        Terms::Waits => flex.delay = Some(Objective::Carbon),
    }
    let command = vec![PROGRAM.to_owned(), kind.load.word().to_owned(), seconds.to_string()];
    let urgent = kind.terms == Terms::Now;
    let spec = JobSpec {
        name: name.name.clone(),
        project: kind.project.to_owned(),
        queue: Some(if urgent { "urgent" } else { "batch" }.to_owned()),
        task: Task { command, workdir: "/".to_owned(), ..Task::default() },
        resources: Resources { gpus: name.gpus, gpus_up_to: name.gpus_up_to, ..Resources::default() },
        launch: Launch::Job,
        time,
        flex,
        functional_unit: None,
        after: Vec::new(),
        retry: Retry::default(),
        hold: false,
    };
    // One person a project.
    let people = [("ada", "vision"), ("ben", "nlp"), ("cem", "speech"), ("dora", "desk")];
    let who = people.iter().position(|(_, project)| *project == kind.project).unwrap_or(0);
    let by = Person { uid: 1_001 + u32::try_from(who).unwrap_or(0), name: people[who].0.to_owned() };
    Arrival { at, by, spec }
}
