//! The client over real HTTP, against a server on loopback that behaves as servers of events do, well and badly.

use super::super::super::feed::{Ask, FeedError, Reply};
use super::super::super::fetch::{Answer, Exchange, Fetcher, Patience, Perform};
use super::super::super::providers::tests::fixture;
use super::super::client::{Heard, PAGE};
use super::super::event::Shown;
use super::super::polls::{News, keep_polling};
use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What the server does to one request: path with query, authorization, body → status, body.
type Rule = Box<dyn FnMut(&str, &str, &str) -> (u16, String) + Send>;

#[derive(Clone)]
struct Server {
    rule: Arc<Mutex<Rule>>,
    /// Paths with queries, as they came.
    seen: Arc<Mutex<Vec<String>>>,
    base: String,
}

impl Server {
    async fn new(rule: Rule) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let server = Self { rule: Arc::new(Mutex::new(rule)), seen: Arc::default(), base };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().expect("not poisoned"))
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let authorization =
        request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body: Bytes = axum::body::to_bytes(request.into_body(), 1 << 16).await.expect("a body");
    server.seen.lock().expect("not poisoned").push(path.clone());
    let body = String::from_utf8_lossy(&body).into_owned();
    let (status, body) = (server.rule.lock().expect("not poisoned"))(&path, &authorization, &body);
    let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
    (StatusCode::from_u16(status).expect("a status"), [("content-type", kind)], body).into_response()
}

fn token(text: &str, expires: u64) -> (u16, String) {
    (200, json!({"access_token": text, "token_type": "Bearer", "expires_in": expires}).to_string())
}

/// A page of plain events by their numbers.
fn events(numbers: impl Iterator<Item = usize>) -> (u16, String) {
    let all: Vec<_> = numbers.map(|n| json!({"id": format!("e{n}"), "intervals": []})).collect();
    (200, json!(all).to_string())
}

/// Asks until the poll is over, as the task does.
async fn poll(client: &mut Client, now: DateTime<Utc>) -> Result<Vec<Shown>, FeedError> {
    let fetcher = Fetcher::new(Patience::default()).expect("a client");
    for _ in 0..50 {
        let request = match client.ask(now) {
            Ask::Send(request) => request,
            Ask::NotBefore(then) => panic!("not before {then}"),
            Ask::Never(error) => return Err(error),
        };
        let reply = fetcher.perform(request).await?.reply;
        match client.hear(&reply, now)? {
            Heard::Events(shown) => return Ok(shown),
            Heard::AskAgain => {}
        }
    }
    panic!("fifty requests and no end")
}

fn start() -> DateTime<Utc> {
    at("2026-05-10T15:03:20Z")
}

fn minutes(minutes: i64) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minutes)
}

#[tokio::test]
async fn c4_the_recorded_answers_are_read_with_a_token_that_was_asked_for_as_oauth_wants_it() {
    let (Some(shown), Some(given)) = (fixture("openadr_events.json"), fixture("openadr_token.json")) else { return };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (shown, given) = (text(&shown), text(&given));
    let rule = move |path: &str, authorization: &str, body: &str| match path {
        "/openadr3/auth/token" => {
            let form = format!("grant_type=client_credentials&client_id=site-7&client_secret={CANARY}");
            if body == form { (200, given.clone()) } else { (400, r#"{"error":"invalid_request"}"#.to_owned()) }
        }
        "/openadr3/events?programID=prog-dr&skip=0&limit=50" if authorization == "Bearer fake" => (200, shown.clone()),
        _ => (404, String::new()),
    };
    let server = Server::new(Box::new(rule)).await;
    let vtn = Vtn { program: Some("prog-dr".into()), ..vtn(&format!("{}/openadr3", server.base)) };
    let mut client = Client::new(vtn, secret());
    let shown = poll(&mut client, start()).await.expect("events");
    // The recorded list has an event of another program; a server that does not sift is sifted here.
    assert_eq!(shown.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["event-cap-1", "event-alert-1"]);
}

#[tokio::test]
async fn pages_are_read_until_a_short_one_and_a_server_that_does_not_page_is_noticed() {
    let rule = |path: &str, _: &str, _: &str| match path.split_once("skip=") {
        None => token("t", 3_600),
        Some((_, rest)) => {
            let skip: usize = rest.split('&').next().and_then(|text| text.parse().ok()).expect("a number");
            events(skip..(skip + PAGE).min(120))
        }
    };
    let server = Server::new(Box::new(rule)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    let shown = poll(&mut client, start()).await.expect("events");
    assert_eq!(shown.iter().map(|e| &e.id).collect::<BTreeSet<_>>().len(), 120);
    assert_eq!(
        server.seen(),
        ["/auth/token", "/events?skip=0&limit=50", "/events?skip=50&limit=50", "/events?skip=100&limit=50"]
    );

    let same = |path: &str, _: &str, _: &str| if path.contains("skip=") { events(0..PAGE) } else { token("t", 3_600) };
    let server = Server::new(Box::new(same)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    assert_eq!(poll(&mut client, start()).await.map(|shown| shown.len()), Ok(PAGE));
    assert_eq!(server.seen().len(), 3, "asked once more, and nothing new came");

    let endless = |path: &str, _: &str, _: &str| match path.split_once("skip=") {
        None => token("t", 3_600),
        Some((_, rest)) => {
            let skip: usize = rest.split('&').next().and_then(|text| text.parse().ok()).expect("a number");
            events(skip..skip + PAGE)
        }
    };
    let server = Server::new(Box::new(endless)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    assert!(
        matches!(poll(&mut client, start()).await, Err(FeedError::Refused(_))),
        "two thousand events are the limit"
    );
}

#[tokio::test]
async fn a_page_that_fails_makes_the_whole_poll_a_failed_one() {
    let mut pages = 0;
    let rule = move |path: &str, _: &str, _: &str| {
        if !path.contains("skip=") {
            return token("t", 3_600);
        }
        pages += 1;
        if pages == 2 {
            (502, "<html>bad gateway</html>".to_owned())
        } else if path.contains("skip=0") {
            events(0..PAGE)
        } else {
            events(PAGE..60)
        }
    };
    let server = Server::new(Box::new(rule)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    assert!(matches!(poll(&mut client, start()).await, Err(FeedError::Down(_))));
    // The next one begins anew and is whole.
    assert_eq!(poll(&mut client, minutes(1)).await.map(|shown| shown.len()), Ok(60));
    assert_eq!(server.seen()[3..], ["/events?skip=0&limit=50", "/events?skip=50&limit=50"]);
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_a_failed_poll_and_an_empty_list_is_not() {
    for (body, ok) in
        [("[]", true), ("", false), ("{}", false), ("null", false), ("<html></html>", false), ("[{", false)]
    {
        let rule = move |path: &str, _: &str, _: &str| {
            if path.contains("skip=") { (200, body.to_owned()) } else { token("t", 3_600) }
        };
        let server = Server::new(Box::new(rule)).await;
        let mut client = Client::new(vtn(&server.base), secret());
        assert_eq!(poll(&mut client, start()).await.is_ok(), ok, "{body}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_a_minute_before_its_end_and_one_that_is_refused_once_is_asked_for_once() {
    let mut given = 0;
    let valid = Arc::new(Mutex::new(String::from("t1")));
    let shared = Arc::clone(&valid);
    let rule = move |path: &str, authorization: &str, _: &str| {
        if !path.contains("skip=") {
            given += 1;
            return token(&format!("t{given}"), 3_600);
        }
        if authorization == format!("Bearer {}", shared.lock().expect("not poisoned")) {
            events(0..3)
        } else {
            (401, r#"{"title":"Unauthorized"}"#.to_owned())
        }
    };
    let server = Server::new(Box::new(rule)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    let logins = |server: &Server| server.seen().iter().filter(|path| path.contains("token")).count();
    let set = |text: &str| text.clone_into(&mut valid.lock().expect("not poisoned"));
    for minute in 0..59 {
        assert!(poll(&mut client, minutes(minute)).await.is_ok(), "{minute}");
    }
    assert_eq!(logins(&server), 1, "59 polls, one login");
    set("t2");
    assert!(poll(&mut client, minutes(59)).await.is_ok());
    assert_eq!(logins(&server), 1, "a minute before its end");
    // It dies before its time: one login more, and the poll goes on.
    set("t3");
    assert!(poll(&mut client, minutes(60)).await.is_ok());
    assert_eq!(logins(&server), 1);
    // It dies again soon after that: nobody is asked for a token before 25 minutes have passed.
    set("t4");
    let error = poll(&mut client, minutes(70)).await.expect_err("refused");
    assert!(matches!(&error, FeedError::Down(text) if text.contains("16:28Z")), "{error:?}");
    assert_eq!(client.ask(minutes(71)), Ask::NotBefore(minutes(85)));
    assert_eq!(logins(&server), 0);
    assert!(poll(&mut client, minutes(85)).await.is_ok());
    assert_eq!(logins(&server), 1);
    // A new token that is refused as well: the key is at fault.
    set("none");
    let refused = poll(&mut client, minutes(120)).await;
    assert!(matches!(refused, Err(FeedError::Key(_))), "{refused:?}");
    assert_eq!(logins(&server), 1);
}

#[tokio::test]
async fn a_scope_that_is_missing_never_leads_to_a_login_and_says_what_is_missing() {
    let problem = fixture("openadr_problem.json").map(|bytes| String::from_utf8(bytes).expect("text"));
    let Some(problem) = problem else { return };
    let rule = move |path: &str, _: &str, _: &str| {
        if path.contains("skip=") { (403, problem.clone()) } else { token("t", 3_600) }
    };
    let server = Server::new(Box::new(rule)).await;
    let mut client = Client::new(vtn(&server.base), secret());
    for minute in 0..5 {
        let error = poll(&mut client, minutes(minute)).await.expect_err("refused");
        assert!(matches!(&error, FeedError::Plan(text) if text == "missing scope read_all"), "{error:?}");
    }
    assert_eq!(server.seen().iter().filter(|path| path.contains("token")).count(), 1);
}

#[tokio::test]
async fn neither_secret_nor_token_is_in_any_error_or_in_what_is_printed_for_debugging() {
    // A server that repeats whatever it is sent, in every place an error text may be taken from.
    for (status, at_login) in [
        (400, true),
        (401, true),
        (403, true),
        (418, true),
        (500, true),
        (200, true),
        (400, false),
        (403, false),
        (404, false),
        (500, false),
        (200, false),
    ] {
        let rule = move |path: &str, authorization: &str, body: &str| {
            if !path.contains("skip=") && !at_login {
                return token("canary-token-1", 3_600);
            }
            let said = format!("you sent {authorization} {body} {CANARY}");
            (status, json!({"error": "invalid_client", "title": said, "detail": said, "id": said}).to_string())
        };
        let server = Server::new(Box::new(rule)).await;
        let mut client = Client::new(vtn(&server.base), secret());
        let error = poll(&mut client, start()).await.expect_err("nothing good comes of it");
        let text = format!("{error} {error:?} {client:?}");
        assert!(!text.contains("canary"), "{status} {at_login}: {text}");
    }
    let missing = client(&vtn("http://x")).expect_err("nobody sets that");
    assert!(missing.contains("NEAP_TEST_NOBODY_SETS_THIS"), "{missing}");
}

/// Answers the first poll, and fails after that.
struct Failing(Mutex<Vec<(u64, String)>>, tokio::time::Instant);

impl Perform for Failing {
    fn perform(&self, request: super::super::super::feed::Request) -> Exchange<'_> {
        let mut seen = self.0.lock().expect("not poisoned");
        seen.push((self.1.elapsed().as_secs(), request.address.clone()));
        let (status, body) = match seen.len() {
            1 => token("t", 86_400),
            2 => events(0..2),
            _ => (503, CANARY.to_owned()),
        };
        let reply = Reply { status, content_type: String::new(), retry_after: None, body: body.into_bytes() };
        Box::pin(async move { Ok(Answer { reply, date: None }) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_polls_once_a_minute_and_a_server_that_is_down_ever_more_rarely() {
    let began = tokio::time::Instant::now();
    let performer = Arc::new(Failing(Mutex::default(), began));
    let now = Arc::new(move || start() + TimeDelta::from_std(began.elapsed()).expect("short"));
    let (sender, mut news) = tokio::sync::mpsc::channel::<News>(4);
    let shared: Arc<dyn Perform> = Arc::<Failing>::clone(&performer);
    let task = tokio::spawn(keep_polling(Client::new(vtn("http://x"), secret()), 1, shared, now, sender));
    let first = news.recv().await.expect("news");
    assert_eq!((first.vtn.as_str(), first.shown.map(|shown| shown.len())), ("utility", Ok(2)));
    for n in 0..6 {
        let next = news.recv().await.expect("news");
        let error = next.shown.expect_err("it is down");
        assert!(matches!(error, FeedError::Down(_)) && !error.to_string().contains("canary"), "{error}");
        assert_eq!(next.circuit_open, n >= 4, "after five failures it is only probed");
    }
    drop(news);
    task.await.expect("it ends when nobody listens");
    let seen: Vec<u64> = performer.0.lock().expect("not poisoned").iter().map(|(second, _)| *second).collect();
    // Login, page, the next minute, then 2 s doubling with jitter, then five minutes.
    assert!(seen[0] == 0 && seen[1] <= 1 && (30..=64).contains(&seen[2]), "{seen:?}");
    let waits: Vec<u64> = seen[2..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, usual) in waits.iter().zip([2, 4, 8, 16, 300]) {
        assert!((usual * 7 / 10..=usual * 13 / 10 + 1).contains(wait), "{waits:?}");
    }
}
