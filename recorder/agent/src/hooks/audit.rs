//! Audit events, from the agent's audit hook.

use alloc::string::String;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::context::Context;
use crate::hooks::static_markers;
use crate::python::{Owned, PyObject, Raised, frame};
use crate::record;

/// Whether events are recorded.
static IS_ENABLED: AtomicBool = AtomicBool::new(false);

/// Starts the recording of events.
pub fn enable(context: &'static Context) -> Result<(), Raised> {
    // Before 3.9 no function returns a frame's code object, so the field is read.
    if context.python.version < (3, 9) && !frame::has_expected_layout(&context.python) {
        return Err(Raised);
    }
    IS_ENABLED.store(true, Relaxed);
    Ok(())
}

/// Ends the recording of events. CPython has no function to remove the hook itself.
pub fn disable() {
    IS_ENABLED.store(false, Relaxed);
}

/// Records an audit event. `arguments` is a tuple.
pub fn on_event(context: &Context, event: &CStr, arguments: *mut PyObject) {
    // CPython raises events even after it has deleted the last thread state.
    // SAFETY: the call has no arguments.
    if IS_ENABLED.load(Relaxed) && !unsafe { (context.python.thread_state_get_unchecked)() }.is_null() {
        let name = String::from_utf8_lossy(event.to_bytes());
        // SAFETY: with a thread state, CPython raises events with the GIL and puts a pending
        // exception aside.
        unsafe { record::audit_event(context, &name, current_line(context)) };
        if context.session().exposes_markers() {
            static_markers::audit(event, arguments);
        }
    }
}

/// The code object that is running, and its line.
///
/// # Safety
/// Needs the GIL, and no exception pending.
unsafe fn current_line(context: &Context) -> Option<(Owned<'_>, u32)> {
    let python = &context.python;
    // SAFETY: the interpreter keeps the frame alive while it runs. `enable` has verified its layout
    // if this CPython has no function for the code object.
    unsafe {
        let frame = python.borrowed((python.eval_get_frame)()).ok()?;
        let line = (python.frame_get_line_number)(frame.as_ptr()).max(0) as u32;
        let code = match python.frame_code(frame.as_ptr()) {
            Some(code) => code,
            None => python.borrowed(frame::code(python, frame.as_ptr())).ok()?,
        };
        Some((code, line))
    }
}
