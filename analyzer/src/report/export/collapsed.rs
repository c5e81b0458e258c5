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

/// What goes deeper is part of the frame at this depth: a line holds all callers, so a million frames would be a
/// million lines of a million names.
const MAX_DEPTH: usize = 1_000;

/// Writes a line for every path that has time of its own.
pub fn write(folded: &Folded, out: &mut impl Write) -> Result<Trust> {
    writeln!(out, "# {}", trust_line(&folded.trust))?;
    let (paths, is_cut) = paths(&folded.frames);
    if is_cut {
        writeln!(out, "# cut at a depth of {MAX_DEPTH}")?;
    }
    let mut labels: Vec<Option<String>> = vec![None; paths.len()];
    let mut line = Vec::new();
    for (at, path) in paths.iter().enumerate().filter(|(_, path)| path.own > 0) {
        line.clear();
        line.extend(std::iter::successors(Some(at), |&at| folded.frames[at].parent));
        for &at in line.iter().rev() {
            let end = if at == line[0] { ' ' } else { ';' };
            let label = labels[at].get_or_insert_with(|| label(&folded.frames[at]));
            write!(out, "{label}{end}")?;
        }
        writeln!(out, "{}", path.own)?;
    }
    Ok(folded.trust.clone())
}

/// A frame that may have a line.
struct Path {
    depth: usize,
    own: u64,
}

/// The frames with the time that their lines tell, and whether some are too deep for one.
fn paths(frames: &[FoldedFrame]) -> (Vec<Path>, bool) {
    let mut paths: Vec<Path> = Vec::with_capacity(frames.len());
    // The frame whose line tells of each.
    let mut places: Vec<usize> = Vec::with_capacity(frames.len());
    for (at, frame) in frames.iter().enumerate() {
        let depth = frame.parent.map_or(0, |parent| paths[parent].depth + 1);
        paths.push(Path { depth, own: 0 });
        places.push(frame.parent.filter(|_| depth >= MAX_DEPTH).map_or(at, |parent| places[parent]));
        let own = &mut paths[places[at]].own;
        *own = own.saturating_add(frame.own);
    }
    let is_cut = paths.iter().any(|path| path.depth >= MAX_DEPTH);
    (paths, is_cut)
}

/// A semicolon would part a frame in two, and a number sign would make a comment of the line.
fn label(frame: &FoldedFrame) -> String {
    let label = Plain(&frame.label).to_string().replace(';', ":");
    if label.starts_with('#') { format!("\\{label}") } else { label }
}
