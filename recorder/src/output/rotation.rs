//! The file, or one after the other the files, that a recording goes to.
//!
//! ```text
//! pyrec.parquet                              one file, or with --rotate and --keep a directory:
//! pyrec.parquet/000003.parquet  ✗ too old    each is a trace by itself, and begins with what was open
//! pyrec.parquet/000004.parquet               when the one before it ended
//! pyrec.parquet/000005.parquet  ◀── rows
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
use super::pipeline::{Marks, Sink};
use super::snapshot::Snapshot;
use super::source_files::SourceFiles;
use crate::os::private_dir;
use crate::{Rotation, SizeOrDuration};

/// The name of a file that nobody is to see yet.
pub(crate) const NEXT_FILE_NAME: &str = ".next";

/// So many rows wait before they are put into the journal: about a page.
const COMMIT_ROWS: usize = 3 << 14;

/// Of a very long file, or on a slow disk, checkpoints take this part of the time at most.
const CHECKPOINTS_SHARE: u32 = 10;

/// Everything that a new file needs.
pub(crate) struct WriterContext {
    /// The file, or the directory of files.
    pub output: PathBuf,
    pub rotation: Rotation,
    pub names: Arc<Names>,
    pub sources: Arc<Mutex<SourceFiles>>,
}

/// When there was a checkpoint, and how long it took.
#[derive(Clone, Copy)]
struct Checkpoints {
    done: Instant,
    took: Duration,
}

impl Checkpoints {
    /// Whether another one leaves them their share of the time.
    fn are_due(self) -> bool {
        self.done.elapsed() >= self.took * CHECKPOINTS_SHARE
    }
}

/// The present file, and what becomes of the ones before.
pub(crate) struct RotatingWriter {
    supplies: WriterContext,
    writer: TraceWriter,
    checkpoints: Checkpoints,
    uncommitted_rows: usize,
    files: Option<Files>,
    snapshots: u32,
}

/// The files of a directory.
struct Files {
    recording: String,
    number: u64,
    begun: Instant,
    carry: OpenState,
    past: VecDeque<Past>,
}

/// A file that is done.
struct Past {
    path: PathBuf,
    bytes: u64,
    /// The time of its latest event.
    latest_ns: i64,
}

impl RotatingWriter {
    /// Makes the first file.
    pub fn begin(supplies: WriterContext, manifest: Manifest) -> Result<RotatingWriter> {
        let output = supplies.output.clone();
        if !supplies.rotation.is_enabled() {
            let writer = create(&supplies, &output, manifest)?;
            return Ok(RotatingWriter::resume(supplies, writer));
        }
        let io = |source| Error::Io { path: output.clone(), source };
        private_dir::create(&output).map_err(io)?;
        let clock = &manifest.clock;
        let recording = format!("{:x}-{}", clock.anchor_unix_ns.unwrap_or(0), std::process::id());
        let part = Some(RotationPart { recording: recording.clone(), number: 1, has_open_state: false });
        let path = file_path(&output, 1);
        let made = create(&supplies, &path, Manifest { part, ..manifest });
        let writer = made.inspect_err(|_| drop(fs::remove_dir(&output)))?;
        let (carry, past) = (OpenState::default(), VecDeque::new());
        let files = Some(Files { recording, number: 1, begun: Instant::now(), carry, past });
        Ok(RotatingWriter { files, ..RotatingWriter::resume(supplies, writer) })
    }

    /// Goes on writing a file that is there.
    pub fn resume(supplies: WriterContext, writer: TraceWriter) -> RotatingWriter {
        let checkpoints = Checkpoints { done: Instant::now(), took: Duration::ZERO };
        RotatingWriter { supplies, writer, checkpoints, uncommitted_rows: 0, files: None, snapshots: 0 }
    }

    fn rotate_if_due(&mut self) -> Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let is_due = match self.supplies.rotation.file_limit() {
            SizeOrDuration::Size(bytes) => self.writer.bytes() >= bytes,
            SizeOrDuration::Duration(time) => files.begun.elapsed() >= time,
        };
        if is_due && self.writer.rows() > 0 {
            self.rotate()?;
        }
        self.throw_away()
    }

    /// The next file is there, with what is open, before the present one is closed: whenever the recorder is killed, one
    /// of the two goes on where the other one ends.
    fn rotate(&mut self) -> Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        self.writer.commit()?;
        self.uncommitted_rows = 0;
        let (codes, latest_ns) = (files.carry.take_codes(), files.carry.latest_ns());
        let carried = files.carry.rows();
        files.number += 1;
        let part = RotationPart {
            recording: files.recording.clone(),
            number: files.number,
            has_open_state: !carried.is_empty(),
        };
        let (path, hidden) =
            (file_path(&self.supplies.output, files.number), self.supplies.output.join(NEXT_FILE_NAME));
        let mut next = self.writer.successor(&hidden, part)?;
        next.write(&carried)?;
        next.checkpoint_and_close_row_group()?;
        next.rename(&path)?;
        let mut done = std::mem::replace(&mut self.writer, next);
        write_sources(&self.supplies, Some(&codes), &mut done)?;
        done.manifest_mut().ended = RecordingEnd::Stopped;
        let path = done.path().to_owned();
        let bytes = done.finish()?;
        files.begun = Instant::now();
        files.past.push_back(Past { path, bytes, latest_ns });
        Ok(())
    }

    /// Removes files that need not be kept.
    fn throw_away(&mut self) -> Result<()> {
        let Some(keep) = self.supplies.rotation.keep else { return Ok(()) };
        loop {
            let bytes = self.bytes() - self.writer.bytes() + self.writer.bytes_on_disk();
            let Some(files) = &mut self.files else { return Ok(()) };
            let now_ns = files.carry.latest_ns();
            let is_old = files.past.front().is_some_and(|oldest| match keep {
                SizeOrDuration::Size(kept) => bytes > kept,
                SizeOrDuration::Duration(kept) => {
                    now_ns.saturating_sub(oldest.latest_ns) as u128 > kept.as_nanos()
                }
            });
            let Some(oldest) = is_old.then(|| files.past.pop_front()).flatten() else { return Ok(()) };
            match fs::remove_file(&oldest.path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Io { path: oldest.path, source });
                }
                _ => {}
            }
        }
    }
}

impl Sink for RotatingWriter {
    fn write(&mut self, batch: &Batch, marks: Marks, hurry: bool) -> Result<bool> {
        self.writer.set_positions(marks);
        self.writer.write(batch)?;
        self.files.iter_mut().for_each(|files| files.carry.follow(batch));
        self.uncommitted_rows += batch.len();
        let is_due = hurry || self.uncommitted_rows >= COMMIT_ROWS;
        if is_due {
            self.writer.commit()?;
            self.uncommitted_rows = 0;
        }
        self.rotate_if_due()?;
        Ok(is_due)
    }

    fn checkpoint(&mut self, manifest: Manifest) -> Result<()> {
        self.writer.replace_manifest(manifest);
        if self.checkpoints.are_due() {
            let begun = Instant::now();
            self.writer.checkpoint()?;
            self.checkpoints = Checkpoints { done: Instant::now(), took: begun.elapsed() };
        } else {
            self.writer.commit()?;
        }
        self.uncommitted_rows = 0;
        self.rotate_if_due()
    }

    fn snapshot(&mut self) -> Result<()> {
        let present = self.writer.snapshot(RecordingEnd::Stopped)?;
        self.snapshots += 1;
        let past = self.files.iter().flat_map(|files| &files.past).map(|past| past.path.clone()).collect();
        Snapshot { output: self.supplies.output.clone(), number: self.snapshots, past, present }.take();
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let past: u64 = self.files.iter().flat_map(|files| &files.past).map(|past| past.bytes).sum();
        past + self.writer.bytes()
    }

    fn finish(mut self, manifest: Manifest) -> Result<u64> {
        let past = self.bytes() - self.writer.bytes();
        self.writer.replace_manifest(manifest);
        let codes = self.files.as_mut().map(|files| files.carry.take_codes());
        write_sources(&self.supplies, codes.as_ref(), &mut self.writer)?;
        Ok(past + self.writer.finish()?)
    }

    fn lacked_journal(&self) -> bool {
        self.writer.lacked_journal()
    }
}

fn create(supplies: &WriterContext, path: &Path, manifest: Manifest) -> Result<TraceWriter> {
    TraceWriter::create(path, supplies.names.clone(), manifest, WriterOptions::default())
}

/// The text of the files whose code is in the trace: of all, or of this code.
fn write_sources(
    supplies: &WriterContext,
    codes: Option<&FxHashSet<CodeId>>,
    writer: &mut TraceWriter,
) -> Result<()> {
    let files = codes.map(|codes| {
        let file = |&code: &CodeId| {
            let code = supplies.names.code_str(code);
            Code::parse(&code).file.to_owned()
        };
        codes.iter().map(file).collect::<FxHashSet<String>>()
    });
    let is_wanted = |file: &str| files.as_ref().is_none_or(|files| files.contains(file));
    let sources = supplies.sources.lock().unwrap_or_else(PoisonError::into_inner);
    sources.rows(&supplies.names, is_wanted).try_for_each(|batch| writer.write(&batch))
}

/// The file of that number. Their names sort as they follow each other.
fn file_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:06}.parquet"))
}
