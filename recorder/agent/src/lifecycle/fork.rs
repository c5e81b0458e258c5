//! What `fork` does to the agent: the child gets its own log and rings at its first event.

use crate::hooks::{cfunctions, instances};
use crate::record::thread_names;
use crate::ring::{definitions, thread};

/// Registers the handlers. They stay registered until the process ends.
pub fn register_handlers() {
    // SAFETY: the handlers only change memory and unmap files, which is allowed in the child of a
    // fork.
    unsafe { libc::pthread_atfork(Some(before), None, Some(after_in_child)) };
}

extern "C" fn before() {
    thread_names::before_fork();
}

extern "C" fn after_in_child() {
    definitions::after_fork();
    thread::after_fork();
    thread_names::after_fork();
    cfunctions::clear_ids();
    instances::clear_ids();
}
