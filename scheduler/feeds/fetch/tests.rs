use super::super::feed::Secret;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server that treats every caller in one way. Returns its address, what it was asked, and how much it could send.
fn hostile(deed: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (heard, deed, count) = (Arc::clone(&asked), Arc::new(deed), AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (heard, deed, n) = (Arc::clone(&heard), Arc::clone(&deed), count.fetch_add(1, Ordering::Relaxed));
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0; 1];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                heard.lock().expect("not poisoned").push(String::from_utf8_lossy(&head).into_owned());
                deed(&mut stream, n);
            });
        }
    });
    (address, asked)
}

/// Short limits, so that a test of a limit does not take twenty seconds; their order is the same.
fn brief() -> Patience {
    Patience {
        connect: Duration::from_millis(300),
        first_byte: Duration::from_millis(500),
        whole: Duration::from_millis(1_000),
    }
}

fn asked_of(request: Request, patience: Patience) -> Result<Answer, FeedError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Fetcher::new(patience).expect("a client").perform(request))
}

fn from(deed: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Result<Answer, FeedError> {
    asked_of(Request::get(hostile(deed).0), brief())
}

fn send(stream: &mut TcpStream, text: &str) {
    // A caller that hung up is what most of these tests want.
    drop(stream.write_all(text.as_bytes()));
}

fn down(result: Result<Answer, FeedError>) -> String {
    match result {
        Err(FeedError::Down(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sent_is_worded_as_services_read_it() {
    let (address, asked) = hostile(|stream, _| {
        send(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: Application/JSON\r\ndate: Mon, 11 May 2026 07:01:30 GMT\r\ncontent-length: 2\r\n\r\n{}",
        );
    });
    let mut request =
        Request::get(format!("{address}/v1/")).with("at", "2026-05-11T07:00+02:00").with("data[0]", "a b");
    request.secret_query.push(("token", Secret::new("canary-1")));
    request.secret_headers.push(("auth-token".to_owned(), Secret::new("canary-2")));
    let answer = asked_of(request, brief()).expect("an answer");
    assert_eq!((answer.reply.status, answer.reply.content_type.as_str()), (200, "application/json"));
    assert_eq!(answer.date.map(|date| date.to_rfc3339()), Some("2026-05-11T07:01:30+00:00".to_owned()));
    let head = asked.lock().expect("not poisoned")[0].to_ascii_lowercase();
    assert!(
        head.starts_with("get /v1/?at=2026-05-11t07%3a00%2b02%3a00&data%5b0%5d=a%20b&token=canary-1 http/1.1"),
        "{head}"
    );
    assert!(head.contains("auth-token: canary-2\r\n") && head.contains("user-agent: neap/"), "{head}");
    assert!(head.contains("accept-encoding: gzip"), "{head}");
}

#[test]
fn a_form_is_posted() {
    let (address, asked) = hostile(|stream, _| {
        let mut body = [0; 27];
        stream.read_exact(&mut body).expect("the form");
        assert_eq!(&body, b"client_id=a%26b&secret=c%3D");
        send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
    let form = Some(vec![("client_id", Secret::new("a&b")), ("secret", Secret::new("c="))]);
    let request = Request { form, ..Request::get(address) };
    assert!(asked_of(request, brief()).is_ok());
    assert!(asked.lock().expect("not poisoned")[0].starts_with("POST / "));
}

#[test]
fn a_service_that_hangs_or_drips_is_cut_off() {
    let began = std::time::Instant::now();
    // Nothing at all after the connection.
    assert!(down(from(|_, _| std::thread::sleep(Duration::from_secs(5)))).contains("no answer within"));
    // Headers, then nothing.
    let stalled = down(from(|stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{");
        std::thread::sleep(Duration::from_secs(5));
    }));
    assert!(stalled.contains("too long") || stalled.contains("not whole"), "{stalled}");
    // A byte now and then: every read succeeds, the whole takes too long.
    let dripped = down(from(|stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        for _ in 0..100 {
            send(stream, " ");
            std::thread::sleep(Duration::from_millis(50));
        }
    }));
    assert!(dripped.contains("too long") || dripped.contains("not whole"), "{dripped}");
    // Even the status line drips.
    let slow_head = down(from(|stream, _| {
        for byte in "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".chars() {
            send(stream, &byte.to_string());
            std::thread::sleep(Duration::from_millis(50));
        }
    }));
    assert!(slow_head.contains("no answer within"), "{slow_head}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn the_limits_are_those_of_the_design() {
    let usual = Patience::default();
    assert_eq!((usual.connect.as_secs(), usual.first_byte.as_secs(), usual.whole.as_secs()), (5, 10, 20));
}

#[test]
fn a_cut_body_and_a_wrong_length_are_broken_exchanges() {
    let cut = down(from(|stream, _| send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[1,2")));
    assert!(cut.contains("broke"), "{cut}");
    let chunked =
        down(from(|stream, _| send(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n[1,2\r\n")));
    assert!(chunked.contains("broke"), "{chunked}");
    down(from(|stream, _| send(stream, "HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n[1,2")));
    down(from(|stream, _| send(stream, "SSH-2.0-OpenSSH_9.0\r\n")));
    down(from(|_, _| {}));
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert!(down(asked_of(Request::get(format!("http://{nobody}")), brief())).contains("cannot be connected to"));
}

#[test]
fn a_redirect_is_not_followed_and_its_host_is_named() {
    let (elsewhere, reached) = hostile(|stream, _| send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    let to = elsewhere.clone();
    let (address, _) = hostile(move |stream, _| {
        send(stream, &format!("HTTP/1.1 302 Found\r\nlocation: {to}/?token=canary\r\ncontent-length: 0\r\n\r\n"));
    });
    let mut request = Request::get(address);
    request.secret_headers.push(("auth-token".to_owned(), Secret::new("canary-3")));
    let Err(FeedError::Refused(text)) = asked_of(request, brief()) else { panic!("it was followed") };
    assert!(text.contains("127.0.0.1") && !text.contains("canary"), "{text}");
    assert!(reached.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_bomb_and_an_endless_body_stop_at_eight_mebibytes() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 256 << 20]).expect("packed");
    let bomb = packed.finish().expect("packed");
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let length = bomb.len();
    let (address, _) = hostile(move |stream, _| {
        send(stream, &format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"));
        drop(stream.write_all(&bomb));
    });
    let patience = Patience { first_byte: Duration::from_secs(5), whole: Duration::from_secs(10), ..brief() };
    let Err(FeedError::Refused(text)) = asked_of(Request::get(address), patience) else { panic!("it was taken") };
    assert!(text.contains("8 MiB"), "{text}");

    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let (address, _) = hostile(move |stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2147483648\r\n\r\n");
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).is_ok() && counted.fetch_add(piece.len(), Ordering::Relaxed) < 1 << 31 {}
    });
    let Err(FeedError::Refused(text)) = asked_of(Request::get(address), patience) else { panic!("it was taken") };
    assert!(text.contains("8 MiB"), "{text}");
    // What the kernel had buffered on either side is all that went over more than that.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{sent:?}");
}

#[test]
fn a_gzip_body_is_unpacked_and_a_broken_one_is_a_broken_exchange() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"data\":[]}").expect("packed");
    let whole = packed.finish().expect("packed");
    let serve = |bytes: Vec<u8>| {
        from(move |stream, _| {
            send(
                stream,
                &format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bytes.len()),
            );
            drop(stream.write_all(&bytes));
        })
    };
    assert_eq!(serve(whole.clone()).expect("unpacked").reply.body, b"{\"data\":[]}");
    down(serve(whole[..whole.len() / 2].to_vec()));
    down(serve(b"not gzip at all".to_vec()));
}

#[test]
fn a_portal_and_a_busy_service_are_passed_on_as_they_are() {
    let portal = from(|stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<!DOCTYPE html>");
    });
    assert_eq!(portal.expect("an answer").reply.content_type, "text/html");
    let busy = from(|stream, _| {
        send(
            stream,
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: Mon, 11 May 2026 07:01:30 GMT\r\ncontent-length: 0\r\n\r\n",
        );
    })
    .expect("an answer");
    assert_eq!((busy.reply.status, busy.reply.retry_after.as_deref()), (429, Some("Mon, 11 May 2026 07:01:30 GMT")));
}

#[test]
fn no_error_holds_a_key() {
    let mut request = Request::get("http://127.0.0.1:1/path");
    request.secret_query.push(("securityToken", Secret::new("canary-4")));
    request.secret_headers.push(("x-key".to_owned(), Secret::new("canary-5")));
    let mut broken = request.clone();
    broken.secret_headers.push(("x-other".to_owned(), Secret::new("canary-6\u{7}")));
    let mut odd = request.clone();
    odd.address = "ftp://127.0.0.1/".to_owned();
    for request in [request, broken, odd] {
        let shown = format!("{request:?}");
        let error = asked_of(request, brief()).expect_err("nobody is there");
        assert!(!format!("{error} {error:?} {shown}").contains("canary"), "{error:?} {shown}");
    }
}
