//! Every recorded answer through its parser, against answers that were worked out apart; and every provider against what a
//! hostile service may send.
//!
//! The recorded answers are shared data; without them these tests are skipped aloud.

mod hostile;
mod known;
mod served;

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
