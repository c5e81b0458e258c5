//! The audit marker, by the audit hook that the agent came in by.

use alloc::string::String;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::agent::{self, Agent};
use crate::python::{Object, Owned, Raised};
use crate::{frame, markers};

/// Whether events are recorded.
static ON: AtomicBool = AtomicBool::new(false);

/// Records events from now on.
pub fn switch_on(agent: &'static Agent) -> Result<(), Raised> {
    // Before 3.9 no function tells a frame's code, so the field is read.
    if agent.python.version < (3, 9) && !frame::is_as_expected(agent) {
        return Err(Raised);
    }
    ON.store(true, Relaxed);
    Ok(())
}

/// Records none any more. CPython has no way to take the hook away.
pub fn switch_off() {
    ON.store(false, Relaxed);
}

/// An audit event, with the tuple of its arguments.
pub fn hear(agent: &Agent, event: &CStr, arguments: *mut Object) {
    // Events are raised even where there is no interpreter any more.
    // SAFETY: it takes nothing.
    if ON.load(Relaxed) && !unsafe { (agent.python.thread_state_or_null)() }.is_null() {
        let name = String::from_utf8_lossy(event.to_bytes());
        // SAFETY: CPython raises events with the GIL where there is a thread state, and puts exceptions aside.
        unsafe { agent::record_audit(agent, &name, place(agent)) };
        if agent.exposes_markers() {
            markers::audit(event, arguments);
        }
    }
}

/// The code object that runs, and its line.
///
/// # Safety
/// With the GIL, and no exception pending.
unsafe fn place(agent: &Agent) -> Option<(Owned<'_>, u32)> {
    let python = &agent.python;
    // SAFETY: the caller's promise; the frame is lent by the interpreter as long as it runs.
    unsafe {
        let frame = python.lent((python.current_frame)()).ok()?;
        let line = (python.frame_line)(frame.as_ptr()).max(0) as u32;
        let code = match python.frame_code(frame.as_ptr()) {
            Some(code) => code,
            None => python.lent(frame::code(python, frame.as_ptr())).ok()?,
        };
        Some((code, line))
    }
}
