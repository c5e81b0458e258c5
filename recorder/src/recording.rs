//! The record loop: it drains the provider, writes checkpoints, and handles the end of a recording.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pyrec_schema::{Manifest, Names, RecordingEnd};

use crate::os::fs_credentials::as_user;
use crate::os::signals::SignalWatcher;
use crate::os::user::User;
use crate::output::pipeline::Pipeline;
use crate::output::rotation::{RotatingWriter, WriterContext};
use crate::output::row_writer::{RecordingFacts, RowWriter};
use crate::output::source_files::SourceFiles;
use crate::prepare::{Prepared, Purpose};
use crate::provider::Provider;
use crate::target::supervisor::{Supervisor, pause_after};
use crate::target::target_process::Exit;
use crate::{Error, Options, Result};

/// Time between checkpoints. An event must be in the trace within a second, and a checkpoint takes
/// time itself.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// The progress of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Events recorded.
    pub events: u64,
    /// Lost events.
    pub lost: u64,
    /// Length of the trace, in bytes.
    pub bytes: u64,
}

/// The result of a recording.
#[derive(Debug)]
pub struct Outcome {
    /// How the target ended.
    pub exit: Exit,
    /// Events recorded.
    pub events: u64,
    /// Lost events.
    pub lost: u64,
    /// How long programs waited for the recorder. None if the provider cannot make them wait.
    pub waited: Option<Duration>,
    /// Length of the trace, in bytes.
    pub bytes: u64,
    /// Sentences for the user.
    pub notices: Vec<String>,
}

/// Records until the target ends, a limit is reached, or a signal ends the recording.
/// `report_progress` is called in every round of the record loop, a few hundred times a second at
/// most.
///
/// # Errors
///
/// After an error of the provider or the writer, the program continues without being recorded, and
/// this function returns when it exits. The trace, once created, is complete up to the last
/// checkpoint.
pub fn record(options: &Options, mut report_progress: impl FnMut(&Progress)) -> Result<Outcome> {
    let user = User::invoking();
    let mut signals = SignalWatcher::start().map_err(Error::system("watch for signals"))?;
    let begun = Instant::now();
    let mut is_cancelled = || {
        report_progress(&Progress { elapsed: begun.elapsed(), events: 0, lost: 0, bytes: 0 });
        signals.pending().next().is_some()
    };
    let Prepared { mut provider, target, manifest } =
        Prepared::new(&options.capture, Purpose::Record, user.as_ref(), &mut is_cancelled)?;

    let names = Arc::new(Names::new());
    let sources = Arc::new(Mutex::new(SourceFiles::default()));
    let context = WriterContext {
        output: options.output.clone(),
        rotation: options.rotation,
        names: names.clone(),
        sources: sources.clone(),
    };
    // The writing thread inherits the credentials, and so creates every file as the user.
    let start_pipeline = || Pipeline::start(RotatingWriter::create(context, manifest.clone())?);
    let pipeline = as_user(user.as_ref(), start_pipeline).map_err(Error::credentials)??;
    let mut rows = RowWriter::new(names, sources, pipeline);

    let remove_trace = || as_user(user.as_ref(), || remove_empty_trace(&options.output));
    let target = target.start().inspect_err(|_| drop(remove_trace()))?;
    let mut recording = Recording {
        supervisor: Supervisor::new(target, signals),
        started: Instant::now(),
        limits: Limits { duration: options.duration, max_bytes: options.max_bytes },
        manifest,
        is_full: false,
    };
    if let Err(error) = recording.drain_to_end(&mut *provider, &mut rows, &mut report_progress) {
        // Detaches. The program continues without being recorded.
        drop(provider);
        recording.supervisor.target.wait();
        return Err(error);
    }
    let outcome = recording.finish(rows)?;
    if !recording.is_full {
        return Ok(outcome);
    }
    drop(provider);
    Ok(Outcome { exit: recording.supervisor.wait_for_exit(), ..outcome })
}

/// Removes the trace if the program could not be started.
fn remove_empty_trace(output: &Path) {
    let removed = if output.is_dir() { fs::remove_dir_all(output) } else { fs::remove_file(output) };
    // A trace that cannot be removed is valid, and has no rows.
    let _ = removed;
}

/// Limits that end the recording while the target runs on.
struct Limits {
    duration: Option<Duration>,
    max_bytes: Option<u64>,
}

struct Recording {
    supervisor: Supervisor,
    started: Instant,
    limits: Limits,
    /// The manifest as of the start.
    manifest: Manifest,
    /// Whether the trace has reached the maximum length.
    is_full: bool,
}

impl Recording {
    fn drain_to_end(
        &mut self,
        provider: &mut dyn Provider,
        rows: &mut RowWriter,
        report_progress: &mut impl FnMut(&Progress),
    ) -> Result<()> {
        let mut last_checkpoint = Instant::now();
        while !self.is_full && !self.supervisor.is_finished() {
            let drained = provider.drain(rows)?;
            if last_checkpoint.elapsed() >= CHECKPOINT_INTERVAL {
                rows.checkpoint(&self.manifest)?;
                last_checkpoint = Instant::now();
            }
            let RecordingFacts { events, lost, .. } = rows.facts;
            report_progress(&Progress { elapsed: self.started.elapsed(), events, lost, bytes: rows.bytes() });
            if self.supervisor.handle_signals() {
                rows.snapshot(&self.manifest)?;
            }
            let Limits { duration, max_bytes } = self.limits;
            if duration.is_some_and(|duration| self.started.elapsed() >= duration) {
                self.supervisor.stop();
            }
            self.is_full = max_bytes.is_some_and(|max_bytes| rows.bytes() >= max_bytes);
            self.supervisor.target.wait_for(pause_after(drained), provider.wake_fd());
        }
        provider.stop(rows)
    }

    fn finish(&mut self, mut rows: RowWriter) -> Result<Outcome> {
        let exit = self.supervisor.record_exit(&mut rows)?;
        let (pipeline, facts) = rows.into_parts()?;
        // Even if the program has exited since, the limit has ended the recording.
        let ended = if self.is_full { RecordingEnd::Stopped } else { exit.into() };
        let manifest = Manifest { ended, ..facts.manifest(&self.manifest) };
        let RecordingFacts { events, lost, python, waited_ns, mut notices, .. } = facts;
        let lacked_journal = pipeline.lacked_journal();
        let bytes = pipeline.finish(manifest)?;
        if lacked_journal {
            notices.insert(NO_JOURNAL.into());
        }
        if events == 0 && python.is_empty() {
            notices.insert(NO_PYTHON.into());
        }
        if self.is_full {
            notices.insert(FULL.into());
        }
        let (waited, notices) = (waited_ns.map(Duration::from_nanos), notices.into_iter().collect());
        Ok(Outcome { exit, events, lost, waited, bytes, notices })
    }
}

const FULL: &str = "the recording ended when the trace reached --max-size; the program continued";

const NO_JOURNAL: &str = "there was no room for the recorder's journal in /dev/shm: if the recorder had been killed, \
                          the events after the last checkpoint would be missing";

pub(crate) const NO_PYTHON: &str = "no Python was recorded: the program started none, or none that pyrec supports; \
                                    `pyrec doctor` lists those that it supports";
