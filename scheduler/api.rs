//! HTTP in, input to the controller, reply out. It decides nothing but who is speaking and which status fits.

use crate::auth::signature::Keys;
use crate::auth::{Names, Token};
use crate::controller::{Answer, ReportQuery, Request};
use crate::daemon::Handle;
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use neap_model::job::{JobId, Person};
use neap_model::notice::{Heard, Source};
use neap_model::protocol::{Ask, Beat, JobFilter, LogChunk, Submit};
use neap_model::refusal::{Code, ErrorKind, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Seek};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// Longest request body: 1 MiB.
const BODY: usize = 1 << 20;
/// Longest event: 64 KiB.
const EVENT: usize = 64 << 10;
/// Longest piece of a log in one answer.
const LOG_PIECE: usize = 256 << 10;
/// How long a reader of a log waits for more of it.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A user of this host, as the kernel says.
    User(u32),
    /// Somebody on loopback, known by a token only.
    Loopback,
    /// This very process.
    Ourselves,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        // Without credentials nobody is anybody: the highest uid is never given out.
        Self::User(stream.io().peer_cred().map_or(u32::MAX, |cred| cred.uid()))
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self::Loopback
    }
}

/// What every request needs.
#[derive(Clone, Debug)]
pub struct Door {
    handle: Handle,
    names: Arc<Names>,
    token: Option<Arc<Token>>,
    keys: Arc<Keys>,
}

impl Door {
    /// A door to this scheduler; `token` opens it from loopback.
    #[must_use]
    pub fn new(handle: Handle, token: Option<Token>) -> Self {
        Self { handle, names: Arc::default(), token: token.map(Arc::new), keys: Arc::default() }
    }

    /// With keys that events may be signed with.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys: Arc::new(keys), ..self }
    }

    fn who(&self, peer: &Peer, headers: &HeaderMap) -> Result<Person, Fault> {
        match peer {
            Peer::User(uid) => Ok(self.names.person(*uid)),
            Peer::Ourselves => Ok(self.names.person(rustix::process::getuid().as_raw())),
            Peer::Loopback => {
                let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok());
                if self.token.as_ref().is_some_and(|token| token.admits(given)) {
                    Ok(self.names.person(rustix::process::getuid().as_raw()))
                } else {
                    Err(Refusal::new(Code::BadToken, "this door needs its token").into())
                }
            }
        }
    }
}

/// All paths. `peer` is used where no connection says who is there (the embedded scheduler).
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/jobs", post(submit).get(list))
        .route("/v1/plan", post(plan))
        .route("/v1/jobs/{id}", get(show))
        .route("/v1/jobs/{id}/why", get(why))
        .route("/v1/jobs/{id}/log", get(log))
        .route("/v1/jobs/{id}/ask", post(ask))
        .route("/v1/report", get(report))
        .route("/v1/grid", get(grid))
        .route("/v1/grid/events", post(announce))
        .route("/v1/status", get(status))
        .route("/v1/node/beat", post(beat))
        .route("/metrics", get(metrics))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(door)
}

/// Serves the Unix socket until the future `until` ends.
///
/// # Errors
/// What the listener says.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(until).await
}

/// Serves loopback until the future `until` ends.
///
/// # Errors
/// What the listener says.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(until).await
}

/// Whether only this machine can reach the address.
#[must_use]
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Refusals as an HTTP answer.
#[derive(Debug)]
struct Fault(Vec<Refusal>);

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

#[derive(serde::Serialize, Deserialize)]
struct Faults {
    errors: Vec<Refusal>,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let code = self.0.first().map_or(Code::Internal, |refusal| refusal.code);
        let status = match (code, code.kind()) {
            (Code::ReadOnly, _) => StatusCode::INSUFFICIENT_STORAGE,
            (Code::TooManyRequests, _) => StatusCode::TOO_MANY_REQUESTS,
            (Code::KeyReused | Code::WrongState, _) => StatusCode::CONFLICT,
            (Code::BadToken, _) => StatusCode::UNAUTHORIZED,
            (_, ErrorKind::Usage | ErrorKind::JobFile) => StatusCode::BAD_REQUEST,
            (_, ErrorKind::Infeasible) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, ErrorKind::Refused | ErrorKind::NotAllowed) => StatusCode::FORBIDDEN,
            (_, ErrorKind::NotFound) => StatusCode::NOT_FOUND,
            (_, ErrorKind::Server) => StatusCode::SERVICE_UNAVAILABLE,
            (_, ErrorKind::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = json(status, &Faults { errors: self.0 });
        if matches!(status, StatusCode::INSUFFICIENT_STORAGE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}

fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(Code::BadValue, format!("the request cannot be read: {error}")).into())
}

type Connection = Option<axum::Extension<ConnectInfo<Peer>>>;

fn peer_of(connection: Connection) -> Peer {
    connection.map_or(Peer::Ourselves, |axum::Extension(ConnectInfo(peer))| peer)
}

async fn answered(
    door: &Door,
    connection: Connection,
    headers: &HeaderMap,
    request: Request,
) -> Result<Response, Fault> {
    let by = door.who(&peer_of(connection), headers)?;
    Ok(respond(&door.handle.ask(by, request).await.map_err(Fault)?))
}

fn respond(answer: &Answer) -> Response {
    let ok = StatusCode::OK;
    match answer {
        Answer::Accepted(accepted) if accepted.deduplicated => json(ok, accepted),
        Answer::Accepted(accepted) => json(StatusCode::CREATED, accepted),
        Answer::Job(job) => json(ok, job),
        Answer::Plan(plan) => json(ok, plan),
        Answer::Why(why) => json(ok, why),
        Answer::Page(page) => json(ok, page),
        Answer::Grid(grid) => json(ok, grid),
        Answer::Report(report) => json(ok, report),
        Answer::Status(status) => json(ok, status),
        Answer::Announced(Heard::New, notice) => json(StatusCode::ACCEPTED, notice),
        Answer::Announced(_, notice) => json(ok, notice),
        Answer::Orders(orders) => json(ok, orders),
    }
}

type Replied = Result<Response, Fault>;

async fn submit(State(door): State<Door>, connection: Connection, headers: HeaderMap, body: Bytes) -> Replied {
    let submit: Submit = parse(&body)?;
    answered(&door, connection, &headers, Request::Submit(Box::new(submit))).await
}

async fn plan(State(door): State<Door>, connection: Connection, headers: HeaderMap, body: Bytes) -> Replied {
    let submit: Submit = parse(&body)?;
    answered(&door, connection, &headers, Request::Plan(Box::new(submit))).await
}

async fn list(
    State(door): State<Door>,
    connection: Connection,
    headers: HeaderMap,
    Query(filter): Query<JobFilter>,
) -> Replied {
    answered(&door, connection, &headers, Request::List(filter)).await
}

#[derive(Deserialize)]
struct After {
    after: Option<u64>,
}

async fn show(
    State(door): State<Door>,
    connection: Connection,
    headers: HeaderMap,
    Path(id): Path<u64>,
    Query(After { after }): Query<After>,
) -> Replied {
    answered(&door, connection, &headers, Request::Show(JobId(id), after)).await
}

async fn why(State(door): State<Door>, connection: Connection, headers: HeaderMap, Path(id): Path<u64>) -> Replied {
    answered(&door, connection, &headers, Request::Why(JobId(id))).await
}

async fn ask(
    State(door): State<Door>,
    connection: Connection,
    headers: HeaderMap,
    Path(id): Path<u64>,
    body: Bytes,
) -> Replied {
    let ask: Ask = parse(&body)?;
    answered(&door, connection, &headers, Request::Ask(JobId(id), ask)).await
}

async fn report(
    State(door): State<Door>,
    connection: Connection,
    headers: HeaderMap,
    Query(query): Query<ReportQuery>,
) -> Replied {
    answered(&door, connection, &headers, Request::Report(query)).await
}

async fn grid(State(door): State<Door>, connection: Connection, headers: HeaderMap) -> Replied {
    answered(&door, connection, &headers, Request::Grid).await
}

/// An event: signed by somebody outside, or from a person whom the socket or the token vouches for.
async fn announce(State(door): State<Door>, connection: Connection, headers: HeaderMap, body: Bytes) -> Replied {
    if body.len() > EVENT {
        return Err(Refusal::new(Code::BadValue, format!("an event has at most {EVENT} bytes")).into());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (by, source) = if headers.contains_key("neap-signature") {
        let checked = door.keys.check(text("neap-timestamp"), text("neap-signature"), &body, chrono::Utc::now());
        checked.map_err(|why| Refusal::new(Code::BadToken, why.to_string()))?;
        (Person { uid: u32::MAX, name: "webhook".to_owned() }, Source::Webhook)
    } else {
        let by = door.who(&peer_of(connection), &headers)?;
        let source = Source::Operator { name: by.name.clone() };
        (by, source)
    };
    let announcement = Box::new(parse(&body)?);
    Ok(respond(&door.handle.ask(by, Request::Announce { announcement, source }).await.map_err(Fault)?))
}

async fn status(State(door): State<Door>, connection: Connection, headers: HeaderMap) -> Replied {
    answered(&door, connection, &headers, Request::Status).await
}

async fn beat(State(door): State<Door>, connection: Connection, headers: HeaderMap, body: Bytes) -> Replied {
    let by = door.who(&peer_of(connection), &headers)?;
    let ours = rustix::process::getuid().as_raw();
    if by.uid != ours && by.uid != 0 {
        let message = format!("executors of this scheduler run as user {ours} or root, not as {}", by.name);
        return Err(Refusal::new(Code::NotAllowed, message).into());
    }
    let beat: Beat = parse(&body)?;
    Ok(respond(&door.handle.beat(beat).await.map_err(Fault)?))
}

async fn metrics(State(door): State<Door>, connection: Connection, headers: HeaderMap) -> Replied {
    door.who(&peer_of(connection), &headers)?;
    let text = door.handle.metrics().await.map_err(Fault)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn nothing() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

#[derive(Deserialize)]
struct Offset {
    offset: Option<u64>,
}

/// A piece of a job's log. Waits a while for more while the job lives.
async fn log(
    State(door): State<Door>,
    connection: Connection,
    headers: HeaderMap,
    Path(id): Path<u64>,
    Query(Offset { offset }): Query<Offset>,
) -> Replied {
    let by = door.who(&peer_of(connection), &headers)?;
    let offset = offset.unwrap_or(0);
    let patience = tokio::time::Instant::now() + LOG_PATIENCE;
    loop {
        let Answer::Job(job) = door.handle.ask(by.clone(), Request::Show(JobId(id), None)).await.map_err(Fault)? else {
            return Err(Refusal::new(Code::Internal, "a job was asked for and something else came").into());
        };
        let over = job.phase.is_final();
        let path = job.log.clone();
        let footer = door.handle.footer(&job);
        let settled =
            over && job.ended.is_some_and(|ended| chrono::Utc::now() - ended > chrono::TimeDelta::seconds(10));
        let piece = tokio::task::spawn_blocking(move || path.map(|path| read_piece(&path, offset))).await;
        let (bytes, at_end) = match piece {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => (Vec::new(), true),
            Ok(Some(Err(error))) if settled => {
                let message = format!("the log of job {id} is gone ({error})");
                return Err(Refusal::new(Code::NoSuchJob, message).into());
            }
            Ok(Some(Err(_))) => (Vec::new(), true),
            Err(_) => return Err(Refusal::new(Code::Internal, "reading the log failed").into()),
        };
        let next = offset + bytes.len() as u64;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // A job that never ran has no log to wait for; another's ends with its footer.
        let complete = job.log.is_none() || settled || text.trim_end().ends_with(footer.trim_end());
        let end = over && at_end && complete;
        if !text.is_empty() || end || tokio::time::Instant::now() >= patience {
            return Ok(json(StatusCode::OK, &LogChunk { text, next, end }));
        }
        tokio::time::sleep(Duration::from_millis(if over { 20 } else { 100 })).await;
    }
}

/// Whole characters only: a piece never ends inside one.
fn read_piece(path: &str, offset: u64) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(std::io::SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(LOG_PIECE as u64).read_to_end(&mut bytes)?;
    let at_end = offset + bytes.len() as u64 >= length;
    if let (false, Err(error)) = (at_end, std::str::from_utf8(&bytes))
        && error.error_len().is_none()
        && error.valid_up_to() > 0
    {
        bytes.truncate(error.valid_up_to());
    }
    Ok((bytes, at_end))
}
