//! Who is speaking: the user id the kernel vouches for on a Unix socket, or the holder of the token on loopback.

pub mod signature;

use neap_model::job::Person;
use rand::RngCore;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

/// Names of users, looked up once each.
#[derive(Debug, Default)]
pub struct Names(Mutex<HashMap<u32, String>>);

impl Names {
    /// The person with that user id.
    pub fn person(&self, uid: u32) -> Person {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = known.entry(uid).or_insert_with(|| login_name(uid).unwrap_or_else(|| uid.to_string())).clone();
        Person { uid, name }
    }
}

/// Login name from the host's user table.
fn login_name(uid: u32) -> Option<String> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid).then(|| name.to_owned())
    })
}

/// A bearer token. It is compared in constant time and never printed.
pub struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file could not be read or made.
    #[error("cannot {doing} the token file {path}")]
    File {
        /// Which.
        path: String,
        /// What we were doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the token file {path} can be read by others (mode {mode:o}): chmod 600 {path}")]
    Readable {
        /// Which.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// It holds too little.
    #[error("the token in {path} is {found} characters long, 32 are the least")]
    Short {
        /// Which.
        path: String,
        /// Its length.
        found: usize,
    },
}

impl Token {
    /// Reads the token, or makes one that only this user can read.
    ///
    /// # Errors
    /// [`TokenError`] if the file cannot be used as it is.
    pub fn read_or_make(path: &Path) -> Result<Self, TokenError> {
        let shown = || path.display().to_string();
        let failed = |doing| move |source| TokenError::File { path: path.display().to_string(), doing, source };
        if !path.exists() {
            let mut bytes = [0u8; 32];
            rand::rng().fill_bytes(&mut bytes);
            let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(failed("make"))?;
            file.write_all(text.as_bytes()).map_err(failed("write"))?;
        }
        let mode = std::fs::metadata(path).map_err(failed("read"))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Readable { path: shown(), mode });
        }
        let text = std::fs::read_to_string(path).map_err(failed("read"))?;
        let token = text.trim().as_bytes().to_vec();
        if token.len() < 32 {
            return Err(TokenError::Short { path: shown(), found: token.len() });
        }
        Ok(Self(token))
    }

    /// Whether an `Authorization` header carries this token.
    #[must_use]
    pub fn admits(&self, header: Option<&str>) -> bool {
        let Some(given) = header.and_then(|h| h.strip_prefix("Bearer ")) else { return false };
        let given = given.as_bytes();
        // Length is no secret; content takes the same time whatever differs.
        given.len() == self.0.len() && given.iter().zip(&self.0).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_private_and_compared_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        let token = Token::read_or_make(&path).expect("made");
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(token.admits(Some(&format!("Bearer {text}"))));
        assert!(Token::read_or_make(&path).expect("read").admits(Some(&format!("Bearer {text}"))));
        for wrong in [None, Some(""), Some("Bearer "), Some(text.as_str()), Some("Bearer 00")] {
            assert!(!token.admits(wrong), "{wrong:?}");
        }
        let mut other = text.clone().into_bytes();
        other[63] ^= 1;
        let other = String::from_utf8(other).expect("still text");
        assert!(!token.admits(Some(&format!("Bearer {other}"))));
        assert!(!format!("{token:?}").contains(&text));
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789012345678901234567890123456789").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        let error = Token::read_or_make(&path).expect_err("anybody can read it");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
