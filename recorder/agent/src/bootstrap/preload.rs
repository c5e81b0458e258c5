//! The library's constructor: prepares the recording of a Python that is about to start.
//!
//! ```text
//! constructor        in every program of the recording, before `main`: looks for a CPython
//!   └▶ init_posix    when that CPython creates its first modules: adds the audit hook
//!        └▶ hook     when CPython's `main` raises `cpython.run_…`: the user's code runs next
//!             └▶ lifecycle::begin_at_start
//! ```
//!
//! The constructor cannot add the audit hook itself. CPython would allocate memory for it with one
//! allocator and free it with another, and abort, if the debugging allocator is chosen (`-X dev`).
//! `posix` is built into every CPython and among the first modules that it imports; by then the
//! allocator has been chosen.

use core::ffi::{CStr, c_char};
use core::ptr;

use pyrec_wire::SESSION_VARIABLE;

use crate::bootstrap::audit_hook;
use crate::os::{self, Lock};
use crate::python::PyObject;

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// `struct _inittab`, an entry of the table of built-in modules.
#[repr(C)]
struct BuiltinModule {
    name: *const c_char,
    init: Option<InitFunction>,
}

type InitFunction = unsafe extern "C-unwind" fn() -> *mut PyObject;

/// CPython's init function of `posix`.
static INIT_POSIX: Lock<Option<InitFunction>> = Lock::new(None);

extern "C" fn constructor() {
    let Some(directory) = os::environment_variable(SESSION_VARIABLE) else { return };
    let table = os::symbol(c"PyImport_Inittab").cast::<*mut BuiltinModule>();
    if table.is_null() || os::symbol(c"PySys_AddAuditHook").is_null() {
        return;
    }
    audit_hook::set_pending_session(directory);
    // SAFETY: the table ends in an entry without a name, and no other code uses it before `main`.
    unsafe {
        let mut module = *table;
        while !module.is_null() && !(*module).name.is_null() {
            if CStr::from_ptr((*module).name) == c"posix" {
                INIT_POSIX.with(|original| *original = (*module).init.replace(init_posix));
                return;
            }
            module = module.add(1);
        }
    }
}

unsafe extern "C-unwind" fn init_posix() -> *mut PyObject {
    audit_hook::add();
    match INIT_POSIX.with(|original| *original) {
        // SAFETY: CPython calls the replacement as it would call the original.
        Some(original) => unsafe { original() },
        None => ptr::null_mut(),
    }
}
