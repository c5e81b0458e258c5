//! A recording whose recorder was killed, made as whole as it can be.
//!
//! ```text
//! trace    … │ row group │ footer │ row gr        torn: cut off
//! journal                         │ page │ page   what was read from the rings after that footer
//! rings                                  │ ·····  what nobody had read yet
//!                                 └── put back ──┘
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pyrec_schema::{
    Code, CodeId, Columns, Manifest, Names, RecordingEnd, RecoveredTrace, TraceReader, TraceWriter,
    trace_files,
};

use crate::Result;
use crate::Rotation;
use crate::output::pipeline::Pipeline;
use crate::output::rotation::{NEXT_FILE_NAME, RotatingWriter, WriterContext};
use crate::output::row_writer::RowWriter;
use crate::output::source_files::SourceFiles;
use crate::provider::agent::drain_orphaned;
use crate::session::orphaned_session::OrphanedSession;

/// What was done to a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Bytes of half-written row groups that were cut off.
    pub torn_bytes: u64,
    /// RowWriter that were not in the file, but in the recorder's journal.
    pub journal_rows: u64,
    /// Events that the recorder had not read from the rings.
    pub ring_events: u64,
    /// Events that the rings say were dropped.
    pub lost: u64,
    /// What the recorder left.
    pub recovery: Recovery,
    /// What processes had to say.
    pub notices: Vec<String>,
}

/// What a recorder left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing, since it ended as it should.
    #[default]
    NotNeeded,
    /// Everything. It is in the trace now.
    Complete,
    /// Less than that: the directory that it used is gone.
    SessionGone(PathBuf),
    /// Less than that: it had no room for its journal.
    NoJournal,
    /// It kept nothing outside the kernel.
    InKernel,
}

/// Repairs a recording: a file, or a directory of them. Once more changes nothing.
pub fn repair(trace: &Path) -> Result<Repair> {
    let mut repair = Repair::default();
    let mut files = trace_files(trace)?;
    let last = files.pop();
    for file in files {
        let manifest = manifest_of(&file)?;
        if manifest.ended == RecordingEnd::Recording {
            // Killed between two files: the next one goes on where this one's journal ends.
            let RecoveredTrace { mut writer, rows, torn_bytes, .. } =
                TraceWriter::recover(&file, Arc::default())?;
            writer.manifest_mut().ended = RecordingEnd::Stopped;
            writer.finish()?;
            repair.journal_rows += rows;
            repair.torn_bytes += torn_bytes;
        }
    }
    let Some(last) = last else { return Ok(repair) };
    let manifest = manifest_of(&last)?;
    let left = match &manifest.session {
        Some(session) => OrphanedSession::take(&session.directory)?,
        None => None,
    };
    let names = Arc::new(Names::new());
    if manifest.ended != RecordingEnd::Recording {
        return Ok(repair);
    }
    let resumed = TraceWriter::recover(&last, names.clone())?;
    repair.torn_bytes += resumed.torn_bytes;
    match (left, manifest.session.clone()) {
        (Some(left), Some(_)) => {
            if resumed.positions.is_some() {
                put_back(&last, resumed, &left, names, &manifest, &mut repair)?;
                repair.recovery = Recovery::Complete;
            } else {
                repair.recovery = Recovery::NoJournal;
            }
            left.remove()?;
        }
        (_, Some(session)) => repair.recovery = Recovery::SessionGone(session.directory),
        (_, None) => repair.recovery = Recovery::InKernel,
    }
    if trace.is_dir() {
        // A file that was made and never used.
        let _ = fs::remove_file(trace.join(NEXT_FILE_NAME));
    }
    Ok(repair)
}

fn put_back(
    path: &Path,
    resumed: RecoveredTrace,
    left: &OrphanedSession,
    names: Arc<Names>,
    manifest: &Manifest,
    repair: &mut Repair,
) -> Result<()> {
    let positions = resumed.positions.unwrap_or_default();
    let sources = Arc::new(Mutex::new(SourceFiles::unchanged_since(start_of(manifest))));
    let supplies = WriterContext {
        output: path.to_owned(),
        rotation: Rotation::default(),
        names: names.clone(),
        sources: sources.clone(),
    };
    let pipeline = Pipeline::start(RotatingWriter::resume(supplies, resumed.writer))?;
    let mut rows = RowWriter::new(names.clone(), sources.clone(), pipeline);
    manifest.python.iter().for_each(|python| rows.add_interpreter(python.clone()));
    rows.facts.waited_ns = manifest.waited_ns;
    repair.ring_events += drain_orphaned(left, &positions, &mut rows)?;
    repair.journal_rows += resumed.rows;
    see_sources(path, &names, &sources)?;
    let (pipeline, facts) = rows.into_parts()?;
    repair.lost += facts.lost;
    let known = facts.manifest(manifest);
    let cost_per_event_ns = known.cost_per_event_ns.or(manifest.cost_per_event_ns);
    pipeline.finish(Manifest { cost_per_event_ns, ended: RecordingEnd::Repaired, ..known })?;
    repair.notices = facts.notices.into_keys().collect();
    repair.notices.sort();
    Ok(())
}

/// Looks for the files whose code is in the trace: a recorder writes them at its end.
fn see_sources(path: &Path, names: &Arc<Names>, sources: &Mutex<SourceFiles>) -> Result<()> {
    let file = TraceReader::open(path, names.clone())?;
    let columns = Columns { line: false, value: false, text: false };
    let mut first = None;
    for group in 0..file.row_groups() {
        for batch in file.read(group, columns)? {
            first = first.or(batch?.pid.first().copied());
        }
    }
    let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
    for code in 1..names.code_count() {
        let code = names.code_str(CodeId(code as u32));
        sources.add(Code::parse(&code).file, first.unwrap_or(0));
    }
    Ok(())
}

fn start_of(manifest: &Manifest) -> SystemTime {
    let ns = manifest.clock.anchor_unix_ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)
}

fn manifest_of(path: &Path) -> Result<Manifest> {
    Ok(TraceReader::open(path, Arc::default())?.manifest().clone())
}
