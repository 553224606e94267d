//! Signed events: who holds a key of the site may announce a power limit over the network, and nothing else.
//!
//! `Neap-Signature: v1=HEX` is the HMAC-SHA256 of `v1:` + `Neap-Timestamp` + `:` + the body as sent. Keys are compared in
//! constant time and never printed; an old message cannot be sent again later than [`WINDOW`] seconds.

use crate::config::Key;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far a message's time may be from ours, in seconds.
pub const WINDOW: i64 = 300;

/// Fewest bytes of a key.
const SHORTEST: usize = 16;

/// The keys of a site.
#[derive(Clone, Default)]
pub struct Keys(Vec<Vec<u8>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// Why a message is not believed. The texts do not say what would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// No key is configured.
    #[error("this site takes no signed events: [grid.webhook] names no key")]
    NoKeys,
    /// One of the two headers is not there or cannot be read.
    #[error("a signed event needs the headers Neap-Timestamp (unix seconds) and Neap-Signature (v1=HEX)")]
    Headers,
    /// Too old, or from the future.
    #[error("the event's Neap-Timestamp is more than {WINDOW} s from this host's time")]
    Stale,
    /// It fits no key.
    #[error("the signature fits no key of this site")]
    Wrong,
}

impl Keys {
    /// Reads the keys a configuration names.
    ///
    /// # Errors
    /// Which of them cannot be used, and why; never what is in it.
    pub fn read(named: &[Key]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for key in named {
            let (key, place) = crate::keys::read(key)?;
            if key.len() < SHORTEST {
                return Err(format!("the key in {place} has {} bytes, {SHORTEST} are the least", key.len()));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// Whether the body was signed lately with one of the keys.
    ///
    /// # Errors
    /// [`Unsigned`].
    pub fn check(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), Unsigned> {
        if self.0.is_empty() {
            return Err(Unsigned::NoKeys);
        }
        let timestamp = timestamp.ok_or(Unsigned::Headers)?;
        let given =
            signature.and_then(|text| text.trim().strip_prefix("v1=")).and_then(bytes_of).ok_or(Unsigned::Headers)?;
        let sent: i64 = timestamp.trim().parse().map_err(|_| Unsigned::Headers)?;
        if now.timestamp().abs_diff(sent) > WINDOW.unsigned_abs() {
            return Err(Unsigned::Stale);
        }
        // Every key is tried, whichever fits: the time taken says nothing about which.
        let mut fits = false;
        for key in &self.0 {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(b"v1:");
            mac.update(timestamp.trim().as_bytes());
            mac.update(b":");
            mac.update(body);
            fits |= mac.verify_slice(&given).is_ok();
        }
        if fits { Ok(()) } else { Err(Unsigned::Wrong) }
    }
}

/// Bytes from lower- or upper-case hexadecimal.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A message and its signature as published with the format; the key is for tests only.
    const BODY: &str = "{\"id\":\"dr-2026-05-10-1\",\"revision\":1,\"site\":\"fra\",\"kind\":\"cap\",\"limit_watts\":250000,\
                        \"from\":\"2026-05-10T16:00:00Z\",\"until\":\"2026-05-10T18:00:00Z\",\"priority\":0,\
                        \"reason\":\"utility call 7741\"}";
    const SIGNED: &str = "v1=1e1d22df288fbecfcea497ce89f03a0c5e579610cedcdfb5ada676631e809368";
    const AT: &str = "1778428800";

    fn keys() -> Keys {
        Keys(vec![b"another-key-of-this-site".to_vec(), b"neap-test-key-not-secret".to_vec()])
    }

    fn check(timestamp: &str, signature: &str, body: &str, late: i64) -> Result<(), Unsigned> {
        let now = DateTime::from_timestamp(1_778_428_800 + late, 0).expect("in range");
        keys().check(Some(timestamp), Some(signature), body.as_bytes(), now)
    }

    #[test]
    fn the_published_message_is_believed_within_five_minutes() {
        assert_eq!(check(AT, SIGNED, BODY, 0), Ok(()));
        assert_eq!(check(AT, SIGNED, BODY, 300), Ok(()));
        assert_eq!(check(AT, SIGNED, BODY, -300), Ok(()));
        assert_eq!(check(AT, SIGNED, BODY, 301), Err(Unsigned::Stale));
        assert_eq!(check(AT, SIGNED, BODY, 600), Err(Unsigned::Stale));
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        assert_eq!(check(AT, SIGNED, &BODY.replace("250000", "950000"), 0), Err(Unsigned::Wrong));
        assert_eq!(check("1778428801", SIGNED, BODY, 0), Err(Unsigned::Wrong));
        assert_eq!(check(AT, &SIGNED.replace("1e1d", "1e1e"), BODY, 0), Err(Unsigned::Wrong));
        for broken in ["", "v1=", "v2=00", &SIGNED[..40], &SIGNED.replace("1e", "zz")] {
            assert_eq!(check(AT, broken, BODY, 0), Err(Unsigned::Headers), "{broken}");
        }
        assert_eq!(keys().check(None, Some(SIGNED), BODY.as_bytes(), Utc::now()), Err(Unsigned::Headers));
        assert_eq!(Keys::default().check(Some(AT), Some(SIGNED), b"", Utc::now()), Err(Unsigned::NoKeys));
    }
}
