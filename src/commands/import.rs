//! `pyrec import`: the output of a classic tracing tool as a trace.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use pyrec_analyzer::report::plural;
use pyrec_classic::import::{ImportSummary, import};

use crate::input::DEFAULT_TRACE;
use crate::output::print_message;
use crate::output_path::OutputPath;

/// Characters of a malformed line that a message shows.
const MAX_QUOTED_CHARS: usize = 80;

/// Convert the output of such a script to a trace
///
/// Reads the output of the scripts that `pyrec script` writes, and the layouts of CPython's
/// call_stack.d and SystemTap's thread_indent. Malformed lines are counted as lost events.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// The output of the tool, or `-` for standard input
    #[arg(value_name = "FILE|-")]
    capture: PathBuf,

    /// Write the trace to FILE [default: pyrec.parquet, after the previous one was renamed to
    /// pyrec.old.parquet]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(short, long, requires = "output")]
    force: bool,
}

const EXAMPLES: &str = "\
Example:
  pyrec import capture.txt -o capture.parquet";

impl Import {
    /// Writes the trace, and prints what was imported and what was not.
    pub fn run(self) -> Result<ExitCode> {
        let capture = &self.capture;
        let text: Box<dyn BufRead> = if capture == Path::new("-") {
            Box::new(stdin().lock())
        } else {
            let file = File::open(capture).with_context(|| format!("cannot open {}", capture.display()))?;
            Box::new(BufReader::new(file))
        };
        let output = OutputPath::free(self.output.as_deref(), self.force, Path::new(""))?;
        let imported = import(text, output.path(), concat!("pyrec ", env!("CARGO_PKG_VERSION")));
        let path = output.path().to_owned();
        let finished = output.finish();
        let summary = imported?;
        finished?;
        messages(&summary, &path).iter().for_each(print_message);
        Ok(ExitCode::SUCCESS)
    }
}

/// Messages about what was imported, and what is missing or uncertain.
fn messages(summary: &ImportSummary, path: &Path) -> Vec<String> {
    let mut messages = vec![format!("{} in {}", plural(summary.events, "event"), path.display())];
    if let Some((number, line)) = &summary.first_malformed {
        let quoted: String = line.chars().take(MAX_QUOTED_CHARS).collect();
        let lines = plural(summary.malformed, "malformed line");
        let text = if quoted.is_empty() {
            "it has no end, or is not text".into()
        } else {
            format!("`{}`", quoted.escape_debug())
        };
        messages.push(format!("{lines}; the first is line {number}: {text}"));
    }
    if summary.lost > 0 {
        messages.push(format!("the tool lost {}", plural(summary.lost, "event")));
    }
    if summary.missing > 0 {
        let what = plural(summary.missing, "event");
        messages.push(format!(
            "at least {what} are missing, or belong to threads that the layout does not distinguish: the levels of the \
             calls do not match"
        ));
    }
    if summary.maybe_truncated > 0 {
        let what = plural(summary.maybe_truncated, "event");
        messages.push(format!(
            "{what} may have a name that bpftrace truncated; run the script as a program, ./capture.bt"
        ));
    }
    if summary.is_complete == Some(false) {
        messages.push("the capture is incomplete: its end is missing".into());
    }
    if summary.has_per_thread_times {
        messages.push("the times of each thread start at its own first line, so those of two threads cannot be compared".into());
    }
    let input =
        if path == Path::new(DEFAULT_TRACE) { String::new() } else { format!("-i {} ", path.display()) };
    messages.push(format!("next: pyrec tree {input}").trim_end().to_owned());
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_not_in_the_trace_has_a_message() {
        let whole = ImportSummary { events: 1_234, is_complete: Some(true), ..ImportSummary::default() };
        assert_eq!(
            messages(&whole, Path::new(DEFAULT_TRACE)),
            ["1,234 events in pyrec.parquet", "next: pyrec tree"]
        );
        let first_malformed = Some((7, "12\t\u{1b}[2J".to_owned()));
        let incomplete = ImportSummary {
            malformed: 2,
            first_malformed,
            lost: 3,
            missing: 4,
            maybe_truncated: 5,
            is_complete: Some(false),
            has_per_thread_times: true,
            ..whole
        };
        let messages = messages(&incomplete, Path::new("a.parquet"));
        for part in [
            "2 malformed lines; the first is line 7: `12\\t\\u{1b}[2J`",
            "the tool lost 3 events",
            "at least 4 events are missing",
            "5 events may have a name that bpftrace truncated",
            "its end is missing",
            "cannot be compared",
            "pyrec tree -i a.parquet",
        ] {
            assert!(messages.iter().any(|message| message.contains(part)), "{part}: {messages:?}");
        }
    }
}
