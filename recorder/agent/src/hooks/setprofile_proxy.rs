//! CPython 3.8 to 3.11: a proxy for `sys.setprofile`. It keeps the return of `sys.setprofile`
//! itself from reaching the profile function that the program sets.
//!
//! If a profile function is set when a builtin function is called, CPython reports the return of
//! that call to the profile function that is set when the call returns. During a recording, the
//! agent's profile function is set. Without the proxy, the first event of the program's profile
//! function would be the return of `sys.setprofile`, without a call before it. The standard
//! library's `profile` fails on such an event.
//!
//! CPython reports calls of builtin functions only. The proxy has a type of its own, so its calls
//! are not reported.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::context::{self, Context};
use crate::python::{PyObject, PyTypeSlot, PyTypeSpec, Raised};

/// The original `sys.setprofile`. The proxy forwards to it.
static SETPROFILE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Replaces `sys.setprofile` with the proxy.
pub fn install(context: &'static Context) -> Result<(), Raised> {
    // Slot numbers of CPython's `typeslots.h`.
    const TP_CALL: c_int = 50;
    const TP_GETATTRO: c_int = 58;
    const TP_REPR: c_int = 66;
    let python = &context.python;
    let slots = [
        PyTypeSlot(TP_CALL, call as *const c_void),
        PyTypeSlot(TP_GETATTRO, get_attribute as *const c_void),
        PyTypeSlot(TP_REPR, repr as *const c_void),
        PyTypeSlot(0, ptr::null()),
    ];
    // SAFETY: CPython copies the specification, except for the name, which is static; every result
    // is checked before use.
    unsafe {
        let object = python.borrowed(python.object_type)?;
        let size = python.int_value(python.attribute(object.as_ptr(), c"__basicsize__")?.as_ptr())? as c_int;
        let name = c"builtins.builtin_function_or_method".as_ptr();
        let spec = PyTypeSpec { name, size, item_size: 0, flags: 0, slots: slots.as_ptr() };
        let class = python.owned((python.type_from_spec)(&spec))?;
        let proxy = python.owned((python.type_generic_alloc)(class.as_ptr(), 0))?;
        let original = python.sys_attribute(c"setprofile")?;
        SETPROFILE.store(original.into_ptr(), Relaxed);
        python.check_status((python.sys_set_object)(c"setprofile".as_ptr(), proxy.as_ptr()))
    }
}

unsafe extern "C-unwind" fn call(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython holds the GIL and passes valid arguments.
    unsafe { (context::get().python.object_call)(SETPROFILE.load(Relaxed), arguments, keywords) }
}

unsafe extern "C-unwind" fn get_attribute(_: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
    // SAFETY: CPython holds the GIL and passes a name.
    unsafe { (context::get().python.get_attr)(SETPROFILE.load(Relaxed), name) }
}

unsafe extern "C-unwind" fn repr(_: *mut PyObject) -> *mut PyObject {
    // SAFETY: CPython holds the GIL.
    unsafe { (context::get().python.object_repr)(SETPROFILE.load(Relaxed)) }
}
