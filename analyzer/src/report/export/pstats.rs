//! Export for Python's `pstats`: a dictionary in marshal format, as `cProfile` saves it.
//!
//! ```text
//! {(file, line, name): (primitive calls, calls, own seconds, total seconds,
//!                       {caller: (calls, primitive calls, own seconds, total seconds)})}
//! ```
//!
//! The format has no comments, so it contains no trust line.

use std::io::{self, Write};

use crate::Result;
use crate::measure::{CallEdge, CallGraph, CallSums, FunctionName, Trust};

/// Writes the functions and their callers.
pub fn write(graph: &CallGraph, out: &mut impl Write) -> Result<Trust> {
    let mut callers: Vec<&CallEdge> = graph.edges.iter().collect();
    callers.sort_by_key(|edge| edge.callee);
    let mut callers = callers.as_slice();
    out.write_all(b"{")?;
    for (callee, function) in graph.functions.iter().enumerate() {
        let (edges, rest) = callers.split_at(callers.partition_point(|edge| edge.callee <= callee));
        callers = rest;
        write_name(&function.name, out)?;
        write_tuple(5, out)?;
        write_sum(&function.sum, [function.sum.primitive, function.sum.calls], out)?;
        out.write_all(b"{")?;
        for edge in edges {
            write_name(&graph.functions[edge.caller].name, out)?;
            write_tuple(4, out)?;
            // Unlike in the tuple of a function, all calls come before primitive calls.
            write_sum(&edge.sum, [edge.sum.calls, edge.sum.primitive], out)?;
        }
        out.write_all(b"0")?;
    }
    out.write_all(b"0")?;
    Ok(graph.trust.clone())
}

fn write_name(name: &FunctionName, out: &mut impl Write) -> io::Result<()> {
    write_tuple(3, out)?;
    // Python's profilers use `~` for functions without a file.
    write_str(name.file.as_deref().unwrap_or("~"), out)?;
    write_int(u64::from(name.first_line), out)?;
    write_str(&name.function, out)
}

fn write_sum(sum: &CallSums, counts: [u64; 2], out: &mut impl Write) -> io::Result<()> {
    counts.into_iter().try_for_each(|count| write_int(count, out))?;
    [sum.self_ns, sum.total_ns].into_iter().try_for_each(|ns| write_seconds(ns, out))
}

fn write_tuple(len: u32, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"(")?;
    out.write_all(&len.to_le_bytes())
}

fn write_str(text: &str, out: &mut impl Write) -> io::Result<()> {
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(b"u")?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

/// Marshal encodes integers of 32 bits as they are, and larger ones in digits of 15 bits.
fn write_int(value: u64, out: &mut impl Write) -> io::Result<()> {
    if let Ok(value) = i32::try_from(value) {
        out.write_all(b"i")?;
        return out.write_all(&value.to_le_bytes());
    }
    let digits: Vec<u16> = (0..5).map(|at| (value >> (15 * at)) as u16 & 0x7fff).collect::<Vec<_>>();
    let len = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
    out.write_all(b"l")?;
    out.write_all(&(len as u32).to_le_bytes())?;
    digits[..len].iter().try_for_each(|digit| out.write_all(&digit.to_le_bytes()))
}

fn write_seconds(ns: u64, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"g")?;
    out.write_all(&(ns as f64 / 1e9).to_le_bytes())
}

#[cfg(test)]
mod tests {
    //! Integers in the encoding of `marshal.dumps(value, 2)`.

    use super::*;

    #[test]
    fn integers_are_encoded_as_by_marshal() {
        let written = |value| {
            let mut out = Vec::new();
            write_int(value, &mut out).expect("a vector accepts all writes");
            out
        };
        assert_eq!(written(0), b"i\0\0\0\0");
        assert_eq!(written(0x7fff_ffff), b"i\xff\xff\xff\x7f");
        assert_eq!(written(1 << 31), b"l\x03\0\0\0\0\0\0\0\x02\0");
        assert_eq!(written(u64::MAX), b"l\x05\0\0\0\xff\x7f\xff\x7f\xff\x7f\xff\x7f\x0f\0");
    }
}
