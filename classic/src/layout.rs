//! A line of a capture by one of our scripts: what they print and the import reads. Tabs part its fields.
//!
//! ```text
//! # pyrec 1  dtrace  24996298635071  1795341339936502973  3.15.2  function,gc
//! 24996350373459  9611  9612  function__entry  12  main  /srv/run.py
//! 24996350548770  9611  9612  gc__start  2
//! # end
//! ```
//!
//! An event says when, in which process and thread, and what; then come the marker's arguments, names last. The head
//! says by what tool, an instant on the clock of the events and in Unix time, the Python that the script was made for,
//! and the groups of markers. The end is there where the tool came to its own.

use pyrec_schema::Marker;

/// What a capture begins with.
pub const HEAD: &str = "# pyrec 1";

/// What it ends with.
pub const END: &str = "# end";

/// How much of a string bpftrace captures, the end included. Two of them and the line around them have to fit the 512
/// bytes of a BPF program's stack, where older versions keep them.
pub const STRING_BYTES: usize = 100;

/// One of a marker's arguments, by its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A C `int`.
    Int(u8),
    /// A `Py_ssize_t`.
    Long(u8),
    /// A string, which may be null.
    Text(u8),
}

/// Which arguments are printed of a marker; none for what is no static marker of CPython.
pub const fn fields(marker: Marker) -> Option<&'static [Field]> {
    match marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            Some(&[Field::Int(3), Field::Text(2), Field::Text(1)])
        }
        Marker::GcStart => Some(&[Field::Int(1)]),
        Marker::GcDone => Some(&[Field::Long(1)]),
        Marker::ImportStart | Marker::Audit => Some(&[Field::Text(1)]),
        Marker::ImportDone => Some(&[Field::Int(2), Field::Text(1)]),
        _ => None,
    }
}
