//! A run as input of the alignment: its side and its names.

use pyrec_schema::{Manifest, Names};

use crate::measure::Sources;
use crate::tree::Frame;

/// One of the two sides of a comparison. Each side has one or more runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The baseline.
    Old,
    /// What is compared with the baseline.
    New,
}

/// The names of one run.
#[derive(Debug)]
pub struct RunNames<'a> {
    /// The side that the run is on.
    pub side: Side,
    /// The code and text table of the trace.
    pub names: &'a Names,
    /// The manifest of the recording. Module names are derived from its `sys.path` and command.
    pub manifest: &'a Manifest,
    /// The source texts of the trace.
    pub sources: &'a Sources,
    /// The frames to align. Duplicates are allowed.
    pub frames: Vec<Frame>,
    /// Paths of source files to align in addition to those of the frames.
    pub files: Vec<String>,
}
