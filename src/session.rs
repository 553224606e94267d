//! One call of the tool: who called, from where, how answers are drawn, and how a scheduler is reached.

use crate::args::{Common, Format};
use crate::client::{Client, Server};
use crate::config::{self, Config, paths::Paths};
use crate::diagnostic::{Manner, Problem};
use crate::embedded::Embedded;
use crate::jobfile::draft::Surroundings;
use crate::render::Style;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use neap_model::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What went wrong with a command.
pub type Problems = Vec<Problem>;

/// A call of the tool.
#[derive(Clone, Debug)]
pub struct Session {
    /// Flags that every verb understands.
    pub common: Common,
    /// The caller's environment.
    pub environment: BTreeMap<String, String>,
    /// Where things usually are.
    pub paths: Paths,
    /// How answers are drawn.
    pub style: Style,
    /// How results are printed.
    pub format: Format,
}

/// A scheduler that answers.
#[derive(Debug)]
pub struct Reached {
    /// The way to speak to it.
    pub client: Client,
    /// It lives in this process.
    pub embedded: Option<Embedded>,
    /// Where it is, for people.
    pub shown: String,
}

/// What a verb can do when no server answers and none was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Nothing.
    Server,
    /// Read what earlier runs without a server left, if there is any.
    Reading,
    /// Schedule in this process, without an executor.
    Looking,
    /// Schedule in this process, with an executor.
    Scheduling,
}

impl Session {
    /// From what was typed and the environment.
    ///
    /// # Errors
    /// A setting in the environment that cannot be used.
    pub fn new(common: Common, environment: BTreeMap<String, String>) -> Result<Self, Problems> {
        let format = match (common.format, environment.get("NEAP_OUTPUT").filter(|word| !word.is_empty())) {
            (Some(format), _) => format,
            (None, None) => Format::Table,
            (None, Some(word)) => Format::of(word).ok_or_else(|| {
                let refusal = Refusal::new(Code::BadValue, format!("NEAP_OUTPUT is `{word}`"));
                vec![Problem::from(refusal.about("NEAP_OUTPUT", word).note("table, wide, json, jsonl, csv"))]
            })?,
        };
        let zone = time_zone(&environment)?;
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok()).flatten();
        let width = width.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let style = Style { zone, unicode: unicode(&environment), width };
        Ok(Self { common, paths: Paths::of(&environment), environment, style, format })
    }

    /// How errors are printed.
    #[must_use]
    pub fn manner(&self) -> Manner {
        let plain = self.common.no_color
            || self.environment.get("NO_COLOR").is_some_and(|value| !value.is_empty())
            || self.environment.get("TERM").is_none_or(|term| term == "dumb");
        let colour = !plain && std::io::stderr().is_terminal();
        Manner { json: self.format.is_json(), unicode: self.style.unicode, colour }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    /// What the reading of a job depends on.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let user = ["USER", "LOGNAME"].iter().find_map(|name| self.environment.get(*name)).cloned();
        Surroundings {
            now: self.now(),
            zone: self.style.zone,
            directory: directory.display().to_string(),
            user: user.unwrap_or_else(|| {
                neap_scheduler::auth::Names::default().person(rustix::process::getuid().as_raw()).name
            }),
            environment: self.environment.clone(),
        }
    }

    /// The site's configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn config(&self) -> Result<Config, Problems> {
        config::load(self.common.config.as_deref(), &self.paths)
    }

    /// The server that was named, if one was.
    #[must_use]
    pub fn named_server(&self) -> Option<Server> {
        let token =
            self.common.token_file.clone().or_else(|| self.environment.get("NEAP_TOKEN_FILE").map(PathBuf::from));
        let named = self.common.server.clone().or_else(|| self.environment.get("NEAP_SERVER").cloned());
        named.filter(|server| !server.is_empty()).map(|server| Server::parse(&server, token))
    }

    /// A local socket at which somebody answers.
    fn answering(&self) -> Option<Server> {
        let of_file = if self.common.config.is_some() || self.paths.named_config.is_some() {
            self.config().ok().and_then(|config| config.scheduler.socket)
        } else {
            None
        };
        let answers = |socket: &PathBuf| UnixStream::connect(socket).is_ok();
        of_file.into_iter().chain(self.paths.usual_sockets()).find(answers).map(Server::Socket)
    }

    /// A scheduler: the one that was named, else one that answers, else one in this process where the verb allows it.
    ///
    /// # Errors
    /// [`Code::NotReached`], or what keeps this process from scheduling.
    pub fn reach(&self, without: Without) -> Result<Reached, Problems> {
        if let Some(server) = self.named_server().or_else(|| self.answering()) {
            let client = Client::new(&server).map_err(problems)?;
            return Ok(Reached { client, embedded: None, shown: server.shown() });
        }
        let state = self.paths.personal_state();
        match without {
            Without::Scheduling => Embedded::start(self, true),
            Without::Looking => Embedded::start(self, false),
            Without::Reading if state.join("journal").exists() => Embedded::start(self, false),
            Without::Reading | Without::Server => Err(vec![self.nobody().into()]),
        }
        .map(|embedded| Reached {
            client: embedded.client.clone(),
            shown: format!("this process ({})", state.display()),
            embedded: Some(embedded),
        })
    }

    fn nobody(&self) -> Refusal {
        let tried: Vec<String> = self.paths.usual_sockets().iter().map(|path| path.display().to_string()).collect();
        Refusal::new(Code::NotReached, "no scheduler answers here")
            .note(format!("tried {}; NEAP_SERVER is not set", tried.join(" and ")))
            .hint("start one, with an executor beside it", &["serve", "--dev"])
            .hint("or run a job without one", &["run", "FILE"])
    }
}

/// Refusals as problems.
#[must_use]
pub fn problems(refusals: Vec<Refusal>) -> Problems {
    refusals.into_iter().map(Problem::from).collect()
}

/// One refusal as problems.
#[must_use]
pub fn problem(refusal: Refusal) -> Problems {
    vec![refusal.into()]
}

fn unicode(environment: &BTreeMap<String, String>) -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| environment.get(*name).filter(|v| !v.is_empty()));
    let utf8 = |name: &String| name.to_lowercase().replace('-', "").contains("utf8");
    // Nothing set (cron, containers): files and pipes are read as UTF-8 everywhere today, terminals may not be.
    locale.map_or(!std::io::stdout().is_terminal(), utf8)
}

/// `NEAP_TIMEZONE`, else `TZ`, else the host's zone, else UTC.
fn time_zone(environment: &BTreeMap<String, String>) -> Result<Tz, Problems> {
    if let Some(name) = environment.get("NEAP_TIMEZONE").filter(|name| !name.is_empty()) {
        return name.parse().map_err(|_| {
            let refusal = Refusal::new(Code::BadValue, format!("NEAP_TIMEZONE is `{name}`, which is no time zone"));
            problem(refusal.about("NEAP_TIMEZONE", name).note("a name such as Europe/Berlin"))
        });
    }
    let set = environment.get("TZ").map(|name| name.trim_start_matches(':').to_owned());
    let host = || iana_time_zone::get_timezone().ok();
    Ok(set.filter(|name| !name.is_empty()).or_else(host).and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC))
}

/// Whether a file can be meant: it exists, or its name has an ending.
#[must_use]
pub fn is_file(name: &str) -> bool {
    Path::new(name).exists()
}
