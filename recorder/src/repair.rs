//! Repair of a trace whose recorder was killed.
//!
//! ```text
//! trace    … │ row group │ footer │ row gr        torn: cut off
//! journal                         │ page │ page   committed after that footer
//! rings                                  │ ·····  written by the program, and not committed
//!                                 └─ recovered ─┘
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pyrec_schema::{
    Code, CodeId, Columns, Manifest, Names, RecordingEnd, RecoveredTrace, TraceReader, TraceWriter,
    trace_files,
};

use crate::output::pipeline::Pipeline;
use crate::output::rotation::{NEXT_FILE_NAME, RotatingWriter, WriterContext};
use crate::output::row_writer::RowWriter;
use crate::output::source_files::SourceFiles;
use crate::provider::agent::drain_orphaned;
use crate::session::orphaned_session::OrphanedSession;
use crate::{Result, Rotation};

/// The result of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Bytes of incomplete row groups that were cut off.
    pub torn_bytes: u64,
    /// Rows recovered from the recorder's journal.
    pub journal_rows: u64,
    /// Events recovered from the rings.
    pub ring_events: u64,
    /// Lost events, by the rings.
    pub lost: u64,
    /// What was recovered.
    pub recovery: Recovery,
    /// Sentences for the user.
    pub notices: Vec<String>,
}

/// What could be recovered from the killed recorder's session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing had to be recovered: the recorder was not killed.
    #[default]
    NotNeeded,
    /// Everything that the program wrote.
    Complete,
    /// Nothing: this session directory is gone.
    SessionGone(PathBuf),
    /// Nothing: the recorder had no room for its journal.
    NoJournal,
    /// Nothing: the recorder had no session, because static markers were recorded. Their events
    /// were in kernel memory.
    InKernel,
}

/// Repairs a trace: a file, or a directory of files. Has no effect on a trace that was repaired
/// before.
///
/// # Errors
///
/// Fails if the recorder is still running, or the trace or session cannot be read or written.
pub fn repair(trace: &Path) -> Result<Repair> {
    let mut repair = Repair::default();
    let mut files = trace_files(trace)?;
    let Some(last) = files.pop() else { return Ok(repair) };
    let manifest = manifest_of(&last)?;
    // Fails while the recorder is running, so it comes before any change.
    let session = match &manifest.session {
        Some(session) => OrphanedSession::take_over(&session.directory)?,
        None => None,
    };
    for file in files {
        if manifest_of(&file)?.ended == RecordingEnd::Recording {
            // The recorder was killed during a rotation. The next file begins where the journal of
            // this one ends.
            let RecoveredTrace { mut writer, rows, torn_bytes, .. } =
                TraceWriter::recover(&file, Arc::default())?;
            writer.manifest_mut().ended = RecordingEnd::Stopped;
            writer.finish()?;
            repair.journal_rows += rows;
            repair.torn_bytes += torn_bytes;
        }
    }
    if manifest.ended != RecordingEnd::Recording {
        return Ok(repair);
    }
    let names = Arc::new(Names::new());
    let recovered = TraceWriter::recover(&last, names.clone())?;
    repair.torn_bytes += recovered.torn_bytes;
    match (session, manifest.session.clone()) {
        (Some(session), _) => {
            if recovered.positions.is_some() {
                continue_trace(&last, recovered, &session, names, &manifest, &mut repair)?;
                repair.recovery = Recovery::Complete;
            } else {
                repair.recovery = Recovery::NoJournal;
            }
            session.remove()?;
        }
        (None, Some(session)) => repair.recovery = Recovery::SessionGone(session.directory),
        (None, None) => repair.recovery = Recovery::InKernel,
    }
    if trace.is_dir() {
        // Left by a recorder that was killed while it created the next file.
        let _ = fs::remove_file(trace.join(NEXT_FILE_NAME));
    }
    Ok(repair)
}

/// Writes what the rings still contain, and the end of the trace.
fn continue_trace(
    path: &Path,
    recovered: RecoveredTrace,
    session: &OrphanedSession,
    names: Arc<Names>,
    manifest: &Manifest,
    repair: &mut Repair,
) -> Result<()> {
    let positions = recovered.positions.unwrap_or_default();
    let sources = Arc::new(Mutex::new(SourceFiles::unchanged_since(start_of(manifest))));
    let context = WriterContext {
        output: path.to_owned(),
        rotation: Rotation::default(),
        names: names.clone(),
        sources: sources.clone(),
    };
    let pipeline = Pipeline::start(RotatingWriter::resume(context, recovered.writer))?;
    let mut rows = RowWriter::new(names.clone(), sources.clone(), pipeline);
    manifest.python.iter().for_each(|python| rows.add_interpreter(python.clone()));
    rows.facts.waited_ns = manifest.waited_ns;
    repair.ring_events += drain_orphaned(session, &positions, &mut rows)?;
    repair.journal_rows += recovered.rows;
    add_source_files(path, &names, &sources)?;
    let (pipeline, facts) = rows.into_parts()?;
    repair.lost += facts.lost;
    let known = facts.manifest(manifest);
    let cost_per_event_ns = known.cost_per_event_ns.or(manifest.cost_per_event_ns);
    pipeline.finish(Manifest { cost_per_event_ns, ended: RecordingEnd::Repaired, ..known })?;
    repair.notices = facts.notices.into_iter().collect();
    Ok(())
}

/// Adds the source files of all code in the trace. A recorder writes them at the end, so the trace
/// has none yet.
fn add_source_files(path: &Path, names: &Arc<Names>, sources: &Mutex<SourceFiles>) -> Result<()> {
    let file = TraceReader::open(path, names.clone())?;
    let columns = Columns { line: false, value: false, text: false };
    let mut first_pid = None;
    for group in 0..file.row_groups() {
        for batch in file.read(group, columns)? {
            first_pid = first_pid.or(batch?.pid.first().copied());
        }
    }
    let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
    for code in 1..names.code_count() {
        let code = names.code_str(CodeId(code as u32));
        sources.add(Code::parse(&code).file, first_pid.unwrap_or(0));
    }
    Ok(())
}

/// When the recording started.
fn start_of(manifest: &Manifest) -> SystemTime {
    let ns = manifest.clock.anchor_unix_ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)
}

fn manifest_of(path: &Path) -> Result<Manifest> {
    Ok(TraceReader::open(path, Arc::default())?.manifest().clone())
}
