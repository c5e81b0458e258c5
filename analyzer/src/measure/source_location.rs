//! Source locations: a function and the line that it executes.

use pyrec_schema::{Code, CodeId, Marker};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::frame_names::{self, FrameNames};
use crate::calls::{Call, CallEvent, Callers};
use crate::tree::Frame;

/// The most callers that are captured for one event. Without a limit, the time for events in deeply
/// nested calls would be their number times the depth.
pub const MAX_CALLERS: usize = 256;

/// A function and its executing line, as ids of one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameLocation {
    /// The function.
    pub frame: Frame,
    /// The line; 0 where it was not recorded.
    pub line: i32,
}

/// A function and its executing line, with names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLocation {
    /// `co_filename`; none where it is unknown, and for what is not Python code.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_qualname`.
    pub qualname: String,
    /// The module; none where it could not be derived from `sys.path`.
    pub module: Option<String>,
    /// The executing line, where lines were recorded.
    pub line: Option<i32>,
    /// The name for reports, with the line.
    #[serde(skip)]
    pub label: String,
}

impl SourceLocation {
    /// Looks up the names of a location.
    pub fn of(location: FrameLocation, frame_names: &FrameNames) -> SourceLocation {
        let line = (location.line > 0).then_some(location.line);
        let label = match (frame_names.label(location.frame), line) {
            (label, Some(line)) => format!("{label}, line {line}"),
            (label, None) => label,
        };
        let Some(code) = frame_names.code(location.frame) else {
            let qualname = frame_names.label(location.frame);
            return SourceLocation { file: None, first_line: None, qualname, module: None, line, label };
        };
        let code = Code::parse(&code);
        SourceLocation {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line,
            qualname: frame_names::qualname(&code),
            module: frame_names.module(code.file),
            line,
            label,
        }
    }
}

/// The executing lines of the open calls, by call id, where lines were recorded.
#[derive(Debug, Default)]
pub struct ExecutingLines(FxHashMap<u64, i32>);

impl ExecutingLines {
    /// Takes the next event.
    pub fn update(&mut self, event: CallEvent, callers: Callers) {
        match event {
            CallEvent::Instant(event) if event.marker == Marker::Line => {
                // The line of a function that the filter hides is not that of its caller.
                let executing = callers.innermost().filter(|call| call.frame == Frame::Function(event.code));
                executing.map(|call| self.0.insert(call.id, event.line));
            }
            CallEvent::Leave(call, _) if !self.0.is_empty() => {
                self.0.remove(&call.id);
            }
            _ => {}
        }
    }

    /// The current location of an open call.
    pub fn location(&self, call: &Call) -> FrameLocation {
        FrameLocation { frame: call.frame, line: self.0.get(&call.id).copied().unwrap_or(0) }
    }

    /// The locations of the [`MAX_CALLERS`] innermost open calls, the innermost first.
    ///
    /// `code` and `line` are those of the current row, or [`CodeId::NONE`]. They take precedence
    /// for the innermost call, and are added as innermost location if no call of that function was
    /// recorded.
    pub fn stack(&self, callers: Callers, code: CodeId, line: i32) -> Vec<FrameLocation> {
        let mut stack: Vec<FrameLocation> =
            callers.outwards().take(MAX_CALLERS).map(|call| self.location(call)).collect();
        let row = FrameLocation { frame: Frame::Function(code), line };
        match stack.first_mut() {
            _ if code == CodeId::NONE => {}
            Some(innermost) if innermost.frame == row.frame => {
                *innermost = if line > 0 { row } else { *innermost }
            }
            _ => stack.insert(0, row),
        }
        stack
    }
}
