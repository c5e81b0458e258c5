//! The writer of a trace: one file, or with rotation a directory of files.
//!
//! ```text
//! pyrec.parquet                              without rotation
//!
//! pyrec.parquet/000003.parquet  ✗ removed    with --rotate and --keep: each file is a trace, and
//! pyrec.parquet/000004.parquet               begins with the calls that were open when the
//! pyrec.parquet/000005.parquet  ◀── rows     previous one ended
//! ```

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyrec_schema::{
    Batch, Code, CodeId, Error, Manifest, Names, RecordingEnd, Result, RotationPart, TraceWriter,
    WriterOptions,
};
use rustc_hash::FxHashSet;

use super::open_state::OpenState;
use super::pipeline::{EventSink, PositionUpdates};
use super::snapshot::Snapshot;
use super::source_files::SourceFiles;
use crate::os::private_dir;
use crate::{Rotation, SizeOrDuration};

/// Name of the next file of a directory until it is complete. Readers ignore it.
pub(crate) const NEXT_FILE_NAME: &str = ".next";

/// Rows after which they are committed to the journal: about a page.
const COMMIT_ROWS: usize = 3 << 14;

/// At most one part in so many of the time is spent on checkpoints. It matters for very long files
/// and slow disks.
const CHECKPOINT_TIME_SHARE: u32 = 10;

/// What the files of a trace have in common.
pub(crate) struct WriterContext {
    /// The file, or the directory of files.
    pub output: PathBuf,
    pub rotation: Rotation,
    pub names: Arc<Names>,
    pub sources: Arc<Mutex<SourceFiles>>,
}

/// The end and the duration of the last checkpoint.
#[derive(Clone, Copy)]
struct CheckpointTiming {
    ended: Instant,
    duration: Duration,
}

impl CheckpointTiming {
    /// Whether another checkpoint would keep to [`CHECKPOINT_TIME_SHARE`].
    fn is_due(self) -> bool {
        self.ended.elapsed() >= self.duration * CHECKPOINT_TIME_SHARE
    }
}

/// Writes rows to the current file of a trace, and rotates the files.
pub(crate) struct RotatingWriter {
    context: WriterContext,
    writer: TraceWriter,
    checkpoint: CheckpointTiming,
    uncommitted_rows: usize,
    /// None without rotation.
    directory: Option<TraceDirectory>,
    /// Number of snapshots taken.
    snapshots: u32,
}

/// State of a trace that is a directory of files.
struct TraceDirectory {
    /// Identifies the recording, in the manifest of each file.
    recording: String,
    /// Number of the current file, counted from 1.
    number: u64,
    /// When the current file was begun.
    begun: Instant,
    open_state: OpenState,
    /// The finished files that still exist, the oldest first.
    finished: VecDeque<FinishedFile>,
}

struct FinishedFile {
    path: PathBuf,
    bytes: u64,
    /// The time of its latest event.
    latest_ns: i64,
}

impl RotatingWriter {
    /// Creates the first file, and the directory if there is rotation.
    pub fn create(context: WriterContext, manifest: Manifest) -> Result<RotatingWriter> {
        let output = context.output.clone();
        if !context.rotation.is_enabled() {
            let writer = create_file(&context, &output, manifest)?;
            return Ok(RotatingWriter::resume(context, writer));
        }
        private_dir::create(&output).map_err(|source| Error::Io { path: output.clone(), source })?;
        let clock = &manifest.clock;
        let recording = format!("{:x}-{}", clock.anchor_unix_ns.unwrap_or(0), std::process::id());
        let part = Some(RotationPart { recording: recording.clone(), number: 1, has_open_state: false });
        let created = create_file(&context, &file_path(&output, 1), Manifest { part, ..manifest });
        let writer = created.inspect_err(|_| drop(fs::remove_dir(&output)))?;
        let directory = TraceDirectory {
            recording,
            number: 1,
            begun: Instant::now(),
            open_state: OpenState::default(),
            finished: VecDeque::new(),
        };
        Ok(RotatingWriter { directory: Some(directory), ..RotatingWriter::resume(context, writer) })
    }

    /// Continues an existing file.
    pub fn resume(context: WriterContext, writer: TraceWriter) -> RotatingWriter {
        RotatingWriter {
            context,
            writer,
            checkpoint: CheckpointTiming { ended: Instant::now(), duration: Duration::ZERO },
            uncommitted_rows: 0,
            directory: None,
            snapshots: 0,
        }
    }

    fn rotate_if_due(&mut self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let is_due = match self.context.rotation.file_limit() {
            SizeOrDuration::Size(bytes) => self.writer.bytes() >= bytes,
            SizeOrDuration::Duration(time) => directory.begun.elapsed() >= time,
        };
        if is_due && self.writer.rows() > 0 {
            self.rotate()?;
        }
        self.remove_expired()
    }

    /// Begins the next file. It exists, with the open calls, before the current one is finished. So
    /// whenever the recorder is killed, one of the two continues where the other ends.
    fn rotate(&mut self) -> Result<()> {
        let Some(directory) = &mut self.directory else { return Ok(()) };
        self.writer.commit()?;
        self.uncommitted_rows = 0;
        let (codes, latest_ns) = (directory.open_state.take_codes(), directory.open_state.latest_ns());
        let open_rows = directory.open_state.rows();
        directory.number += 1;
        let part = RotationPart {
            recording: directory.recording.clone(),
            number: directory.number,
            has_open_state: !open_rows.is_empty(),
        };
        let mut next = self.writer.successor(&self.context.output.join(NEXT_FILE_NAME), part)?;
        next.write(&open_rows)?;
        next.checkpoint_and_close_row_group()?;
        next.rename(&file_path(&self.context.output, directory.number))?;
        let mut current = std::mem::replace(&mut self.writer, next);
        write_sources(&self.context, Some(&codes), &mut current)?;
        current.manifest_mut().ended = RecordingEnd::Stopped;
        let path = current.path().to_owned();
        let bytes = current.finish()?;
        directory.begun = Instant::now();
        directory.finished.push_back(FinishedFile { path, bytes, latest_ns });
        Ok(())
    }

    /// Removes the finished files that exceed the amount to keep.
    fn remove_expired(&mut self) -> Result<()> {
        let Some(keep) = self.context.rotation.keep else { return Ok(()) };
        loop {
            let bytes = self.bytes() - self.writer.bytes() + self.writer.bytes_on_disk();
            let Some(directory) = &mut self.directory else { return Ok(()) };
            let now_ns = directory.open_state.latest_ns();
            let is_expired = directory.finished.front().is_some_and(|oldest| match keep {
                SizeOrDuration::Size(kept) => bytes > kept,
                SizeOrDuration::Duration(kept) => {
                    now_ns.saturating_sub(oldest.latest_ns) as u128 > kept.as_nanos()
                }
            });
            let Some(oldest) = is_expired.then(|| directory.finished.pop_front()).flatten() else {
                return Ok(());
            };
            match fs::remove_file(&oldest.path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Io { path: oldest.path, source });
                }
                _ => {}
            }
        }
    }

    fn finished(&self) -> impl Iterator<Item = &FinishedFile> {
        self.directory.iter().flat_map(|directory| &directory.finished)
    }
}

impl EventSink for RotatingWriter {
    fn write(&mut self, batch: &Batch, positions: PositionUpdates, commit_now: bool) -> Result<bool> {
        self.writer.set_positions(positions);
        self.writer.write(batch)?;
        self.directory.iter_mut().for_each(|directory| directory.open_state.update(batch));
        self.uncommitted_rows += batch.len();
        let is_due = commit_now || self.uncommitted_rows >= COMMIT_ROWS;
        if is_due {
            self.writer.commit()?;
            self.uncommitted_rows = 0;
        }
        self.rotate_if_due()?;
        Ok(is_due)
    }

    fn checkpoint(&mut self, manifest: Manifest) -> Result<()> {
        self.writer.replace_manifest(manifest);
        if self.checkpoint.is_due() {
            let begun = Instant::now();
            self.writer.checkpoint()?;
            self.checkpoint = CheckpointTiming { ended: Instant::now(), duration: begun.elapsed() };
        } else {
            self.writer.commit()?;
        }
        self.uncommitted_rows = 0;
        self.rotate_if_due()
    }

    fn snapshot(&mut self) -> Result<()> {
        let current = self.writer.snapshot(RecordingEnd::Stopped)?;
        self.snapshots += 1;
        let finished = self.finished().map(|file| file.path.clone()).collect();
        Snapshot { output: self.context.output.clone(), number: self.snapshots, finished, current }.start();
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.finished().map(|file| file.bytes).sum::<u64>() + self.writer.bytes()
    }

    fn finish(mut self, manifest: Manifest) -> Result<u64> {
        let finished_bytes = self.bytes() - self.writer.bytes();
        self.writer.replace_manifest(manifest);
        let codes = self.directory.as_mut().map(|directory| directory.open_state.take_codes());
        write_sources(&self.context, codes.as_ref(), &mut self.writer)?;
        Ok(finished_bytes + self.writer.finish()?)
    }

    fn lacked_journal(&self) -> bool {
        self.writer.lacked_journal()
    }
}

fn create_file(context: &WriterContext, path: &Path, manifest: Manifest) -> Result<TraceWriter> {
    TraceWriter::create(path, context.names.clone(), manifest, WriterOptions::default())
}

/// Writes the source text of the files of these code objects, or of all files.
fn write_sources(
    context: &WriterContext,
    codes: Option<&FxHashSet<CodeId>>,
    writer: &mut TraceWriter,
) -> Result<()> {
    let files = codes.map(|codes| {
        let file = |&code: &CodeId| {
            let code = context.names.code_str(code);
            Code::parse(&code).file.to_owned()
        };
        codes.iter().map(file).collect::<FxHashSet<String>>()
    });
    let is_wanted = |file: &str| files.as_ref().is_none_or(|files| files.contains(file));
    let sources = context.sources.lock().unwrap_or_else(PoisonError::into_inner);
    sources.rows(&context.names, is_wanted).try_for_each(|batch| writer.write(&batch))
}

/// The path of a file by its number. Names sort in the order of numbers.
fn file_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:06}.parquet"))
}
