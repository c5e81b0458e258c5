//! The agent's audit hook. It begins the recording when the user's code is about to run, and passes
//! later events to the hooks that record them.

use alloc::string::String;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::context;
use crate::hooks::{audit, profile};
use crate::lifecycle;
use crate::os::{self, Lock};
use crate::python::PyObject;

/// The directory of the session that begins when the user's code does.
static PENDING_SESSION: Lock<Option<String>> = Lock::new(None);

/// Whether the hook has been added. A subinterpreter initializes its modules, too.
static IS_ADDED: AtomicBool = AtomicBool::new(false);

/// Sets the session that the hook begins when the user's code does.
pub fn set_pending_session(directory: String) {
    PENDING_SESSION.with(|pending| *pending = Some(directory));
}

/// Prevents the hook from beginning a session.
pub fn clear_pending_session() {
    PENDING_SESSION.with(|pending| *pending = None);
}

/// Adds the hook to CPython, once.
pub fn add() {
    type AddAuditHook = unsafe extern "C-unwind" fn(AuditHook, *mut c_void) -> c_int;
    let add_audit_hook = os::symbol(c"PySys_AddAuditHook");
    if !add_audit_hook.is_null() && !IS_ADDED.swap(true, Relaxed) {
        // SAFETY: CPython's headers declare the function with this type.
        unsafe { core::mem::transmute::<*mut c_void, AddAuditHook>(add_audit_hook)(hook, ptr::null_mut()) };
    }
}

/// `Py_AuditHookFunction`: event, tuple of arguments, user data.
type AuditHook = unsafe extern "C-unwind" fn(*const c_char, *mut PyObject, *mut c_void) -> c_int;

unsafe extern "C-unwind" fn hook(event: *const c_char, arguments: *mut PyObject, _: *mut c_void) -> c_int {
    if context::is_ready() {
        // SAFETY: an event's name ends in a zero byte.
        let (context, event) = (context::get(), unsafe { CStr::from_ptr(event) });
        if !profile::is_setting_hooks() {
            profile::on_audit_event(context, event);
            audit::on_event(context, event, arguments);
        }
    // SAFETY: as above.
    } else if unsafe { precedes_user_code(event) }
        && let Some(directory) = PENDING_SESSION.with(Option::take)
    {
        // SAFETY: CPython calls with the GIL, and a pending session is taken once.
        unsafe { lifecycle::begin_at_start(directory) };
    }
    0
}

/// Whether CPython raises the event just before it runs the user's code.
///
/// # Safety
/// The name must end in a zero byte.
unsafe fn precedes_user_code(event: *const c_char) -> bool {
    const PREFIX: &[u8] = b"cpython.run_";
    // SAFETY: the comparison ends at the first difference, at the latest at the zero byte.
    PREFIX.iter().enumerate().all(|(at, byte)| unsafe { *event.add(at) } as u8 == *byte)
}
