//! Counting instead of recording: what is entered how often, and where the time goes, while it happens.
//!
//! ```text
//! agent ─▶ rows ─▶ Tallies ─┐
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
use crate::output::counts::{Counts, Shared, Sums};
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
pub struct Top {
    /// Whose events, and which.
    pub capture: Capture,
    /// Where what a launched program prints is kept; it then has no standard input. Without it, it has ours.
    pub output: Option<File>,
}

/// What who looks wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// More.
    GoOn,
    /// The end of the program, if it was launched, as Ctrl-C would end it; if that was asked before or it was there
    /// before us, the end of counting.
    End,
    /// The end of counting. A launched program goes on, and is waited for.
    Enough,
}

/// What came of it.
#[derive(Debug)]
pub struct Counted {
    /// How the program ended, and so how the command ends.
    pub exit: Exit,
    /// The last counts.
    pub counts: Counts,
    /// Sentences that the user should read.
    pub notices: Vec<String>,
}

/// What can be looked at.
pub struct Live<'a> {
    provider: &'a mut dyn Provider,
    rows: &'a mut RowWriter,
    tallies: &'a Shared,
    names: &'a Names,
    started: Instant,
}

impl Live<'_> {
    /// What was counted up to now.
    pub fn counts(&mut self) -> Result<Counts> {
        self.rows.send_batch()?;
        counts(self.provider, self.tallies, self.names, self.rows.facts.lost, self.started)
    }
}

fn counts(
    provider: &dyn Provider,
    tallies: &Shared,
    names: &Names,
    lost: u64,
    started: Instant,
) -> Result<Counts> {
    let (mut sums, now_ns) = (Sums::default(), monotonic_ns());
    sums.lost = lost;
    tallies.add_to(&mut sums, now_ns);
    provider.add_counts(&mut sums, now_ns)?;
    Ok(sums.into_counts(names, started.elapsed()))
}

/// Counts until the program ends or `look` has enough, who is called a few hundred times a second.
pub fn top(top: Top, mut look: impl FnMut(&mut Live) -> Result<Wish>) -> Result<Counted> {
    let user = User::invoking();
    let mut signals = SignalWatcher::start().map_err(Error::system("watch for signals"))?;
    let purpose = Purpose::Count(top.output.as_ref());
    let mut is_given_up = || signals.pending().next().is_some();
    let Prepared { mut provider, target, manifest } =
        Prepared::new(&top.capture, purpose, user.as_ref(), &mut is_given_up)?;
    let (names, tallies) = (Arc::new(Names::new()), Shared::default());
    let mut rows = RowWriter::new(names.clone(), Arc::default(), Pipeline::start(tallies.clone())?);
    let subject = target.start()?;
    let mut counting = Counting {
        supervisor: Supervisor::new(subject, signals),
        started: Instant::now(),
        has_enough: false,
    };
    if let Err(error) = counting.run(&mut *provider, &mut rows, &tallies, &names, &mut look) {
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
    has_enough: bool,
}

impl Counting {
    fn run(
        &mut self,
        provider: &mut dyn Provider,
        rows: &mut RowWriter,
        tallies: &Shared,
        names: &Names,
        look: &mut impl FnMut(&mut Live) -> Result<Wish>,
    ) -> Result<()> {
        while !self.has_enough && !self.supervisor.is_finished() {
            let events = provider.drain(rows)?;
            self.supervisor.handle_signals();
            let started = self.started;
            match look(&mut Live { provider, rows, tallies, names, started })? {
                Wish::GoOn => {}
                Wish::End => self.supervisor.forward_signal(libc::SIGINT, false),
                Wish::Enough => self.has_enough = true,
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
        tallies: &Shared,
        names: &Names,
    ) -> Result<Counted> {
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
        Ok(Counted { exit: self.supervisor.wait_for_exit(), counts, notices: notices.into_iter().collect() })
    }
}
