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
