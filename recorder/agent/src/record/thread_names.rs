//! Names of threads, from the `threading` module.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyrec_wire::Definition;

use crate::context::Context;
use crate::os;
use crate::python::{PyObject, Raised};
use crate::ring::definitions;

/// Whether the process's first thread (its tid is the pid) is the one that Python calls
/// `MainThread`. In the child of a fork it is the thread that forked, which keeps its name.
static FIRST_IS_MAIN: AtomicBool = AtomicBool::new(true);

/// The value of [`FIRST_IS_MAIN`] for a child that is being forked.
static FORKS_FROM_MAIN: AtomicBool = AtomicBool::new(true);

/// In the parent, before a fork.
pub fn before_fork() {
    FORKS_FROM_MAIN.store(is_main(), Relaxed);
}

/// In the child of a fork.
pub fn after_fork() {
    FIRST_IS_MAIN.store(FORKS_FROM_MAIN.load(Relaxed), Relaxed);
}

fn is_main() -> bool {
    os::tid() == os::pid() && FIRST_IS_MAIN.load(Relaxed)
}

/// Defines the current thread's name, if it can be determined. `code` is the code object that the
/// thread runs.
pub fn define_current(context: &Context, code: Option<*mut PyObject>) {
    let tid = os::tid();
    let name = match code {
        _ if is_main() => Some("MainThread".into()),
        Some(code) => bootstrap_name(context, code).ok(),
        None => None,
    };
    if let Some(name) = name {
        definitions::append(context.session(), &Definition::Thread { tid, name });
    }
}

/// Defines the names of all threads that `threading` has.
pub fn define_all(context: &Context) {
    // A program that has not imported `threading` has only its main thread.
    let names = all(context).unwrap_or_else(|Raised| alloc::vec![(os::pid(), "MainThread".into())]);
    for (tid, name) in names {
        definitions::append(context.session(), &Definition::Thread { tid, name });
    }
}

/// The tids and names in `threading._active`.
fn all(context: &Context) -> Result<Vec<(i32, String)>, Raised> {
    let python = &context.python;
    // SAFETY: every result is checked before use, and an object of an unexpected type raises.
    unsafe {
        let threading = python
            .borrowed((python.dict_get_item_string)((python.get_module_dict)(), c"threading".as_ptr()))?;
        let active = python.attribute(threading.as_ptr(), c"_active")?;
        let threads = python.owned((python.dict_values)(active.as_ptr()))?;
        let named = (0..(python.sequence_size)(threads.as_ptr())).filter_map(|at| {
            let thread = python.owned((python.sequence_get_item)(threads.as_ptr(), at)).ok()?;
            let fields = python.owned((python.generic_get_dict)(thread.as_ptr(), ptr::null_mut())).ok()?;
            let field = |name: &CStr| {
                python.borrowed((python.dict_get_item_string)(fields.as_ptr(), name.as_ptr())).ok()
            };
            let tid = python.int_value(field(c"_native_id")?.as_ptr()).ok()?;
            Some((tid as i32, python.str_value(field(c"_name")?.as_ptr()).ok()?))
        });
        Ok(named.collect())
    }
}

/// Whether this is `threading.Thread._bootstrap`, the first frame of a thread that `threading`
/// starts. Its local variables lead to the thread's name.
pub fn is_bootstrap(context: &Context, code: *mut PyObject) -> bool {
    let text = |name| context.python.str_value(context.python.attribute(code, name)?.as_ptr());
    text(c"co_name").is_ok_and(|name| name == "_bootstrap")
        && text(c"co_filename").is_ok_and(|file| file.ends_with("threading.py"))
}

/// The name of the `threading.Thread` whose `_bootstrap` is about to run.
fn bootstrap_name(context: &Context, code: *mut PyObject) -> Result<String, Raised> {
    let python = &context.python;
    if !is_bootstrap(context, code) {
        return Err(Raised);
    }
    // SAFETY: the interpreter keeps the frame alive while it runs; every result is checked before
    // use.
    unsafe {
        let frame = python.borrowed((python.eval_get_frame)())?;
        let locals = python.attribute(frame.as_ptr(), c"f_locals")?;
        let thread = python.owned((python.mapping_get_item_string)(locals.as_ptr(), c"self".as_ptr()))?;
        // Read from the instance dictionary: an attribute access could run code of a subclass.
        let fields = python.owned((python.generic_get_dict)(thread.as_ptr(), ptr::null_mut()))?;
        let name = python.borrowed((python.dict_get_item_string)(fields.as_ptr(), c"_name".as_ptr()))?;
        python.str_value(name.as_ptr())
    }
}
