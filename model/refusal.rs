//! Why something asked for is refused: a stable code, the numbers, and hints that can be pasted.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal, $kind:ident, $title:literal;)*) => {
        /// A stable error code. Codes are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $code)] $variant,)*
        }

        impl Code {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As printed: `E044`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What kind of error it is; it decides the exit code.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$variant => ErrorKind::$kind,)* }
            }

            /// What it means, in a line.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    UnknownFlag = "E010", Usage, "unknown verb or flag";
    BadValue = "E011", Usage, "a value that cannot be used";
    RefusedWord = "E012", Usage, "a word that means different things elsewhere";
    ClockChange = "E013", Usage, "a local time that the clock change skips or repeats";
    NoUnit = "E014", Usage, "a bare number where a unit belongs";
    Unreadable = "E020", JobFile, "the job file cannot be read";
    Syntax = "E021", JobFile, "the job file is not well formed";
    UnknownKey = "E022", JobFile, "unknown key";
    WrongType = "E023", JobFile, "a value of the wrong type";
    Contradiction = "E024", JobFile, "two statements contradict each other";
    UnknownDirective = "E030", JobFile, "unknown directive";
    MisplacedDirective = "E031", JobFile, "directive after the first command";
    SbatchDirective = "E032", JobFile, "#SBATCH directives";
    UnknownPercent = "E033", JobFile, "unknown % in an output path";
    NoSuchPlace = "E041", Infeasible, "no such zone, queue or model";
    NoNodeEver = "E042", Infeasible, "no node can ever run this";
    GpusDoNotDivide = "E043", Infeasible, "GPUs do not divide by nodes";
    FinishBy = "E044", Infeasible, "cannot be finished by then";
    StartBy = "E045", Infeasible, "cannot be started by then";
    RowGone = "E046", Infeasible, "the accepted row no longer holds";
    ZoneNotAllowed = "E047", Infeasible, "zones not allowed by the queue";
    Rule = "E050", Refused, "refused by the site's limits";
    KeyReused = "E054", Refused, "key reused for a different job";
    WrongState = "E055", Refused, "the job's state does not allow that";
    Busy = "E056", Refused, "somebody else is at it";
    NotAllowed = "E060", NotAllowed, "needs a role";
    BadToken = "E062", NotAllowed, "token missing or stale";
    NotReached = "E070", Server, "server not reached";
    Version = "E071", Server, "the server speaks another version";
    ReadOnly = "E072", Server, "read-only: the disk is full";
    TooManyRequests = "E073", Server, "too many requests";
    NoSuchJob = "E080", NotFound, "no such job";
    SeveralJobs = "E081", NotFound, "name matches several live jobs";
    Internal = "E090", Internal, "a fault in Neap";
}

/// What kind of error it is. Each kind has one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// What was typed.
    Usage,
    /// What stands in the file.
    JobFile,
    /// It can never be.
    Infeasible,
    /// It could be, and is not wanted.
    Refused,
    /// This person may not.
    NotAllowed,
    /// Nobody answers.
    Server,
    /// Nothing is there.
    NotFound,
    /// Our own fault.
    Internal,
}

impl ErrorKind {
    /// The command's exit code.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage | Self::JobFile => 2,
            Self::Server => 3,
            Self::NotFound => 4,
            Self::Refused => 5,
            Self::Infeasible => 6,
            Self::NotAllowed => 7,
        }
    }
}

/// A hint, and the arguments that carry it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What to do.
    pub text: String,
    /// Arguments that can be pasted; may be empty.
    pub args: Vec<String>,
}

/// A refusal as it travels and as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its code.
    pub code: Code,
    /// What is wrong, with the numbers.
    pub message: String,
    /// The key it is about, such as `time.finish_by`.
    pub field: Option<String>,
    /// What was given.
    pub given: Option<String>,
    /// The second line: what is possible.
    pub note: Option<String>,
    /// Numbers for machines.
    pub facts: std::collections::BTreeMap<String, Fact>,
    /// What to do about it.
    pub hints: Vec<Hint>,
}

/// A number or a text for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A whole number.
    Number(i64),
    /// A text; times are RFC 3339 in UTC.
    Text(String),
}

impl Refusal {
    /// A refusal that so far has only its message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            given: None,
            note: None,
            facts: std::collections::BTreeMap::new(),
            hints: Vec::new(),
        }
    }

    /// About that key, and what was given there.
    #[must_use]
    pub fn about(mut self, field: &str, given: impl Into<String>) -> Self {
        self.field = Some(field.to_owned());
        self.given = Some(given.into());
        self
    }

    /// With a second line.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// With a number for machines.
    #[must_use]
    pub fn fact(mut self, name: &str, fact: Fact) -> Self {
        self.facts.insert(name.to_owned(), fact);
        self
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>, args: &[&str]) -> Self {
        self.hints.push(Hint { text: text.into(), args: args.iter().map(|&a| a.to_owned()).collect() });
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.text(), self.message)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
