//! Classes: what an object's is, and what it is called.

use alloc::string::String;
use core::ffi::{CStr, c_void};

use crate::os;
use crate::python::{Object, Owned, Python, Raised};

/// Where every object has its type: behind the reference count.
const OB_TYPE: usize = 8;

/// # Safety
/// An object.
#[inline(always)]
pub unsafe fn type_of(object: *mut Object) -> *mut c_void {
    // SAFETY: every object has a type.
    unsafe { field(object, OB_TYPE) }
}

/// # Safety
/// There is a `T` at that offset.
#[inline(always)]
pub unsafe fn field<T: Copy>(object: *mut Object, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { object.byte_add(offset).cast::<T>().read() }
}

/// `int`, `collections.deque`, `__main__.Shop.Till`.
pub fn name(python: &Python, class: *mut Object) -> Result<String, Raised> {
    let text = |name| python.to_text(attribute(python, class, name)?.as_ptr());
    Ok(in_module(&text(c"__module__")?, &text(c"__qualname__")?))
}

/// A name of the module's: those of `builtins` stand by themselves.
pub fn in_module(module: &str, name: &str) -> String {
    match module {
        "builtins" => name.into(),
        _ => alloc::format!("{module}.{name}"),
    }
}

/// `type.__getattribute__(class, name)`, which runs no code of a metaclass.
pub fn attribute<'py>(python: &'py Python, class: *mut Object, name: &CStr) -> Result<Owned<'py>, Raised> {
    let type_type = os::symbol(c"PyType_Type").cast::<Object>();
    if type_type.is_null() {
        return Err(Raised);
    }
    let get = python.attribute(type_type, c"__getattribute__")?;
    python.call(get.as_ptr(), &[class, python.new_text(name)?.as_ptr()])
}
