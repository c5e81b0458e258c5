//! What was not recorded.

use super::batch::Event;
use super::marker::Marker;
use super::names::{CodeId, Names};

/// Events of one thread that were not recorded: a `lost` row.
///
/// | column | holds |
/// |---|---|
/// | `time_ns` | `to_ns` |
/// | `value` | `count` |
/// | `text` | `from_ns` in decimal |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostEvents {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// How many events.
    pub count: u64,
    /// The last instant at which nothing was lost yet, `CLOCK_MONOTONIC` nanoseconds.
    pub from_ns: i64,
    /// The first instant at which events were recorded again.
    pub to_ns: i64,
}

impl LostEvents {
    /// The row that says so.
    pub fn to_event(self, names: &Names) -> Event {
        Event {
            time_ns: self.to_ns,
            pid: self.pid,
            tid: self.tid,
            marker: Marker::Lost,
            code: CodeId::NONE,
            line: 0,
            value: Some(i64::try_from(self.count).unwrap_or(i64::MAX)),
            text: names.text(&self.from_ns.to_string()),
        }
    }

    /// What a `lost` row says; none for any other row. A row without a start says that it ended where it began.
    pub fn from_event(event: &Event, names: &Names) -> Option<LostEvents> {
        (event.marker == Marker::Lost).then(|| LostEvents {
            pid: event.pid,
            tid: event.tid,
            count: event.value.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
            from_ns: names.text_str(event.text).and_then(|text| text.parse().ok()).unwrap_or(event.time_ns),
            to_ns: event.time_ns,
        })
    }
}
