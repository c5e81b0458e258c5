//! Records garbage collections, by a callback in `gc.callbacks`.

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

/// The installed callback, with a reference that this static owns. Null if none is installed.
static CALLBACK: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

static CALLBACK_METHOD: PyMethodDef = PyMethodDef {
    name: c"pyrec_gc".as_ptr(),
    function: {
        let function: PyCFunctionWithKeywords = on_collection;
        function as *const c_void
    },
    flags: METH_VARARGS_KEYWORDS,
    doc: ptr::null(),
};

/// Inserts the callback at the front of `gc.callbacks`. The start and the end of a collection are
/// thus recorded before the other callbacks run.
pub fn install(context: &'static Context) -> Result<(), Raised> {
    let python = &context.python;
    let callbacks = callbacks(python)?;
    // SAFETY: the method definition is static, and every result is checked before use.
    unsafe {
        let callback =
            python.owned((python.cfunction_new_ex)(&CALLBACK_METHOD, ptr::null_mut(), ptr::null_mut()))?;
        python.check_status((python.list_insert)(callbacks.as_ptr(), 0, callback.as_ptr()))?;
        CALLBACK.store(callback.into_ptr(), Relaxed);
    }
    Ok(())
}

/// Removes the callback.
pub fn remove(context: &'static Context) -> Result<(), Raised> {
    let python = &context.python;
    let callback = CALLBACK.swap(ptr::null_mut(), Relaxed);
    if callback.is_null() {
        return Ok(());
    }
    // `owned` takes over the reference that `CALLBACK` held.
    let callback = python.owned(callback)?;
    python.call_method(&callbacks(python)?, c"remove", &[callback.as_ptr()]).map(drop)
}

/// Returns `gc.callbacks`. Removes `gc` from `sys.modules` again if it was not imported before.
fn callbacks(python: &PythonApi) -> Result<Owned<'_>, Raised> {
    // SAFETY: every result is checked before use.
    unsafe {
        let modules = (python.get_module_dict)();
        let was_imported = !(python.dict_get_item_string)(modules, c"gc".as_ptr()).is_null();
        let gc = python.owned((python.import_module)(c"gc".as_ptr()))?;
        if !was_imported {
            python.check_status((python.dict_del_item_string)(modules, c"gc".as_ptr()))?;
        }
        python.attribute(gc.as_ptr(), c"callbacks")
    }
}

/// The callback, which CPython calls as `pyrec_gc(phase, info)` at the start and the end of a
/// collection.
unsafe extern "C-unwind" fn on_collection(
    _: *mut PyObject,
    arguments: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    let context = context::get();
    let python = &context.python;
    // SAFETY: CPython holds the GIL and passes a tuple.
    unsafe {
        if let Ok((kind, number)) = read_arguments(python, arguments) {
            record::number_event(context, kind, number);
            if context.session().exposes_markers() {
                static_markers::collection(kind, number);
            }
        }
        (python.inc_ref)(python.none);
    }
    python.none
}

/// Returns the kind of the event and its number. The number is the generation at the start of a
/// collection, and the number of unreachable objects found at its end.
///
/// # Safety
/// The caller must hold the GIL, and `arguments` must be a tuple.
unsafe fn read_arguments(python: &PythonApi, arguments: *mut PyObject) -> Result<(RecordKind, u64), Raised> {
    // SAFETY: a missing item is an exception, and the other functions accept any object.
    unsafe {
        let phase = python.borrowed((python.tuple_get_item)(arguments, 0))?;
        let info = python.borrowed((python.tuple_get_item)(arguments, 1))?;
        let number = |name: &CStr| {
            let number = python.owned((python.mapping_get_item_string)(info.as_ptr(), name.as_ptr()))?;
            python.int_value(number.as_ptr())
        };
        let (kind, number) = if python.str_value(phase.as_ptr())? == "start" {
            (RecordKind::GcStart, number(c"generation")?)
        } else {
            (RecordKind::GcDone, number(c"collected")? + number(c"uncollectable")?)
        };
        Ok((kind, number as u64))
    }
}
