//! What the BPF program sends, taken apart.

use pyrec_schema::Marker;

use super::skeleton::types;
use super::unicode;

/// One record of the ring buffer. The layouts are those of `markers.bpf.c`, by way of the skeleton.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawEvent {
    /// A marker that is about a code object or a number.
    Number(Head),
    /// A marker that is about a name; none where CPython could not say it.
    Text(Head, Option<Box<str>>),
    /// What an id stands for from now on.
    Defined(Box<Definition>),
    /// An id that stands for nothing any more.
    Freed {
        /// The id.
        id: u64,
    },
    /// Events that were not sent, before this instant.
    Lost {
        /// Who and when; `what` is their number.
        head: Head,
        /// When the first of them was lost.
        from_ns: i64,
    },
}

/// What every event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of an event")]
pub struct Head {
    pub time_ns: i64,
    pub pid: i32,
    pub tid: i32,
    pub marker: Marker,
    /// A code's id, or a number.
    pub what: u64,
    pub line: i32,
}

/// What an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The id.
    pub id: u64,
    /// When it was first met, and by whom.
    pub time_ns: i64,
    /// The process.
    pub pid: i32,
    /// `co_filename`.
    pub file: String,
    /// `co_firstlineno`, none where the code object could not be found.
    pub first_line: Option<u32>,
    /// `co_qualname`, or `co_name` where the code object could not be found.
    pub qualname: String,
    /// Whether the code object was found.
    pub found: bool,
    /// Whether it stands for a single event only.
    pub once: bool,
    /// Whether a name was too long to be sent whole.
    pub cut: bool,
}

/// The numbers of `enum kind` in `markers.bpf.c`.
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
const LOST: u32 = 10;

const HEAD: usize = size_of::<types::head>();
const DEFINITION: usize = size_of::<types::definition>();

impl RawEvent {
    /// Takes a record apart. `None` for bytes that the BPF program never sends.
    pub fn decode(bytes: &[u8]) -> Option<RawEvent> {
        let head: types::head = plain(bytes, 0)?;
        if let Some(marker) = MARKERS.get(head.kind as usize) {
            let head = Head::new(&head, *marker);
            return match marker {
                Marker::ImportStart | Marker::ImportDone | Marker::Audit => {
                    Some(RawEvent::Text(head, text(bytes)?))
                }
                _ => Some(RawEvent::Number(head)),
            };
        }
        match head.kind {
            DEFINED => Definition::decode(bytes).map(|definition| RawEvent::Defined(Box::new(definition))),
            FREED => Some(RawEvent::Freed { id: head.what }),
            LOST => {
                let loss: types::loss = plain(bytes, 0)?;
                Some(RawEvent::Lost { head: Head::new(&head, Marker::Lost), from_ns: loss.from_ns as i64 })
            }
            _ => None,
        }
    }
}

impl Head {
    fn new(head: &types::head, marker: Marker) -> Head {
        Head {
            time_ns: head.time_ns as i64,
            pid: head.pid as i32,
            tid: head.tid as i32,
            marker,
            what: head.what,
            line: head.line,
        }
    }
}

impl Definition {
    fn decode(bytes: &[u8]) -> Option<Definition> {
        let definition: types::definition = plain(bytes, 0)?;
        let names = bytes.get(DEFINITION..)?;
        // Both names have the same room, whatever it is.
        let (file, qualname) = names.split_at(names.len() / 2);
        let name = |room: &[u8], name: &types::name| {
            room.get(..name.bytes as usize).map(|bytes| unicode::decode(name.width, bytes))
        };
        Some(Definition {
            id: definition.head.what,
            time_ns: definition.head.time_ns as i64,
            pid: definition.head.pid as i32,
            file: name(file, &definition.file)?,
            first_line: u32::try_from(definition.head.line).ok(),
            qualname: name(qualname, &definition.qualname)?,
            found: definition.found != 0,
            once: definition.once != 0,
            cut: definition.cut != 0,
        })
    }
}

/// The string of a record with text: its length counts the zero at the end and is negative for no string.
fn text(bytes: &[u8]) -> Option<Option<Box<str>>> {
    let length: i64 = plain(bytes, HEAD)?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let start = HEAD + size_of::<i64>();
    let text = bytes.get(start..start + length.saturating_sub(1))?;
    Some(Some(String::from_utf8_lossy(text).into()))
}

/// Types that any bytes make a value of.
///
/// # Safety
/// Every bit pattern must be a valid value.
unsafe trait Plain: Copy {}

// SAFETY: integers, and structures of integers without padding.
unsafe impl Plain for i64 {}
// SAFETY: as above.
unsafe impl Plain for types::head {}
// SAFETY: as above.
unsafe impl Plain for types::loss {}
// SAFETY: as above.
unsafe impl Plain for types::definition {}

fn plain<T: Plain>(bytes: &[u8], start: usize) -> Option<T> {
    let bytes = bytes.get(start..)?.get(..size_of::<T>())?;
    // SAFETY: the bytes are as many as T has, need no alignment here, and are valid whatever they hold.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes as `struct head` of `markers.bpf.c` has them.
    fn head(kind: u32, what: u64, line: i32) -> Vec<u8> {
        let mut bytes = 1_000_000_007_u64.to_le_bytes().to_vec();
        bytes.extend([7_u32, 8].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(what.to_le_bytes());
        bytes.extend(line.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes
    }

    fn decoded_head(marker: Marker, what: u64, line: i32) -> Head {
        Head { time_ns: 1_000_000_007, pid: 7, tid: 8, marker, what, line }
    }

    /// A definition with two names in rooms of `room` bytes: (bytes that count, width, what lies there).
    fn definition(names: [(u32, u32, &[u8]); 2], flags: [u32; 4], room: usize) -> Vec<u8> {
        let mut bytes = head(8, 42, 3);
        bytes.extend(names.iter().flat_map(|(bytes, width, _)| [*bytes, *width]).flat_map(u32::to_le_bytes));
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
            let event = RawEvent::Number(decoded_head(MARKERS[kind as usize], 5, line));
            assert_eq!(RawEvent::decode(&head(kind, 5, line)), Some(event));
        }
        // The order of `enum kind` in markers.bpf.c.
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
            let mut bytes = head(6, 1, 0);
            bytes.extend(length.to_le_bytes());
            bytes.extend(text);
            bytes.resize(32 + 8 + 512, 0xaa);
            RawEvent::decode(&bytes)
        };
        let event = |text: Option<&str>| {
            Some(RawEvent::Text(decoded_head(Marker::ImportDone, 1, 0), text.map(Box::from)))
        };
        assert_eq!(text(5, b"json\0"), event(Some("json")));
        assert_eq!(text(1, b"\0"), event(Some("")));
        assert_eq!(text(-14, b""), event(None));
        assert_eq!(text(514, b""), None);
    }

    #[test]
    fn a_definition_with_names_of_two_widths() {
        let bytes = definition([(4, 1, b"a.py"), (4, 2, b"\x18\x04\x3c\x04")], [1, 0, 0, 0], 240);
        let expected = Definition {
            id: 42,
            time_ns: 1_000_000_007,
            pid: 7,
            file: "a.py".into(),
            first_line: Some(3),
            qualname: "Им".into(),
            found: true,
            once: false,
            cut: false,
        };
        assert_eq!(RawEvent::decode(&bytes), Some(RawEvent::Defined(Box::new(expected))));
    }

    #[test]
    fn a_definition_in_the_markers_own_words() {
        let mut bytes = definition([(5, 0, b"a.py\0"), (2, 0, b"f\0")], [0, 1, 0, 0], 4096);
        bytes[24..28].copy_from_slice(&(-1_i32).to_le_bytes());
        let Some(RawEvent::Defined(definition)) = RawEvent::decode(&bytes) else { panic!("a definition") };
        assert_eq!((&*definition.file, &*definition.qualname), ("a.py", "f"));
        assert_eq!((definition.first_line, definition.found, definition.once), (None, false, true));
    }

    #[test]
    fn the_end_of_an_id_and_a_loss() {
        assert_eq!(RawEvent::decode(&head(9, 42, 0)), Some(RawEvent::Freed { id: 42 }));
        let mut bytes = head(10, 99, 0);
        bytes.extend(500_u64.to_le_bytes());
        let lost = RawEvent::Lost { head: decoded_head(Marker::Lost, 99, 0), from_ns: 500 };
        assert_eq!(RawEvent::decode(&bytes), Some(lost));
    }

    #[test]
    fn what_is_not_whole_or_not_ours_is_nothing() {
        assert_eq!(RawEvent::decode(&head(11, 0, 0)), None);
        let whole = definition([(4, 1, b"a.py"), (1, 1, b"f")], [1, 0, 0, 0], 4);
        assert!(RawEvent::decode(&whole).is_some());
        for length in 0..whole.len() - 8 {
            assert_eq!(RawEvent::decode(&whole[..length]), None, "{length}");
        }
        let too_long = definition([(5, 1, b"a.py"), (1, 1, b"f")], [1, 0, 0, 0], 4);
        assert_eq!(RawEvent::decode(&too_long), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..12_u8) {
            let mut bytes = bytes;
            if let Some(at) = bytes.get_mut(28..32) {
                at.copy_from_slice(&u32::from(kind).to_le_bytes());
            }
            let _ = RawEvent::decode(&bytes);
        }
    }
}
