//! `neap policy event` and `neap policy check`: what operators announce, and whether a site's file is right.

use super::{Left, print};
use crate::args::{EventArgs, NodeCapArgs};
use crate::config::{self, Config};
use crate::jobfile::times;
use crate::output;
use crate::render::{data, status as health};
use crate::session::{Problems, Session, Without, problem, problems};
use neap_model::notice::Announcement;
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, QuantityError, Watts};
use std::str::FromStr;

fn quantity<T: FromStr<Err = QuantityError>>(text: &str, field: &'static str) -> Result<T, Problems> {
    text.parse().map_err(|error: QuantityError| {
        let code = if text.trim().parse::<f64>().is_ok() { Code::NoUnit } else { Code::BadValue };
        problem(Refusal::new(code, error.to_string()).about(field, text))
    })
}

/// `neap policy event`.
pub async fn event(session: &Session, args: &EventArgs) -> Left {
    let announcement = announcement(session, args)?;
    let reached = session.reach(Without::Looking)?;
    let notice = reached.client.announce(&announcement).await.map_err(problems)?;
    let now = session.now();
    print(session, || health::announced(&notice, now, &session.style), || data::notice(&notice))
}

/// `neap node cap`: an event of one fixed name a node, which the next one replaces.
pub async fn node_cap(session: &Session, args: &NodeCapArgs) -> Left {
    let (id, reason) = (Some(format!("node-cap-{}", args.node)), args.reason.clone());
    if args.limit == "off" {
        let stray = [("for", &args.lasts), ("until", &args.until)];
        if let Some((flag, _)) = stray.into_iter().find(|(_, given)| given.is_some()) {
            let refusal = Refusal::new(Code::Contradiction, format!("`off` is for good: `--{flag}` says nothing"));
            return Err(problem(refusal));
        }
        return event(session, &EventArgs { cancel: id, reason, ..EventArgs::default() }).await;
    }
    let later = u64::try_from(session.now().timestamp_millis()).unwrap_or_default();
    let args = EventArgs {
        kind: Some("gpu_cap".to_owned()),
        limit: Some(args.limit.clone()),
        lasts: args.lasts.clone(),
        until: args.until.clone(),
        site: Some(args.node.clone()),
        id,
        revision: Some(later),
        reason,
        ..EventArgs::default()
    };
    event(session, &args).await
}

fn announcement(session: &Session, args: &EventArgs) -> Result<Announcement, Problems> {
    let now = session.now();
    if let Some(id) = &args.cancel {
        let kind = "cancel".to_owned();
        return Ok(Announcement { id: id.clone(), kind, reason: args.reason.clone().unwrap_or_default(), ..empty() });
    }
    let kind = args.kind.clone().ok_or_else(|| {
        let refusal = Refusal::new(Code::BadValue, "what kind of event is it?".to_owned()).about("kind", "");
        problem(
            refusal.note("--kind cap --limit 14kW, --kind demand_response --limit 70%, --kind gpu_cap --site NODE --limit 250W, --kind plenty, --kind hold_again --site QUEUE"),
        )
    })?;
    let (mut limit_watts, mut share) = (None, None);
    if let Some(text) = &args.limit {
        // In watts, or a share of the limit that holds otherwise.
        if text.trim_end().ends_with('%') {
            share = Some(quantity::<Percent>(text, "limit")?);
        } else {
            limit_watts = Some(quantity::<Watts>(text, "limit")?.0 / 1_000);
        }
    }
    let from = args.from.as_deref().map(|text| times::read(text, now, "from", &session.style.zone)).transpose();
    let from = from.map_err(problem)?;
    let until = match (&args.lasts, &args.until) {
        (Some(_), Some(_)) => {
            return Err(problem(Refusal::new(Code::Contradiction, "`--for` and `--until` both say when it ends")));
        }
        (Some(text), None) => Some(from.unwrap_or(now) + quantity::<Seconds>(text, "for")?.delta()),
        (None, Some(text)) => Some(times::read(text, now, "until", &session.style.zone).map_err(problem)?),
        (None, None) => None,
    };
    let id = args.id.clone().unwrap_or_else(|| format!("{kind}-{}", now.format("%Y%m%dT%H%M%S%3f")));
    Ok(Announcement {
        id,
        site: args.site.clone(),
        kind,
        limit_watts,
        share,
        from,
        until,
        priority: args.priority,
        reason: args.reason.clone().unwrap_or_default(),
        revision: args.revision.unwrap_or(0),
    })
}

fn empty() -> Announcement {
    Announcement {
        id: String::new(),
        revision: 0,
        site: None,
        kind: String::new(),
        limit_watts: None,
        share: None,
        from: None,
        until: None,
        priority: None,
        reason: String::new(),
    }
}

/// `neap policy check FILE`: needs no server.
pub fn check(session: &Session, file: Option<&str>) -> Left {
    let config = match file {
        Some(file) => config::load(Some(file.as_ref()), &session.paths)?,
        None => session.config()?,
    };
    Ok(right(&config))
}

/// Says that a configuration is right, and what is in it.
pub fn right(config: &Config) -> u8 {
    let scheduler = &config.scheduler;
    output::out(&format!(
        "ok    {}: {} zones, {} queues, {} feeds, {} power domains\n",
        config.shown(),
        scheduler.zones.len(),
        scheduler.queues.len(),
        scheduler.grid.feeds.len(),
        scheduler.power_domains.len(),
    ));
    0
}
