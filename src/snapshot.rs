//! `pyrec snapshot`: a copy of a recording that goes on.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use pyrec_recorder::{request_snapshot, snapshots};

use crate::input::DEFAULT;
use crate::output::say;

/// How long the recorder is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copy a recording while it goes on
///
/// The copy is a whole recording of everything up to now, beside the other one: `pyrec.snapshot-1.parquet`. The same
/// comes of `kill -USR2` to the recorder.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The recording: a file, or a directory of them
    #[arg(value_name = "TRACE", default_value = DEFAULT)]
    trace: PathBuf,
}

impl Snapshot {
    /// Asks for it and waits until it is there.
    pub fn run(self) -> Result<ExitCode> {
        let before = snapshots(&self.trace);
        request_snapshot(&self.trace)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            let new = snapshots(&self.trace).into_iter().find(|path| !before.contains(path));
            if let Some(new) = new {
                say(&format!("pyrec: snapshot in {}\n", new.display()));
                return Ok(ExitCode::SUCCESS);
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the recorder of {} has made no snapshot; what it says tells why", self.trace.display())
    }
}
