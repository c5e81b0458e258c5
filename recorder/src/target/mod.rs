//! What is recorded: a program that is launched, or processes that run already.

pub(crate) mod attach;
pub(crate) mod launch;
pub(crate) mod program;
pub(crate) mod supervisor;
pub(crate) mod target_process;
