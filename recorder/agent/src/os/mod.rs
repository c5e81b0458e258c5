//! What the agent takes from the operating system and libc.

pub mod clock;
mod files;
mod lock;
mod process;
mod runtime;
mod symbol;
pub mod thread_local;

pub use files::{Errno, File, path, populate, remove, unmap};
pub use lock::Lock;
pub use process::{environment_variable, parent_pid, pid, sleep_ns, tid};
pub use symbol::symbol;
