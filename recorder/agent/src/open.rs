//! What runs already when the agent comes into a program: the open frames of every thread.

use alloc::vec::Vec;
use core::ffi::{c_int, c_void};

use pyrec_wire::Record;

use crate::agent::{self, Agent};
use crate::clock;
use crate::os;
use crate::python::{Object, Owned, Python};
use crate::ring::Ring;
use crate::thread;

/// The part of the C API by which stacks are read. CPython 3.11 and later have all of it.
struct Stacks {
    interpreter: unsafe extern "C-unwind" fn() -> *mut c_void,
    first: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    next: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    frame: unsafe extern "C-unwind" fn(*mut c_void) -> *mut Object,
    back: unsafe extern "C-unwind" fn(*mut Object) -> *mut Object,
    last_byte: unsafe extern "C-unwind" fn(*mut Object) -> c_int,
}

impl Stacks {
    fn find() -> Option<Stacks> {
        let [interpreter, first, next, frame, back, last_byte] = [
            c"PyInterpreterState_Get",
            c"PyInterpreterState_ThreadHead",
            c"PyThreadState_Next",
            c"PyThreadState_GetFrame",
            c"PyFrame_GetBack",
            c"PyFrame_GetLasti",
        ]
        .map(os::symbol);
        if [interpreter, first, next, frame, back, last_byte].iter().any(|symbol| symbol.is_null()) {
            return None;
        }
        // SAFETY: the types are those in CPython's headers.
        unsafe {
            Some(Stacks {
                interpreter: core::mem::transmute::<*mut c_void, unsafe extern "C-unwind" fn() -> *mut c_void>(
                    interpreter,
                ),
                first: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                >(first),
                next: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                >(next),
                frame: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut Object,
                >(frame),
                back: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut Object) -> *mut Object,
                >(back),
                last_byte: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut Object) -> c_int,
                >(last_byte),
            })
        }
    }

    /// The code objects of a thread's frames, each with the instruction that runs, the innermost first.
    ///
    /// # Safety
    /// With the GIL, no exception pending, and a thread state.
    unsafe fn of<'py>(&self, python: &'py Python, state: *mut c_void) -> Vec<(Owned<'py>, u32)> {
        let mut frames = Vec::new();
        // SAFETY: the caller's promise.
        let mut frame = python.owned(unsafe { (self.frame)(state) });
        while let Ok(present) = frame {
            // SAFETY: a frame.
            unsafe {
                if let Some(code) = python.frame_code(present.as_ptr()) {
                    let unit = match (self.last_byte)(present.as_ptr()) {
                        ..0 => Record::NO_INSTRUCTION,
                        last => last as u32 / 2,
                    };
                    frames.push((code, unit));
                }
                frame = python.owned((self.back)(present.as_ptr()));
            }
        }
        frames
    }
}

/// Writes the open frames of every thread, as of this instant: into this thread's ring, and into new ones for the
/// others. The innermost frame of this thread, the one that brings us in, is not recorded by itself.
///
/// # Safety
/// With the GIL, and no exception pending. Thread states hold their thread's number, 64 bits, at the offset.
pub unsafe fn record(agent: &Agent, native_id_offset: isize) {
    let Some(stacks) = Stacks::find() else { return };
    let ticks = clock::ticks();
    let python = &agent.python;
    // SAFETY: with the GIL no thread state comes or goes.
    unsafe {
        let present = (python.thread_state)();
        let mut state = (stacks.first)((stacks.interpreter)());
        while !state.is_null() {
            let frames = stacks.of(python, state);
            let write = |ring: &mut Ring| {
                for (code, unit) in frames.iter().rev() {
                    agent::record_open(ring, code.as_ptr(), ticks, *unit);
                }
            };
            let tid = state.byte_offset(native_id_offset).cast::<u64>().read() as i32;
            if state == present {
                thread::fill(write);
            } else if tid > 0 && thread::prepare(agent, tid, ticks, write).is_err() {
                // Tried again at its first event, and told of then.
            }
            state = (stacks.next)(state);
        }
    }
}
