//! Traces of one or more files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Columns, TraceReader};
use crate::error::{Error, Result};
use crate::model::{Event, Manifest, Marker, Names};

/// A trace: one file, a directory of rotated files, or several of either. The files share one
/// string table.
#[derive(Debug)]
pub struct Trace {
    names: Arc<Names>,
    files: Vec<TraceReader>,
    manifest: Manifest,
}

impl Trace {
    /// Opens the files and directories at `paths`. The files of a directory are opened in the order
    /// of their names.
    ///
    /// # Errors
    ///
    /// Fails if `paths` is empty, a directory contains no `.parquet` file, or a file cannot be
    /// opened as a trace.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Trace> {
        let names = Arc::new(Names::new());
        let mut files: Vec<TraceReader> = Vec::new();
        for path in paths {
            let is_directory = path.as_ref().is_dir();
            for path in trace_files(path.as_ref())? {
                let mut file = match TraceReader::open(&path, names.clone()) {
                    // A recording in progress removes its oldest files.
                    Err(Error::Io { source, .. })
                        if is_directory && source.kind() == io::ErrorKind::NotFound =>
                    {
                        continue;
                    }
                    file => file?,
                };
                files.last().into_iter().for_each(|before| file.skip_open_state_after(before));
                files.push(file);
            }
        }
        let manifest = files.last().map(|file| file.manifest().clone()).ok_or_else(|| Error::Io {
            path: PathBuf::new(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "no trace was given"),
        })?;
        Ok(Trace { names, files, manifest })
    }

    /// The files. There is at least one.
    pub fn files(&self) -> &[TraceReader] {
        &self.files
    }

    /// The paths of the files, grouped by recording. Files of one recording have the same clock
    /// anchor and host.
    pub fn recordings(&self) -> Vec<Vec<&Path>> {
        let key = |file: &TraceReader| {
            let Manifest { clock, host, .. } = file.manifest();
            (clock.anchor_unix_ns, clock.anchor_monotonic_ns, host.name.clone())
        };
        let mut keys = Vec::new();
        let mut recordings: Vec<Vec<&Path>> = Vec::new();
        for file in &self.files {
            let at = keys.iter().position(|known| *known == key(file)).unwrap_or_else(|| {
                keys.push(key(file));
                recordings.push(Vec::new());
                keys.len() - 1
            });
            recordings[at].push(file.path());
        }
        recordings
    }

    /// The string table of all files. It grows as they are read.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The rows of one marker, file by file. Row groups without that marker are not decoded.
    pub fn rows_of(&self, marker: Marker, columns: Columns) -> impl Iterator<Item = Result<Event>> + '_ {
        self.files.iter().flat_map(move |file| file.rows_of(marker, columns))
    }

    /// The manifest of the last file.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of rows in all files, facts of the recorder included.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(TraceReader::rows).sum()
    }
}

/// The trace files at a path: the file itself, or the `.parquet` files of a directory in the order
/// of their names.
pub fn trace_files(path: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: path.into(), source };
    if !fs::metadata(path).map_err(io)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(io)?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    if files.is_empty() {
        return Err(Error::NoTraces { path: path.into() });
    }
    Ok(files)
}
