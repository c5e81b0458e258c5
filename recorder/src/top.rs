//! Counting instead of recording: what is entered how often, and where the time goes, while it happens.
//!
//! ```text
//! agent ─▶ rows ─▶ RowTallies ─┐
//!                           ├▶ Counts ─▶ who looks
//! usdt: the kernel counts ──┘
//! ```
//!
//! Nothing is written anywhere.

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

/// What to count.
#[derive(Debug)]
pub struct TopOptions {
    /// Whose events, and which.
    pub capture: Capture,
    /// Where what a launched program prints is kept; it then has no standard input. Without it, it has ours.
    pub output: Option<File>,
}

/// What who looks wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopAction {
    /// More.
    Continue,
    /// The end of the program, if it was launched, as Ctrl-C would end it; if that was asked before or it was there
    /// before us, the end of counting.
    Interrupt,
    /// The end of counting. A launched program goes on, and is waited for.
    Stop,
}

/// What came of it.
#[derive(Debug)]
pub struct TopOutcome {
    /// How the program ended, and so how the command ends.
    pub exit: Exit,
    /// The last counts.
    pub counts: Counts,
    /// Sentences that the user should read.
    pub notices: Vec<String>,
}

/// What can be looked at.
pub struct LiveCounts<'a> {
    provider: &'a mut dyn Provider,
    rows: &'a mut RowWriter,
    tallies: &'a SharedTallies,
    names: &'a Names,
    started: Instant,
}

impl LiveCounts<'_> {
    /// What was counted up to now.
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

/// Counts until the program ends or `look` has enough, who is called a few hundred times a second.
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
        // The program must not pay for our trouble.
        drop(provider);
        counting.supervisor.target.wait();
        return Err(error);
    }
    counting.finish(provider, rows, &manifest, &tallies, &names)
}

struct Counting {
    supervisor: Supervisor,
    started: Instant,
    /// Whether there was enough to look at.
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
        // The program goes on without us in it.
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
