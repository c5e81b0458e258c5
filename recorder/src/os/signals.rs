//! Signals that mean to end the recording, or ask for a snapshot.

pub(crate) use signal_hook::consts::SIGUSR2 as SNAPSHOT;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::{Error, Result};

/// Watches for them, so that none ends the recorder without a whole trace.
pub(crate) struct Signals(SignalsInfo<WithOrigin>);

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Its number.
    pub number: i32,
    /// Whether the terminal sent it, and so to the program too, which is in the same foreground group.
    pub from_terminal: bool,
}

impl Signals {
    /// Starts to watch. SIGHUP stays ignored for whom nohup(1) started. SIGINT does not: a shell has every background
    /// command of a script ignore it, and `pyrec record -p 42 & sleep 5; kill -INT $!` is meant.
    pub fn watch() -> Result<Signals> {
        let hangup = Some(SIGHUP).filter(|&signal| !is_ignored(signal));
        let ends = [SIGINT, SIGQUIT, SIGTERM].into_iter().chain(hangup);
        // A file that may not grow is to be an error and not our end.
        let wanted = ends.chain([SNAPSHOT, SIGXFSZ]);
        SignalsInfo::new(wanted).map(Signals).map_err(Error::system("watch for signals"))
    }

    /// Those that came since the last call.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> {
        let meant = self.0.pending().filter(|origin| origin.signal != SIGXFSZ);
        meant.map(|Origin { signal, cause, .. }| Signal {
            number: signal,
            // A terminal that is closed tells the one who leads its session, which may be us alone.
            from_terminal: matches!(cause, Cause::Kernel) && signal != SIGHUP,
        })
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only; the pointer is to a live variable.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
