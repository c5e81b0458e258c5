//! The format of a capture: what the generated scripts print, and what the import reads. One line
//! is one event, and tabs separate its fields.
//!
//! ```text
//! # pyrec 1  dtrace  24996298635071  1795341339936502973  3.15.2  function,gc
//! 24996350373459  9611  9612  function__entry  12  main  /srv/run.py
//! 24996350548770  9611  9612  gc__start  2
//! # end
//! ```
//!
//! An event line has the time in nanoseconds, the process, the thread, the marker, and the marker's
//! arguments with strings last. The header line has the tool, one instant on the clock of the
//! events and in Unix time (nanoseconds), the Python version that the script was generated for, and
//! the marker groups. The end line is there only if the script ended normally.

use pyrec_schema::Marker;

/// The first field of the header line.
pub const HEADER: &str = "# pyrec 1";

/// The last line of a complete capture.
pub const END: &str = "# end";

/// How many bytes of a string bpftrace captures, the terminating zero included. A BPF program has
/// 512 bytes of stack, and older versions of bpftrace keep both strings and the rest of the line
/// there.
pub const STRING_BYTES: usize = 100;

/// One argument of a marker, by its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A C `int`.
    Int(u8),
    /// A `Py_ssize_t`.
    Long(u8),
    /// A string. The pointer may be null.
    Text(u8),
}

/// The arguments that an event line of this marker has, in order. `None` for a marker that is not
/// one of CPython's static markers.
pub const fn arguments(marker: Marker) -> Option<&'static [Argument]> {
    match marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            Some(&[Argument::Int(3), Argument::Text(2), Argument::Text(1)])
        }
        Marker::GcStart => Some(&[Argument::Int(1)]),
        Marker::GcDone => Some(&[Argument::Long(1)]),
        Marker::ImportStart | Marker::Audit => Some(&[Argument::Text(1)]),
        Marker::ImportDone => Some(&[Argument::Int(2), Argument::Text(1)]),
        _ => None,
    }
}
