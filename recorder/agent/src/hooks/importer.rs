//! Imports: a wrapper of `importlib._bootstrap._find_and_load`.

use alloc::string::String;
use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::context::{self, Context};
use crate::hooks::static_markers;
use crate::python::{
    METH_VARARGS_KEYWORDS, Owned, PyCFunctionWithKeywords, PyMethodDef, PyObject, PythonApi, Raised,
};
use crate::record;

/// CPython's `_find_and_load`.
static FIND_AND_LOAD: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// The wrapper while it is installed; this owns a reference.
static WRAPPER: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

const FUNCTION_NAME: &CStr = c"_find_and_load";

static WRAPPER_METHOD: PyMethodDef = PyMethodDef {
    name: FUNCTION_NAME.as_ptr(),
    function: {
        let function: PyCFunctionWithKeywords = find_and_load;
        function as *const c_void
    },
    flags: METH_VARARGS_KEYWORDS,
    doc: ptr::null(),
};

/// Puts the wrapper where the `import` statement and `importlib` look up the function.
pub fn install(context: &'static Context) -> Result<(), Raised> {
    let python = &context.python;
    let importlib = importlib_bootstrap(python)?;
    let original = python.attribute(importlib.as_ptr(), FUNCTION_NAME)?;
    // SAFETY: the method definition is static, and every result is checked before use.
    unsafe {
        let wrapper =
            python.owned((python.cfunction_new_ex)(&WRAPPER_METHOD, ptr::null_mut(), ptr::null_mut()))?;
        FIND_AND_LOAD.store(original.into_ptr(), Relaxed);
        python.check_status((python.set_attr_string)(
            importlib.as_ptr(),
            FUNCTION_NAME.as_ptr(),
            wrapper.as_ptr(),
        ))?;
        WRAPPER.store(wrapper.into_ptr(), Relaxed);
    }
    Ok(())
}

/// Puts CPython's own function back, unless the program has replaced the wrapper.
pub fn remove(context: &'static Context) -> Result<(), Raised> {
    let python = &context.python;
    let wrapper = WRAPPER.swap(ptr::null_mut(), Relaxed);
    if wrapper.is_null() {
        return Ok(());
    }
    // This takes over the reference of WRAPPER.
    let wrapper = python.owned(wrapper)?;
    let importlib = importlib_bootstrap(python)?;
    let current = python.attribute(importlib.as_ptr(), FUNCTION_NAME)?;
    if current.as_ptr() != wrapper.as_ptr() {
        return Ok(());
    }
    let original = FIND_AND_LOAD.load(Relaxed);
    // SAFETY: `original` is a function, of which the agent keeps a reference.
    python.check_status(unsafe {
        (python.set_attr_string)(importlib.as_ptr(), FUNCTION_NAME.as_ptr(), original)
    })
}

/// The module `importlib._bootstrap`, under the name that it has in `sys.modules` from the start.
fn importlib_bootstrap(python: &PythonApi) -> Result<Owned<'_>, Raised> {
    // SAFETY: the name ends in a zero byte.
    python.borrowed(unsafe {
        (python.dict_get_item_string)((python.get_module_dict)(), c"_frozen_importlib".as_ptr())
    })
}

/// `_find_and_load(name, import_)`.
unsafe extern "C-unwind" fn find_and_load(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let context = context::get();
    let python = &context.python;
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        let name = missing_module(python, arguments).ok();
        if let Some(name) = &name {
            record::text_event(context, RecordKind::ImportStart, name, 0);
            if context.session().exposes_markers() {
                static_markers::import_start(name);
            }
        }
        let module = (python.object_call)(FIND_AND_LOAD.load(Relaxed), arguments, keywords);
        if let Some(name) = &name {
            // The text's id is looked up again: the module may fork while it is imported.
            let found = u32::from(!module.is_null());
            python.with_error_saved(|| record::text_event(context, RecordKind::ImportDone, name, found));
            if context.session().exposes_markers() {
                static_markers::import_done(name, !module.is_null());
            }
        }
        module
    }
}

/// The name of the module that is imported; an error if it is in `sys.modules` already.
///
/// # Safety
/// Needs the GIL, and a tuple.
unsafe fn missing_module(python: &PythonApi, arguments: *mut PyObject) -> Result<String, Raised> {
    // SAFETY: a missing item raises, and the other functions accept any object.
    unsafe {
        let name = python.borrowed((python.tuple_get_item)(arguments, 0))?;
        let module = (python.dict_get_item)((python.get_module_dict)(), name.as_ptr());
        if !module.is_null() && module != python.none {
            return Err(Raised);
        }
        python.str_value(name.as_ptr())
    }
}
