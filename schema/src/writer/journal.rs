//! The journal: what was written after the last checkpoint, in a file that outlives a killed
//! recorder. It holds pages, and the position of the provider in its own records at the end of each
//! batch.
//!
//! ```text
//! journal-7  begin │ open │ commit │ page │ commit │ page │ close │ page │ commit │ page
//!            └────────── recovery after checkpoint 7 reads up to here ──────────┘
//! ```
//!
//! Each checkpoint has its own journal, which is created before its footer is written, so no
//! journal is ever overwritten. A journal that is truncated anywhere is read up to its last commit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::encode::fields::{FieldReader, put_bytes, put_u32, put_u64};
use crate::file::trace_file::private_file;

/// How far a provider has read each of its sources, by the name of the source. The unit is up to
/// the provider: records of a ring, or bytes of a definitions file.
pub type ProviderPositions = BTreeMap<Arc<str>, u64>;

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    number: u64,
    file: File,
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JournalEntry {
    /// The row group that is open at the checkpoint, the last one of its footer, as
    /// `RowGroupBuilder::save` writes it.
    Open(Vec<u8>),
    /// A page of each column, added to the open row group.
    Page(Vec<u8>),
    /// The open row group is closed.
    Close,
    /// The rows before this entry are those up to these positions.
    Commit(ProviderPositions),
}

const BEGIN: u32 = 1;
const PAGE: u32 = 2;
const CLOSE: u32 = 3;
const COMMIT: u32 = 4;
const OPEN: u32 = 5;

impl Journal {
    /// Creates the journal of checkpoint `number`, at which the provider is at `positions`.
    pub(crate) fn begin(directory: &Path, number: u64, positions: &ProviderPositions) -> io::Result<Journal> {
        let path = path(directory, number);
        let file = private_file().create_new(true).open(path)?;
        let mut journal = Journal { directory: directory.to_owned(), number, file };
        let begun = journal.file.write_all(&encode_entry(BEGIN, |out| put_positions(positions, out)));
        begun.inspect_err(|_| journal.remove())?;
        Ok(journal)
    }

    /// Appends an entry.
    pub(crate) fn append(&mut self, entry: &JournalEntry) -> io::Result<()> {
        let bytes = match entry {
            JournalEntry::Open(pages) => encode_entry(OPEN, |out| out.extend_from_slice(pages)),
            JournalEntry::Page(page) => encode_entry(PAGE, |out| out.extend_from_slice(page)),
            JournalEntry::Close => encode_entry(CLOSE, |_| ()),
            JournalEntry::Commit(positions) => encode_entry(COMMIT, |out| put_positions(positions, out)),
        };
        self.file.write_all(&bytes)
    }

    /// Removes the file. Ignores failure, since the session directory is removed in the end.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(path(&self.directory, self.number));
    }
}

/// The contents of a journal up to its last commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalContents {
    pub(crate) entries: Vec<JournalEntry>,
    /// The provider's positions at the last commit.
    pub(crate) positions: ProviderPositions,
}

/// Reads the journal of checkpoint `number`. Returns `None` if it does not exist, or has no
/// complete begin entry.
pub(crate) fn read(directory: &Path, number: u64) -> io::Result<Option<JournalContents>> {
    let Some((begin, mut entries)) = read_file(&path(directory, number))? else { return Ok(None) };
    let last = entries.iter().rposition(|entry| matches!(entry, JournalEntry::Commit(_)));
    entries.truncate(last.map_or(0, |last| last + 1));
    let positions = match entries.last() {
        Some(JournalEntry::Commit(positions)) => positions.clone(),
        _ => begin,
    };
    Ok(Some(JournalContents { entries, positions }))
}

/// Reads the positions at the beginning of a journal, and its complete entries.
fn read_file(path: &Path) -> io::Result<Option<(ProviderPositions, Vec<JournalEntry>)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut fields = FieldReader(&bytes);
    let begin = match (fields.u32(), fields.bytes()) {
        (Some(BEGIN), Some(payload)) => parse_positions(payload),
        _ => None,
    };
    let Some(begin) = begin else { return Ok(None) };
    let mut entries = Vec::new();
    while let (Some(tag), Some(payload)) = (fields.u32(), fields.bytes()) {
        let entry = match tag {
            OPEN => Some(JournalEntry::Open(payload.to_vec())),
            PAGE => Some(JournalEntry::Page(payload.to_vec())),
            CLOSE => Some(JournalEntry::Close),
            COMMIT => parse_positions(payload).map(JournalEntry::Commit),
            _ => None,
        };
        let Some(entry) = entry else { break };
        entries.push(entry);
    }
    Ok(Some((begin, entries)))
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("journal-{number}"))
}

fn encode_entry(tag: u32, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_u32(tag, &mut out);
    put_u32(0, &mut out);
    payload(&mut out);
    let len = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&len.to_le_bytes());
    out
}

fn put_positions(positions: &ProviderPositions, out: &mut Vec<u8>) {
    put_u32(positions.len() as u32, out);
    for (name, &position) in positions {
        put_bytes(name.as_bytes(), out);
        put_u64(position, out);
    }
}

fn parse_positions(bytes: &[u8]) -> Option<ProviderPositions> {
    let mut fields = FieldReader(bytes);
    let count = fields.u32()?;
    (0..count).map(|_| Some((Arc::from(fields.string()?), fields.u64()?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn positions(ring: u64) -> ProviderPositions {
        ProviderPositions::from([(Arc::from("7-0.1.ring"), ring)])
    }

    #[test]
    fn a_journal_that_is_truncated_anywhere_is_read_up_to_its_last_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(directory.path(), 7, &positions(1)).unwrap();
        let mut commits = vec![(0, JournalContents { entries: vec![], positions: positions(1) })];
        let mut entries = Vec::new();
        let path = path(directory.path(), 7);
        let begin = fs::metadata(&path).unwrap().len();
        for entry in [
            JournalEntry::Open(vec![1, 2, 3]),
            JournalEntry::Commit(positions(5)),
            JournalEntry::Page(vec![4]),
            JournalEntry::Close,
            JournalEntry::Page(vec![]),
            JournalEntry::Commit(positions(9)),
            JournalEntry::Page(vec![5]),
        ] {
            journal.append(&entry).unwrap();
            entries.push(entry.clone());
            if let JournalEntry::Commit(positions) = entry {
                let found = JournalContents { entries: entries.clone(), positions };
                commits.push((fs::metadata(&path).unwrap().len(), found));
            }
        }
        let bytes = fs::read(&path).unwrap();
        for len in 0..=bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            let found = read(directory.path(), 7).unwrap();
            let expected = commits.iter().rfind(|(at, _)| *at <= len as u64).map(|(_, found)| found);
            assert_eq!(found.as_ref(), expected.filter(|_| len as u64 >= begin), "truncated to {len}");
        }
    }
}
