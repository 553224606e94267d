//! Where an announcement came in, and so what whoever brings it had to show.

use std::fmt;

/// One of the ways in. Its text stands in [`super::Notice::source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Typed by a person, who must be an operator.
    Operator {
        /// Their name.
        name: String,
    },
    /// Signed with one of the site's keys, which was checked: the person who brings it needs no role.
    Webhook,
    /// Read from an `OpenADR` server that the site polls.
    OpenAdr {
        /// The site's name of the server.
        vtn: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { name } => write!(f, "operator {name}"),
            Self::Webhook => f.write_str("webhook"),
            Self::OpenAdr { vtn } => write!(f, "openadr {vtn}"),
        }
    }
}
