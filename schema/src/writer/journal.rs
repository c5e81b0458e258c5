//! What is not in the file yet, in a place that outlives its writer: finished pages, and how far into its own records
//! the provider was when they were finished.
//!
//! ```text
//! journal-7  begin │ open │ commit │ page │ commit │ page │ close │ page │ commit │ page
//!            └──────── put back after checkpoint 7 ──────────────────────────────┘
//! ```
//!
//! Each checkpoint has a journal of its own, begun before its footer is written, so nothing is ever overwritten. One that
//! was torn anywhere holds what it held at its last commit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::encode::fields::{FieldReader, put_bytes, put_u32, put_u64};
use crate::file::trace_file::private_file;

/// How far into each of its own records, by their names, a provider is with the rows that it has given.
pub type ProviderPositions = BTreeMap<Arc<str>, u64>;

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    number: u64,
    file: File,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JournalEntry {
    /// The row group that was open at the checkpoint, the last one of its footer, as `RowGroupBuilder::save` wrote it.
    Open(Vec<u8>),
    /// A page of each column after that.
    Page(Vec<u8>),
    /// The row group is done.
    Close,
    /// What was written up to here, rows and positions, belongs together.
    Commit(ProviderPositions),
}

const BEGIN: u32 = 1;
const PAGE: u32 = 2;
const CLOSE: u32 = 3;
const COMMIT: u32 = 4;
const OPEN: u32 = 5;

impl Journal {
    /// Begins the journal of a checkpoint, after which the provider is at these positions.
    pub(crate) fn begin(directory: &Path, number: u64, positions: &ProviderPositions) -> io::Result<Journal> {
        let path = path(directory, number);
        let file = private_file().create_new(true).open(path)?;
        let mut journal = Journal { directory: directory.to_owned(), number, file };
        let begun = journal.file.write_all(&framed(BEGIN, |out| put_positions(positions, out)));
        begun.inspect_err(|_| journal.remove())?;
        Ok(journal)
    }

    /// Appends an entry.
    pub(crate) fn append(&mut self, entry: &JournalEntry) -> io::Result<()> {
        let bytes = match entry {
            JournalEntry::Open(pages) => framed(OPEN, |out| out.extend_from_slice(pages)),
            JournalEntry::Page(page) => framed(PAGE, |out| out.extend_from_slice(page)),
            JournalEntry::Close => framed(CLOSE, |_| ()),
            JournalEntry::Commit(positions) => framed(COMMIT, |out| put_positions(positions, out)),
        };
        self.file.write_all(&bytes)
    }

    /// Removes it.
    pub(crate) fn remove(&self) {
        // Gone with its directory at the latest.
        let _ = fs::remove_file(path(&self.directory, self.number));
    }
}

/// What a journal that was left behind holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalContents {
    /// What was written after the checkpoint, up to the last commit.
    pub(crate) entries: Vec<JournalEntry>,
    /// Where the provider was then.
    pub(crate) positions: ProviderPositions,
}

/// Reads what is to be put back after a checkpoint; none where its journal is gone.
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

/// The positions that a journal begins with, and its whole entries.
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

fn framed(tag: u32, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
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

    fn at(ring: u64) -> ProviderPositions {
        ProviderPositions::from([(Arc::from("7-0.1.ring"), ring)])
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_holds_its_last_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(directory.path(), 7, &at(1)).unwrap();
        let mut commits = vec![(0, JournalContents { entries: vec![], positions: at(1) })];
        let mut entries = Vec::new();
        let path = path(directory.path(), 7);
        let begin = fs::metadata(&path).unwrap().len();
        for entry in [
            JournalEntry::Open(vec![1, 2, 3]),
            JournalEntry::Commit(at(5)),
            JournalEntry::Page(vec![4]),
            JournalEntry::Close,
            JournalEntry::Page(vec![]),
            JournalEntry::Commit(at(9)),
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
            assert_eq!(found.as_ref(), expected.filter(|_| len as u64 >= begin), "cut at {len}");
        }
    }
}
