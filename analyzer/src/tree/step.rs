//! What a row means to a stack.

use pyrec_schema::{Event, LostEvents, Marker, Names};

use super::Frame;

/// What a row means to the stack of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame starts or goes on.
    Enter(Frame),
    /// A frame is there already, nobody knows since when.
    Open(Frame),
    /// A frame is left.
    Leave(Frame),
    /// Events were lost, from this instant up to the time of the row.
    Lose {
        /// The last instant at which nothing was lost yet.
        from_ns: i64,
    },
    /// A thread begins or ends, so nothing is on its stack.
    Clear,
    /// Something happened in the topmost frame.
    Pass,
    /// Not a moment of the thread: a source file.
    Ignore,
}

impl Step {
    /// What a row means.
    #[inline]
    pub fn of(event: &Event, names: &Names) -> Step {
        match event.marker {
            Marker::FunctionEntry => Step::Enter(Frame::Function(event.code)),
            Marker::FunctionOpen => Step::Open(Frame::Function(event.code)),
            Marker::FunctionReturn => Step::Leave(Frame::Function(event.code)),
            Marker::CfunctionEntry => Step::Enter(Frame::Cfunction(event.text)),
            Marker::CfunctionReturn => Step::Leave(Frame::Cfunction(event.text)),
            Marker::GcStart => Step::Enter(Frame::Gc),
            Marker::GcDone => Step::Leave(Frame::Gc),
            Marker::Line | Marker::ImportStart | Marker::ImportDone | Marker::Audit => Step::Pass,
            Marker::InstanceStart | Marker::InstanceDone => Step::Pass,
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                Step::Clear
            }
            Marker::Lost => Step::Lose {
                from_ns: LostEvents::from_event(event, names).map_or(event.time_ns, |lost| lost.from_ns),
            },
            Marker::Source => Step::Ignore,
        }
    }
}
