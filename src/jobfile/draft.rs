//! What was said about a job, from wherever, and the specification that it comes to.

use super::settings::{NOT_BUILT, SETTINGS, Setting, by_flag};
use super::times;
use crate::diagnostic::{Place, Problem, did_you_mean};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use neap_model::embodied::FunctionalUnit;
use neap_model::job::{
    After, Flex, JobId, JobSpec, Launch, Objective, OnExpire, Pause, Resources, Retry, Task, TimeTerms, is_name,
};
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent, QuantityError};
use std::collections::BTreeMap;
use std::path::Path;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag,
    /// A variable of the environment.
    Variable(String),
    /// A directive or a line of a job file.
    File(Place),
}

impl Origin {
    /// For `plan -o toml`.
    #[must_use]
    pub fn shown(&self, setting: &Setting) -> String {
        match self {
            Self::Flag => format!("--{}", setting.flag),
            Self::Variable(name) => name.clone(),
            Self::File(place) => format!("{}:{}", place.file, place.line),
        }
    }
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The texts; several for lists and pairs.
    pub texts: Vec<String>,
    /// Where.
    pub origin: Origin,
}

/// Everything that was said. What is said later goes before what was said earlier.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    said: BTreeMap<&'static str, Said>,
    /// Program and arguments, or a script's arguments.
    pub command: Vec<String>,
    /// A script's text.
    pub script: Option<String>,
    /// Name to use when none was said.
    pub stem: Option<String>,
    /// What cannot be.
    pub problems: Vec<Problem>,
}

/// What the reading of values depends on besides the values.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The present time.
    pub now: DateTime<Utc>,
    /// The person's time zone.
    pub zone: Tz,
    /// Where the person stands.
    pub directory: String,
    /// Login name.
    pub user: String,
    /// The caller's environment, for `--env K`.
    pub environment: BTreeMap<String, String>,
}

impl Draft {
    /// Says something. Pairs add up by name, everything else replaces what was said before.
    pub fn say(&mut self, setting: &'static Setting, texts: Vec<String>, origin: Origin) {
        if setting.shape == super::settings::Shape::Pairs
            && let Some(known) = self.said.get_mut(setting.flag)
        {
            known.texts.extend(texts);
            known.origin = origin;
            return;
        }
        self.said.insert(setting.flag, Said { texts, origin });
    }

    /// What was said by that flag.
    #[must_use]
    pub fn said(&self, flag: &str) -> Option<&Said> {
        self.said.get(flag)
    }

    /// Takes defaults from `NEAP_SUBMIT_*`. Unknown ones are mistakes like any other.
    pub fn take_variables(&mut self, environment: &BTreeMap<String, String>) {
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("NEAP_SUBMIT_") else { continue };
            let flag = rest.to_lowercase().replace('_', "-");
            match by_flag(&flag) {
                Some(setting) => self.say(setting, split(setting, value), Origin::Variable(name.clone())),
                None => self.problems.push(
                    unknown_word(&flag, Code::UnknownFlag, &format!("the variable {name} sets nothing known")).into(),
                ),
            }
        }
    }

    /// The specification, or everything that is wrong.
    ///
    /// # Errors
    /// All problems, in the order of the table.
    pub fn build(mut self, around: &Surroundings) -> Result<JobSpec, Vec<Problem>> {
        let mut reader = Reader { said: &self.said, around, problems: Vec::new() };
        let width = reader.width().unwrap_or_default();
        let name = reader.name("name").or_else(|| self.stem.clone().map(|stem| as_name(&stem)));
        let spec = JobSpec {
            name: name.unwrap_or_else(|| self.command.first().map_or_else(|| "job".to_owned(), |c| as_name(c))),
            project: reader.name("project").unwrap_or_else(|| as_name(&around.user)),
            queue: reader.name("queue"),
            task: Task {
                command: std::mem::take(&mut self.command),
                script: self.script.take(),
                workdir: reader.workdir(),
                output: reader.output(),
                env: reader.env(),
            },
            resources: Resources {
                nodes: reader.count("nodes").unwrap_or(1),
                gpus: width.0,
                gpus_up_to: width.1,
                gpu_model: reader.list("gpu-model"),
                cpus: reader.count("cpus"),
                memory: reader.parsed::<Bytes>("mem"),
            },
            launch: reader
                .choice("launch", &[("job", Launch::Job), ("node", Launch::Node), ("gpu", Launch::Gpu)])
                .unwrap_or_default(),
            time: TimeTerms {
                limit: reader.parsed("time"),
                expect: reader.parsed("expect"),
                finish_by: reader.time("finish-by"),
                start_by: reader.time("start-by"),
                not_before: reader.time("not-before"),
                on_expire: reader
                    .choice("on-expire", &[("run", OnExpire::Run), ("drop", OnExpire::Drop)])
                    .unwrap_or_default(),
            },
            flex: Flex {
                delay: reader.delay(),
                max_delay: reader.parsed("max-delay"),
                min_saving: reader.parsed("min-saving"),
                slowdown: reader.parsed::<Percent>("slowdown").unwrap_or_default(),
                pause: reader.pause(),
                zones: reader.list("zones"),
            },
            functional_unit: reader.functional_unit(),
            after: reader.after(),
            retry: reader.retry(),
            hold: reader.said.contains_key("hold"),
        };
        reader.contradictions(&spec);
        self.problems.append(&mut reader.problems);
        if spec.task.command.is_empty() && spec.task.script.is_none() && self.problems.is_empty() {
            let refusal = Refusal::new(Code::BadValue, "nothing to run")
                .hint("a script, a job file, or", &["submit", "--", "CMD"]);
            self.problems.push(refusal.into());
        }
        if self.problems.is_empty() { Ok(spec) } else { Err(self.problems) }
    }
}

/// A text as the setting takes it on the command line.
#[must_use]
pub fn split(setting: &Setting, text: &str) -> Vec<String> {
    match setting.shape {
        super::settings::Shape::List => text.split(',').map(|part| part.trim().to_owned()).collect(),
        _ => vec![text.to_owned()],
    }
}

/// A refusal of a word that is not in the table: what it may have been, or that it is known and not built.
#[must_use]
pub fn unknown_word(word: &str, code: Code, message: &str) -> Refusal {
    if word == "deadline" {
        return Refusal::new(Code::RefusedWord, "`deadline` means different things elsewhere")
            .hint("it must end by then", &["submit", "--finish-by", "T"])
            .hint("it must start by then", &["submit", "--start-by", "T"]);
    }
    if let Some((_, _, what)) = NOT_BUILT.iter().find(|(flag, key, _)| *flag == word || *key == word) {
        return Refusal::new(code, format!("`{word}`: {what} is not built yet"));
    }
    let refusal = Refusal::new(code, message.to_owned());
    let known = SETTINGS.iter().flat_map(|s| [s.flag, s.key]);
    match did_you_mean(word, known) {
        Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
        None => refusal,
    }
}

/// A word made fit to be a name.
fn as_name(text: &str) -> String {
    let stem = Path::new(text).file_stem().map_or_else(|| text.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(128)
        .collect();
    let name = name.trim_start_matches(['.', '-']).to_owned();
    if name.is_empty() { "job".to_owned() } else { name }
}

struct Reader<'a> {
    said: &'a BTreeMap<&'static str, Said>,
    around: &'a Surroundings,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, flag: &str, refusal: Refusal) {
        let said = self.said.get(flag);
        let field = by_flag(flag).map_or(flag, |setting| setting.key);
        let given = said.map(|s| s.texts.join(",")).unwrap_or_default();
        let refusal = if refusal.field.is_some() { refusal } else { refusal.about(field, given) };
        let place = match said.map(|s| &s.origin) {
            Some(Origin::File(place)) => Some(place.clone()),
            _ => None,
        };
        self.problems.push(Problem { refusal, place, label: None });
    }

    fn text(&self, flag: &str) -> Option<String> {
        self.said.get(flag).and_then(|said| said.texts.last()).cloned()
    }

    fn list(&self, flag: &str) -> Vec<String> {
        self.said
            .get(flag)
            .map(|said| said.texts.iter().filter(|t| !t.is_empty()).cloned().collect())
            .unwrap_or_default()
    }

    fn name(&mut self, flag: &str) -> Option<String> {
        let text = self.text(flag)?;
        if is_name(&text) {
            return Some(text);
        }
        let refusal = Refusal::new(Code::BadValue, format!("`{text}` cannot be a {flag}"))
            .note("letters, digits, `.`, `_` and `-`, at most 128, not starting with `.` or `-`");
        self.wrong(flag, refusal);
        None
    }

    /// A number of GPUs, or the fewest and the most.
    fn width(&mut self) -> Option<(u32, Option<u32>)> {
        let text = self.text("gpus")?;
        let Some((least, most)) = text.split_once("..") else { return Some((self.count("gpus")?, None)) };
        match (least.trim().parse::<u32>(), most.trim().parse::<u32>()) {
            (Ok(least), Ok(most)) if least > 0 && least < most => Some((least, Some(most))),
            (Ok(least), Ok(most)) if least > 0 && least == most => Some((least, None)),
            _ => {
                let message =
                    format!("`{text}` is no range of GPUs: the fewest, at least one, and the most, such as 4..16");
                self.wrong("gpus", Refusal::new(Code::BadValue, message));
                None
            }
        }
    }

    fn count(&mut self, flag: &str) -> Option<u32> {
        let text = self.text(flag)?;
        match text.parse() {
            Ok(count) => Some(count),
            Err(_) => {
                self.wrong(flag, Refusal::new(Code::BadValue, format!("`{text}` is no whole number (--{flag} 2)")));
                None
            }
        }
    }

    fn parsed<T: std::str::FromStr<Err = QuantityError>>(&mut self, flag: &str) -> Option<T> {
        let text = self.text(flag)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let code = if matches!(error, QuantityError::NoUnit { .. }) { Code::NoUnit } else { Code::BadValue };
                self.wrong(flag, Refusal::new(code, error.to_string()));
                None
            }
        }
    }

    fn time(&mut self, flag: &str) -> Option<DateTime<Utc>> {
        let text = self.text(flag)?;
        let field = by_flag(flag).map_or(flag, |setting| setting.key);
        match times::read(&text, self.around.now, field, &self.around.zone) {
            Ok(at) => Some(at),
            Err(refusal) => {
                self.wrong(flag, refusal);
                None
            }
        }
    }

    fn choice<T: Copy>(&mut self, flag: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(flag)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(flag, Refusal::new(Code::BadValue, format!("`{text}` is none of {}", words.join(", "))));
        }
        found
    }

    fn functional_unit(&mut self) -> Option<FunctionalUnit> {
        let text = self.text("functional-unit")?;
        let (count, name) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let count = count.parse().ok();
        let unit = count.map(|count| FunctionalUnit { count, name: name.trim().to_owned() });
        let sound = unit.filter(FunctionalUnit::is_sound);
        if sound.is_none() {
            let message = format!("`{text}` is no whole number and what it counts: '1000 inferences', '10 epochs'");
            self.wrong("functional-unit", Refusal::new(Code::BadValue, message));
        }
        sound
    }

    fn delay(&mut self) -> Option<Objective> {
        let choices = [("none", Objective::None), ("carbon", Objective::Carbon), ("price", Objective::Price)];
        if let Some(word @ "energy") = self.text("delay").as_deref() {
            let message = format!("waiting for `{word}` is not built yet; none, carbon or price");
            self.wrong("delay", Refusal::new(Code::BadValue, message));
            return None;
        }
        self.choice("delay", &choices)
    }

    fn pause(&mut self) -> Option<Pause> {
        let text = self.text("pause")?;
        let (signal, grace) = text.split_once(':').unwrap_or((&text, "90s"));
        let known = ["SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP"];
        match (known.contains(&signal), grace.parse::<Seconds>()) {
            (true, Ok(grace)) => Some(Pause { signal: signal.to_owned(), grace, exit: 85 }),
            (false, _) => {
                let message = format!("`{signal}` is none of {}", known.join(", "));
                self.wrong("pause", Refusal::new(Code::BadValue, message));
                None
            }
            (_, Err(error)) => {
                self.wrong("pause", Refusal::new(Code::BadValue, error.to_string()));
                None
            }
        }
    }

    fn after(&mut self) -> Vec<After> {
        let mut all = Vec::new();
        for text in self.list("after") {
            let (id, any) = match text.split_once(':') {
                None => (text.as_str(), false),
                Some((id, "ok")) => (id, false),
                Some((id, "any")) => (id, true),
                Some((_, other)) => {
                    let message = format!("`{other}` is neither `ok` nor `any`");
                    self.wrong("after", Refusal::new(Code::BadValue, message));
                    continue;
                }
            };
            match id.parse() {
                Ok(id) => all.push(After { job: JobId(id), any }),
                Err(_) => self.wrong("after", Refusal::new(Code::BadValue, format!("`{id}` is no job's number"))),
            }
        }
        all
    }

    fn retry(&mut self) -> Retry {
        match self.text("retry").as_deref() {
            None => Retry::default(),
            Some("never") => Retry::Never,
            Some(text) => match text.parse() {
                Ok(count) => Retry::UpTo(count),
                Err(_) => {
                    let message = format!("`{text}` is neither a number nor `never`");
                    self.wrong("retry", Refusal::new(Code::BadValue, message));
                    Retry::default()
                }
            },
        }
    }

    fn workdir(&self) -> String {
        let here = Path::new(&self.around.directory);
        self.text("workdir").map_or_else(|| self.around.directory.clone(), |dir| here.join(dir).display().to_string())
    }

    fn output(&mut self) -> Option<String> {
        let text = self.text("output")?;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c == '%'
                && let next = chars.next()
                && !matches!(next, Some('j' | 'n' | 'a' | 't' | 'h' | '%'))
            {
                let shown = next.map_or_else(|| "%".to_owned(), |next| format!("%{next}"));
                let refusal = Refusal::new(Code::UnknownPercent, format!("`{shown}` in an output path means nothing"))
                    .note("%j job · %n name · %a array index · %t attempt · %h node · %% a percent sign");
                self.wrong("output", refusal);
                return None;
            }
        }
        Some(text)
    }

    fn env(&mut self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for text in self.said.get("env").map(|said| said.texts.clone()).unwrap_or_default() {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => match self.around.environment.get(&text) {
                    Some(value) => (text.clone(), value.clone()),
                    None => {
                        let refusal = Refusal::new(Code::BadValue, format!("the variable `{text}` is not set here"))
                            .hint("say what it shall be: --env NAME=VALUE", &[]);
                        self.wrong("env", refusal);
                        continue;
                    }
                },
            };
            if name.is_empty() || name.starts_with("NEAP_") {
                let refusal = Refusal::new(
                    Code::BadValue,
                    format!("`{name}` cannot be set: names that begin with NEAP_ are Neap's"),
                );
                self.wrong("env", refusal);
                continue;
            }
            all.insert(name, value);
        }
        all
    }

    fn contradictions(&mut self, spec: &JobSpec) {
        let time = &spec.time;
        let contradiction = |message: &str| Refusal::new(Code::Contradiction, message);
        if let (Some(start), Some(finish)) = (time.start_by, time.finish_by)
            && finish <= start
        {
            self.wrong("finish-by", contradiction("finish-by is not after start-by"));
        }
        if let (Some(before), Some(finish)) = (time.not_before, time.finish_by)
            && finish <= before
        {
            self.wrong("finish-by", contradiction("finish-by is not after not-before"));
        }
        if let (Some(before), Some(start)) = (time.not_before, time.start_by)
            && start < before
        {
            self.wrong("start-by", contradiction("start-by is before not-before"));
        }
        if let (Some(expect), Some(limit)) = (time.expect, time.limit)
            && expect > limit
        {
            self.wrong("expect", contradiction("the expected time is longer than the limit"));
        }
        if spec.flex.delay == Some(Objective::None) {
            for flag in ["max-delay", "min-saving"] {
                if self.said.contains_key(flag) {
                    self.wrong(flag, contradiction("it says how to wait, and `--delay none` says not to"));
                }
            }
        }
        if spec.resources.gpus == 0 && !spec.resources.gpu_model.is_empty() {
            self.wrong("gpu-model", contradiction("it names GPU models and asks for no GPU"));
        }
        if spec.launch == Launch::Gpu && spec.resources.gpus == 0 {
            self.wrong("launch", contradiction("one process a GPU, and no GPU is asked for"));
        }
        if spec.launch != Launch::Job {
            let refusal =
                Refusal::new(Code::BadValue, "only one process a job is started in this version: `launch = job`");
            self.wrong("launch", refusal);
        }
    }
}
