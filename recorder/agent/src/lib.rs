//! The library that is loaded into CPython.
//!
//! ```text
//! constructor ─▶ audit hook ─▶ install ─▶ hooks of this CPython ─▶ Thread::push ─▶ ring
//!   (each program)  (each Python)  (once, before user code)            │
//!                                        first sight of a code object ─┴▶ definitions
//! ```
//!
//! LD_PRELOAD brings it into every program that the recorded one starts, so it depends on nothing but libc, and
//! where it finds no CPython it does nothing. `docs/design/agent.md` says what a program can see of it.

// Built to be loaded (`panic = "abort"`) it goes without the standard library, whose symbols are younger than the
// glibc of many a container. Built for the workspace's checks it borrows that library's panic handler.
#![cfg_attr(panic = "abort", no_std)]

extern crate alloc;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the agent knows Linux on x86-64 only: its thread-local ring pointer is written in assembly");

mod agent;
mod audit;
mod cfunctions;
mod class;
mod clock;
mod collector;
mod cost;
mod definitions;
mod entrance;
mod extra;
mod frame;
mod functions;
mod importer;
mod instances;
mod lock;
mod markers;
mod module;
mod monitoring;
mod names;
mod open;
mod os;
mod profile;
mod proxy;
mod python;
mod ring;
mod runtime;
mod starter;
mod thread;
