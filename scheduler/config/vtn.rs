//! Servers of grid events that a site polls, as its operators describe them.

use super::Key;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use std::collections::BTreeMap;

/// A server of grid events: a VTN of `OpenADR` 3. Events are read, never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vtn {
    /// The site's name of it; part of the ids of its events here.
    pub name: String,
    /// Its address, without a slash at the end: `https://vtn.example.org/openadr3/3.0.1`.
    pub base: String,
    /// Where tokens are given out; `None`: `/auth/token` under the address.
    pub token_url: Option<String>,
    /// Only events of this program; `None`: of every program that the client may read.
    pub program: Option<String>,
    /// Who asks.
    pub client_id: String,
    /// With what.
    pub secret: Key,
    /// Scope that a token is asked for, where the server wants one named.
    pub scope: Option<String>,
    /// The power domain or zone that its events are for; `None`: the whole site.
    pub site: Option<String>,
    /// Only events for one of these targets, and those without any; empty: all.
    pub targets: Vec<String>,
    /// Time between two polls.
    pub poll: Seconds,
    /// So long after the last answered poll its events hold on.
    pub max_cap_age: Seconds,
    /// What levels 1 to 3 of `SIMPLE` mean; a level that is left out is shown as an alert.
    pub simple: BTreeMap<u8, Level>,
    /// What else is drawn behind the meter that limits are for; it is subtracted first.
    pub base_load: Watts,
    /// Unit of power where an event names none; `None`: such an event is refused.
    pub units: Option<Unit>,
}

/// What a level of `SIMPLE` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// This share of the limits that hold otherwise.
    Share(Percent),
    /// This limit, of IT power.
    Cap(Watts),
}

/// A unit of power, as `OpenADR` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `KW`.
    Kilowatts,
    /// `W`.
    Watts,
}

impl Unit {
    /// By its name there.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        match text {
            "KW" => Some(Self::Kilowatts),
            "W" => Some(Self::Watts),
            _ => None,
        }
    }
}
