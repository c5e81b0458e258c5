//! Files of threads and processes that have ended. They are kept until the rows made from them are
//! committed: if the recorder is killed before, repair reads them again.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::output::row_writer::RowWriter;

/// The position of a file that has been read completely.
pub(super) const END_POSITION: u64 = u64::MAX;

/// With so many files a commit is requested, because each of them occupies memory.
const MAX_FILES: usize = 64;

/// The files, the oldest first.
#[derive(Debug, Default)]
pub(super) struct RetiredFiles(VecDeque<RetiredFile>);

#[derive(Debug)]
struct RetiredFile {
    name: Arc<str>,
    path: PathBuf,
    /// The batch that holds the last rows made from it.
    batch: u64,
}

impl RetiredFiles {
    /// Adds a file whose last rows have just been written.
    pub fn add(&mut self, name: Arc<str>, path: PathBuf, rows: &mut RowWriter) {
        rows.set_position(&name, END_POSITION);
        self.0.push_back(RetiredFile { name, path, batch: rows.batch_number() });
    }

    /// Deletes the files whose rows are committed. Returns their names, which new files may get.
    pub fn delete_committed(&mut self, rows: &mut RowWriter) -> Vec<Arc<str>> {
        let (committed, mut deleted) = (rows.committed_batches(), Vec::new());
        let count = self.0.partition_point(|file| file.batch <= committed);
        for RetiredFile { name, path, .. } in self.0.drain(..count) {
            // A file that cannot be deleted is deleted with the session directory.
            if fs::remove_file(path).is_ok() {
                rows.remove_position(&name);
                deleted.push(name);
            }
        }
        deleted
    }

    /// Whether there are so many files that a commit should be requested.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_FILES
    }
}
