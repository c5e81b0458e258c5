//! Lost events, and the `lost` row that reports them.

use super::batch::Event;
use super::marker::Marker;
use super::names::{CodeId, Names};

/// Events of one thread that were not recorded. A `lost` row represents them:
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
    /// The number of lost events. May be 0: some may be missing, counted in the row of another
    /// thread.
    pub count: u64,
    /// The last instant before the loss, `CLOCK_MONOTONIC` nanoseconds.
    pub from_ns: i64,
    /// The first instant after the loss.
    pub to_ns: i64,
}

impl LostEvents {
    /// The `lost` row.
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

    /// Parses a `lost` row. Returns `None` for other markers. Without a text `from_ns` is the row's
    /// time.
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
