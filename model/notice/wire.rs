//! An announcement as it comes over the wire, signed or from an operator, and what is wrong with it if something is.

use super::{Call, Notice, Source};
use crate::refusal::{Code, Refusal};
use crate::units::{Percent, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Longest id, place and reason, in bytes.
const TEXT: usize = 200;

/// `POST /v1/grid/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Who announces names it; the same id and revision again change nothing.
    pub id: String,
    /// Higher replaces lower.
    #[serde(default)]
    pub revision: u64,
    /// A power domain, a zone or, for `gpu_cap`, a node; left out: the whole site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// `cap`, `demand_response`, `gpu_cap`, `plenty`, `alert`, or `cancel`.
    pub kind: String,
    /// Of a `cap`, in watts of IT power; of a `gpu_cap`, of each GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_watts: Option<u64>,
    /// Of a `demand_response`: share of the usual limit in thousandths of a percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// First instant; left out: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// End; left out: until it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// 0 is the highest, left out the lowest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// For people.
    #[serde(default)]
    pub reason: String,
}

impl Announcement {
    /// What it announces. `known` is the announcement of the same id, which a `cancel` takes back.
    ///
    /// # Errors
    /// What is missing, contradictory or unknown.
    pub fn read(self, known: Option<&Notice>, source: &Source, now: DateTime<Utc>) -> Result<Notice, Refusal> {
        let bad =
            |message: String, field: &'static str| Err(Refusal::new(Code::BadValue, message).about("field", field));
        for (text, field) in
            [(&self.id, "id"), (self.site.as_ref().unwrap_or(&self.id), "site"), (&self.reason, "reason")]
        {
            if text.len() > TEXT {
                return bad(format!("`{field}` has {} bytes, {TEXT} are the limit", text.len()), field);
            }
        }
        if self.id.is_empty() {
            return bad("an event needs its `id`".to_owned(), "id");
        }
        let call = match (self.kind.as_str(), self.limit_watts, self.share) {
            ("cap", Some(watts), None) if watts < 1 << 40 => Call::Cap { limit: Watts::whole(watts) },
            ("cap", Some(watts), None) => return bad(format!("{watts} W is no limit"), "limit_watts"),
            ("gpu_cap", Some(watts), None) if (1..100_000).contains(&watts) && self.site.is_some() => {
                Call::GpuCap { limit: Watts::whole(watts) }
            }
            ("gpu_cap", ..) => {
                return bad("a gpu_cap needs a node as `site` and `limit_watts` of a GPU".to_owned(), "limit_watts");
            }
            ("cap", ..) => return bad("a cap needs `limit_watts` and nothing else".to_owned(), "limit_watts"),
            ("demand_response", None, Some(share)) if share.0 <= 100_000 => Call::DemandResponse { share },
            ("demand_response", ..) => {
                return bad("demand response needs a `share` of at most 100000 (100 %)".to_owned(), "share");
            }
            ("plenty", None, None) => Call::Plenty,
            ("alert", None, None) => Call::Alert,
            ("hold_again", None, None) if self.site.is_some() && self.from.is_none() && self.until.is_none() => {
                Call::HoldAgain
            }
            ("hold_again", ..) => return bad("hold_again needs a queue as `site` and nothing else".to_owned(), "site"),
            ("cancel", ..) => {
                let Some(known) = known else {
                    return Err(Refusal::new(Code::NoSuchJob, format!("no event `{}` is known", self.id)));
                };
                let revision = if self.revision == 0 { known.revision + 1 } else { self.revision };
                return Ok(Notice { revision, cancelled: true, source: source.to_string(), ..known.clone() });
            }
            ("price" | "intensity", ..) => {
                let message =
                    format!("events of kind `{}` are not built; prices and intensities come from feeds", self.kind);
                return bad(message, "kind");
            }
            (other, ..) => {
                let message = format!(
                    "`{other}` is no kind of event: cap, demand_response, gpu_cap, plenty, alert, hold_again, cancel"
                );
                return bad(message, "kind");
            }
        };
        let from = self.from.unwrap_or(now);
        // What a queue is judged by is a week old at most: so long it matters that this was said.
        let week = (call == Call::HoldAgain).then(|| now + chrono::TimeDelta::days(7));
        if let Some(until) = self.until.filter(|until| *until <= from.max(now)) {
            return bad(format!("it ends at {}, which is past or before its start", until.to_rfc3339()), "until");
        }
        Ok(Notice {
            id: self.id,
            revision: self.revision,
            place: self.site,
            call,
            from,
            until: self.until.or(week),
            priority: self.priority,
            reason: self.reason,
            source: source.to_string(),
            cancelled: false,
        })
    }
}
