//! The scheduler's API as methods, over a Unix socket, over loopback with a token, or inside this very process.

use axum::Router;
use axum::body::Body;
use neap_model::job::JobId;
use neap_model::notice::{Announcement, Notice};
use neap_model::protocol::{
    Accepted, Ask, JobFilter, JobPage, JobReport, LogChunk, PlanReport, StatusReport, Submit, UsageReport, WhyReport,
    ZoneGrid,
};
use neap_model::refusal::{Code, Refusal};
use neap_scheduler::controller::ReportQuery;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tower::ServiceExt;

/// How long an answer may take that nobody promised to hold back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the scheduler is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// Behind a Unix socket.
    Socket(PathBuf),
    /// Behind a loopback address, with the token in that file.
    Loopback(String, Option<PathBuf>),
}

impl Server {
    /// From what was typed: `unix:/path`, a path, or `http://127.0.0.1:7878`.
    #[must_use]
    pub fn parse(text: &str, token_file: Option<PathBuf>) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Socket(path.into()),
            None if text.starts_with("http://") => Self::Loopback(text.trim_end_matches('/').to_owned(), token_file),
            None => Self::Socket(text.into()),
        }
    }

    /// For messages.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Loopback(address, _) => address.clone(),
        }
    }
}

/// A connection to a scheduler.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
    server: String,
}

#[derive(Clone, Debug)]
enum Way {
    Http { client: reqwest::Client, base: String, token: Option<String> },
    Inside(Router),
}

/// What came back: the wanted thing, or refusals.
pub type Asked<T> = Result<T, Vec<Refusal>>;

#[derive(serde::Deserialize)]
struct Faults {
    errors: Vec<Refusal>,
}

fn not_reached(server: &str, why: &str) -> Vec<Refusal> {
    vec![
        Refusal::new(Code::NotReached, format!("no scheduler answers at {server}"))
            .note(why.to_owned())
            .hint("start one here", &["serve", "--dev"])
            .hint("or run one job without", &["run"]),
    ]
}

fn strange(server: &str, why: &str) -> Vec<Refusal> {
    vec![Refusal::new(Code::Version, format!("{server} answered something else than a Neap scheduler: {why}"))]
}

impl Client {
    /// A client of the scheduler there. Nothing is sent yet.
    ///
    /// # Errors
    /// If the token cannot be read.
    pub fn new(server: &Server) -> Asked<Self> {
        let shown = server.shown();
        // Another part of the process may have chosen first; the choice is the same. No certificate is ever needed here, and
        // looking for the system's would cost every command some milliseconds.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tls_certs_only([]);
        let (builder, base, token) = match server {
            Server::Socket(path) => (builder.unix_socket(path.clone()), "http://neap".to_owned(), None),
            Server::Loopback(address, file) => (builder, address.clone(), file.as_deref().map(token_in).transpose()?),
        };
        let client = builder.build().map_err(|error| not_reached(&shown, &error.without_url().to_string()))?;
        Ok(Self { way: Way::Http { client, base, token }, server: shown })
    }

    /// A client of the scheduler inside this process.
    #[must_use]
    pub fn inside(router: Router) -> Self {
        Self { way: Way::Inside(router), server: "this process".to_owned() }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Asked<Vec<u8>> {
        let (status, bytes) = match &self.way {
            Way::Http { client, base, token } => {
                let verb = if method == "POST" { reqwest::Method::POST } else { reqwest::Method::GET };
                let mut request = client.request(verb, format!("{base}{path}")).timeout(PATIENCE);
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                if let Some(body) = body {
                    request = request.header("content-type", "application/json").body(body);
                }
                let failed = |error: reqwest::Error| not_reached(&self.server, &root_cause(&error.without_url()));
                let response = request.send().await.map_err(failed)?;
                let status = response.status().as_u16();
                (status, response.bytes().await.map_err(failed)?.to_vec())
            }
            Way::Inside(router) => {
                let request = axum::http::Request::builder()
                    .method(method)
                    .uri(path)
                    .body(body.map_or_else(Body::empty, Body::from))
                    .map_err(|error| strange(&self.server, &error.to_string()))?;
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let status = response.status().as_u16();
                let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
                    .await
                    .map_err(|error| strange(&self.server, &error.to_string()))?;
                (status, bytes.to_vec())
            }
        };
        if (200..300).contains(&status) {
            return Ok(bytes);
        }
        match serde_json::from_slice::<Faults>(&bytes) {
            Ok(faults) => Err(faults.errors),
            Err(_) => Err(strange(&self.server, &format!("status {status}"))),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Asked<T> {
        self.read(&self.send("GET", path, None).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Asked<T> {
        let body = serde_json::to_vec(body).map_err(|error| strange(&self.server, &error.to_string()))?;
        self.read(&self.send("POST", path, Some(body)).await?)
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Asked<T> {
        serde_json::from_slice(bytes).map_err(|error| strange(&self.server, &error.to_string()))
    }

    /// Queues a job.
    pub async fn submit(&self, submit: &Submit) -> Asked<Accepted> {
        self.post("/v1/jobs", submit).await
    }

    /// Says what would be.
    pub async fn plan(&self, submit: &Submit) -> Asked<PlanReport> {
        self.post("/v1/plan", submit).await
    }

    /// One job as it stands.
    pub async fn show(&self, id: JobId) -> Asked<JobReport> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// One job, once it changed after that revision; or as it stands, after a while.
    pub async fn show_after(&self, id: JobId, revision: u64) -> Asked<JobReport> {
        self.get(&format!("/v1/jobs/{id}?after={revision}")).await
    }

    /// Why a job waits, or what became of it.
    pub async fn why(&self, id: JobId) -> Asked<WhyReport> {
        self.get(&format!("/v1/jobs/{id}/why")).await
    }

    /// A piece of a job's log; it is held back until there is more, or the job is over.
    pub async fn log(&self, id: JobId, offset: u64) -> Asked<LogChunk> {
        self.get(&format!("/v1/jobs/{id}/log?offset={offset}")).await
    }

    /// Changes a job.
    pub async fn ask(&self, id: JobId, ask: &Ask) -> Asked<JobReport> {
        self.post(&format!("/v1/jobs/{id}/ask"), ask).await
    }

    /// A page of jobs.
    pub async fn list(&self, filter: &JobFilter) -> Asked<JobPage> {
        self.get(&format!("/v1/jobs{}", query_of(filter))).await
    }

    /// Sums of jobs that ended.
    pub async fn report(&self, query: &ReportQuery) -> Asked<UsageReport> {
        self.get(&format!("/v1/report{}", query_of(query))).await
    }

    /// The grid.
    pub async fn grid(&self) -> Asked<Vec<ZoneGrid>> {
        self.get("/v1/grid").await
    }

    /// Announces a power limit, hours of plenty, or takes an announcement back.
    pub async fn announce(&self, announcement: &Announcement) -> Asked<Notice> {
        self.post("/v1/grid/events", announcement).await
    }

    /// How things are.
    pub async fn status(&self) -> Asked<StatusReport> {
        self.get("/v1/status").await
    }
}

fn token_in(file: &Path) -> Asked<String> {
    std::fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(|error| {
        vec![Refusal::new(Code::BadToken, format!("cannot read the token in {}: {error}", file.display()))]
    })
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Set fields of a flat struct as a query string.
fn query_of(fields: &impl Serialize) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(fields) else { return String::new() };
    let mut query = String::new();
    for (name, value) in fields {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&name);
        query.push('=');
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => query.push(char::from(byte)),
                other => query.push_str(&format!("%{other:02X}")),
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_keeps_what_is_set_and_nothing_else() {
        let filter = JobFilter { live: Some(true), name: Some("a b&c".into()), limit: Some(5), ..JobFilter::default() };
        assert_eq!(query_of(&filter), "?live=true&name=a%20b%26c&limit=5");
        assert_eq!(query_of(&JobFilter::default()), "");
    }

    #[test]
    fn a_server_is_a_socket_unless_it_is_an_address() {
        assert_eq!(Server::parse("/run/neap.sock", None), Server::Socket("/run/neap.sock".into()));
        assert_eq!(Server::parse("unix:/run/neap.sock", None), Server::Socket("/run/neap.sock".into()));
        assert_eq!(Server::parse("http://127.0.0.1:1/", None), Server::Loopback("http://127.0.0.1:1".into(), None));
    }
}
