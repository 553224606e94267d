//! Performs requests for grid data, each within its time and size. The only user of HTTP as a client in the scheduler.
//!
//! No redirect is followed, so no key goes anywhere new. Errors name what was done, never an address with a key.

use super::feed::{FeedError, Reply, Request};
use std::time::Duration;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until an answer begins.
const FIRST: Duration = Duration::from_secs(10);
/// Until it is whole.
const WHOLE: Duration = Duration::from_secs(20);
/// Largest body, after decompression.
const LARGEST: usize = 8 << 20;

/// A client that sends requests.
#[derive(Clone, Debug)]
pub struct Fetcher(reqwest::Client);

impl Fetcher {
    /// Ready to send.
    ///
    /// # Errors
    /// If the system's certificates cannot be used.
    pub fn new() -> Result<Self, String> {
        // Somebody else in the process may have chosen a provider before: theirs will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .build();
        client.map(Self).map_err(|error| format!("no client for grid data: {}", cause(&error)))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`FeedError::Down`] where the exchange broke, [`FeedError::Refused`] where the body is too large or it points elsewhere.
    pub async fn send(&self, request: &Request) -> Result<Reply, FeedError> {
        let exchange = self.exchange(request);
        match tokio::time::timeout(WHOLE, exchange).await {
            Ok(result) => result.map_err(|error| error.map(|text| request.scrub(text))),
            Err(_) => Err(FeedError::Down(format!("no whole answer within {} s", WHOLE.as_secs()))),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Reply, FeedError> {
        let down = |error: &reqwest::Error| FeedError::Down(cause(error));
        let mut builder = match &request.form {
            None => self.0.get(request.reveal()),
            Some(fields) => {
                let pairs: Vec<String> =
                    fields.iter().map(|(n, v)| format!("{n}={}", super::feed::encoded(v.reveal()))).collect();
                let builder = self.0.post(request.reveal()).header("content-type", "application/x-www-form-urlencoded");
                builder.body(pairs.join("&"))
            }
        };
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        for (name, value) in &request.secret_headers {
            let mut value = reqwest::header::HeaderValue::from_str(value.reveal())
                .map_err(|_| FeedError::Key("it holds what no header can".to_owned()))?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let sent = tokio::time::timeout(FIRST, builder.send()).await;
        let mut response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(down(&error)),
            Err(_) => return Err(FeedError::Down(format!("no answer within {} s", FIRST.as_secs()))),
        };
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if (300..400).contains(&status) {
            let place = header("location").unwrap_or_default();
            let host =
                place.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("elsewhere");
            let host = host.rsplit('@').next().unwrap_or("elsewhere");
            return Err(FeedError::Refused(format!(
                "status {status}: it sends us to {}, not followed",
                super::wire::plain(host)
            )));
        }
        let content_type = header("content-type").unwrap_or_default().to_ascii_lowercase();
        let retry_after = header("retry-after");
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| down(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FeedError::Refused(format!("more than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, content_type, retry_after, body })
    }
}

/// What went wrong at the bottom of it, without the address.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = if std::ptr::addr_eq(cause, error) { "the exchange failed".to_owned() } else { cause.to_string() };
    super::wire::plain(&text)
}
