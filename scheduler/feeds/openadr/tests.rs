//! Events as servers show them, read; and the client against a server on loopback that replays recorded answers.

mod read;
mod served;

use super::super::feed::Secret;
use super::*;
use crate::config::{Key, Level};
use chrono::{DateTime, Utc};
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use std::collections::BTreeMap;

/// What must never be seen anywhere but in a request.
const CANARY: &str = "canary-7f3a9b-secret";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn vtn(base: &str) -> Vtn {
    Vtn {
        name: "utility".into(),
        base: base.into(),
        token_url: None,
        program: None,
        client_id: "site-7".into(),
        secret: Key::Env("NEAP_TEST_NOBODY_SETS_THIS".into()),
        scope: None,
        site: None,
        targets: Vec::new(),
        poll: Seconds(60),
        max_cap_age: Seconds::hours(24),
        simple: BTreeMap::from([(1, Level::Share(Percent::whole(80))), (3, Level::Cap(Watts::whole(5_000)))]),
        base_load: Watts(0),
        units: None,
    }
}

fn secret() -> Secret {
    Secret::new(CANARY)
}
