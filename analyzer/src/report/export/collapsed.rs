//! Collapsed stacks: a call path on a line, the outermost function first, and its own time in nanoseconds.
//!
//! ```text
//! # trust: 1,234 events, 0 lost, …
//! <module> (__main__);main (__main__:12);f (__main__:3) 5400
//! ```

use std::io::Write;

use crate::Result;
use crate::escape::Plain;
use crate::measure::{Folded, FoldedFrame, Trust};
use crate::report::trust_line;

/// Writes a line for every path that has time of its own.
pub fn write(folded: &Folded, out: &mut impl Write) -> Result<Trust> {
    writeln!(out, "# {}", trust_line(&folded.trust))?;
    let labels: Vec<String> = folded.frames.iter().map(label).collect();
    let mut path = Vec::new();
    for (at, frame) in folded.frames.iter().enumerate().filter(|(_, frame)| frame.own > 0) {
        path.clear();
        path.extend(std::iter::successors(Some(at), |&at| folded.frames[at].parent));
        for &at in path.iter().rev() {
            let end = if at == path[0] { ' ' } else { ';' };
            write!(out, "{}{end}", labels[at])?;
        }
        writeln!(out, "{}", frame.own)?;
    }
    Ok(folded.trust.clone())
}

/// A semicolon would part a frame in two, and a number sign would make a comment of the line.
fn label(frame: &FoldedFrame) -> String {
    let label = Plain(&frame.label).to_string().replace(';', ":");
    if label.starts_with('#') { format!("\\{label}") } else { label }
}
