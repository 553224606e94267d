//! `OpenADR` 3, read only: what a server of grid events (a VTN) announces, polled. It asks, pages and reads; what it read ends
//! nothing and starts nothing before the controller wrote it down.
//!
//! After the `OpenADR` 3.0.1 and 3.1 definitions: events with intervals, each with payloads; targets as objects or as texts.

pub mod client;
pub mod event;
pub mod notices;
pub mod polls;
pub mod span;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use event::{Event, Said, Shown};
pub use polls::{News, keep_polling};

use super::feed::Secret;
use crate::config::Vtn;

/// The client of a server, its secret read from where it is kept.
///
/// # Errors
/// Why it cannot be asked. The text names the place of the secret, never the secret.
pub fn client(vtn: &Vtn) -> Result<Client, String> {
    let (bytes, place) = crate::keys::read(&vtn.secret)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the key in {place} is no text"))?;
    let secret = Secret::new(&text);
    if secret.reveal().is_empty() {
        return Err(format!("the key in {place} is empty"));
    }
    Ok(Client::new(vtn.clone(), secret))
}
