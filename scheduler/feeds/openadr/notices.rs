//! From events to what the site is told: limits after the base load, levels as the site reads them, alerts.
//!
//! Pure and the same at every poll: what does not change in an event changes nothing here.

use super::event::{Event, Said, Shown};
use crate::config::{Level, Vtn};
use chrono::{DateTime, Utc};
use neap_model::notice::{Call, Notice, Source};
use neap_model::units::{Percent, Watts};

/// Longest reason, in bytes, as for every announcement.
const TEXT: usize = 200;

/// The beginning of the ids of everything that an event announces.
#[must_use]
pub fn prefix(vtn: &str, event: &str) -> String {
    format!("{vtn}/{event}/")
}

/// Everything that the event announces to this site, in revision 0. `first` is when it was seen first.
///
/// # Errors
/// Why it is not acted upon.
pub fn notices(vtn: &Vtn, shown: &Shown, first: DateTime<Utc>) -> Result<Vec<Notice>, String> {
    let event = shown.read.as_ref().map_err(Clone::clone)?;
    let source = Source::OpenAdr { vtn: vtn.name.clone() }.to_string();
    let mut all = Vec::new();
    // Sites draw apart, and each the same again.
    let seed = format!("{} {}", shown.id, vtn.client_id);
    for (place, (span, said)) in event.spans(first, &seed)?.into_iter().enumerate() {
        if span.until.is_some_and(|until| until <= span.from) {
            return Err(format!("interval {place} has no length"));
        }
        for (part, said) in said.iter().enumerate() {
            let Some((call, reason)) = call(vtn, event, said) else { continue };
            all.push(Notice {
                id: format!("{}{place}.{part}", prefix(&vtn.name, &shown.id)),
                revision: 0,
                place: vtn.site.clone(),
                call,
                from: span.from,
                until: span.until,
                priority: event.priority,
                reason: cut(reason),
                source: source.clone(),
                cancelled: false,
            });
        }
    }
    Ok(all)
}

fn call(vtn: &Vtn, event: &Event, said: &Said) -> Option<(Call, String)> {
    let name = event.name.clone();
    Some(match said {
        Said::Cap(limit) => (Call::Cap { limit: left(vtn, *limit) }, name),
        Said::Level(0) => return None,
        Said::Level(level) => match vtn.simple.get(level) {
            Some(Level::Share(share)) => {
                (Call::DemandResponse { share: (*share).min(Percent::whole(100)) }, format!("level {level} {name}"))
            }
            Some(Level::Cap(limit)) => (Call::Cap { limit: *limit }, format!("level {level} {name}")),
            None => (Call::Alert, format!("level {level}, which means nothing here {name}")),
        },
        Said::Alert(words) => (Call::Alert, format!("{words} {name}")),
        Said::Price(..) | Said::Intensity(_) => return None,
    })
}

/// What is left of a limit at the meter for this site's computers.
fn left(vtn: &Vtn, limit: Watts) -> Watts {
    limit.saturating_sub(vtn.base_load)
}

fn cut(mut text: String) -> String {
    let mut end = TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.trim().to_owned()
}
