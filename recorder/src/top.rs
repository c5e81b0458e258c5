//! Counts events and function times of running processes, for `pyrec top`. No trace is written.
//!
//! ```text
//! agent ─▶ rows ─▶ RowTallies ─┐
//!                           ├▶ Counts ─▶ display
//! usdt: the kernel counts ──┘
//! ```

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use pyrec_schema::{Manifest, Names};

use crate::os::clock::monotonic_ns;
use crate::os::signals::SignalWatcher;
use crate::os::user::User;
use crate::output::counts::{CountTotals, Counts, SharedTallies};
use crate::output::pipeline::Pipeline;
use crate::output::row_writer::RowWriter;
use crate::prepare::{Prepared, Purpose};
use crate::provider::Provider;
use crate::recording::NO_PYTHON;
use crate::target::supervisor::{Supervisor, pause_after};
use crate::target::target_process::Exit;
use crate::{Capture, Error, Result};

/// Options of [`top()`].
#[derive(Debug)]
pub struct TopOptions {
    /// The processes and markers to count.
    pub capture: Capture,
    /// A file for the output of a launched program, which then has no standard input. Without it,
    /// the program shares the terminal.
    pub output: Option<File>,
}

/// The display's decision after a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopAction {
    /// Continue counting.
    Continue,
    /// Interrupt a launched program, as Ctrl-C does. For an attached process, or the second time,
    /// stop counting.
    Interrupt,
    /// Stop counting. A launched program continues, and pyrec waits for it.
    Stop,
}

/// The result of [`top()`].
#[derive(Debug)]
pub struct TopOutcome {
    /// How the program ended, which is also the exit status of the command.
    pub exit: Exit,
    /// The last counts.
    pub counts: Counts,
    /// Notices for the user.
    pub notices: Vec<String>,
}

/// Access to the current counts for the display.
pub struct LiveCounts<'a> {
    provider: &'a mut dyn Provider,
    rows: &'a mut RowWriter,
    tallies: &'a SharedTallies,
    names: &'a Names,
    started: Instant,
}

impl LiveCounts<'_> {
    /// The counts up to now.
    pub fn counts(&mut self) -> Result<Counts> {
        self.rows.send_batch()?;
        counts(self.provider, self.tallies, self.names, self.rows.facts.lost, self.started)
    }
}

fn counts(
    provider: &dyn Provider,
    tallies: &SharedTallies,
    names: &Names,
    lost: u64,
    started: Instant,
) -> Result<Counts> {
    let (mut sums, now_ns) = (CountTotals::default(), monotonic_ns());
    sums.lost = lost;
    tallies.add_to(&mut sums, now_ns);
    provider.add_counts(&mut sums, now_ns)?;
    Ok(sums.into_counts(names, started.elapsed()))
}

/// Counts until the program ends or `refresh`, which is called a few hundred times a second,
/// returns [`TopAction::Stop`].
pub fn top(
    options: TopOptions,
    mut refresh: impl FnMut(&mut LiveCounts) -> Result<TopAction>,
) -> Result<TopOutcome> {
    let user = User::invoking();
    let mut signals = SignalWatcher::start().map_err(Error::system("watch for signals"))?;
    let purpose = Purpose::Count(options.output.as_ref());
    let mut is_given_up = || signals.pending().next().is_some();
    let Prepared { mut provider, target, manifest } =
        Prepared::new(&options.capture, purpose, user.as_ref(), &mut is_given_up)?;
    let (names, tallies) = (Arc::new(Names::new()), SharedTallies::default());
    let mut rows = RowWriter::new(names.clone(), Arc::default(), Pipeline::start(tallies.clone())?);
    let target = target.start()?;
    let mut counting =
        Counting { supervisor: Supervisor::new(target, signals), started: Instant::now(), is_stopped: false };
    if let Err(error) = counting.run(&mut *provider, &mut rows, &tallies, &names, &mut refresh) {
        // An error of the recorder must not end the program.
        drop(provider);
        counting.supervisor.target.wait();
        return Err(error);
    }
    counting.finish(provider, rows, &manifest, &tallies, &names)
}

struct Counting {
    supervisor: Supervisor,
    started: Instant,
    /// Whether the display has ended counting.
    is_stopped: bool,
}

impl Counting {
    fn run(
        &mut self,
        provider: &mut dyn Provider,
        rows: &mut RowWriter,
        tallies: &SharedTallies,
        names: &Names,
        refresh: &mut impl FnMut(&mut LiveCounts) -> Result<TopAction>,
    ) -> Result<()> {
        while !self.is_stopped && !self.supervisor.is_finished() {
            let events = provider.drain(rows)?;
            self.supervisor.handle_signals();
            let started = self.started;
            match refresh(&mut LiveCounts { provider, rows, tallies, names, started })? {
                TopAction::Continue => {}
                TopAction::Interrupt => self.supervisor.forward_signal(libc::SIGINT, false),
                TopAction::Stop => self.is_stopped = true,
            }
            self.supervisor.target.wait_for(pause_after(events), provider.wake_fd());
        }
        provider.stop(rows)
    }

    fn finish(
        mut self,
        provider: Box<dyn Provider>,
        mut rows: RowWriter,
        manifest: &Manifest,
        tallies: &SharedTallies,
        names: &Names,
    ) -> Result<TopOutcome> {
        self.supervisor.record_exit(&mut rows)?;
        let (pipeline, facts) = rows.into_parts()?;
        pipeline.finish(manifest.clone())?;
        let counts = counts(&*provider, tallies, names, facts.lost, self.started)?;
        // The program continues without probes or agent.
        drop(provider);
        let mut notices = facts.notices;
        if counts.functions.is_empty() && facts.python.is_empty() {
            notices.insert(NO_PYTHON.into());
        }
        Ok(TopOutcome {
            exit: self.supervisor.wait_for_exit(),
            counts,
            notices: notices.into_iter().collect(),
        })
    }
}
