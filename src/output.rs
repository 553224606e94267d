//! The one writer. A reader that went away ends the program quietly; everything else that goes wrong is told.

use std::io::{self, Write};

/// Writes a result to standard output. A closed pipe ends the program with 0.
pub fn out(text: &str) {
    bytes(text.as_bytes());
}

/// The same for bytes.
pub fn bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            note(&format!("cannot write the result: {error}"));
            std::process::exit(1);
        }
    }
}

/// Progress, warnings and errors: to standard error, where nobody may listen.
pub fn note(line: &str) {
    raw(&format!("{line}\n"));
}

/// The same without an end of line.
pub fn raw(text: &str) {
    // If standard error is gone as well there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
