//! The library as an extension module: how it gets into a program that runs already, and out again.
//!
//! ```text
//! recorder ─▶ a script's path, in the program's memory ─▶ _imp.create_dynamic ─▶ enter(directory, offset)
//!                                                                         later ─▶ leave(directory)
//! ```
//!
//! CPython 3.14 and later run such a script at the next safe point of a thread (PEP 768).

use alloc::string::String;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::ptr;

use crate::entrance;
use crate::os;
use crate::python::{ANY_ARGUMENTS, AnyFunction, Method, Object, Python, Raised};

/// `PyModuleDef`.
#[repr(C)]
struct Definition {
    head: [usize; 5],
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *const Method,
    slots_and_functions: [usize; 4],
}

struct Place(UnsafeCell<Definition>);

// SAFETY: only CPython writes to it, with the GIL.
unsafe impl Sync for Place {}

static DEFINITION: Place = Place(UnsafeCell::new(Definition {
    head: [1, 0, 0, 0, 0],
    name: c"pyrec_agent".as_ptr(),
    doc: ptr::null(),
    size: 0,
    methods: METHODS.as_ptr(),
    slots_and_functions: [0; 4],
}));

static METHODS: [Method; 3] = [
    method(c"enter".as_ptr(), enter),
    method(c"leave".as_ptr(), leave),
    Method { name: ptr::null(), function: ptr::null(), flags: 0, doc: ptr::null() },
];

const fn method(name: *const c_char, function: AnyFunction) -> Method {
    Method { name, function: function as *const c_void, flags: ANY_ARGUMENTS, doc: ptr::null() }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn PyInit_pyrec_agent() -> *mut Object {
    type Init = unsafe extern "C-unwind" fn(*mut Definition) -> *mut Object;
    let init = os::symbol(c"PyModuleDef_Init");
    if init.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the type is the one in CPython's headers; the definition stays.
    unsafe { core::mem::transmute::<*mut c_void, Init>(init)(DEFINITION.0.get()) }
}

/// `enter(directory, pid, offset of a thread state's native id)`.
unsafe extern "C-unwind" fn enter(_: *mut Object, arguments: *mut Object, _: *mut Object) -> *mut Object {
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        answer(|python| {
            let directory = directory(python, arguments).map_err(|Raised| BAD_ARGUMENTS)?;
            let [pid, offset] =
                [1, 2].map(|at| integer(python, arguments, at).map_err(|Raised| BAD_ARGUMENTS));
            // A child that was forked meanwhile has the request, too, but was not meant.
            if pid? != i64::from(os::pid()) {
                return Ok(());
            }
            entrance::enter(directory, offset? as isize).map_err(|failure| failure.reason())
        })
    }
}

/// `leave(directory)`.
unsafe extern "C-unwind" fn leave(_: *mut Object, arguments: *mut Object, _: *mut Object) -> *mut Object {
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        answer(|python| {
            let directory = directory(python, arguments).map_err(|Raised| BAD_ARGUMENTS)?;
            entrance::leave(&directory);
            Ok(())
        })
    }
}

const BAD_ARGUMENTS: &CStr = c"it was called with other arguments";

/// # Safety
/// With the GIL, and a tuple.
unsafe fn directory(python: &Python, arguments: *mut Object) -> Result<String, Raised> {
    // SAFETY: the caller's promise; a missing item raises.
    python.to_text(python.lent(unsafe { (python.tuple_get)(arguments, 0) })?.as_ptr())
}

/// # Safety
/// With the GIL, and a tuple.
unsafe fn integer(python: &Python, arguments: *mut Object, at: isize) -> Result<i64, Raised> {
    // SAFETY: the caller's promise; a missing item raises.
    python.to_integer(python.lent(unsafe { (python.tuple_get)(arguments, at) })?.as_ptr())
}

/// Gives None, or raises the reason why not.
///
/// # Safety
/// With the GIL.
unsafe fn answer(body: impl FnOnce(&Python) -> Result<(), &'static CStr>) -> *mut Object {
    type SetString = unsafe extern "C-unwind" fn(*mut Object, *const c_char);
    let Some(python) = Python::find() else { return ptr::null_mut() };
    // SAFETY: the types are those in CPython's headers.
    unsafe {
        match body(&python) {
            Ok(()) => {
                (python.increase)(python.none);
                return python.none;
            }
            Err(reason) => {
                let (set, error) = (os::symbol(c"PyErr_SetString"), os::symbol(c"PyExc_RuntimeError"));
                if !set.is_null() && !error.is_null() {
                    let set = core::mem::transmute::<*mut c_void, SetString>(set);
                    set(*error.cast::<*mut Object>(), reason.as_ptr());
                }
            }
        }
    }
    ptr::null_mut()
}
