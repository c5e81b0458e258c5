//! The target process: launching a program, attaching to running processes, signals, and the end.

pub(crate) mod attach;
pub(crate) mod launch;
pub(crate) mod program;
pub(crate) mod supervisor;
pub(crate) mod target_process;
