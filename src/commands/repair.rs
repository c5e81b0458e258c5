//! `pyrec repair`: recovery of the events that a killed recorder had not written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use pyrec_recorder::{Recovery, Repair as Outcome, as_invoking_user};

use crate::input::DEFAULT_TRACE;
use crate::output::print_message;

/// Recover the last events of a trace whose recorder was killed
///
/// Events that the recorder had not written are in shared memory until the machine is restarted:
/// those that it had read, and those that it had not. They are appended to the trace, and a
/// half-written row group is cut off. A second repair changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Repair {
    /// The trace: a file, or a directory of files
    #[arg(value_name = "TRACE", default_value = DEFAULT_TRACE)]
    trace: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  pyrec repair
  pyrec repair server.parquet";

impl Repair {
    /// Repairs the trace, and prints what was recovered and what is missing.
    pub fn run(self) -> Result<ExitCode> {
        let outcome = as_invoking_user(|| pyrec_recorder::repair(&self.trace))??;
        report(&outcome, &self.trace).iter().for_each(print_message);
        Ok(ExitCode::SUCCESS)
    }
}

/// Messages about what was recovered, and what is missing and why.
fn report(outcome: &Outcome, trace: &Path) -> Vec<String> {
    let Outcome { torn_bytes, journal_rows, ring_events, lost, recovery, notices } = outcome;
    let trace = trace.display();
    let mut messages = notices.clone();
    if *torn_bytes > 0 {
        messages.push(format!("{} of a half-written row group were cut off", DecimalBytes(*torn_bytes)));
    }
    match recovery {
        Recovery::NotNeeded => messages.push(format!("{trace} needs no repair: its recorder was not killed")),
        Recovery::Complete => {
            messages.push(format!(
                "recovered into {trace}: {} rows that the recorder had read, {} events that it had not",
                HumanCount(*journal_rows),
                HumanCount(*ring_events),
            ));
            messages.push(match lost {
                0 => "no event is missing up to the moment when the program noticed that its recorder had ended; \
                      later events were not recorded"
                    .into(),
                _ => format!("{} events are missing: there was no room for them", HumanCount(*lost)),
            });
        }
        Recovery::SessionGone(directory) => messages.push(format!(
            "events after the last checkpoint are missing: {} was removed, or the machine was restarted",
            directory.display()
        )),
        Recovery::NoJournal => messages.push(
            "events after the last checkpoint are missing: the recorder had no room for its journal".into(),
        ),
        Recovery::InKernel => messages.push(
            "events after the last checkpoint are missing: the kernel kept the events of the static markers, and \
             discarded them when the recorder was killed"
                .into(),
        ),
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_state_what_is_missing_and_why() {
        let text = |outcome: &Outcome| report(outcome, Path::new("x.parquet")).join("\n");
        let with = |recovery| text(&Outcome { recovery, ..Outcome::default() });
        assert!(text(&Outcome::default()).contains("needs no repair"));
        let complete = Outcome {
            journal_rows: 1000,
            ring_events: 2,
            recovery: Recovery::Complete,
            ..Outcome::default()
        };
        let message = text(&complete);
        assert!(
            message.contains("1,000 rows")
                && message.contains("2 events")
                && message.contains("no event is missing"),
            "{message}"
        );
        let message = text(&Outcome { lost: 7, torn_bytes: 5, ..complete });
        assert!(message.contains("7 events are missing") && message.contains("cut off"), "{message}");
        assert!(with(Recovery::SessionGone("/dev/shm/a".into())).contains("/dev/shm/a"));
        assert!(with(Recovery::NoJournal).contains("no room"));
        assert!(with(Recovery::InKernel).contains("kernel"));
    }
}
