//! The Python stacks of all threads, by functions of the C API that CPython 3.11 and later have.

use alloc::vec::Vec;
use core::ffi::{CStr, c_int, c_void};

use pyrec_wire::Record;

use crate::os;
use crate::python::api::{Owned, PyObject, PythonApi};

/// The functions that walk thread states and their frames.
pub struct StackApi {
    interpreter_state_get: unsafe extern "C-unwind" fn() -> *mut c_void,
    thread_head: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    thread_next: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    thread_get_frame: unsafe extern "C-unwind" fn(*mut c_void) -> *mut PyObject,
    frame_get_back: unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject,
    frame_get_lasti: unsafe extern "C-unwind" fn(*mut PyObject) -> c_int,
}

/// A frame on a thread's stack.
pub struct ActiveFrame<'py> {
    pub code: Owned<'py>,
    /// The instruction that runs, in code units of two bytes, or [`Record::NO_INSTRUCTION`].
    pub instruction: u32,
}

impl StackApi {
    /// Looks up the functions; returns `None` if one is missing.
    pub fn find() -> Option<StackApi> {
        let find = |name: &CStr| {
            let address = os::symbol(name);
            (!address.is_null()).then_some(address)
        };
        type ThreadFunction = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
        // SAFETY: CPython's headers declare the functions with these types.
        unsafe {
            Some(StackApi {
                interpreter_state_get: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn() -> *mut c_void,
                >(find(c"PyInterpreterState_Get")?),
                thread_head: core::mem::transmute::<*mut c_void, ThreadFunction>(find(
                    c"PyInterpreterState_ThreadHead",
                )?),
                thread_next: core::mem::transmute::<*mut c_void, ThreadFunction>(find(
                    c"PyThreadState_Next",
                )?),
                thread_get_frame: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut PyObject,
                >(find(c"PyThreadState_GetFrame")?),
                frame_get_back: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject,
                >(find(c"PyFrame_GetBack")?),
                frame_get_lasti: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut PyObject) -> c_int,
                >(find(c"PyFrame_GetLasti")?),
            })
        }
    }

    /// Calls `visit` with each thread state of the current interpreter.
    ///
    /// # Safety
    /// Needs the GIL, and `visit` must not release it: no thread state may be created or deleted
    /// meanwhile.
    pub unsafe fn for_each_thread(&self, mut visit: impl FnMut(*mut c_void)) {
        // SAFETY: the caller holds the GIL, so the list of thread states does not change.
        unsafe {
            let mut state = (self.thread_head)((self.interpreter_state_get)());
            while !state.is_null() {
                visit(state);
                state = (self.thread_next)(state);
            }
        }
    }

    /// The frames of a thread, the innermost first.
    ///
    /// # Safety
    /// Needs the GIL, no exception pending, and a thread state.
    pub unsafe fn frames<'py>(&self, python: &'py PythonApi, state: *mut c_void) -> Vec<ActiveFrame<'py>> {
        let mut frames = Vec::new();
        // SAFETY: the caller guarantees a thread state.
        let mut frame = python.owned(unsafe { (self.thread_get_frame)(state) });
        while let Ok(present) = frame {
            // SAFETY: `present` is a frame object.
            unsafe {
                if let Some(code) = python.frame_code(present.as_ptr()) {
                    let instruction = match (self.frame_get_lasti)(present.as_ptr()) {
                        ..0 => Record::NO_INSTRUCTION,
                        last => last as u32 / 2,
                    };
                    frames.push(ActiveFrame { code, instruction });
                }
                frame = python.owned((self.frame_get_back)(present.as_ptr()));
            }
        }
        frames
    }
}
