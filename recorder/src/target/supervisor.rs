//! A subject while it is recorded or counted: its signals, its end, and who asks for the end of what.

use std::time::Duration;

use super::target_process::{Exit, TargetProcess};
use crate::Result;
use crate::os::clock::monotonic_ns;
use crate::os::signals::{CaughtSignal, SNAPSHOT_SIGNAL, SignalWatcher};
use crate::output::row_writer::RowWriter;

/// Pause between drains while events come, and while none do. A drain that moved many is followed at once.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const IDLE_PAUSE: Duration = Duration::from_millis(10);
const MANY_EVENTS: u64 = 1 << 17;

/// The pause after a drain that moved so many events.
pub(crate) fn pause_after(events: u64) -> Duration {
    match events {
        0 => IDLE_PAUSE,
        1..MANY_EVENTS => BUSY_PAUSE,
        MANY_EVENTS.. => Duration::ZERO,
    }
}

/// A subject, and the signals that come for it.
pub(crate) struct Supervisor {
    pub subject: TargetProcess,
    signals: SignalWatcher,
    /// Whether somebody asked for the end of our work rather than of the program.
    is_stopped: bool,
}

impl Supervisor {
    /// Nobody has asked for anything yet.
    pub fn new(subject: TargetProcess, signals: SignalWatcher) -> Supervisor {
        Supervisor { subject, signals, is_stopped: false }
    }

    /// Whether the subject has ended, or our work with it is to.
    pub fn is_over(&mut self) -> bool {
        self.is_stopped || self.subject.has_ended()
    }

    /// Ends our work.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Passes a signal on. The first one is the program's: it decides how it ends, and we see that. The second one is
    /// ours.
    pub fn tell(&mut self, signal: i32, from_terminal: bool) {
        self.is_stopped |= !self.subject.tell(signal, from_terminal);
    }

    /// Passes on the signals that came. Says whether one asked for a snapshot.
    pub fn heed_signals(&mut self) -> bool {
        let mut asked = false;
        for CaughtSignal { number, from_terminal } in self.signals.pending() {
            match number {
                SNAPSHOT_SIGNAL => asked = true,
                _ => self.is_stopped |= !self.subject.tell(number, from_terminal),
            }
        }
        asked
    }

    /// How it ended, which only the parent of a program can tell the rows.
    pub fn end(&mut self, rows: &mut RowWriter) -> Result<Exit> {
        let exit = self.subject.exit();
        if let (Exit::Status(status), TargetProcess::Child(child)) = (exit, &self.subject) {
            rows.push_process_exit(monotonic_ns(), child.pid(), Some(status))?;
        }
        Ok(exit)
    }

    /// Stays with a launched program that is recorded or counted no longer, unless it is left to itself.
    pub fn wait_out(&mut self) -> Exit {
        while matches!(self.subject, TargetProcess::Child(_)) && !self.is_over() {
            self.heed_signals();
            self.subject.wait_for(IDLE_PAUSE, None);
        }
        self.subject.exit()
    }
}
