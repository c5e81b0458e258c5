//! Ids of code objects, kept in their `co_extra` entry.
//!
//! ```text
//! 63           62                   32 31        0
//! ┌────────────┬──────────────────────┬───────────┐
//! │ unrecorded │ epoch                │ id        │
//! └────────────┴──────────────────────┴───────────┘
//! ```
//!
//! A value of another epoch than the current one counts as absent.

use core::ffi::c_int;
use core::ptr;

use crate::context::Context;
use crate::os::Errno;
use crate::python::{PyObject, Raised};
use crate::ring::definitions;

/// The bit of an epoch for code objects that are not recorded.
const UNRECORDED: u32 = 1 << 31;

/// The value of a code object's entry.
#[derive(Clone, Copy)]
pub struct CodeValue {
    epoch: u32,
    pub id: u32,
}

impl CodeValue {
    /// Reads the value; 0 if it was never set. Returns the status of the C function, too: nonzero
    /// means that an exception is pending.
    ///
    /// # Safety
    /// Needs the GIL.
    #[inline(always)]
    pub unsafe fn read(context: &Context, code: *mut PyObject) -> (CodeValue, c_int) {
        let mut value = ptr::null_mut();
        // SAFETY: the caller holds the GIL; an object that is not a code object raises.
        let status = unsafe { (context.python.code_get_extra)(code, context.code_extra.index, &mut value) };
        let value = value.addr() as u64;
        (CodeValue { epoch: (value >> 32) as u32, id: value as u32 }, status)
    }

    /// Whether the code object has an id and is recorded.
    #[inline(always)]
    pub fn is_recorded(self) -> bool {
        self.epoch == definitions::epoch()
    }

    /// Whether the session's filter excludes the code object.
    #[inline(always)]
    pub fn is_unrecorded(self) -> bool {
        self.epoch == definitions::epoch() | UNRECORDED
    }
}

/// Sets the id of a code object that is recorded.
pub fn set_code_id(context: &Context, code: *mut PyObject, id: u32) -> Result<(), Raised> {
    set(context, code, definitions::epoch(), id)
}

fn set(context: &Context, code: *mut PyObject, epoch: u32, id: u32) -> Result<(), Raised> {
    context.code_extra.set(&context.python, code, u64::from(epoch) << 32 | u64::from(id))
}

/// Returns the id of a code object and defines it if it is new. Returns `None` if the code object
/// is not recorded.
///
/// # Safety
/// Needs the GIL, no exception pending, and a code object.
pub unsafe fn recorded_id(context: &Context, code: *mut PyObject) -> Result<Option<u32>, Errno> {
    // SAFETY: the caller holds the GIL.
    let (value, _) = unsafe { CodeValue::read(context, code) };
    if value.is_recorded() {
        return Ok(Some(value.id));
    }
    if value.is_unrecorded() {
        return Ok(None);
    }
    let id = definitions::define_code(context, code)?;
    let set = match id {
        Some(id) => set_code_id(context, code, id),
        None => set(context, code, definitions::epoch() | UNRECORDED, 0),
    };
    set.map(|()| id).map_err(|Raised| Errno(libc::ENOMEM))
}

/// Returns the id of a code object, recorded or not, and defines it if it is new.
///
/// # Safety
/// Needs the GIL, no exception pending, and a code object.
pub unsafe fn any_id(context: &Context, code: *mut PyObject) -> Result<u32, Errno> {
    // SAFETY: the caller's guarantees are the same.
    if let Some(id) = unsafe { recorded_id(context, code) }? {
        return Ok(id);
    }
    // SAFETY: the caller holds the GIL.
    if let (CodeValue { id: id @ 1.., .. }, _) = unsafe { CodeValue::read(context, code) } {
        return Ok(id);
    }
    let id = definitions::define_unrecorded_code(context, code)?;
    let set = set(context, code, definitions::epoch() | UNRECORDED, id);
    set.map(|()| id).map_err(|Raised| Errno(libc::ENOMEM))
}
