//! Wrappers around facilities of the operating system. Nothing in this folder depends on the rest
//! of the recorder; errors are plain [`std::io::Error`]s.

pub(crate) mod capabilities;
pub(crate) mod clock;
pub(crate) mod fs_credentials;
pub(crate) mod private_dir;
pub(crate) mod process_handle;
pub(crate) mod process_root;
pub(crate) mod procfs;
pub(crate) mod sigbus;
pub(crate) mod signals;
pub(crate) mod stopped_process;
pub(crate) mod user;
