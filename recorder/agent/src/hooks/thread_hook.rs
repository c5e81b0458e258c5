//! CPython 3.8 to 3.11: sets the hooks in threads that start, since CPython keeps them per thread.
//!
//! A wrapper of `_thread.start_new_thread` wraps the function that the thread will run, so that the
//! hooks are set before the thread's first frame.

use core::ffi::{CStr, c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::context::{self, Context};
use crate::hooks::profile;
use crate::os;
use crate::python::{
    METH_VARARGS_KEYWORDS, Owned, PyCFunctionWithKeywords, PyMethodDef, PyObject, PythonApi, Raised,
};

/// CPython's `start_new_thread`.
static START_NEW_THREAD: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

static START_WRAPPER: PyMethodDef = method(c"start_new_thread", start_new_thread);
static FUNCTION_WRAPPER: PyMethodDef = method(c"bootstrap", run_with_hooks);

const fn method(name: &'static CStr, function: PyCFunctionWithKeywords) -> PyMethodDef {
    PyMethodDef {
        name: name.as_ptr(),
        function: function as *const c_void,
        flags: METH_VARARGS_KEYWORDS,
        doc: ptr::null(),
    }
}

/// Replaces `start_new_thread` in `_thread`, and in `threading` if that is imported.
pub fn install(context: &'static Context) -> Result<(), Raised> {
    let python = &context.python;
    // SAFETY: every result is checked before use, and the method definition is static.
    unsafe {
        let module = python.owned((python.import_module)(c"_thread".as_ptr()))?;
        let original = python.attribute(module.as_ptr(), c"start_new_thread")?;
        let wrapper =
            python.owned((python.cfunction_new_ex)(&START_WRAPPER, ptr::null_mut(), ptr::null_mut()))?;
        START_NEW_THREAD.store(original.into_ptr(), Relaxed);
        for name in [c"start_new_thread", c"start_new"] {
            python.check_status((python.set_attr_string)(
                module.as_ptr(),
                name.as_ptr(),
                wrapper.as_ptr(),
            ))?;
        }
        let modules = (python.get_module_dict)();
        let threading = python.borrowed((python.dict_get_item_string)(modules, c"threading".as_ptr()));
        if let Ok(threading) = threading {
            let name = c"_start_new_thread".as_ptr();
            python.check_status((python.set_attr_string)(threading.as_ptr(), name, wrapper.as_ptr()))?;
        }
    }
    Ok(())
}

/// `start_new_thread(function, arguments, keywords)`.
unsafe extern "C-unwind" fn start_new_thread(
    _: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let python = &context::get().python;
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        let wrapped = wrap_function(python, arguments).ok();
        let arguments = wrapped.as_ref().map_or(arguments, Owned::as_ptr);
        (python.object_call)(START_NEW_THREAD.load(Relaxed), arguments, keywords)
    }
}

/// Returns a copy of the arguments in which the function is wrapped. Fails if it is not callable,
/// which CPython then reports.
///
/// # Safety
/// Needs the GIL, and a tuple.
unsafe fn wrap_function(python: &PythonApi, arguments: *mut PyObject) -> Result<Owned<'_>, Raised> {
    // SAFETY: every result is checked before use; the tuple takes over the references.
    unsafe {
        let function = python.borrowed((python.tuple_get_item)(arguments, 0))?;
        if (python.callable_check)(function.as_ptr()) == 0 {
            return Err(Raised);
        }
        let wrapper =
            python.owned((python.cfunction_new_ex)(&FUNCTION_WRAPPER, function.as_ptr(), ptr::null_mut()))?;
        let len = (python.tuple_size)(arguments);
        let copy = python.owned((python.tuple_new)(len))?;
        python.check_status((python.tuple_set_item)(copy.as_ptr(), 0, wrapper.into_ptr()))?;
        for at in 1..len {
            let argument = python.borrowed((python.tuple_get_item)(arguments, at))?;
            python.check_status((python.tuple_set_item)(copy.as_ptr(), at, argument.into_ptr()))?;
        }
        Ok(copy)
    }
}

/// Runs in the new thread. `function`, the method's self, is what the program passed.
unsafe extern "C-unwind" fn run_with_hooks(
    function: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let context = context::get();
    profile::on_thread_start(context);
    // SAFETY: CPython calls with the GIL and arguments for the function.
    let result = unsafe { (context.python.object_call)(function, arguments, keywords) };
    if result.is_null() {
        return report_exception(&context.python, function);
    }
    result
}

/// Reports the exception that ends the thread, as CPython does. CPython itself would name the
/// wrapper as the function that raised it.
fn report_exception(python: &PythonApi, function: *mut PyObject) -> *mut PyObject {
    type WriteUnraisable = unsafe extern "C-unwind" fn(*const c_char, *mut PyObject);
    let write = os::symbol(c"_PyErr_WriteUnraisableMsg");
    let system_exit = os::symbol(c"PyExc_SystemExit").cast::<*mut PyObject>();
    // SAFETY: an exception is pending, and this thread holds the GIL; CPython's headers declare the
    // symbols with these types.
    unsafe {
        if write.is_null() || system_exit.is_null() || (python.err_exception_matches)(*system_exit) != 0 {
            return ptr::null_mut();
        }
        let write = core::mem::transmute::<*mut c_void, WriteUnraisable>(write);
        write(c"in thread started by".as_ptr(), function);
        (python.inc_ref)(python.none);
    }
    python.none
}
