//! The library itself: start, end, versions, words for errors.

use super::{export, put, put_text};
use crate::session::{INVALID, current, init, shutdown};
use std::ffi::{c_char, c_int, c_uint};

export! {
    fn nvmlInit_v2() {
        init()
    }
    fn nvmlInitWithFlags(_flags: c_uint) {
        init()
    }
    fn nvmlShutdown() {
        shutdown()
    }
    fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) {
        current()?;
        put_text(version, length, "570.00.00")
    }
    fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) {
        put_text(version, length, "12.570.00.00")
    }
    fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) {
        put(version, 12_080)
    }
    fn nvmlDeviceGetCount_v2(count: *mut c_uint) {
        put(count, current()?.count() as c_uint)
    }
}

/// Words for a return code.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: u32) -> *const c_char {
    let words = match code {
        0 => c"Success",
        1 => c"Uninitialized",
        INVALID => c"Invalid Argument",
        3 => c"Not Supported",
        4 => c"Insufficient Permissions",
        6 => c"Not Found",
        7 => c"Insufficient Size",
        9 => c"Driver Not Loaded",
        10 => c"Timeout",
        15 => c"GPU is lost",
        16 => c"GPU requires reset",
        _ => c"Unknown Error",
    };
    words.as_ptr()
}
