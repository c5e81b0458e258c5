//! Export as collapsed stacks: a line for each call path, outermost function first, with its own
//! time in nanoseconds.
//!
//! ```text
//! # trust: 1,234 events, 0 lost, …
//! <module> (__main__);main (__main__:12);f (__main__:3) 5400
//! ```

use std::io::Write;

use crate::Result;
use crate::escape::Printable;
use crate::measure::{Folded, FoldedFrame, Trust};
use crate::report::trust_line;

/// The depth up to which frames are written. Deeper frames are added to their caller at this depth.
/// A line contains all callers, so the output would grow with the square of the depth.
const MAX_DEPTH: usize = 1_000;

/// Writes a line for every path that has own time.
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

/// The path that ends with a frame.
struct Path {
    depth: usize,
    /// Its own time, with that of deeper frames that are added to it.
    own: u64,
}

/// The paths of all frames, and whether some are too deep to be written.
fn paths(frames: &[FoldedFrame]) -> (Vec<Path>, bool) {
    let mut paths: Vec<Path> = Vec::with_capacity(frames.len());
    // The frame whose path each frame is added to: itself unless it is too deep.
    let mut written_frame: Vec<usize> = Vec::with_capacity(frames.len());
    for (at, frame) in frames.iter().enumerate() {
        let depth = frame.parent.map_or(0, |parent| paths[parent].depth + 1);
        paths.push(Path { depth, own: 0 });
        written_frame
            .push(frame.parent.filter(|_| depth >= MAX_DEPTH).map_or(at, |parent| written_frame[parent]));
        let own = &mut paths[written_frame[at]].own;
        *own = own.saturating_add(frame.own);
    }
    let is_cut = paths.iter().any(|path| path.depth >= MAX_DEPTH);
    (paths, is_cut)
}

/// The label of a frame. Semicolons are replaced, since they separate frames, and a number sign at
/// the beginning is escaped, since it starts a comment.
fn label(frame: &FoldedFrame) -> String {
    let label = Printable(&frame.label).to_string().replace(';', ":");
    if label.starts_with('#') { format!("\\{label}") } else { label }
}
