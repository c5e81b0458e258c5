//! CPython 3.8 to 3.11: threads that start get the hooks, since these are set per thread.
//!
//! A function around `_thread.start_new_thread` starts another around the thread's own, so that the hooks are there
//! before its first frame.

use core::ffi::{CStr, c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::agent::{self, Agent};
use crate::python::{ANY_ARGUMENTS, AnyFunction, Method, Object, Owned, Python, Raised};
use crate::{os, profile};

/// CPython's own function.
static START_NEW_THREAD: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

static WRAPPER: Method = method(c"start_new_thread", start_new_thread);
static BOOTSTRAP: Method = method(c"bootstrap", bootstrap);

const fn method(name: &'static CStr, function: AnyFunction) -> Method {
    Method {
        name: name.as_ptr(),
        function: function as *const c_void,
        flags: ANY_ARGUMENTS,
        doc: ptr::null(),
    }
}

/// Puts the wrapper wherever threads are started from.
pub fn install(agent: &'static Agent) -> Result<(), Raised> {
    let python = &agent.python;
    // SAFETY: every pointer is checked, and the method is static.
    unsafe {
        let module = python.owned((python.import)(c"_thread".as_ptr()))?;
        let original = python.attribute(module.as_ptr(), c"start_new_thread")?;
        let wrapper = python.owned((python.function_new)(&WRAPPER, ptr::null_mut(), ptr::null_mut()))?;
        START_NEW_THREAD.store(original.into_ptr(), Relaxed);
        for name in [c"start_new_thread", c"start_new"] {
            python.done((python.set_attribute)(module.as_ptr(), name.as_ptr(), wrapper.as_ptr()))?;
        }
        if let Ok(threading) = python.lent((python.dict_get)((python.modules)(), c"threading".as_ptr())) {
            let name = c"_start_new_thread".as_ptr();
            python.done((python.set_attribute)(threading.as_ptr(), name, wrapper.as_ptr()))?;
        }
    }
    Ok(())
}

/// `start_new_thread(function, arguments, keywords)`.
unsafe extern "C-unwind" fn start_new_thread(
    _: *mut Object,
    arguments: *mut Object,
    keywords: *mut Object,
) -> *mut Object {
    let python = &agent::get().python;
    // SAFETY: CPython calls with the GIL and a tuple.
    unsafe {
        let with_hooks = with_bootstrap(python, arguments).ok();
        let arguments = with_hooks.as_ref().map_or(arguments, Owned::as_ptr);
        (python.call)(START_NEW_THREAD.load(Relaxed), arguments, keywords)
    }
}

/// The arguments, with our function around theirs. What is no function is left for CPython to refuse.
///
/// # Safety
/// With the GIL, and a tuple.
unsafe fn with_bootstrap(python: &Python, arguments: *mut Object) -> Result<Owned<'_>, Raised> {
    // SAFETY: every pointer is checked; a tuple takes over the references.
    unsafe {
        let function = python.lent((python.tuple_get)(arguments, 0))?;
        if (python.is_callable)(function.as_ptr()) == 0 {
            return Err(Raised);
        }
        let around = python.owned((python.function_new)(&BOOTSTRAP, function.as_ptr(), ptr::null_mut()))?;
        let len = (python.tuple_len)(arguments);
        let changed = python.owned((python.tuple_new)(len))?;
        python.done((python.tuple_set)(changed.as_ptr(), 0, around.into_ptr()))?;
        for at in 1..len {
            let argument = python.lent((python.tuple_get)(arguments, at))?;
            python.done((python.tuple_set)(changed.as_ptr(), at, argument.into_ptr()))?;
        }
        Ok(changed)
    }
}

/// Runs in the new thread, as the method of the function that it is to run.
unsafe extern "C-unwind" fn bootstrap(
    function: *mut Object,
    arguments: *mut Object,
    keywords: *mut Object,
) -> *mut Object {
    let agent = agent::get();
    profile::enter_thread(agent);
    // SAFETY: called as CPython would call it.
    let result = unsafe { (agent.python.call)(function, arguments, keywords) };
    if result.is_null() {
        return report(&agent.python, function);
    }
    result
}

/// The exception that ends the thread: CPython would report it as raised by the function around the thread's own, so
/// this does what CPython does.
fn report(python: &Python, function: *mut Object) -> *mut Object {
    type WriteUnraisable = unsafe extern "C-unwind" fn(*const c_char, *mut Object);
    let write = os::symbol(c"_PyErr_WriteUnraisableMsg");
    let system_exit = os::symbol(c"PyExc_SystemExit").cast::<*mut Object>();
    // SAFETY: with the GIL and an exception; the types are those in CPython's headers.
    unsafe {
        if write.is_null() || system_exit.is_null() || (python.error_matches)(*system_exit) != 0 {
            return ptr::null_mut();
        }
        let write = core::mem::transmute::<*mut c_void, WriteUnraisable>(write);
        write(c"in thread started by".as_ptr(), function);
        (python.increase)(python.none);
    }
    python.none
}
