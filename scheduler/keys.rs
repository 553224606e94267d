//! Keys from where a site keeps them. The text of an error names the place, never what stands there.

use crate::config::Key;

/// The bytes of a key, white space around it left out, and the place they come from.
///
/// # Errors
/// Why it cannot be read.
pub fn read(key: &Key) -> Result<(Vec<u8>, String), String> {
    let (bytes, place) = match key {
        Key::File(path) => (std::fs::read(path).map_err(|error| error.kind().to_string()), path.display().to_string()),
        Key::Env(name) => {
            let value = std::env::var(name).map(String::into_bytes);
            (value.map_err(|_| "it is not set or no text".to_owned()), format!("the environment ({name})"))
        }
    };
    match bytes {
        Ok(bytes) => Ok((bytes.trim_ascii().to_vec(), place)),
        Err(why) => Err(format!("cannot read the key in {place}: {why}")),
    }
}
