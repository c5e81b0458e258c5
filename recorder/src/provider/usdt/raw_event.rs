//! Decodes events and bodies that the BPF program sends.
//!
//! ```text
//! event ─────────┐
//! body ─▶ PendingBodies ┴▶ RawEvent
//! ```

use pyrec_schema::Marker;
use rustc_hash::FxHashMap;

use super::kernel_tallies::tally_from_map;
use super::skeleton::types;
use super::unicode;
use crate::output::counts::Tally;

/// A decoded event. The layouts are those of `events.h`, by way of the skeleton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawEvent {
    /// A marker with a code object or a number.
    Number(EventHeader),
    /// A marker with a text; `None` if CPython could not encode it.
    Text(EventHeader, Option<Box<str>>),
    /// A code object is at an address from now on.
    CodeDefined(Box<Definition>),
    /// The code object at an address was freed.
    CodeFreed {
        /// The process.
        pid: i32,
        /// The address.
        code: u64,
    },
    /// A process has ended or called `exec`; its code objects are gone.
    ProcessEnded {
        /// The process.
        pid: i32,
    },
    /// A loss: events of a thread that were not sent.
    Lost {
        /// Thread and time of the last lost event; `id` is the number of lost events.
        head: EventHeader,
        /// Time of the first lost event.
        from_ns: i64,
    },
}

/// Data of variable length, sent through the ring buffer ahead of the event that refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A text; `None` if CPython could not encode it.
    Text(Option<Box<str>>),
    /// The definition of a code object.
    Definition(Box<Definition>),
    /// Number of lost events, and the time of the first.
    Loss(u64, i64),
    /// The definition number of a function and its tally, evicted from the map. No event refers to
    /// it.
    EvictedTally(u64, Tally),
}

/// Bodies whose events have not been read yet, by number.
#[derive(Debug, Default)]
pub struct PendingBodies {
    by_number: FxHashMap<u64, Body>,
    /// Evicted tallies that the caller has not taken yet.
    pub evicted: Vec<(u64, Tally)>,
}

/// The fields that all events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of an event")]
pub struct EventHeader {
    pub time_ns: i64,
    pub pid: i32,
    pub tid: i32,
    pub marker: Marker,
    /// The address of a code object, a single-event id, or a number.
    pub id: u64,
    pub line: i32,
}

/// The definition of a code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The id in events of this code object: its address, or a number with [`SINGLE_EVENT_BIT`] for
    /// one event whose code was not found.
    pub id: u64,
    /// The number of the definition, unique within the recording.
    pub number: u64,
    /// Time of the first event with this code object.
    pub time_ns: i64,
    /// The process.
    pub pid: i32,
    /// The thread of that event.
    pub tid: i32,
    /// `co_filename`.
    pub file: String,
    /// `co_firstlineno`; `None` if the code object was not found.
    pub first_line: Option<u32>,
    /// `co_qualname`, or `co_name`.
    pub qualname: String,
    /// Whether `qualname` is only `co_name`.
    pub is_plain_name: bool,
    /// Whether the code object was found.
    pub is_found: bool,
    /// Whether a name was truncated.
    pub is_truncated: bool,
}

/// The bit of an id that is valid for one event only: `ONCE` in `events.h`.
pub const SINGLE_EVENT_BIT: u64 = 1 << 63;

/// The numbers of `enum kind` in `events.h`.
const MARKERS: [Marker; 8] = [
    Marker::FunctionEntry,
    Marker::FunctionReturn,
    Marker::Line,
    Marker::GcStart,
    Marker::GcDone,
    Marker::ImportStart,
    Marker::ImportDone,
    Marker::Audit,
];
const DEFINED: u32 = 8;
const FREED: u32 = 9;
const GONE: u32 = 10;
const LOST: u32 = 11;
const SETTLED: u32 = 12;

const BODY: usize = size_of::<types::body>();
const DEFINITION: usize = size_of::<types::definition>();

impl RawEvent {
    /// Joins an event with its body. `None` if it is invalid.
    pub fn join(event: &types::event, bodies: &mut PendingBodies) -> Option<RawEvent> {
        let pid = event.pid as i32;
        match event.stamp & 0xff {
            DEFINED => match bodies.take(event.what)? {
                Body::Definition(mut definition) => {
                    definition.number = event.what;
                    definition.time_ns = event.time_ns as i64;
                    (definition.pid, definition.tid) = (pid, event.tid as i32);
                    Some(RawEvent::CodeDefined(definition))
                }
                _ => None,
            },
            FREED => Some(RawEvent::CodeFreed { pid, code: event.what }),
            GONE => Some(RawEvent::ProcessEnded { pid }),
            LOST => match bodies.take(event.what)? {
                Body::Loss(count, from_ns) => {
                    let head = EventHeader { id: count, ..EventHeader::new(event, Marker::Lost) };
                    Some(RawEvent::Lost { head, from_ns })
                }
                _ => None,
            },
            kind => {
                let head = EventHeader::new(event, *MARKERS.get(kind as usize)?);
                match head.marker {
                    Marker::ImportStart | Marker::ImportDone | Marker::Audit => {
                        match bodies.take(event.what)? {
                            Body::Text(text) => Some(RawEvent::Text(head, text)),
                            _ => None,
                        }
                    }
                    _ => Some(RawEvent::Number(head)),
                }
            }
        }
    }
}

impl EventHeader {
    fn new(event: &types::event, marker: Marker) -> EventHeader {
        EventHeader {
            time_ns: event.time_ns as i64,
            pid: event.pid as i32,
            tid: event.tid as i32,
            marker,
            id: event.what,
            line: event.line,
        }
    }
}

impl PendingBodies {
    /// Stores a body until its event is read. Returns `false` for invalid bytes.
    #[must_use]
    pub fn insert(&mut self, bytes: &[u8]) -> bool {
        match Body::decode(bytes) {
            Some((_, Body::EvictedTally(function, tally))) => self.evicted.push((function, tally)),
            Some((number, body)) => drop(self.by_number.insert(number, body)),
            None => return false,
        }
        true
    }

    fn take(&mut self, number: u64) -> Option<Body> {
        self.by_number.remove(&number)
    }
}

impl Body {
    /// Decodes a record of the ring buffer. `None` if it is invalid.
    fn decode(bytes: &[u8]) -> Option<(u64, Body)> {
        let types::body { number, kind, .. } = read_plain(bytes, 0)?;
        let body = match kind {
            DEFINED => Body::Definition(Box::new(Definition::decode(bytes)?)),
            LOST => {
                let loss: types::loss = read_plain(bytes, 0)?;
                Body::Loss(loss.count, loss.from_ns as i64)
            }
            SETTLED => {
                let tally = read_plain::<types::settled>(bytes, 0)?.tally;
                Body::EvictedTally(tally.function, tally_from_map(&tally))
            }
            _ => Body::Text(text(bytes)?),
        };
        Some((number, body))
    }
}

impl Definition {
    fn decode(bytes: &[u8]) -> Option<Definition> {
        let definition: types::definition = read_plain(bytes, 0)?;
        let names = bytes.get(DEFINITION..)?;
        // Both names have buffers of the same size.
        let (file, qualname) = names.split_at(names.len() / 2);
        let name = |room: &[u8], name: &types::name| {
            room.get(..name.bytes as usize).map(|bytes| unicode::decode(name.width, bytes))
        };
        Some(Definition {
            id: definition.what,
            number: 0,
            time_ns: 0,
            pid: 0,
            tid: 0,
            file: name(file, &definition.file)?,
            first_line: u32::try_from(definition.first_line).ok(),
            qualname: name(qualname, &definition.qualname)?,
            is_plain_name: definition.plain != 0,
            is_found: definition.found != 0,
            is_truncated: definition.cut != 0,
        })
    }
}

/// Decodes the string of a text body. Its length includes the final zero and is negative if there
/// is none.
fn text(bytes: &[u8]) -> Option<Option<Box<str>>> {
    let length: i64 = read_plain(bytes, BODY)?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let start = BODY + size_of::<i64>();
    let text = bytes.get(start..start + length.saturating_sub(1))?;
    Some(Some(String::from_utf8_lossy(text).into()))
}

/// Types for which every bit pattern is a valid value.
///
/// # Safety
/// Every bit pattern must be a valid value.
unsafe trait AnyBitPattern: Copy {}

// SAFETY: integers, and structures of integers without padding.
unsafe impl AnyBitPattern for i64 {}
// SAFETY: as above.
unsafe impl AnyBitPattern for types::body {}
// SAFETY: as above.
unsafe impl AnyBitPattern for types::loss {}
// SAFETY: as above.
unsafe impl AnyBitPattern for types::definition {}
// SAFETY: integers alone.
unsafe impl AnyBitPattern for types::settled {}

fn read_plain<T: AnyBitPattern>(bytes: &[u8], start: usize) -> Option<T> {
    let bytes = bytes.get(start..)?.get(..size_of::<T>())?;
    // SAFETY: the slice has `size_of::<T>()` bytes, the read is unaligned, and every bit pattern is
    // valid.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: u32, what: u64, line: i32) -> types::event {
        // The time round the array stands above the kind.
        types::event { time_ns: 1_000_000_007, pid: 7, tid: 8, what, line, stamp: 5 << 8 | kind }
    }

    fn head(marker: Marker, id: u64, line: i32) -> EventHeader {
        EventHeader { time_ns: 1_000_000_007, pid: 7, tid: 8, marker, id, line }
    }

    /// Bytes as `struct body` of `events.h` has them.
    fn body(number: u64, kind: u32) -> Vec<u8> {
        [number.to_le_bytes(), u64::from(kind).to_le_bytes()].concat()
    }

    /// An event with its body.
    fn join(event: &types::event, body: &[u8]) -> Option<RawEvent> {
        let mut bodies = PendingBodies::default();
        if bodies.insert(body) { RawEvent::join(event, &mut bodies) } else { None }
    }

    /// A definition with two names in rooms of `room` bytes: (bytes that count, width, what lies
    /// there).
    fn definition(names: [(u32, u32, &[u8]); 2], first_line: i32, flags: [u32; 3], room: usize) -> Vec<u8> {
        let mut bytes = body(3, 8);
        bytes.extend(0x7f00_u64.to_le_bytes());
        bytes.extend(names.iter().flat_map(|(bytes, width, _)| [*bytes, *width]).flat_map(u32::to_le_bytes));
        bytes.extend(first_line.to_le_bytes());
        bytes.extend(flags.iter().flat_map(|flag| flag.to_le_bytes()));
        for (_, _, name) in names {
            let mut place = vec![0xaa; room];
            place[..name.len()].copy_from_slice(name);
            bytes.extend(place);
        }
        bytes
    }

    #[test]
    fn every_marker_by_its_number() {
        for (kind, line) in [(0, 12), (1, 13), (2, -1), (3, 0), (4, 0)] {
            let expected = RawEvent::Number(head(MARKERS[kind as usize], 5, line));
            assert_eq!(RawEvent::join(&event(kind, 5, line), &mut PendingBodies::default()), Some(expected));
        }
        // The order of `enum kind` in events.h.
        let names = MARKERS.map(Marker::name).join(" ");
        assert_eq!(
            names,
            "function__entry function__return line gc__start gc__done import__find__load__start \
             import__find__load__done audit"
        );
    }

    #[test]
    fn a_text_ends_before_its_zero() {
        let text = |length: i64, text: &[u8]| {
            let mut bytes = body(3, 6);
            bytes.extend(length.to_le_bytes());
            bytes.extend(text);
            bytes.resize(16 + 8 + 512, 0xaa);
            join(&event(6, 3, 1), &bytes)
        };
        let expected =
            |text: Option<&str>| Some(RawEvent::Text(head(Marker::ImportDone, 3, 1), text.map(Box::from)));
        assert_eq!(text(5, b"json\0"), expected(Some("json")));
        assert_eq!(text(1, b"\0"), expected(Some("")));
        assert_eq!(text(-14, b""), expected(None));
        assert_eq!(text(514, b""), None);
    }

    #[test]
    fn a_definition_with_names_of_two_widths() {
        let bytes = definition([(4, 1, b"a.py"), (4, 2, b"\x18\x04\x3c\x04")], 3, [1, 0, 0], 240);
        let expected = Definition {
            id: 0x7f00,
            number: 3,
            time_ns: 1_000_000_007,
            pid: 7,
            tid: 8,
            file: "a.py".into(),
            first_line: Some(3),
            qualname: "Им".into(),
            is_plain_name: false,
            is_found: true,
            is_truncated: false,
        };
        assert_eq!(join(&event(8, 3, 0), &bytes), Some(RawEvent::CodeDefined(Box::new(expected))));
    }

    #[test]
    fn a_definition_in_the_markers_own_words() {
        let bytes = definition([(5, 0, b"a.py\0"), (2, 0, b"f\0")], -1, [0, 0, 1], 4096);
        let Some(RawEvent::CodeDefined(definition)) = join(&event(8, 3, 0), &bytes) else {
            panic!("a definition")
        };
        assert_eq!((&*definition.file, &*definition.qualname), ("a.py", "f"));
        assert_eq!(
            (definition.first_line, definition.is_found, definition.is_plain_name),
            (None, false, true)
        );
    }

    #[test]
    fn the_end_of_an_address_and_of_a_process_and_a_loss() {
        let mut none = PendingBodies::default();
        assert_eq!(
            RawEvent::join(&event(9, 42, 0), &mut none),
            Some(RawEvent::CodeFreed { pid: 7, code: 42 })
        );
        assert_eq!(RawEvent::join(&event(10, 0, 0), &mut none), Some(RawEvent::ProcessEnded { pid: 7 }));
        let mut bytes = body(3, 11);
        bytes.extend([99_u64, 500].iter().flat_map(|number| number.to_le_bytes()));
        let lost = RawEvent::Lost { head: head(Marker::Lost, 99, 0), from_ns: 500 };
        assert_eq!(join(&event(11, 3, 0), &bytes), Some(lost));
    }

    #[test]
    fn a_settled_tally_needs_no_event() {
        let mut bytes = body(3, 12);
        bytes.extend([42_u64, 7, 100, 200, 0].iter().flat_map(|number| number.to_le_bytes()));
        let mut bodies = PendingBodies::default();
        assert!(bodies.insert(&bytes));
        assert_eq!(bodies.evicted, [(42, Tally { calls: 7, self_ns: 100, total_ns: 200 })]);
        assert!(!bodies.insert(&bytes[..48]));
    }

    #[test]
    fn a_body_serves_its_own_event_once() {
        let mut bytes = body(3, 11);
        bytes.extend([99_u64, 500].iter().flat_map(|number| number.to_le_bytes()));
        let mut bodies = PendingBodies::default();
        assert!(bodies.insert(&bytes));
        assert_eq!(RawEvent::join(&event(11, 4, 0), &mut bodies), None);
        assert!(RawEvent::join(&event(11, 3, 0), &mut bodies).is_some());
        assert_eq!(RawEvent::join(&event(11, 3, 0), &mut bodies), None);
        assert!(bodies.insert(&bytes));
        assert_eq!(RawEvent::join(&event(8, 3, 0), &mut bodies), None, "the body of another kind");
    }

    #[test]
    fn what_is_not_whole_or_not_ours_is_nothing() {
        assert_eq!(RawEvent::join(&event(12, 0, 0), &mut PendingBodies::default()), None);
        let whole = definition([(4, 1, b"a.py"), (1, 1, b"f")], 1, [1, 0, 0], 4);
        let mut bodies = PendingBodies::default();
        assert!(bodies.insert(&whole));
        for length in 0..whole.len() - 8 {
            assert!(!bodies.insert(&whole[..length]), "{length}");
        }
        assert!(
            !bodies.insert(&definition([(5, 1, b"a.py"), (1, 1, b"f")], 1, [1, 0, 0], 4)),
            "too long a name"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..13_u8) {
            let mut bytes = bytes;
            if let Some(at) = bytes.get_mut(8..12) {
                at.copy_from_slice(&u32::from(kind).to_le_bytes());
            }
            let mut bodies = PendingBodies::default();
            let _ = bodies.insert(&bytes);
            let _ = RawEvent::join(&event(u32::from(kind), 0, 0), &mut bodies);
        }
    }
}
