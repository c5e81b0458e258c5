//! The functions that the hooks call to record an event.

use alloc::format;
use core::ffi::c_int;

use pyrec_wire::{Record, RecordKind};

use crate::context::{self, Context};
use crate::os::{self, Errno, clock};
use crate::python::{Owned, PyObject};
use crate::record::code_ids::{self, CodeValue};
use crate::record::thread_names;
use crate::ring::thread::{self, Thread};
use crate::ring::{Ring, definitions};

/// Records an event of a code object; this is the hot path. Returns whether the code object is
/// excluded from the recording, which does not change during a session.
///
/// # Safety
/// Needs the GIL, and no exception pending.
#[inline(always)]
pub unsafe fn code_event(kind: RecordKind, code: *mut PyObject, arg: u32) -> bool {
    let ticks = clock::ticks();
    let context = context::get();
    let thread = Thread::current();
    // SAFETY: the caller holds the GIL.
    let (value, status) = unsafe { CodeValue::read(context, code) };
    if thread.is_recorded() && value.is_recorded() {
        // SAFETY: the thread is the current one, and recorded.
        unsafe { thread.push(Record::new(ticks, kind, arg, value.id)) };
        false
    } else if thread.is_recorded() && value.is_unrecorded() {
        true
    } else {
        // SAFETY: the caller's guarantees are the same.
        unsafe { first_code_event(status, kind, code, arg, ticks) }
    }
}

/// Records an event of a thread or code object that is new, or of a thread that is not recorded.
#[cold]
#[inline(never)]
unsafe fn first_code_event(
    status: c_int,
    kind: RecordKind,
    code: *mut PyObject,
    arg: u32,
    ticks: u64,
) -> bool {
    let context = context::get();
    if context.python.check_status(status).is_err() {
        return false;
    }
    let Some(thread) = current_thread(context, Some(code), ticks) else { return false };
    // SAFETY: the status showed that this is a code object; the caller guarantees the rest.
    match unsafe { code_ids::recorded_id(context, code) } {
        Ok(None) => return true,
        Ok(Some(id)) => thread.push_or_count_lost(ticks, Ok(Record::new(ticks, kind, arg, id))),
        Err(error) => thread.push_or_count_lost(ticks, Err(error)),
    }
    false
}

/// Writes a record for a frame that was active before the recording began.
///
/// # Safety
/// Needs the GIL, no exception pending, and a code object.
pub unsafe fn open_frame(ring: &mut Ring, code: *mut PyObject, ticks: u64, arg: u32) {
    // SAFETY: the caller's guarantees are the same.
    match unsafe { code_ids::recorded_id(context::get(), code) } {
        // An error would mean that the session has ended; the next event finds that out.
        Ok(Some(id)) => drop(ring.push(Record::new(ticks, RecordKind::Open, arg, id))),
        Ok(None) => {}
        Err(_) => ring.count_lost(ticks),
    }
}

/// Records an event about a text.
pub fn text_event(context: &Context, kind: RecordKind, text: &str, arg: u32) {
    let ticks = clock::ticks();
    if let Some(thread) = current_thread(context, None, ticks) {
        let id = definitions::text_id(context.session(), text);
        thread.push_or_count_lost(ticks, id.map(|id| Record::new(ticks, kind, arg, id)));
    }
}

/// Records an audit event, with the code object and line that raised it if they are known.
///
/// # Safety
/// Needs the GIL, and no exception pending.
pub unsafe fn audit_event(context: &Context, event: &str, raised_by: Option<(Owned<'_>, u32)>) {
    let ticks = clock::ticks();
    let Some(thread) = current_thread(context, None, ticks) else { return };
    let (code, line) = raised_by.map_or((Ok(0), 0), |(code, line)| {
        // SAFETY: the caller's guarantees are the same.
        (unsafe { code_ids::any_id(context, code.as_ptr()) }, line)
    });
    let site = code.and_then(|code| definitions::site_id(context.session(), code, event));
    thread.push_or_count_lost(ticks, site.map(|id| Record::new(ticks, RecordKind::Audit, line, id)));
}

/// Records the call of a C function, or its end. `id` returns the id of its name's text, or `None`
/// if the function is not recorded.
pub fn cfunction_event(
    kind: RecordKind,
    ticks: u64,
    id: impl FnOnce(&Context) -> Result<Option<u32>, Errno>,
) {
    let context = context::get();
    if let Some(thread) = current_thread(context, None, ticks)
        && let Some(id) = id(context).transpose()
    {
        thread.push_or_count_lost(ticks, id.map(|id| Record::new(ticks, kind, 0, id)));
    }
}

/// Records an event at an instruction of a code object. `site` returns the id of its site, from
/// that of the code object. Returns whether the code object is excluded from the recording.
///
/// # Safety
/// Needs the GIL, no exception pending, and a code object.
pub unsafe fn site_event(
    kind: RecordKind,
    code: *mut PyObject,
    arg: u32,
    ticks: u64,
    site: impl FnOnce(&Context, u32) -> Result<u32, Errno>,
) -> bool {
    let context = context::get();
    let Some(thread) = current_thread(context, Some(code), ticks) else { return false };
    // SAFETY: the caller's guarantees are the same.
    let Some(code) = (unsafe { code_ids::recorded_id(context, code) }).transpose() else { return true };
    let site = code.and_then(|code| site(context, code));
    thread.push_or_count_lost(ticks, site.map(|id| Record::new(ticks, kind, arg, id)));
    false
}

/// Records an event about a number.
pub fn number_event(context: &Context, kind: RecordKind, number: u64) {
    let ticks = clock::ticks();
    if let Some(thread) = current_thread(context, None, ticks) {
        // SAFETY: the thread is the current one, and recorded.
        unsafe { thread.push(Record::with_payload(ticks, kind, number)) };
    }
}

/// Creates the current thread's ring ahead of its first event.
pub fn prepare_thread(context: &Context) {
    current_thread(context, None, clock::ticks());
}

/// The current thread if it is recorded. Creates its ring, and the process's log of definitions, if
/// they do not exist. `code` is the code object that the thread runs, if it is known.
fn current_thread(context: &Context, code: Option<*mut PyObject>, ticks: u64) -> Option<Thread> {
    let thread = thread::current_in_session();
    if thread.is_recorded() {
        return Some(thread);
    }
    if thread.is_unrecorded() || context::is_off() {
        return None;
    }
    if definitions::ensure_log(context, ticks).is_err() {
        context.switch_off();
        return None;
    }
    match thread::attach_ring(context.session(), ticks) {
        Ok((thread, was_reserved)) => {
            // A second definition of the name would begin a new thread in the trace.
            if !was_reserved {
                thread_names::define_current(context, code);
            }
            Some(thread)
        }
        Err(error) => {
            let tid = os::tid();
            let text = format!("Thread {tid} is not recorded: its ring cannot be created, {error}.");
            definitions::notice(context.session(), text);
            None
        }
    }
}
