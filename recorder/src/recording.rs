//! A recording from its start to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyrec_schema::{Ended, Manifest, Names, TraceWriter, WriterOptions};

use crate::acting::as_user;
use crate::clock::monotonic_ns;
use crate::pipeline::Pipeline;
use crate::provider::Provider;
use crate::rows::{Facts, Rows};
use crate::signals::{Signal, Signals};
use crate::start::Start;
use crate::subject::Subject;
use crate::user::User;
use crate::{Options, Result};

/// Time between checkpoints: what a killed recorder loses at most, as long as footers stay small.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// Pause between drains while events come, and while none do. A drain that moved many is followed at once.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const IDLE_PAUSE: Duration = Duration::from_millis(10);
const MANY_EVENTS: u64 = 1 << 17;

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

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Only its parent knows how.
    Gone,
    /// It runs on; the recording was stopped.
    RunsOn,
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Ended {
        match exit {
            Exit::Status(status) => Ended::Exited { status },
            Exit::Signal(signal) => Ended::Killed { signal },
            Exit::Gone => Ended::Gone,
            Exit::RunsOn => Ended::Stopped,
        }
    }
}

/// Records until the program ends or somebody stops the recording. `watch` is called a few hundred times a second at
/// most. The trace exists and is whole after every return: an error says what is missing in it.
pub fn record(options: &Options, mut watch: impl FnMut(&Progress)) -> Result<Outcome> {
    let user = User::invoking();
    let mut signals = Signals::watch()?;
    let before = Instant::now();
    let mut is_given_up = || {
        watch(&Progress { elapsed: before.elapsed(), events: 0, lost: 0, bytes: 0 });
        signals.pending().next().is_some()
    };
    let Start { mut provider, target, manifest } = Start::prepare(options, user.as_ref(), &mut is_given_up)?;

    let names = Arc::new(Names::new());
    // The writing thread starts as its user, and stays so.
    let pipeline = as_user(user.as_ref(), || {
        let options_of_writer = WriterOptions::default();
        let writer =
            TraceWriter::create(&options.output, names.clone(), manifest.clone(), options_of_writer)?;
        Pipeline::start(writer)
    })??;
    let mut rows = Rows::new(names.clone(), pipeline);

    // Where nothing ran, there is nothing to keep.
    let remove = || as_user(user.as_ref(), || std::fs::remove_file(&options.output));
    let subject = target.release().inspect_err(|_| drop(remove()))?;
    let duration = options.duration;
    let mut recording = Recording { subject, signals, started: Instant::now(), duration, stopped: false };
    if let Err(error) = recording.drain_to_end(&mut *provider, &mut rows, &mut watch) {
        // The program must not pay for our trouble: it goes on untraced, and we wait for it as we would have.
        drop(provider);
        recording.subject.wait();
        return Err(error);
    }
    recording.finish(rows, &names, manifest)
}

struct Recording {
    subject: Subject,
    signals: Signals,
    started: Instant,
    duration: Option<Duration>,
    /// Whether somebody asked for the end of the recording rather than of the program.
    stopped: bool,
}

impl Recording {
    fn drain_to_end(
        &mut self,
        provider: &mut dyn Provider,
        rows: &mut Rows,
        watch: &mut impl FnMut(&Progress),
    ) -> Result<()> {
        let mut checkpoint = Instant::now();
        while !self.stopped && !self.subject.has_ended() {
            let events = provider.drain(rows)?;
            if checkpoint.elapsed() >= CHECKPOINT {
                rows.checkpoint()?;
                checkpoint = Instant::now();
            }
            let Facts { events: all, lost, .. } = rows.facts;
            watch(&Progress { elapsed: self.started.elapsed(), events: all, lost, bytes: rows.bytes() });
            self.heed_signals();
            self.stopped |= self.duration.is_some_and(|duration| self.started.elapsed() >= duration);
            match events {
                0 => self.subject.wait_for(IDLE_PAUSE, provider.call()),
                1..MANY_EVENTS => self.subject.wait_for(BUSY_PAUSE, provider.call()),
                MANY_EVENTS.. => {}
            }
        }
        provider.stop(rows)
    }

    /// The first signal is the program's: it decides how it ends, and we record that. The second one is ours.
    fn heed_signals(&mut self) {
        for Signal { number, from_terminal } in self.signals.pending() {
            self.stopped |= !self.subject.tell(number, from_terminal);
        }
    }

    fn finish(mut self, mut rows: Rows, names: &Names, mut manifest: Manifest) -> Result<Outcome> {
        let exit = self.subject.exit();
        if let (Exit::Status(status), Subject::Child(child)) = (exit, &self.subject) {
            rows.process_exit(monotonic_ns(), child.pid(), Some(status))?;
        }
        let sources = std::mem::take(&mut rows.sources);
        let (mut pipeline, facts) = rows.into_parts()?;
        sources.rows(names).try_for_each(|batch| pipeline.write(batch))?;
        let Facts { events, lost, python, costs_ns, waited_ns, notices } = facts;
        let nothing_entered = events == 0 && python.is_empty();
        manifest.ended = exit.into();
        manifest.python = python;
        manifest.cost_per_event_ns = median(costs_ns);
        manifest.waited_ns = waited_ns;
        let bytes = pipeline.finish(manifest)?;
        let mut notices: Vec<String> = notices.into_keys().collect();
        if nothing_entered {
            notices.push(NO_PYTHON.into());
        }
        notices.sort();
        Ok(Outcome { exit, events, lost, waited: waited_ns.map(Duration::from_nanos), bytes, notices })
    }
}

const NO_PYTHON: &str = "no Python was recorded: the program started none, or none that pyrec can enter; \
                         `pyrec record --help` says which it can";

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.retain(|number| number.is_finite());
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}
