//! The frames that are active when the agent is attached to a running program.

use crate::context::Context;
use crate::os::clock;
use crate::python::StackApi;
use crate::record;
use crate::ring::Ring;
use crate::ring::thread;

/// Records the active frames of every thread with the current time: of the current thread in its
/// ring, of the others in rings that are reserved for them. The frame of the script that loads the
/// agent is excluded.
///
/// # Safety
/// Needs the GIL, and no exception pending. `native_id_offset` is the offset of the 64-bit native
/// thread id in a thread state.
pub unsafe fn record(context: &Context, native_id_offset: isize) {
    let Some(stacks) = StackApi::find() else { return };
    let ticks = clock::ticks();
    // SAFETY: the caller holds the GIL, and nothing below releases it: no Python code runs.
    unsafe {
        let current = (context.python.thread_state_get)();
        stacks.for_each_thread(|state| {
            let frames = stacks.frames(&context.python, state);
            let write = |ring: &mut Ring| {
                for frame in frames.iter().rev() {
                    record::open_frame(ring, frame.code.as_ptr(), ticks, frame.instruction);
                }
            };
            let tid = state.byte_offset(native_id_offset).cast::<u64>().read() as i32;
            if state == current {
                thread::with_own_ring(write);
            } else if tid > 0 {
                // After an error the thread tries again at its first event, which reports it.
                let _ = thread::reserve_ring(context.session(), tid, ticks, write);
            }
        });
    }
}
