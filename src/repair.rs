//! `pyrec repair`: what a killed recorder left, put back into its recording.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use pyrec_recorder::{Recovery, Repair as Done, as_invoking_user};

use crate::input::DEFAULT;
use crate::output::say;

/// Make a recording whole whose recorder was killed
///
/// What the recorder had read and not written, and what the program had still to tell, lies in memory that outlives
/// both, until the machine is started anew. It is put into the recording, and half-written bytes are cut off. Once more
/// changes nothing.
#[derive(Debug, Args)]
pub struct Repair {
    /// The recording: a file, or a directory of them
    #[arg(value_name = "TRACE", default_value = DEFAULT)]
    trace: PathBuf,
}

impl Repair {
    /// Repairs it.
    pub fn run(self) -> Result<ExitCode> {
        let done = as_invoking_user(|| pyrec_recorder::repair(&self.trace))??;
        say(&report(&done, &self.trace));
        Ok(ExitCode::SUCCESS)
    }
}

/// What was done, and what is missing.
fn report(done: &Done, trace: &Path) -> String {
    let Done { torn_bytes, journal_rows, ring_events, lost, recovery, notices } = done;
    let trace = trace.display();
    let mut lines = notices.clone();
    if *torn_bytes > 0 {
        lines.push(format!("{} of a half-written row group were cut off", DecimalBytes(*torn_bytes)));
    }
    match recovery {
        Recovery::NotNeeded => lines.push(format!("{trace} needs no repair: its recorder was not killed")),
        Recovery::Complete => {
            lines.push(format!(
                "put back into {trace}: {} rows that the recorder had read, {} events that it had not",
                HumanCount(*journal_rows),
                HumanCount(*ring_events),
            ));
            lines.push(match lost {
                0 => "nothing is missing up to the moment when the program noticed that its recorder was gone; \
                      after that it was not recorded"
                    .into(),
                _ => format!("{} events are missing: there was no room for them", HumanCount(*lost)),
            });
        }
        Recovery::SessionGone(directory) => lines.push(format!(
            "what came after the last checkpoint is missing: {} is gone, or the machine was started anew",
            directory.display()
        )),
        Recovery::NoJournal => lines.push(
            "what came after the last checkpoint is missing: the recorder had no room for its journal".into(),
        ),
        Recovery::InKernel => lines.push(
            "what came after the last checkpoint is missing: the static markers' events are kept in the kernel, \
             and it gave them up when the recorder was killed"
                .into(),
        ),
    }
    lines.iter().map(|line| format!("pyrec: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing_and_why() {
        let said = |done: &Done| report(done, Path::new("x.parquet"));
        assert!(said(&Done::default()).contains("needs no repair"));
        let whole =
            Done { journal_rows: 1000, ring_events: 2, recovery: Recovery::Complete, ..Done::default() };
        let text = said(&whole);
        assert!(
            text.contains("1,000 rows") && text.contains("2 events") && text.contains("nothing is missing")
        );
        let lossy = Done { lost: 7, torn_bytes: 5, ..whole };
        let text = said(&lossy);
        assert!(text.contains("7 events are missing") && text.contains("cut off"), "{text}");
        assert!(
            said(&Done { recovery: Recovery::SessionGone("/dev/shm/a".into()), ..Done::default() })
                .contains("/dev/shm/a")
        );
        assert!(said(&Done { recovery: Recovery::NoJournal, ..Done::default() }).contains("no room"));
        assert!(said(&Done { recovery: Recovery::InKernel, ..Done::default() }).contains("kernel"));
    }
}
