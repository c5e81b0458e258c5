//! The importer's markers, by a function around `importlib._bootstrap._find_and_load`.

use alloc::string::String;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use pyrec_wire::RecordKind;

use crate::agent::{self, Agent};
use crate::markers;
use crate::python::{ANY_ARGUMENTS, AnyFunction, Method, Object, Python, Raised};

/// CPython's own function.
static FIND_AND_LOAD: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

/// The function around it, while it is in place.
static WRAPPER_OBJECT: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

static WRAPPER: Method = Method {
    name: c"_find_and_load".as_ptr(),
    function: {
        let function: AnyFunction = find_and_load;
        function as *const c_void
    },
    flags: ANY_ARGUMENTS,
    doc: ptr::null(),
};

/// Puts the wrapper where the `import` statement and `importlib` look for the function.
pub fn install(agent: &'static Agent) -> Result<(), Raised> {
    let python = &agent.python;
    // SAFETY: every pointer is checked, and the method is static.
    unsafe {
        let importlib = python.lent((python.dict_get)((python.modules)(), c"_frozen_importlib".as_ptr()))?;
        let original = python.attribute(importlib.as_ptr(), c"_find_and_load")?;
        let wrapper = python.owned((python.function_new)(&WRAPPER, ptr::null_mut(), ptr::null_mut()))?;
        FIND_AND_LOAD.store(original.into_ptr(), Ordering::Relaxed);
        let name = c"_find_and_load".as_ptr();
        python.done((python.set_attribute)(importlib.as_ptr(), name, wrapper.as_ptr()))?;
        WRAPPER_OBJECT.store(wrapper.into_ptr(), Ordering::Relaxed);
        Ok(())
    }
}

/// Puts CPython's own function back, unless the program has put its own there.
pub fn remove(agent: &'static Agent) -> Result<(), Raised> {
    let python = &agent.python;
    let wrapper = WRAPPER_OBJECT.swap(ptr::null_mut(), Ordering::Relaxed);
    if wrapper.is_null() {
        return Ok(());
    }
    // SAFETY: every pointer is checked; the reference is the one that was kept.
    unsafe {
        let wrapper = python.owned(wrapper)?;
        let importlib = python.lent((python.dict_get)((python.modules)(), c"_frozen_importlib".as_ptr()))?;
        let present = python.attribute(importlib.as_ptr(), c"_find_and_load")?;
        if present.as_ptr() != wrapper.as_ptr() {
            return Ok(());
        }
        let original = FIND_AND_LOAD.load(Ordering::Relaxed);
        let name = c"_find_and_load".as_ptr();
        python.done((python.set_attribute)(importlib.as_ptr(), name, original))
    }
}

/// `_find_and_load(name, import_)`.
unsafe extern "C-unwind" fn find_and_load(
    _: *mut Object,
    arguments: *mut Object,
    keywords: *mut Object,
) -> *mut Object {
    let agent = agent::get();
    let python = &agent.python;
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        let name = wanted(python, arguments).ok();
        if let Some(name) = &name {
            agent::record_text(agent, RecordKind::ImportStart, name, 0);
            if agent.exposes_markers() {
                markers::import_start(name);
            }
        }
        let module = (python.call)(FIND_AND_LOAD.load(Ordering::Relaxed), arguments, keywords);
        if let Some(name) = &name {
            // The text is looked up anew: a module may fork while it is imported.
            let found = u32::from(!module.is_null());
            python.without_error(|| agent::record_text(agent, RecordKind::ImportDone, name, found));
            if agent.exposes_markers() {
                markers::import_done(name, !module.is_null());
            }
        }
        module
    }
}

/// The name of the module, if it is not there yet.
///
/// # Safety
/// With the GIL, and a tuple.
unsafe fn wanted(python: &Python, arguments: *mut Object) -> Result<String, Raised> {
    // SAFETY: a missing item raises, and each function takes any object.
    unsafe {
        let name = python.lent((python.tuple_get)(arguments, 0))?;
        let module = (python.dict_get_object)((python.modules)(), name.as_ptr());
        if !module.is_null() && module != python.none {
            return Err(Raised);
        }
        python.to_text(name.as_ptr())
    }
}
