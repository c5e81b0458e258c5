//! Files of threads and processes that are gone, kept until what they say outlives the recorder.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::output::row_writer::RowWriter;

/// A position behind everything: the file is done.
pub(super) const DONE: u64 = u64::MAX;

/// So many files are enough: each takes memory.
const MANY: usize = 64;

/// The files, the oldest first, each with the batch that its last rows are in.
#[derive(Debug, Default)]
pub(super) struct RetiredFiles(VecDeque<(u64, Arc<str>, PathBuf)>);

impl RetiredFiles {
    /// Takes a file in whose last rows have just been made.
    pub fn put(&mut self, name: Arc<str>, path: PathBuf, rows: &mut RowWriter) {
        rows.set_position(&name, DONE);
        self.0.push_back((rows.batch_number(), name, path));
    }

    /// Removes the files of which everything is safe. Gives their names, which others may have next.
    pub fn clear(&mut self, rows: &mut RowWriter) -> Vec<Arc<str>> {
        let (safe, mut gone) = (rows.committed_batches(), Vec::new());
        let done = self.0.partition_point(|(batch, ..)| *batch <= safe);
        for (_, name, path) in self.0.drain(..done) {
            // Gone with the directory at the latest.
            if fs::remove_file(path).is_ok() {
                rows.remove_position(&name);
                gone.push(name);
            }
        }
        gone
    }

    /// Whether there are too many.
    pub fn is_crowded(&self) -> bool {
        self.0.len() >= MANY
    }
}
