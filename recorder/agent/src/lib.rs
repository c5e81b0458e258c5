//! The library that is loaded into CPython. It writes a record for each event of the program into a
//! ring, which the recorder reads.
//!
//! ```text
//! constructor      in each program
//!   └▶ audit hook  in each Python: installs the hooks before the user's code runs
//!        └▶ hook   at each event ─▶ record ─▶ the thread's ring
//!                                     └▶ log of definitions, if the code object is new
//! ```
//!
//! A folder uses only those below it:
//!
//! ```text
//! bootstrap   how the library enters a process: preloaded, or as an extension module
//! lifecycle   begins and ends the recording of the process, and what fork does to it
//! hooks       one file for each way in which CPython reports events
//! record      from an event to a record
//! ring        rings of records, and the log of definitions
//! context     CPython's API and the session, once per process
//! python      CPython's C API and the layouts of its objects
//! os          system calls, the clock, the allocator
//! ```
//!
//! `LD_PRELOAD` loads the library into every program that the recorded one starts. So it depends on
//! nothing but libc, and does nothing in a process without CPython. `docs/design/agent.md`
//! describes what a program can observe of it.

// The build that is loaded (`panic = "abort"`) has no standard library, which needs a newer glibc
// than many containers have. The build for the workspace's checks uses that library's panic
// handler.
#![cfg_attr(panic = "abort", no_std)]

extern crate alloc;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the agent supports only Linux on x86-64: it accesses thread-local memory in assembly");

mod bootstrap;
mod context;
mod hooks;
mod lifecycle;
mod os;
mod python;
mod record;
mod ring;
