//! The class of an object, and a class's name, without running code of the program.

use alloc::string::String;
use core::ffi::{CStr, c_void};

use crate::os;
use crate::python::api::{Owned, PyObject, PythonApi, Raised};

/// Offset of `ob_type` in every object: behind the reference count.
const OB_TYPE: usize = 8;

/// The object's type.
///
/// # Safety
/// `object` must point to an object.
#[inline(always)]
pub unsafe fn type_of(object: *mut PyObject) -> *mut c_void {
    // SAFETY: every object has a type at this offset.
    unsafe { field(object, OB_TYPE) }
}

/// Reads a field of an object.
///
/// # Safety
/// The object must hold a `T` at `offset`.
#[inline(always)]
pub unsafe fn field<T: Copy>(object: *mut PyObject, offset: usize) -> T {
    // SAFETY: the caller guarantees the field.
    unsafe { object.byte_add(offset).cast::<T>().read() }
}

/// The qualified name with its module: `int`, `collections.deque`, `__main__.Shop.Till`.
pub fn name(python: &PythonApi, class: *mut PyObject) -> Result<String, Raised> {
    let text = |name| python.str_value(attribute(python, class, name)?.as_ptr());
    Ok(qualify(&text(c"__module__")?, &text(c"__qualname__")?))
}

/// `module.name`, or `name` alone for the module `builtins`.
pub fn qualify(module: &str, name: &str) -> String {
    match module {
        "builtins" => name.into(),
        _ => alloc::format!("{module}.{name}"),
    }
}

/// `type.__getattribute__(class, name)`, which bypasses a metaclass's `__getattribute__`.
pub fn attribute<'py>(
    python: &'py PythonApi,
    class: *mut PyObject,
    name: &CStr,
) -> Result<Owned<'py>, Raised> {
    let type_type = os::symbol(c"PyType_Type").cast::<PyObject>();
    if type_type.is_null() {
        return Err(Raised);
    }
    let get = python.attribute(type_type, c"__getattribute__")?;
    python.call(get.as_ptr(), &[class, python.new_str(name)?.as_ptr()])
}
