//! Where something happened: in which function, and on which line.

use pyrec_schema::{Code, CodeId, Marker};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::frame_names::{self, FrameNames};
use crate::calls::{Call, CallEvent, Callers};
use crate::tree::Frame;

/// Callers that are looked at where each event is told with its own: with more, a million events in a million calls would
/// take as many as both together.
pub const MAX_CALLERS: usize = 256;

/// A function, and the line in it that was executing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameLocation {
    /// The function.
    pub frame: Frame,
    /// The line, 0 where it was not recorded.
    pub line: i32,
}

/// The same in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLocation {
    /// `co_filename`; none where it is unknown, and for what is not written in Python.
    pub file: Option<String>,
    /// `co_firstlineno`.
    pub first_line: Option<u32>,
    /// `co_qualname`.
    pub qualname: String,
    /// The module that the file was, as far as the interpreter's path tells.
    pub module: Option<String>,
    /// The line that was executing, where lines were recorded.
    pub line: Option<i32>,
    /// All of that for people.
    #[serde(skip)]
    pub label: String,
}

impl SourceLocation {
    /// Puts a spot into words.
    pub fn of(spot: FrameLocation, naming: &FrameNames) -> SourceLocation {
        let line = (spot.line > 0).then_some(spot.line);
        let label = match (naming.label(spot.frame), line) {
            (label, Some(line)) => format!("{label}, line {line}"),
            (label, None) => label,
        };
        let Some(code) = naming.code(spot.frame) else {
            let qualname = naming.label(spot.frame);
            return SourceLocation { file: None, first_line: None, qualname, module: None, line, label };
        };
        let code = Code::parse(&code);
        SourceLocation {
            file: (!code.file.is_empty()).then(|| code.file.to_owned()),
            first_line: code.first_line,
            qualname: frame_names::qualname(&code),
            module: naming.module(code.file),
            line,
            label,
        }
    }
}

/// The lines that are executing in the open calls, as far as they were recorded.
#[derive(Debug, Default)]
pub struct ExecutingLines(FxHashMap<u64, i32>);

impl ExecutingLines {
    /// Follows what happens.
    pub fn follow(&mut self, moment: CallEvent, callers: Callers) {
        match moment {
            CallEvent::Instant(event) if event.marker == Marker::Line => {
                let innermost = callers.innermost();
                // The line of a function that is filtered out is not that of its caller.
                let its = innermost.filter(|call| call.frame == Frame::Function(event.code));
                its.map(|call| self.0.insert(call.id, event.line));
            }
            CallEvent::Leave(call, _) if !self.0.is_empty() => {
                self.0.remove(&call.id);
            }
            _ => {}
        }
    }

    /// Where a call is now.
    pub fn spot(&self, call: &Call) -> FrameLocation {
        FrameLocation { frame: call.frame, line: self.0.get(&call.id).copied().unwrap_or(0) }
    }

    /// The functions that are open, the innermost first, as many as [`MAX_CALLERS`]. Of the innermost the row that asks may
    /// know more: its code and its line.
    pub fn stack(&self, callers: Callers, code: CodeId, line: i32) -> Vec<FrameLocation> {
        let mut stack: Vec<FrameLocation> =
            callers.outwards().take(MAX_CALLERS).map(|call| self.spot(call)).collect();
        let own = FrameLocation { frame: Frame::Function(code), line };
        match stack.first_mut() {
            _ if code == CodeId::NONE => {}
            Some(innermost) if innermost.frame == own.frame => {
                *innermost = if line > 0 { own } else { *innermost }
            }
            _ => stack.insert(0, own),
        }
        stack
    }
}
