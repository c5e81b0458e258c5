//! CPython 3.8 to 3.11: `sys.setprofile`, as a program is to find it.
//!
//! CPython tells the profile function of every C function that returns while one is set, provided that one was set
//! when it was called. With ours set, a program's own would begin with the return of `sys.setprofile` itself, of
//! whose call it never heard; the standard library's `profile` takes offence. CPython tells of builtin functions
//! only, so an object of another type stands there and hands everything on.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::agent::{self, Agent};
use crate::python::{Object, Raised, Slot, TypeSpec};

/// CPython's own function.
static SETPROFILE: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

/// Puts the proxy where the function was.
pub fn install(agent: &'static Agent) -> Result<(), Raised> {
    const TP_CALL: c_int = 50;
    const TP_GETATTRO: c_int = 58;
    const TP_REPR: c_int = 66;
    let python = &agent.python;
    let slots = [
        Slot(TP_CALL, call as *const c_void),
        Slot(TP_GETATTRO, attribute as *const c_void),
        Slot(TP_REPR, repr as *const c_void),
        Slot(0, ptr::null()),
    ];
    // SAFETY: CPython copies what it needs, but for the name, which is static; every pointer is checked.
    unsafe {
        let object = python.lent(python.object_type)?;
        let size = python.to_integer(python.attribute(object.as_ptr(), c"__basicsize__")?.as_ptr())? as c_int;
        let name = c"builtins.builtin_function_or_method".as_ptr();
        let spec = TypeSpec { name, size, item_size: 0, flags: 0, slots: slots.as_ptr() };
        let class = python.owned((python.type_new)(&spec))?;
        let proxy = python.owned((python.object_new)(class.as_ptr(), 0))?;
        let original = python.sys(c"setprofile")?;
        SETPROFILE.store(original.into_ptr(), Relaxed);
        python.done((python.sys_set)(c"setprofile".as_ptr(), proxy.as_ptr()))
    }
}

unsafe extern "C-unwind" fn call(
    _: *mut Object,
    arguments: *mut Object,
    keywords: *mut Object,
) -> *mut Object {
    // SAFETY: called as CPython would call it.
    unsafe { (agent::get().python.call)(SETPROFILE.load(Relaxed), arguments, keywords) }
}

unsafe extern "C-unwind" fn attribute(_: *mut Object, name: *mut Object) -> *mut Object {
    // SAFETY: called as CPython would call it.
    unsafe { (agent::get().python.get_attribute_object)(SETPROFILE.load(Relaxed), name) }
}

unsafe extern "C-unwind" fn repr(_: *mut Object) -> *mut Object {
    // SAFETY: called as CPython would call it.
    unsafe { (agent::get().python.repr)(SETPROFILE.load(Relaxed)) }
}
