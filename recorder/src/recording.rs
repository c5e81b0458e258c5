//! A recording from its start to its end.

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

/// Time between checkpoints. No event is to be missing from the file for more than a second, and a checkpoint takes its
/// time, too.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// How far a recording has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since its start.
    pub elapsed: Duration,
    /// Events recorded.
    pub events: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// Length of the trace, in bytes.
    pub bytes: u64,
}

/// What came of a recording.
#[derive(Debug)]
pub struct Outcome {
    /// How the program ended, and so how the command ends.
    pub exit: Exit,
    /// Events recorded.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
    /// How long programs waited for the recorder; none where they cannot.
    pub waited: Option<Duration>,
    /// Length of the trace, in bytes.
    pub bytes: u64,
    /// Sentences that the user should read.
    pub notices: Vec<String>,
}

/// Records until the program ends or somebody stops the recording. `watch` is called a few hundred times a second at
/// most. The trace exists and is whole after every return: an error says what is missing in it.
pub fn record(options: &Options, mut watch: impl FnMut(&Progress)) -> Result<Outcome> {
    let user = User::invoking();
    let mut signals = SignalWatcher::start().map_err(Error::system("watch for signals"))?;
    let before = Instant::now();
    let mut is_given_up = || {
        watch(&Progress { elapsed: before.elapsed(), events: 0, lost: 0, bytes: 0 });
        signals.pending().next().is_some()
    };
    let Prepared { mut provider, target, manifest } =
        Prepared::prepare(&options.capture, Purpose::Record, user.as_ref(), &mut is_given_up)?;

    let names = Arc::new(Names::new());
    let sources = Arc::new(Mutex::new(SourceFiles::default()));
    let supplies = WriterContext {
        output: options.output.clone(),
        rotation: options.rotation,
        names: names.clone(),
        sources: sources.clone(),
    };
    // The writing thread starts as its user, and stays so.
    let pipeline =
        as_user(user.as_ref(), || Pipeline::start(RotatingWriter::begin(supplies, manifest.clone())?))
            .map_err(Error::credentials)??;
    let mut rows = RowWriter::new(names, sources, pipeline);

    // Where nothing ran, there is nothing to keep.
    let remove = || as_user(user.as_ref(), || discard(&options.output));
    let subject = target.release().inspect_err(|_| drop(remove()))?;
    let limits = Limits { duration: options.duration, max_bytes: options.max_bytes };
    let mut recording = Recording {
        care: Supervisor::new(subject, signals),
        started: Instant::now(),
        limits,
        manifest,
        is_full: false,
    };
    if let Err(error) = recording.drain_to_end(&mut *provider, &mut rows, &mut watch) {
        // The program must not pay for our trouble: it goes on untraced, and we wait for it as we would have.
        drop(provider);
        recording.care.subject.wait();
        return Err(error);
    }
    let outcome = recording.finish(rows)?;
    if !recording.is_full {
        return Ok(outcome);
    }
    // The program goes on without us in it.
    drop(provider);
    Ok(Outcome { exit: recording.care.wait_out(), ..outcome })
}

/// Removes a trace that nothing was recorded into.
fn discard(output: &Path) {
    let removed = if output.is_dir() { fs::remove_dir_all(output) } else { fs::remove_file(output) };
    // What stays is a whole trace without rows.
    let _ = removed;
}

/// When to end the recording, though the program goes on.
struct Limits {
    duration: Option<Duration>,
    max_bytes: Option<u64>,
}

struct Recording {
    care: Supervisor,
    started: Instant,
    limits: Limits,
    /// What was known at the start.
    manifest: Manifest,
    /// Whether the trace is as long as it may become.
    is_full: bool,
}

impl Recording {
    fn drain_to_end(
        &mut self,
        provider: &mut dyn Provider,
        rows: &mut RowWriter,
        watch: &mut impl FnMut(&Progress),
    ) -> Result<()> {
        let mut checkpoint = Instant::now();
        while !self.is_full && !self.care.is_over() {
            let events = provider.drain(rows)?;
            if checkpoint.elapsed() >= CHECKPOINT {
                rows.checkpoint(&self.manifest)?;
                checkpoint = Instant::now();
            }
            let RecordingFacts { events: all, lost, .. } = rows.facts;
            watch(&Progress { elapsed: self.started.elapsed(), events: all, lost, bytes: rows.bytes() });
            if self.care.heed_signals() {
                rows.snapshot(&self.manifest)?;
            }
            let Limits { duration, max_bytes } = self.limits;
            if duration.is_some_and(|duration| self.started.elapsed() >= duration) {
                self.care.stop();
            }
            self.is_full = max_bytes.is_some_and(|max_bytes| rows.bytes() >= max_bytes);
            self.care.subject.wait_for(pause_after(events), provider.wake_fd());
        }
        provider.stop(rows)
    }

    fn finish(&mut self, mut rows: RowWriter) -> Result<Outcome> {
        let exit = self.care.end(&mut rows)?;
        let (pipeline, facts) = rows.into_parts()?;
        // The program may have come to its end since, but that is not how the recording ended.
        let ended = if self.is_full { RecordingEnd::Stopped } else { exit.into() };
        let manifest = Manifest { ended, ..facts.manifest(&self.manifest) };
        let RecordingFacts { events, lost, python, waited_ns, notices, .. } = facts;
        let lacked_journal = pipeline.lacked_journal();
        let bytes = pipeline.finish(manifest)?;
        let mut notices: Vec<String> = notices.into_keys().collect();
        if lacked_journal {
            notices.push(NO_JOURNAL.into());
        }
        if events == 0 && python.is_empty() {
            notices.push(NO_PYTHON.into());
        }
        if self.is_full {
            notices.push(FULL.into());
        }
        notices.sort();
        Ok(Outcome { exit, events, lost, waited: waited_ns.map(Duration::from_nanos), bytes, notices })
    }
}

const FULL: &str = "the recording ended when it had the size of --max-size; the program went on";

const NO_JOURNAL: &str = "there was no room for the recorder's journal in /dev/shm: had the recorder been killed, what \
                          came after the last checkpoint would be missing";

pub(crate) const NO_PYTHON: &str = "no Python was recorded: the program started none, or none that pyrec can enter; \
                         `pyrec record --help` says which it can";
