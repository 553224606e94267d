//! How a server of events is asked: a token by client credentials, then page after page. It sends nothing itself and knows no
//! clock but the one it is told.
//!
//! A poll counts only whole: an answer that is no list, a page that fails or a token that is refused make it a failed one.

use super::super::feed::{Ask, FeedError, Manners, Reply, Request, Secret, Terms};
use super::super::wire::{Number, is_html, json, said, trouble};
use super::event::{Shown, page};
use crate::config::Vtn;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Events of one page.
pub const PAGE: usize = 50;
/// Most that all events of one poll may say together.
const MOST: usize = 2_000;
/// A token is renewed so long before its end.
const EARLY: TimeDelta = TimeDelta::seconds(60);
/// A token that does not say how long it lasts.
const USUAL: TimeDelta = TimeDelta::hours(1);
/// After a token that was refused before its end, the next such login comes no sooner.
const FORCED: TimeDelta = TimeDelta::minutes(25);

/// What a reply came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Ask again: the next page, or with the new token.
    AskAgain,
    /// All events that are there for this site.
    Events(Vec<Shown>),
}

/// The client of one server.
#[derive(Debug)]
pub struct Client {
    vtn: Vtn,
    secret: Secret,
    manners: Manners,
    /// The token, and when it is to be renewed.
    token: Option<(Secret, DateTime<Utc>)>,
    /// When the last login was that a refused token made necessary.
    forced: Option<DateTime<Utc>>,
    /// No login before.
    not_before: Option<DateTime<Utc>>,
    /// The present token was never accepted yet, and comes from such a login.
    untried: bool,
    logging_in: bool,
    got: Vec<Shown>,
    ids: BTreeSet<String>,
    skip: usize,
}

impl Client {
    /// With its secret.
    #[must_use]
    pub fn new(vtn: Vtn, secret: Secret) -> Self {
        let poll = TimeDelta::seconds(i64::try_from(vtn.poll.0.clamp(10, 86_400)).unwrap_or(60));
        let manners = Manners {
            poll,
            delay: TimeDelta::zero(),
            gap: TimeDelta::seconds(1),
            after_429: TimeDelta::seconds(60),
            settled: TimeDelta::zero(),
            terms: Terms::Internal,
        };
        Self {
            vtn,
            secret,
            manners,
            token: None,
            forced: None,
            not_before: None,
            untried: false,
            logging_in: false,
            got: Vec::new(),
            ids: BTreeSet::new(),
            skip: 0,
        }
    }

    /// The server as configured.
    #[must_use]
    pub const fn vtn(&self) -> &Vtn {
        &self.vtn
    }

    /// How it is treated.
    #[must_use]
    pub const fn manners(&self) -> &Manners {
        &self.manners
    }

    /// A new poll begins, whatever the last one came to.
    pub fn begin(&mut self) {
        self.got.clear();
        self.ids.clear();
        (self.skip, self.logging_in) = (0, false);
    }

    /// What to send next.
    pub fn ask(&mut self, now: DateTime<Utc>) -> Ask {
        let Some((token, _)) = self.token.as_ref().filter(|(_, renew)| now < *renew) else {
            if let Some(then) = self.not_before.filter(|then| now < *then) {
                return Ask::NotBefore(then);
            }
            self.logging_in = true;
            return Ask::Send(self.login());
        };
        let mut request = Request::get(format!("{}/events", self.vtn.base));
        if let Some(program) = &self.vtn.program {
            request = request.with("programID", program);
        }
        request = request.with("skip", self.skip.to_string()).with("limit", PAGE.to_string());
        Ask::Send(request.bearing(token))
    }

    fn login(&self) -> Request {
        let place = self.vtn.token_url.clone().unwrap_or_else(|| format!("{}/auth/token", self.vtn.base));
        let mut form = vec![
            ("grant_type", Secret::new("client_credentials")),
            ("client_id", Secret::new(&self.vtn.client_id)),
            ("client_secret", self.secret.clone()),
        ];
        form.extend(self.vtn.scope.as_deref().map(|scope| ("scope", Secret::new(scope))));
        Request { form: Some(form), ..Request::get(place) }
    }

    /// Reads the reply to what [`Client::ask`] gave. A poll that fails is over: the next [`Client::ask`] begins another.
    ///
    /// # Errors
    /// [`FeedError`]: nothing of the poll is used then. No text of it holds the secret or a token.
    pub fn hear(&mut self, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let heard = if self.logging_in { self.heard_token(reply, now) } else { self.heard_page(reply, now) };
        heard.inspect_err(|_| self.begin()).map_err(|error| error.map(|text| self.scrub(text)))
    }

    /// The text without the secret and the token, should a server repeat one. The secret first: a token may be a part of it.
    fn scrub(&self, text: &str) -> String {
        let form = Some(vec![("client_secret", self.secret.clone())]);
        let text = Request { form, ..Request::get("") }.scrub(text);
        let token = self.token.iter().map(|(token, _)| ("authorization".to_owned(), token.clone()));
        Request { secret_headers: token.collect(), ..Request::get("") }.scrub(&text)
    }

    fn heard_token(&mut self, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            access_token: String,
            #[serde(default)]
            token_type: Option<String>,
            #[serde(default)]
            expires_in: Number,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wrong {
            error: String,
        }
        self.logging_in = false;
        if matches!(reply.status, 400 | 401 | 403) && !is_html(reply) {
            let wrong = json::<Wrong>(&reply.body).unwrap_or_default().error;
            let ours = matches!(wrong.as_str(), "invalid_client" | "unauthorized_client" | "invalid_grant");
            if ours || reply.status != 400 {
                return Err(FeedError::Key(format!("client id or secret ({})", said(&reply.body))));
            }
        }
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let token: Token = json(&reply.body).map_err(|_| FeedError::Refused("a login without a token".to_owned()))?;
        if token.access_token.is_empty() {
            return Err(FeedError::Refused("a login without a token".to_owned()));
        }
        if token.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(FeedError::Refused("its token is of no type that is known here".to_owned()));
        }
        let lasts = token.expires_in.0.map_or(USUAL, |s| TimeDelta::seconds(s.clamp(0.0, 86_400.0) as i64));
        // Of one that hardly lasts, half; of one that is over at once, enough for this poll.
        let used = (lasts - EARLY).max(lasts / 2).max(TimeDelta::seconds(10));
        self.token = Some((Secret::new(&token.access_token), now + used));
        Ok(Heard::AskAgain)
    }

    fn heard_page(&mut self, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if reply.status == 401 && !is_html(reply) {
            self.token = None;
            if self.untried {
                return Err(FeedError::Key("a new token is refused as well".to_owned()));
            }
            if let Some(next) = self.forced.map(|since| since + FORCED).filter(|next| now < *next) {
                self.not_before = Some(next);
                let next = next.format("%Y-%m-%dT%H:%MZ");
                return Err(FeedError::Down(format!(
                    "it refuses tokens before their end: the next login is at {next}"
                )));
            }
            (self.forced, self.untried) = (Some(now), true);
            return Ok(Heard::AskAgain);
        }
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let shown = page(&reply.body, self.vtn.units)?;
        self.untried = false;
        let count = shown.len();
        let before = self.ids.len();
        for event in shown {
            if self.ids.insert(event.id.clone()) && self.is_ours(&event) {
                self.got.push(event);
            }
        }
        let says: usize = self.got.iter().filter_map(|event| event.read.as_ref().ok()).map(super::Event::len).sum();
        if says > MOST || self.ids.len() > MOST {
            let events = self.ids.len();
            return Err(FeedError::Refused(format!("{events} events say {says} things, {MOST} are the limit of both")));
        }
        // A server that takes no notice of `skip` shows the same again.
        if count == PAGE && self.ids.len() > before {
            self.skip += PAGE;
            return Ok(Heard::AskAgain);
        }
        let all = std::mem::take(&mut self.got);
        self.begin();
        Ok(Heard::Events(all))
    }

    /// Whether it is of the program and for a target of this site. One that cannot be read may be.
    fn is_ours(&self, shown: &Shown) -> bool {
        let Ok(event) = &shown.read else { return true };
        let program =
            self.vtn.program.as_ref().is_none_or(|program| event.program.is_empty() || event.program == *program);
        let targets = &self.vtn.targets;
        program && (targets.is_empty() || event.targets.is_empty() || targets.iter().any(|t| event.targets.contains(t)))
    }
}
