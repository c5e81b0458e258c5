//! The classic tracing tools as sources: scripts for DTrace, SystemTap and bpftrace, and what these print into a trace.
//!
//! ```text
//! script ──▶ dtrace, stap, bpftrace ──▶ text ──▶ import ──▶ trace
//!    └────────────── layout ─────────────────────┘
//! ```
//!
//! No kernel is needed here and no live process, so that a capture from any system can be imported on any other.

pub mod import;
mod layout;
pub mod script;
