//! How the library enters a process: preloaded before the program starts, or as an extension module
//! of a program that is running.

mod audit_hook;
mod extension_module;
mod preload;
