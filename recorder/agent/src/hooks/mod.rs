//! The hooks: one file for each way in which CPython reports events.

pub mod audit;
pub mod cfunctions;
mod error;
mod functions;
pub mod gc;
pub mod importer;
pub mod instances;
mod monitoring;
pub mod profile;
mod setprofile_proxy;
mod static_markers;
mod thread_hook;

pub use error::HookError;
pub use functions::{FunctionHooks, prepare as prepare_function_hooks, remove as remove_function_hooks};
