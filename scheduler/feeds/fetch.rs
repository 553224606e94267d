//! Performs the requests of providers: one exchange, bounded in time and size. The only user of reqwest here.
//!
//! It follows no redirect, retries nothing, and no error of its own holds an address: a key may be part of one.

use super::feed::{FeedError, Reply, Request, Secret, encoded};
use chrono::{DateTime, Utc};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The connection must stand within.
const CONNECT: Duration = Duration::from_secs(5);
/// Status and headers must be there within, the connection included.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// All of it must be there within.
const WHOLE: Duration = Duration::from_secs(20);
/// Longest body after decompression, in bytes.
pub const LARGEST: usize = 8 << 20;

/// A reply with the service's own idea of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// Its `Date`.
    pub date: Option<DateTime<Utc>>,
}

/// An exchange on its way.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Answer, FeedError>> + Send + 'a>>;

/// Whoever sends requests: the network, or a test.
pub trait Perform: Send + Sync {
    /// Sends it and waits for the whole answer.
    fn perform(&self, request: Request) -> Exchange<'_>;
}

/// Limits of time of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until status and headers are there.
    pub first_byte: Duration,
    /// Until all of it is there.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: CONNECT, first_byte: FIRST_BYTE, whole: WHOLE }
    }
}

/// The network.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    patience: Patience,
}

impl Fetcher {
    /// A fetcher that trusts what the system trusts and goes through the proxy that the environment names. Where the system
    /// has no certificates it still speaks plain HTTP, to an exporter in the same room say.
    ///
    /// # Errors
    /// If no client can be made at all.
    pub fn new(patience: Patience) -> Result<Self, String> {
        // Another part of the process may have chosen first; the choice is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(patience.connect)
                .timeout(patience.whole)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")))
                .gzip(true)
                .pool_max_idle_per_host(1)
        };
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
        let client = client.map_err(|error| told(&error))?;
        Ok(Self { client, patience })
    }

    async fn exchange(&self, request: Request) -> Result<Answer, FeedError> {
        let sent = self.client.execute(self.worded(request)?);
        let mut response = match tokio::time::timeout(self.patience.first_byte, sent).await {
            Ok(response) => response.map_err(|error| FeedError::Down(told(&error)))?,
            Err(_) => {
                return Err(FeedError::Down(format!("no answer within {} s", self.patience.first_byte.as_secs())));
            }
        };
        let status = response.status().as_u16();
        let text = |headers: &HeaderMap, name: HeaderName| {
            headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        if response.status().is_redirection() {
            let to = text(response.headers(), header::LOCATION).unwrap_or_default();
            let host = reqwest::Url::parse(&to).ok().and_then(|url| url.host_str().map(str::to_owned));
            let host = host.unwrap_or_else(|| "another place of its own".to_owned());
            return Err(FeedError::Refused(format!("status {status} sends us to {host}, where nothing is asked")));
        }
        let date = text(response.headers(), header::DATE)
            .and_then(|text| DateTime::parse_from_rfc2822(&text).ok())
            .map(|date| date.to_utc());
        let content_type = text(response.headers(), header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let retry_after = text(response.headers(), header::RETRY_AFTER);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| FeedError::Down(told(&error)))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FeedError::Refused(format!("its answer is longer than {} MiB", LARGEST >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { reply: Reply { status, content_type, retry_after, body }, date })
    }

    /// The request as it goes out: the only place where secrets are put into it.
    fn worded(&self, request: Request) -> Result<reqwest::Request, FeedError> {
        let wrong = |what: &str| FeedError::Misconfigured(format!("{what} cannot be sent"));
        let url = reqwest::Url::parse(&request.reveal()).map_err(|_| wrong("its address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FeedError::Misconfigured("its address is neither http nor https".to_owned()));
        }
        let mut builder = match (&request.form, &request.json) {
            (None, None) => self.client.get(url),
            (None, Some(json)) => {
                self.client.post(url).header(header::CONTENT_TYPE, "application/json").body(json.clone())
            }
            (Some(form), _) => self
                .client
                .post(url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form_of(form)),
        };
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        for (name, value) in &request.secret_headers {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong("its key as a header"))?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        builder.build().map_err(|_| wrong("its header"))
    }
}

impl Perform for Fetcher {
    fn perform(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            match tokio::time::timeout(self.patience.whole, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    Err(FeedError::Down(format!("the answer was not whole after {} s", self.patience.whole.as_secs())))
                }
            }
        })
    }
}

/// `a=b&c=d`.
fn form_of(form: &[(&'static str, Secret)]) -> String {
    let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value.reveal()))).collect();
    pairs.join("&")
}

/// What went wrong in a few words. The error's own text may hold the address, so none of it is used; of its causes only
/// those that speak of sockets and certificates.
fn told(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "it cannot be connected to"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off or does not unpack"
    } else if error.is_builder() {
        "no request can be made"
    } else {
        "the exchange broke"
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return format!("{what} ({tls})");
            }
            return format!("{what} ({})", io.kind());
        }
        cause = inner.source();
    }
    what.to_owned()
}

#[cfg(test)]
mod tests;
