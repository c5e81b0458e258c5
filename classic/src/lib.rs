//! Support for the classic tracing tools: generates capture scripts for DTrace, SystemTap and
//! bpftrace, and imports what they print as a trace.
//!
//! ```text
//! script ──▶ dtrace, stap, bpftrace ──▶ capture (text) ──▶ import ──▶ trace
//!    └─────────────── capture_format ───────────────────────┘
//! ```
//!
//! Needs neither a kernel interface nor a live process, so a capture from any system can be
//! imported on any other.

mod capture_format;
pub mod import;
pub mod script;
