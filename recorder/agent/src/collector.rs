//! The garbage collector's markers, by `gc.callbacks`.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::agent::{self, Agent};
use crate::markers;
use crate::python::{ANY_ARGUMENTS, AnyFunction, Method, Object, Owned, Python, Raised};

/// The callback, while it is in place.
static CALLBACK_OBJECT: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

static CALLBACK: Method = Method {
    name: c"pyrec_gc".as_ptr(),
    function: {
        let function: AnyFunction = callback;
        function as *const c_void
    },
    flags: ANY_ARGUMENTS,
    doc: ptr::null(),
};

/// Puts the callback before all others: a collection has started when they hear of it, and is done.
pub fn install(agent: &'static Agent) -> Result<(), Raised> {
    let python = &agent.python;
    let callbacks = callbacks(python)?;
    // SAFETY: every pointer is checked, and the method is static.
    unsafe {
        let callback = python.owned((python.function_new)(&CALLBACK, ptr::null_mut(), ptr::null_mut()))?;
        python.done((python.list_insert)(callbacks.as_ptr(), 0, callback.as_ptr()))?;
        CALLBACK_OBJECT.store(callback.into_ptr(), Relaxed);
        Ok(())
    }
}

/// Takes the callback away again.
pub fn remove(agent: &'static Agent) -> Result<(), Raised> {
    let python = &agent.python;
    let callback = CALLBACK_OBJECT.swap(ptr::null_mut(), Relaxed);
    if callback.is_null() {
        return Ok(());
    }
    // The reference is the one that was kept.
    let callback = python.owned(callback)?;
    python.method(&callbacks(python)?, c"remove", &[callback.as_ptr()]).map(drop)
}

/// `gc.callbacks`.
fn callbacks(python: &Python) -> Result<Owned<'_>, Raised> {
    // SAFETY: every pointer is checked.
    unsafe {
        let modules = (python.modules)();
        let was_imported = !(python.dict_get)(modules, c"gc".as_ptr()).is_null();
        let gc = python.owned((python.import)(c"gc".as_ptr()))?;
        if !was_imported {
            // The program is to find the modules that it would find without us.
            python.done((python.dict_delete)(modules, c"gc".as_ptr()))?;
        }
        python.attribute(gc.as_ptr(), c"callbacks")
    }
}

/// `callback(phase, info)`.
unsafe extern "C-unwind" fn callback(_: *mut Object, arguments: *mut Object, _: *mut Object) -> *mut Object {
    let agent = agent::get();
    let python = &agent.python;
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        if let Ok((kind, number)) = read(python, arguments) {
            agent::record_number(agent, kind, number);
            if agent.exposes_markers() {
                markers::collection(kind, number);
            }
        }
        (python.increase)(python.none);
    }
    python.none
}

/// # Safety
/// With the GIL, and a tuple.
unsafe fn read(python: &Python, arguments: *mut Object) -> Result<(RecordKind, u64), Raised> {
    // SAFETY: a missing item raises, and each function takes any object.
    unsafe {
        let phase = python.lent((python.tuple_get)(arguments, 0))?;
        let info = python.lent((python.tuple_get)(arguments, 1))?;
        let number = |name: &core::ffi::CStr| {
            python.to_integer(python.owned((python.map_get)(info.as_ptr(), name.as_ptr()))?.as_ptr())
        };
        let (kind, number) = if python.to_text(phase.as_ptr())? == "start" {
            (RecordKind::GcStart, number(c"generation")?)
        } else {
            (RecordKind::GcDone, number(c"collected")? + number(c"uncollectable")?)
        };
        Ok((kind, number as u64))
    }
}
