//! The way to the scheduler: one message there, one answer back.

use neap_model::protocol::{Beat, BeatReply};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// How long an answer may take beyond the patience of the beat.
const SLACK: Duration = Duration::from_secs(10);

/// Why a beat was not answered.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody there, or the connection broke.
    #[error("the scheduler does not answer ({0})")]
    Silent(String),
    /// It answered, and wants nothing to do with us as we are.
    #[error("the scheduler refuses this executor: {0}")]
    Refused(String),
}

/// The answer to a beat, on its way.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<BeatReply, LinkError>> + Send + 'a>>;

/// A way to the scheduler.
pub trait Link: Send + Sync {
    /// Sends a beat and waits for the answer, which the scheduler may hold back for the beat's patience.
    fn beat(&self, beat: Beat) -> Answer<'_>;
}

/// Over a Unix socket, or over loopback with a token.
#[derive(Debug)]
pub struct HttpLink {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// A client for one machine: no proxy, no redirect, and no certificate is looked for, as none is ever needed.
fn plain() -> reqwest::ClientBuilder {
    // Another part of the process may have chosen first; the choice is the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tls_certs_only([])
}

impl HttpLink {
    /// Through the scheduler's socket.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn socket(path: PathBuf) -> Result<Self, LinkError> {
        let client = plain().unix_socket(path).build();
        Ok(Self {
            client: client.map_err(|e| LinkError::Silent(e.to_string()))?,
            base: "http://neap".into(),
            token: None,
        })
    }

    /// Through a loopback address.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn loopback(address: &str, token: Option<String>) -> Result<Self, LinkError> {
        let client = plain().build();
        Ok(Self { client: client.map_err(|e| LinkError::Silent(e.to_string()))?, base: address.to_owned(), token })
    }
}

impl Link for HttpLink {
    fn beat(&self, beat: Beat) -> Answer<'_> {
        Box::pin(async move {
            let silent = |error: reqwest::Error| LinkError::Silent(error.without_url().to_string());
            let patience = Duration::from_millis(u64::from(beat.patience_ms)) + SLACK;
            let body = serde_json::to_vec(&beat).map_err(|error| LinkError::Silent(error.to_string()))?;
            let mut request = self.client.post(format!("{}/v1/node/beat", self.base)).timeout(patience);
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let response =
                request.header("content-type", "application/json").body(body).send().await.map_err(silent)?;
            let status = response.status();
            let bytes = response.bytes().await.map_err(silent)?;
            if !status.is_success() {
                let text = String::from_utf8_lossy(&bytes).chars().take(300).collect();
                return Err(if status.is_client_error() { LinkError::Refused(text) } else { LinkError::Silent(text) });
            }
            serde_json::from_slice(&bytes).map_err(|error| LinkError::Refused(error.to_string()))
        })
    }
}
