//! The signals that the recorder handles: those that end a recording, and the one that requests a
//! snapshot.

use std::io;

pub(crate) use signal_hook::consts::SIGUSR2 as SNAPSHOT_SIGNAL;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Catches signals, so that none of them ends the recorder before the trace is complete.
pub(crate) struct SignalWatcher(SignalsInfo<WithOrigin>);

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CaughtSignal {
    /// Its number.
    pub number: i32,
    /// Whether the terminal sent it. A launched program, which is in the same foreground process
    /// group, has then received it too.
    pub from_terminal: bool,
}

impl SignalWatcher {
    /// Starts to catch signals.
    ///
    /// SIGHUP stays ignored if it was, as under nohup(1). SIGINT is caught even then: shells ignore
    /// it for background commands of scripts, but `pyrec record -p 42 & sleep 5; kill -INT $!` has
    /// to work.
    pub fn start() -> io::Result<SignalWatcher> {
        let hangup = Some(SIGHUP).filter(|&signal| !is_ignored(signal));
        let ending = [SIGINT, SIGQUIT, SIGTERM].into_iter().chain(hangup);
        // With SIGXFSZ caught, writing beyond the limit of file sizes is an error.
        SignalsInfo::new(ending.chain([SNAPSHOT_SIGNAL, SIGXFSZ])).map(SignalWatcher)
    }

    /// The signals since the last call.
    pub fn pending(&mut self) -> impl Iterator<Item = CaughtSignal> {
        let caught = self.0.pending().filter(|origin| origin.signal != SIGXFSZ);
        caught.map(|Origin { signal, cause, .. }| CaughtSignal {
            number: signal,
            // A terminal that is closed sends SIGHUP to the session leader, which may be the
            // recorder alone.
            from_terminal: matches!(cause, Cause::Kernel) && signal != SIGHUP,
        })
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: with a null pointer for the new action the call only writes the old one, to a live
    // variable.
    let status = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    status == 0 && action.sa_sigaction == libc::SIG_IGN
}
