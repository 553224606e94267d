//! The seam of grid data: a provider knows how to ask and how to read, and nothing about sockets, clocks or retries.
//!
//! A provider gives a [`Request`] for what is wanted and turns the [`Reply`] into spans. Whoever performs the request
//! decides when (see [`Manners`]); a key is a [`Secret`] and has no way to be printed.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Series};
use neap_model::units::{Intensity, Price};
use std::fmt;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Carbon intensity.
    Intensity,
    /// Price of electricity.
    Price,
}

/// What is wanted of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Our name of the zone.
    pub zone: String,
    /// The provider's name of it.
    pub theirs: String,
    /// Intensity or price.
    pub signal: Signal,
    /// First instant, included.
    pub from: DateTime<Utc>,
    /// Last instant, excluded. May lie ahead: a forecast is wanted as far as there is one.
    pub until: DateTime<Utc>,
}

/// A key, token or password. It can be sent and compared; it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes what was read from a file or the environment; white space around it is not part of it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A request as a provider words it. The address may hold a key: only [`Request::shown`] is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Address without query.
    pub address: String,
    /// Query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// A part of the query that is secret.
    pub secret_query: Vec<(&'static str, Secret)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Headers whose value is secret.
    pub secret_headers: Vec<(String, Secret)>,
    /// A form to post, secret as a whole; `None`: a GET.
    pub form: Option<Vec<(&'static str, Secret)>>,
    /// A JSON document to post, nothing in it secret.
    pub json: Option<String>,
}

impl Request {
    /// A GET of that address.
    #[must_use]
    pub fn get(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            query: Vec::new(),
            secret_query: Vec::new(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            form: None,
            json: None,
        }
    }

    /// With one more pair in the query.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a token that its bearer may use.
    #[must_use]
    pub fn bearing(mut self, token: &Secret) -> Self {
        let value = Secret::new(&format!("Bearer {}", token.reveal()));
        self.secret_headers.push(("authorization".to_owned(), value));
        self
    }

    /// The whole address, keys included: for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let open = self.query.iter().map(|(name, value)| (*name, value.as_str()));
        let secret = self.secret_query.iter().map(|(name, value)| (*name, value.reveal()));
        let pairs: Vec<String> = open.chain(secret).map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect();
        if pairs.is_empty() { self.address.clone() } else { format!("{}?{}", self.address, pairs.join("&")) }
    }

    /// The text without any of this request's secrets, should it repeat one.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let secrets = self.secret_query.iter().map(|(_, value)| value);
        let secrets = secrets.chain(self.secret_headers.iter().map(|(_, value)| value));
        let secrets = secrets.chain(self.form.iter().flatten().map(|(_, value)| value));
        let mut text = text.to_owned();
        for secret in secrets {
            // A header may hold a scheme before its key.
            let words = secret.reveal().split_whitespace().filter(|word| word.len() >= 6);
            for word in words.chain([secret.reveal()]).filter(|word| !word.is_empty()) {
                text = text.replace(word, "…").replace(&encoded(word), "…");
            }
        }
        text
    }

    /// Address and open part of the query, for errors and logs.
    #[must_use]
    pub fn shown(&self) -> String {
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if query.is_empty() { self.address.clone() } else { format!("{}?{}", self.address, query.join("&")) }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// One part of an address, encoded: whatever could mean something there.
#[must_use]
pub fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A reply, whole, its body decompressed and within its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type as sent, in lower case; empty where there was none.
    pub content_type: String,
    /// `Retry-After` as sent.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a provider wants next for a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send this.
    Send(Request),
    /// Nothing before then.
    NotBefore(DateTime<Utc>),
    /// It cannot be asked like this.
    Never(FeedError),
}

/// What a reply came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Values. Holes are holes; spans may reach beyond what was wanted, the fetcher trims.
    Series(Told),
    /// A token came, or a page of several: ask again, the provider knows what next.
    AskAgain,
}

/// Values with what they measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The values.
    pub values: Values,
    /// What an intensity measures. Means nothing for a price.
    pub basis: Basis,
    /// When the provider issued them; `None`: it does not say, and the time of the fetch stands for it.
    pub issued: Option<DateTime<Utc>>,
    /// What a reader should know: share left out of a mix, rows dropped, a provider's own warnings.
    pub notes: Vec<String>,
}

/// Intensities or prices; they cannot be mixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Carbon intensities.
    Intensity(Series<Intensity>),
    /// Prices in the currency named.
    Price(Series<Price>, String),
}

/// Why a feed gave no values. None of the texts holds a key: they are made of the reply's body and of open parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// No such zone, endpoint or parameter there: asked again in an hour.
    #[error("{0}")]
    Misconfigured(String),
    /// The key is refused: not asked again until the configuration changes.
    #[error("the key was refused: {0}")]
    Key(String),
    /// The plan does not include that zone or endpoint; others go on.
    #[error("not part of the plan of this key: {0}")]
    Plan(String),
    /// It has nothing at the moment.
    #[error("no data now: {0}")]
    NoData(String),
    /// Too many requests. Seconds to wait, where it says so.
    #[error("too many requests")]
    TooMany(Option<u64>),
    /// Out of order over there, or the exchange broke.
    #[error("{0}")]
    Down(String),
    /// It answered with something that must not become data. The whole body is dropped.
    #[error("refused: {0}")]
    Refused(String),
}

impl FeedError {
    /// The same without what `scrub` takes out of its text.
    #[must_use]
    pub fn map(self, scrub: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Misconfigured(text) => Self::Misconfigured(scrub(&text)),
            Self::Key(text) => Self::Key(scrub(&text)),
            Self::Plan(text) => Self::Plan(scrub(&text)),
            Self::NoData(text) => Self::NoData(scrub(&text)),
            Self::Down(text) => Self::Down(scrub(&text)),
            Self::Refused(text) => Self::Refused(scrub(&text)),
            Self::TooMany(seconds) => Self::TooMany(seconds),
        }
    }

    /// For a metric label.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Misconfigured(_) => "misconfigured",
            Self::Key(_) => "key",
            Self::Plan(_) => "plan",
            Self::NoData(_) => "no_data",
            Self::TooMany(_) => "too_many",
            Self::Down(_) => "down",
            Self::Refused(_) => "refused",
        }
    }
}

/// How a provider wants to be treated, and what its terms ask of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Time between two polls of one zone.
    pub poll: TimeDelta,
    /// Polls happen so long after the boundary of `poll`.
    pub delay: TimeDelta,
    /// Least time between two requests to it, whatever the zone.
    pub gap: TimeDelta,
    /// Wait after a 429 without a usable `Retry-After`; doubled each time.
    pub after_429: TimeDelta,
    /// Values this old are settled: nobody revises them any more.
    pub settled: TimeDelta,
    /// Whether its series may be shown, and with which line.
    pub terms: Terms,
}

/// What may be done with a provider's series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// May be shown with this line.
    Open {
        /// The line.
        credit: String,
    },
    /// For our own reckoning: never served as a series.
    Private,
    /// Ours, or our operator's.
    Internal,
}

/// A source of grid data over HTTP. One value serves every zone of one `[[grid.feed]]`.
pub trait Feed: Send {
    /// As shown to people and in metrics: `energy-charts`.
    fn name(&self) -> &str;

    /// What to send next for `want`. After [`Heard::AskAgain`] it is asked again with the same `want`.
    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask;

    /// Reads the reply to what [`Feed::ask`] gave for `want`.
    ///
    /// # Errors
    /// [`FeedError`]: nothing of the body is used then.
    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError>;

    /// How it wants to be treated.
    fn manners(&self) -> &Manners;
}
