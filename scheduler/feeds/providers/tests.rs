//! Every recorded answer through its parser, against answers that were worked out apart; and every provider against what a
//! hostile service may send.
//!
//! The recorded answers are shared data; without them these tests are skipped aloud.

mod hostile;
mod hostile_prices;
mod known;
mod served;

use super::http_json::{Layout, Options};
use chrono::TimeDelta;
use neap_model::grid::Basis;
use std::path::PathBuf;

/// The bytes of a recorded answer.
pub fn fixture(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fixtures").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
            {
                eprintln!("SKIPPED: {} is not here", path.display());
            }
            None
        }
    }
}

/// How the recorded answer of any JSON service is laid out.
fn any_json_options() -> Options {
    Options {
        name: "ours".to_owned(),
        url: "http://127.0.0.1/{zone}".to_owned(),
        headers: Vec::new(),
        layout: Layout::Points {
            list: "/spans".to_owned(),
            time: "/start".to_owned(),
            value: "/value".to_owned(),
            end: Some("/end".to_owned()),
            grade: Some("/grade".to_owned()),
        },
        issued: Some("/issued".to_owned()),
        label_is_end: false,
        step: None,
        scale: 1.0,
        basis: Basis::default(),
        currency: None,
        missing: vec![-1.0],
        expect: Vec::new(),
        poll: TimeDelta::minutes(5),
    }
}
