//! Many readings in one trip, each with its own answer.

use super::power::{counter, shown};
use super::{export, read};
use crate::fault::Kind;
use crate::session::{Code, INVALID, UNSUPPORTED};
use crate::state::State;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlFieldValue_t, nvmlValue_t};
use std::ffi::{c_int, c_uint};

const UNSIGNED: c_uint = 1;
const LONG: c_uint = 3;
/// More fields than that are nobody's question.
const MOST: c_int = 256;

fn field(gpu: &mut State, id: c_uint) -> Result<(c_uint, u64), Code> {
    let refused = gpu.faults.iter().any(|f| f.is(Kind::FieldUnsupported) && f.value == u64::from(id) && f.open(gpu.at));
    if refused {
        return Err(UNSUPPORTED);
    }
    let limits = gpu.profile().limits;
    Ok(match id {
        74 => (LONG, gpu.bound_ns as u64),
        83 | 191 => (LONG, counter(gpu)?),
        185 => (UNSIGNED, shown(gpu, gpu.profile().averaged)?),
        186 => (UNSIGNED, shown(gpu, false)?),
        187 => (UNSIGNED, u64::from(limits.0) * 1_000),
        188 => (UNSIGNED, u64::from(limits.1) * 1_000),
        189 => (UNSIGNED, gpu.default),
        190 => (UNSIGNED, gpu.enforced()),
        192 => (UNSIGNED, gpu.requested),
        _ => return Err(UNSUPPORTED),
    })
}

export! {
    fn nvmlDeviceGetFieldValues(device: nvmlDevice_t, count: c_int, values: *mut nvmlFieldValue_t) {
        if values.is_null() || !(1..=MOST).contains(&count) {
            return Err(INVALID);
        }
        let wanted = std::slice::from_raw_parts_mut(values, count as usize);
        read(device, |gpu| {
            for value in wanted.iter_mut() {
                value.timestamp = gpu.at as i64;
                value.latencyUsec = 10;
                match field(gpu, value.fieldId) {
                    Ok((kind, number)) => {
                        (value.nvmlReturn, value.valueType) = (0, kind);
                        value.value = nvmlValue_t { ullVal: 0 };
                        if kind == LONG {
                            value.value.ullVal = number;
                        } else {
                            value.value.uiVal = number as c_uint;
                        }
                    }
                    Err(code) => value.nvmlReturn = code,
                }
            }
            Ok(())
        })
    }
}
