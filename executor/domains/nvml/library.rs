//! Which management library is loaded: what was typed, else the environment, else the configuration, else the default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment variable that names the library.
pub const VARIABLE: &str = "NEAP_NVML_LIB";

/// The default, looked for where the system looks for libraries.
pub const DEFAULT: &str = "libnvidia-ml.so.1";

/// The library to load: `typed` (`--nvml-lib`), else the value of `NEAP_NVML_LIB`, else the configuration's
/// `executor.nvml_lib`; `None`: the default. Empty values say nothing.
#[must_use]
pub fn choose(typed: Option<PathBuf>, told: Option<OsString>, configured: Option<&Path>) -> Option<PathBuf> {
    let some = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
    typed.and_then(some).or_else(|| told.map(PathBuf::from).and_then(some)).or_else(|| configured.map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_goes_before_what_was_told_and_that_before_the_file() {
        let (typed, told, file) = (Some("/a".into()), Some("/b".into()), Some(Path::new("/c")));
        assert_eq!(choose(typed, told.clone(), file), Some("/a".into()));
        assert_eq!(choose(None, told, file), Some("/b".into()));
        assert_eq!(choose(None, Some("".into()), file), Some("/c".into()));
        assert_eq!(choose(None, None, None), None);
    }
}
