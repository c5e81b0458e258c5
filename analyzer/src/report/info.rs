//! What was recorded, for people and for programs.

use std::io::{self, Write};

use crate::measure::Info;

/// Writes what was recorded, and the trust line.
pub fn write(info: &Info, out: &mut impl Write) -> io::Result<()> {
    todo!("{info:?} {:?}", out.flush())
}

/// Writes the same as one JSON object.
pub fn write_json(info: &Info, out: &mut impl Write) -> io::Result<()> {
    todo!("{info:?} {:?}", out.flush())
}
