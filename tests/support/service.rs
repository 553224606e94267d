//! Grid services made of a socket: what they answer is a function of what they are asked.

use chrono::{DateTime, TimeDelta, Utc};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A service on a port of its own. Everything it was sent is kept.
pub struct Service {
    pub address: String,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers every request with what `answer` makes of its head; the connection is closed after it. `None`: it says
    /// nothing and keeps the connection open.
    pub fn new(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &heard, &*answer));
            }
        });
        Self { address, asked }
    }

    pub fn requests(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Option<String>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let mut head = String::from_utf8_lossy(&head).into_owned();
    // What is posted follows the head.
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0usize).min(64 << 10)];
    if stream.read_exact(&mut body).is_ok() {
        head += &String::from_utf8_lossy(&body);
    }
    heard.lock().expect("not poisoned").push(head.clone());
    match answer(&head) {
        Some(text) => drop(stream.write_all(text.as_bytes())),
        None => std::thread::sleep(std::time::Duration::from_secs(120)),
    }
}

/// A whole answer.
pub fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn json(body: &str) -> String {
    answer("200 OK", "application/json", body)
}

/// g/kWh of an hour of the day: clean at noon.
fn grams(at: DateTime<Utc>) -> i64 {
    300 + 15 * ((at.timestamp() / 3_600 % 24) - 12).abs()
}

/// What Energy-Charts says: three weeks of hours measured, a day and a half ahead.
pub fn energy_charts(head: &str) -> Option<String> {
    let hour = Utc::now().timestamp() / 3_600 * 3_600;
    let times: Vec<i64> = (-24 * 20..36).map(|n| hour + n * 3_600).collect();
    let list = |keep: &dyn Fn(i64) -> bool, scale: f64| -> String {
        let text = |at: &i64| match keep(*at) {
            true => format!("{}", grams(DateTime::from_timestamp(*at, 0).expect("in range")) as f64 * scale),
            false => "null".to_owned(),
        };
        times.iter().map(text).collect::<Vec<_>>().join(",")
    };
    let seconds = times.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    if head.starts_with("GET /v2/price?") {
        let row = |at: &i64| {
            let stamp = DateTime::from_timestamp(*at, 0).expect("in range").format("%Y-%m-%dT%H:%M:%S+00:00");
            format!("{{\"timestamp\":\"{stamp}\",\"values\":{{\"day_ahead_price\":{}}}}}", (at / 3_600) % 24 - 3)
        };
        let rows = times.iter().map(row).collect::<Vec<_>>().join(",");
        return Some(json(&format!("{{\"unit\":\"EUR / MWh\",\"data\":[{rows}]}}")));
    }
    let (measured, ahead) = (list(&|at| at <= hour, 1.0), list(&|_| true, 1.02));
    Some(json(&format!("{{\"unix_seconds\":[{seconds}],\"co2eq\":[{measured}],\"co2eq_forecast\":[{ahead}]}}")))
}

/// What the British service says.
pub fn uk(head: &str) -> Option<String> {
    let half = Utc::now().timestamp() / 1_800 * 1_800;
    let ahead = head.contains("/fw48h");
    let range = if ahead { 0..97 } else { -2 * 24 * 13..1 };
    let row = |n: i64| {
        let at = DateTime::from_timestamp(half + n * 1_800, 0).expect("in range");
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ").to_string();
        let grams = grams(at) / 2;
        let actual = if n < 0 { grams.to_string() } else { "null".to_owned() };
        format!(
            "{{\"from\":\"{}\",\"to\":\"{}\",\"intensity\":{{\"forecast\":{grams},\"actual\":{actual},\"index\":\"low\"}}}}",
            stamp(at),
            stamp(at + TimeDelta::minutes(30))
        )
    };
    Some(json(&format!("{{\"data\":[{}]}}", range.map(row).collect::<Vec<_>>().join(","))))
}
