//! The functions of `libnvidia-ml.so.1`, with NVIDIA's names and layouts. No panic leaves them: it becomes "unknown error".
#![expect(unsafe_code, reason = "these are C functions: pointers come from the caller and names are not mangled")]
#![allow(non_snake_case)]

mod clocks;
mod device;
mod fields;
mod gpm;
mod mig;
mod power;
mod processes;
mod setters;
mod system;

use crate::session::{Call, Code, Handle, INVALID, TOO_SMALL, UNKNOWN, current};
use crate::state::State;
use nvml_wrapper_sys::bindings::nvmlDevice_t;
use std::ffi::{c_char, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Declares exported functions whose bodies say `Result<(), Code>`.
macro_rules! export {
    ($(fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $kind),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
                #[allow(unused_unsafe)]
                crate::abi::guarded(|| unsafe { $body })
            }
        )*
    };
}
pub(crate) use export;

pub(crate) fn guarded(answer: impl FnOnce() -> Result<(), Code>) -> u32 {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(())) => 0,
        Ok(Err(code)) => code,
        Err(_) => UNKNOWN,
    }
}

/// Calls a GPU.
fn ask<T>(
    device: nvmlDevice_t,
    call: Call,
    answer: impl FnOnce(&mut State, Handle) -> Result<T, Code>,
) -> Result<T, Code> {
    let handle = Handle::read(device as usize)?;
    current()?.call(handle, call, |gpu| answer(gpu, handle))
}

/// Reads something that only a whole board has.
fn read<T>(device: nvmlDevice_t, answer: impl FnOnce(&mut State) -> Result<T, Code>) -> Result<T, Code> {
    ask(device, Call::Read, |gpu, handle| match handle.instance {
        None => answer(gpu),
        Some(_) => Err(crate::session::UNSUPPORTED),
    })
}

unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller's pointer to a `T`, as its header promises.
    unsafe { place.write(value) };
    Ok(())
}

unsafe fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID);
    }
    if text.len() >= length as usize {
        return Err(TOO_SMALL);
    }
    // SAFETY: the caller has room for `length` bytes, and text and its end are no more.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes a list into the caller's room, or says how much room it takes.
unsafe fn put_list<T: Copy>(count: *mut c_uint, room: *mut T, list: &[T]) -> Result<(), Code> {
    if count.is_null() {
        return Err(INVALID);
    }
    // SAFETY: the caller's pointer, as its header promises.
    let has = unsafe { count.read() } as usize;
    unsafe { count.write(list.len() as c_uint) };
    if list.is_empty() {
        return Ok(());
    }
    if room.is_null() || has < list.len() {
        return Err(TOO_SMALL);
    }
    // SAFETY: the caller has room for `has` entries.
    unsafe { std::ptr::copy_nonoverlapping(list.as_ptr(), room, list.len()) };
    Ok(())
}
