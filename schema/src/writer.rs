//! Rows into a file that is whole at every checkpoint.

use std::path::Path;
use std::sync::Arc;

use crate::{Batch, Manifest, Names, Result};

/// How a [`TraceWriter`] cuts the stream.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Rows per row group.
    pub row_group_rows: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions { row_group_rows: 1 << 20 }
    }
}

/// Writes one trace file.
#[derive(Debug)]
pub struct TraceWriter {}

impl TraceWriter {
    /// Creates the file, which must not exist yet, as a whole trace without rows. `manifest.ended` is written as
    /// [`crate::Ended::Recording`] until [`TraceWriter::finish`].
    pub fn create(path: &Path, names: Arc<Names>, manifest: Manifest, options: WriterOptions) -> Result<TraceWriter> {
        todo!("{path:?} {names:?} {manifest:?} {options:?}")
    }

    /// The facts that the next footer will hold.
    pub fn manifest_mut(&mut self) -> &mut Manifest {
        todo!()
    }

    /// Appends rows. Reaches the disk with the row group that they fill, or at the next checkpoint.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        todo!("{batch:?}")
    }

    /// Makes everything written so far part of a whole file, unless footers would then take more than their share
    /// of it. Says whether it did.
    pub fn checkpoint(&mut self) -> Result<bool> {
        todo!()
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        todo!()
    }

    /// Length of the file so far, in bytes, with what waits for the next checkpoint.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// Writes what is left and the last footer. Returns the length of the file in bytes.
    pub fn finish(self) -> Result<u64> {
        todo!()
    }
}
