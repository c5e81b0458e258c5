//! What a trace contains: events with their markers and strings, and the facts of the recording.

mod batch;
mod code;
mod loss;
mod manifest;
mod marker;
mod names;

pub use self::batch::{Batch, Event};
pub use self::code::Code;
pub use self::loss::LostEvents;
pub use self::manifest::{
    Clock, Excerpt, FORMAT_VERSION, Host, JournalLocation, Manifest, Python, RecordingEnd, RotationPart,
};
pub use self::marker::{Marker, MarkerGroup};
pub use self::names::{CodeId, Names, TextId};
