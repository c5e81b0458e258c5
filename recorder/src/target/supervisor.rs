//! The supervision of the target process during a recording: its signals, and when the recording
//! ends.

use std::time::Duration;

use super::target_process::{Exit, TargetProcess};
use crate::Result;
use crate::os::clock::monotonic_ns;
use crate::os::signals::{CaughtSignal, SNAPSHOT_SIGNAL, SignalWatcher};
use crate::output::row_writer::RowWriter;

/// Pause between drains while there are events, and while there are none.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// After a drain of this many events there is no pause.
const NO_PAUSE_EVENTS: u64 = 1 << 17;

/// The pause after a drain, by the number of its events.
pub(crate) fn pause_after(events: u64) -> Duration {
    match events {
        0 => IDLE_PAUSE,
        1..NO_PAUSE_EVENTS => BUSY_PAUSE,
        NO_PAUSE_EVENTS.. => Duration::ZERO,
    }
}

/// Supervises the target process, and handles the signals of the recorder.
pub(crate) struct Supervisor {
    pub target: TargetProcess,
    signals: SignalWatcher,
    /// Whether the recording is to end although the target may run on.
    is_stopped: bool,
}

impl Supervisor {
    pub fn new(target: TargetProcess, signals: SignalWatcher) -> Supervisor {
        Supervisor { target, signals, is_stopped: false }
    }

    /// Whether the target has ended, or the recording is to end.
    pub fn is_finished(&mut self) -> bool {
        self.is_stopped || self.target.has_exited()
    }

    /// Ends the recording.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Handles a signal that requests the end. The first one is forwarded to a launched program,
    /// which decides what to do. Otherwise it ends the recording.
    pub fn forward_signal(&mut self, signal: i32, from_terminal: bool) {
        self.is_stopped |= !self.target.forward_signal(signal, from_terminal);
    }

    /// Handles the signals since the last call. Returns whether one requested a snapshot.
    pub fn handle_signals(&mut self) -> bool {
        let mut is_snapshot_requested = false;
        for CaughtSignal { number, from_terminal } in self.signals.pending() {
            match number {
                SNAPSHOT_SIGNAL => is_snapshot_requested = true,
                _ => self.is_stopped |= !self.target.forward_signal(number, from_terminal),
            }
        }
        is_snapshot_requested
    }

    /// Writes the exit of a launched program, whose status only its parent knows. Returns how the
    /// target ended.
    pub fn record_exit(&mut self, rows: &mut RowWriter) -> Result<Exit> {
        let exit = self.target.exit();
        if let (Exit::Status(status), TargetProcess::Child(child)) = (exit, &self.target) {
            rows.push_process_exit(monotonic_ns(), child.pid(), Some(status))?;
        }
        Ok(exit)
    }

    /// Waits for a launched program after the recording has ended, unless a signal ends the
    /// waiting.
    pub fn wait_for_exit(&mut self) -> Exit {
        while matches!(self.target, TargetProcess::Child(_)) && !self.is_finished() {
            self.handle_signals();
            self.target.wait_for(IDLE_PAUSE, None);
        }
        self.target.exit()
    }
}
