//! The library as an extension module, by which the agent is attached to a running program and
//! detached from it.
//!
//! ```text
//! recorder ─▶ path of a script, in the program's memory ─▶ script ─▶ enter(directory, …)
//!                                                           later ─▶ leave(directory)
//! ```
//!
//! CPython 3.14 and later run the script at a thread's next safe point (PEP 768). The script loads
//! the module by `_imp.create_dynamic`, which does not add it to `sys.modules`.

use alloc::string::String;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::ptr;

use crate::bootstrap::audit_hook;
use crate::lifecycle;
use crate::os;
use crate::python::{
    METH_VARARGS_KEYWORDS, PyCFunctionWithKeywords, PyMethodDef, PyObject, PythonApi, Raised,
};

/// `PyModuleDef`.
#[repr(C)]
struct PyModuleDef {
    head: [usize; 5],
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *const PyMethodDef,
    slots_and_functions: [usize; 4],
}

struct ModuleDefCell(UnsafeCell<PyModuleDef>);

// SAFETY: only CPython writes to it, with the GIL.
unsafe impl Sync for ModuleDefCell {}

static MODULE: ModuleDefCell = ModuleDefCell(UnsafeCell::new(PyModuleDef {
    head: [1, 0, 0, 0, 0],
    name: c"pyrec_agent".as_ptr(),
    doc: ptr::null(),
    size: 0,
    methods: METHODS.as_ptr(),
    slots_and_functions: [0; 4],
}));

static METHODS: [PyMethodDef; 3] = [
    method(c"enter".as_ptr(), attach),
    method(c"leave".as_ptr(), detach),
    PyMethodDef { name: ptr::null(), function: ptr::null(), flags: 0, doc: ptr::null() },
];

const fn method(name: *const c_char, function: PyCFunctionWithKeywords) -> PyMethodDef {
    PyMethodDef { name, function: function as *const c_void, flags: METH_VARARGS_KEYWORDS, doc: ptr::null() }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn PyInit_pyrec_agent() -> *mut PyObject {
    type ModuleDefInit = unsafe extern "C-unwind" fn(*mut PyModuleDef) -> *mut PyObject;
    let init = os::symbol(c"PyModuleDef_Init");
    if init.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: CPython's headers declare the function with this type, and the definition is static.
    unsafe { core::mem::transmute::<*mut c_void, ModuleDefInit>(init)(MODULE.0.get()) }
}

/// `enter(directory, pid, offset of the native thread id in a thread state)`.
unsafe extern "C-unwind" fn attach(
    _: *mut PyObject,
    arguments: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        return_none_or_raise(|python| {
            let directory = str_argument(python, arguments, 0).map_err(|Raised| BAD_ARGUMENTS)?;
            let pid = int_argument(python, arguments, 1).map_err(|Raised| BAD_ARGUMENTS)?;
            let offset = int_argument(python, arguments, 2).map_err(|Raised| BAD_ARGUMENTS)?;
            // A child that was forked before the script ran inherits the request, which was not
            // meant for it.
            if pid != i64::from(os::pid()) {
                return Ok(());
            }
            audit_hook::clear_pending_session();
            lifecycle::begin_attached(directory, offset as isize, audit_hook::add)
                .map_err(|error| error.message())
        })
    }
}

/// `leave(directory)`.
unsafe extern "C-unwind" fn detach(
    _: *mut PyObject,
    arguments: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        return_none_or_raise(|python| {
            let directory = str_argument(python, arguments, 0).map_err(|Raised| BAD_ARGUMENTS)?;
            lifecycle::end_attached(&directory);
            Ok(())
        })
    }
}

const BAD_ARGUMENTS: &CStr = c"the agent's function was called with unexpected arguments";

/// # Safety
/// Needs the GIL, and a tuple.
unsafe fn str_argument(python: &PythonApi, arguments: *mut PyObject, at: isize) -> Result<String, Raised> {
    // SAFETY: the caller guarantees a tuple; a missing item raises.
    python.str_value(python.borrowed(unsafe { (python.tuple_get_item)(arguments, at) })?.as_ptr())
}

/// # Safety
/// Needs the GIL, and a tuple.
unsafe fn int_argument(python: &PythonApi, arguments: *mut PyObject, at: isize) -> Result<i64, Raised> {
    // SAFETY: the caller guarantees a tuple; a missing item raises.
    python.int_value(python.borrowed(unsafe { (python.tuple_get_item)(arguments, at) })?.as_ptr())
}

/// Runs `body`. Returns None, or raises `RuntimeError` with its message.
///
/// # Safety
/// Needs the GIL.
unsafe fn return_none_or_raise(body: impl FnOnce(&PythonApi) -> Result<(), &'static CStr>) -> *mut PyObject {
    type SetString = unsafe extern "C-unwind" fn(*mut PyObject, *const c_char);
    let Some(python) = PythonApi::find() else { return ptr::null_mut() };
    // SAFETY: CPython's headers declare the symbols with these types.
    unsafe {
        match body(&python) {
            Ok(()) => {
                (python.inc_ref)(python.none);
                return python.none;
            }
            Err(message) => {
                let (set, error) = (os::symbol(c"PyErr_SetString"), os::symbol(c"PyExc_RuntimeError"));
                if !set.is_null() && !error.is_null() {
                    let set = core::mem::transmute::<*mut c_void, SetString>(set);
                    set(*error.cast::<*mut PyObject>(), message.as_ptr());
                }
            }
        }
    }
    ptr::null_mut()
}
