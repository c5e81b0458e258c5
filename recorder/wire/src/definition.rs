//! Definitions: what the ids in records refer to, and facts of the process.
//!
//! They form a log of entries, each of `length: u32` (of the whole entry), `tag: u32`, and the
//! fields.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{Reader, Writer};

/// The format of a code object's line table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LineTable {
    /// No table. Only the first line is known.
    None = 0,
    /// `co_lnotab` of CPython 3.8 and 3.9.
    Lnotab = 1,
    /// `co_linetable` of CPython 3.10 (PEP 626).
    Pep626 = 2,
    /// `co_linetable` of CPython 3.11 and later (`Objects/locations.md`).
    Locations = 3,
}

/// An entry in the definitions of a process.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "fields are named after what they hold")]
pub enum Definition {
    /// The process itself. The first entry of each log.
    Process {
        pid: i32,
        ppid: i32,
        start_ticks: u64,
        /// The version, such as `3.13.0`.
        version: String,
        /// `sys.version`.
        build: String,
        /// `sys.executable`.
        executable: String,
        /// `sys.orig_argv`.
        arguments: Vec<String>,
        /// `sys.path`.
        path: Vec<String>,
    },
    /// A code object, before the first record that refers to it.
    Code { id: u32, first_line: u32, file: String, qualname: String, line_table: LineTable, lines: Vec<u8> },
    /// A string, before the first record that refers to it.
    Text { id: u32, text: String },
    /// An audit event or the call of a class, by its name and the code object in which it occurs,
    /// before the first record that refers to it. `code` is 0 outside of Python code.
    Site { id: u32, code: u32, name: String },
    /// The name of a thread.
    Thread { tid: i32, name: String },
    /// The measured cost of recording one event in this process, nanoseconds.
    Cost { event_ns: f64 },
    /// A sentence that the recorder shows to the user.
    Notice { text: String },
}

/// The log contains an entry that no agent of this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedDefinition;

impl Definition {
    /// Encodes the entry. The bytes must be appended to the log with a single `write`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(alloc::vec![0; 8]);
        let tag: u32 = match self {
            Definition::Process { pid, ppid, start_ticks, version, build, executable, arguments, path } => {
                out.u32(*pid as u32);
                out.u32(*ppid as u32);
                out.u64(*start_ticks);
                out.bytes(version.as_bytes());
                out.bytes(build.as_bytes());
                out.bytes(executable.as_bytes());
                out.list(arguments);
                out.list(path);
                1
            }
            Definition::Code { id, first_line, file, qualname, line_table, lines } => {
                out.u32(*id);
                out.u32(*first_line);
                out.bytes(file.as_bytes());
                out.bytes(qualname.as_bytes());
                out.u32(*line_table as u32);
                out.bytes(lines);
                2
            }
            Definition::Text { id, text } => {
                out.u32(*id);
                out.bytes(text.as_bytes());
                3
            }
            Definition::Thread { tid, name } => {
                out.u32(*tid as u32);
                out.bytes(name.as_bytes());
                4
            }
            Definition::Cost { event_ns } => {
                out.u64(event_ns.to_bits());
                5
            }
            Definition::Notice { text } => {
                out.bytes(text.as_bytes());
                6
            }
            Definition::Site { id, code, name } => {
                out.u32(*id);
                out.u32(*code);
                out.bytes(name.as_bytes());
                7
            }
        };
        let length = out.0.len() as u32;
        out.0[..4].copy_from_slice(&length.to_ne_bytes());
        out.0[4..8].copy_from_slice(&tag.to_ne_bytes());
        out.0
    }

    fn decode(tag: u32, fields: &[u8]) -> Option<Definition> {
        let mut fields = Reader(fields);
        let definition = match tag {
            1 => Definition::Process {
                pid: fields.u32()? as i32,
                ppid: fields.u32()? as i32,
                start_ticks: fields.u64()?,
                version: fields.string()?,
                build: fields.string()?,
                executable: fields.string()?,
                arguments: fields.list()?,
                path: fields.list()?,
            },
            2 => Definition::Code {
                id: fields.u32()?,
                first_line: fields.u32()?,
                file: fields.string()?,
                qualname: fields.string()?,
                line_table: match fields.u32()? {
                    0 => LineTable::None,
                    1 => LineTable::Lnotab,
                    2 => LineTable::Pep626,
                    3 => LineTable::Locations,
                    _ => return None,
                },
                lines: fields.bytes()?.to_vec(),
            },
            3 => Definition::Text { id: fields.u32()?, text: fields.string()? },
            4 => Definition::Thread { tid: fields.u32()? as i32, name: fields.string()? },
            5 => Definition::Cost { event_ns: f64::from_bits(fields.u64()?) },
            6 => Definition::Notice { text: fields.string()? },
            7 => Definition::Site { id: fields.u32()?, code: fields.u32()?, name: fields.string()? },
            _ => return None,
        };
        fields.0.is_empty().then_some(definition)
    }
}

/// The maximum length of an entry, which bounds the memory for an incomplete one.
const MAX_BYTES: usize = 16 << 20;

/// Decodes a log incrementally, as it grows.
#[derive(Debug, Default)]
pub struct DefinitionReader {
    pending: Vec<u8>,
}

impl DefinitionReader {
    /// The number of bytes that belong to an incomplete entry.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Adds the next bytes of the log. Returns the entries that are complete now.
    ///
    /// # Errors
    ///
    /// Fails if an entry is malformed. The reader cannot continue then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Definition>, MalformedDefinition> {
        self.pending.extend_from_slice(bytes);
        let mut definitions = Vec::new();
        let mut rest = self.pending.as_slice();
        loop {
            let mut header = Reader(rest);
            let (Some(length), Some(tag)) = (header.u32(), header.u32()) else { break };
            let length = length as usize;
            if !(8..=MAX_BYTES).contains(&length) {
                return Err(MalformedDefinition);
            }
            let Some(fields) = rest.get(8..length) else { break };
            definitions.push(Definition::decode(tag, fields).ok_or(MalformedDefinition)?);
            rest = &rest[length..];
        }
        let decoded = self.pending.len() - rest.len();
        self.pending.drain(..decoded);
        Ok(definitions)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn one_of_each() -> Vec<Definition> {
        vec![
            Definition::Process {
                pid: 7,
                ppid: 1,
                start_ticks: u64::MAX,
                version: "3.13.0".into(),
                build: "3.13.0 (main)".into(),
                executable: "/usr/bin/python3".into(),
                arguments: vec!["python3".into(), "-c".into(), "".into()],
                path: vec![],
            },
            Definition::Code {
                id: 1,
                first_line: 3,
                file: "a.py".into(),
                qualname: "C.f".into(),
                line_table: LineTable::Locations,
                lines: vec![0x80, 0],
            },
            Definition::Text { id: 2, text: "json".into() },
            Definition::Site { id: 1, code: 1, name: "open".into() },
            Definition::Thread { tid: 8, name: "Thread-1 (f)".into() },
            Definition::Cost { event_ns: 24.5 },
            Definition::Notice { text: "sys.setprofile was in use".into() },
        ]
    }

    #[test]
    fn a_log_that_is_split_anywhere_is_decoded_completely() {
        let log: Vec<u8> = one_of_each().iter().flat_map(Definition::encode).collect();
        for cut in 0..=log.len() {
            let mut reader = DefinitionReader::default();
            let mut read = reader.feed(&log[..cut]).expect("an incomplete entry is not malformed");
            read.extend(reader.feed(&log[cut..]).expect("the log is well-formed"));
            assert_eq!(read, one_of_each(), "split at {cut}");
        }
    }

    #[test]
    fn malformed_entries_are_rejected() {
        let entry = |length: u32, tag: u32, fields: &[u8]| {
            let mut bytes = [length.to_ne_bytes(), tag.to_ne_bytes()].concat();
            bytes.extend_from_slice(fields);
            bytes
        };
        let malformed = [
            entry(7, 3, &[]),
            // An entry beyond the maximum length.
            entry((16 << 20) + 1, 3, &[]),
            entry(8, 99, &[]),
            entry(12, 3, &[0; 4]),
            // A text that claims more bytes than its entry has.
            entry(16, 3, &[0, 0, 0, 0, 255, 255, 255, 255]),
            // A list that claims more items than its entry has.
            entry(8 + 16 + 12 + 4, 1, &[[0u8; 28].as_slice(), &[255; 4]].concat()),
        ];
        for bytes in malformed {
            assert_eq!(DefinitionReader::default().feed(&bytes), Err(MalformedDefinition), "{bytes:?}");
        }
    }
}
