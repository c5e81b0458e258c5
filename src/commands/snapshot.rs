//! `pyrec snapshot`: a copy of a trace that is still being written.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use pyrec_recorder::{request_snapshot, snapshots};

use crate::input::DEFAULT_TRACE;
use crate::output::print_message;

/// How long to wait for the recorder.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Copy a trace that is still being written
///
/// The copy contains everything up to now. It is written beside the trace, as
/// `pyrec.snapshot-1.parquet` and so on, while the recording continues. The signal USR2, sent to
/// the recorder, has the same effect.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Snapshot {
    /// The trace: a file, or a directory of files
    #[arg(value_name = "TRACE", default_value = DEFAULT_TRACE)]
    trace: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  pyrec snapshot
  pyrec snapshot server.parquet";

impl Snapshot {
    /// Signals the recorder, and waits for the copy.
    pub fn run(self) -> Result<ExitCode> {
        let before = snapshots(&self.trace);
        request_snapshot(&self.trace)?;
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let new = snapshots(&self.trace).into_iter().find(|path| !before.contains(path));
            if let Some(new) = new {
                print_message(format_args!("snapshot in {}", new.display()));
                return Ok(ExitCode::SUCCESS);
            }
            sleep(Duration::from_millis(20));
        }
        bail!(
            "the recorder of {} has written no snapshot in 60 s; its messages say why",
            self.trace.display()
        )
    }
}
