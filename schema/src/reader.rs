//! A file back into rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Batch, Manifest, Names, Result};

/// Which columns to read; the others of a [`Batch`] hold nothing but their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns are those of Event; time, process, thread, marker and code are always read")]
pub struct Columns {
    pub line: bool,
    pub value: bool,
    pub text: bool,
}

impl Columns {
    /// Every column.
    pub const ALL: Columns = Columns { line: true, value: true, text: true };
}

/// A recording: one file, a directory of rotated files, or several of either.
#[derive(Debug)]
pub struct Trace {}

impl Trace {
    /// Opens what is named there. Files of a directory are taken in the order of their names.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Trace> {
        todo!("{}", paths.len())
    }

    /// Its files; never empty.
    pub fn files(&self) -> &[TraceReader] {
        todo!()
    }

    /// The strings of all its files; grows as they are read.
    pub fn names(&self) -> &Arc<Names> {
        todo!()
    }

    /// The facts of the recording: those of its last file.
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }

    /// Rows in all files, the recorder's own included.
    pub fn rows(&self) -> u64 {
        todo!()
    }
}

/// One file of a trace. Reading takes `&self`: row groups may be read by several threads at once.
#[derive(Debug)]
pub struct TraceReader {}

impl TraceReader {
    /// Opens one file.
    pub fn open(path: &Path, names: Arc<Names>) -> Result<TraceReader> {
        todo!("{path:?} {names:?}")
    }

    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        todo!()
    }

    /// Its facts.
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }

    /// Bytes after the last footer, which a killed recorder left and which are not read.
    pub fn torn_bytes(&self) -> u64 {
        todo!()
    }

    /// The number of its row groups.
    pub fn row_groups(&self) -> usize {
        todo!()
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        todo!()
    }

    /// The rows of a row group, in order, at most 65,536 a batch.
    pub fn read(&self, row_group: usize, columns: Columns) -> Result<impl Iterator<Item = Result<Batch>> + use<>> {
        todo!("{row_group} {columns:?}");
        #[allow(unreachable_code)]
        Ok(std::iter::empty())
    }
}
