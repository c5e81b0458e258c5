//! What the operating system offers, wrapped for the rest of the recorder. Nothing in here knows of recordings.

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
