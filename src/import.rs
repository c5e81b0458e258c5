//! `pyrec import`: what another tool captured, as a recording.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use pyrec_analyzer::report::plural;
use pyrec_classic::import::{ImportSummary, import};

use crate::input::DEFAULT;
use crate::place::Place;

/// How much of a line is shown.
const SHOWN: usize = 80;

/// Make a recording of what such a script printed
///
/// Reads what the scripts of `pyrec script` print, and the layouts of CPython's call_stack.d and of SystemTap's
/// thread_indent. What is no event is counted and told, and stands in the recording as lost.
#[derive(Debug, Args)]
pub struct Import {
    /// What the tool printed; - is standard input
    #[arg(value_name = "FILE|-")]
    capture: PathBuf,

    /// Write the recording to FILE. Without it: pyrec.parquet, and the previous one is kept as pyrec.old.parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(short, long, requires = "output")]
    force: bool,
}

impl Import {
    /// Imports it.
    pub fn run(self) -> Result<ExitCode> {
        let capture = &self.capture;
        let text: Box<dyn BufRead> = if capture == Path::new("-") {
            Box::new(stdin().lock())
        } else {
            let file = File::open(capture).with_context(|| format!("cannot open {}", capture.display()))?;
            Box::new(BufReader::new(file))
        };
        let place = Place::clear(self.output.as_deref(), self.force, Path::new(""))?;
        let imported = import(text, place.path(), concat!("pyrec ", env!("CARGO_PKG_VERSION")));
        let path = place.path().to_owned();
        let settled = place.settle();
        let summary = imported?;
        settled?;
        eprint!("{}", told(&summary, &path));
        Ok(ExitCode::SUCCESS)
    }
}

/// What was imported, and what was not.
fn told(summary: &ImportSummary, path: &Path) -> String {
    let mut lines = vec![format!("{} in {}", plural(summary.events, "event"), path.display())];
    if let Some((number, line)) = &summary.first_malformed {
        let shown: String = line.chars().take(SHOWN).collect();
        let what = plural(summary.malformed, "line");
        let be = if summary.malformed == 1 { "is no event" } else { "are no events" };
        let text = if shown.is_empty() {
            "it does not end, or is no text".into()
        } else {
            format!("`{}`", shown.escape_debug())
        };
        lines.push(format!("{what} {be}; the first is line {number}: {text}"));
    }
    if summary.lost > 0 {
        lines.push(format!("the tool lost {}", plural(summary.lost, "event")));
    }
    if summary.missing > 0 {
        let what = plural(summary.missing, "event");
        lines.push(format!(
            "at least {what} must be missing, or are of threads that the layout does not tell apart: levels do not follow on each other"
        ));
    }
    if summary.maybe_truncated > 0 {
        let what = plural(summary.maybe_truncated, "event");
        lines.push(format!(
            "{what} may have a name that bpftrace cut off: start the script as a program, ./capture.bt"
        ));
    }
    if summary.is_complete == Some(false) {
        lines.push("the capture does not have its end".into());
    }
    if summary.has_per_thread_times {
        lines.push("each thread's times begin with its own first line, so threads cannot be compared".into());
    }
    let input = if path == Path::new(DEFAULT) { String::new() } else { format!("-i {} ", path.display()) };
    lines.push(format!("next: pyrec tree {input}").trim_end().to_owned());
    lines.iter().map(|line| format!("pyrec: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    //! What is told.

    use super::*;

    #[test]
    fn whatever_is_not_in_the_recording_is_told() {
        let whole = ImportSummary { events: 1_234, is_complete: Some(true), ..ImportSummary::default() };
        assert_eq!(
            told(&whole, Path::new(DEFAULT)),
            "pyrec: 1,234 events in pyrec.parquet\npyrec: next: pyrec tree\n"
        );
        let first_malformed = Some((7, "12\t\u{1b}[2J".to_owned()));
        let torn = ImportSummary {
            malformed: 2,
            first_malformed,
            lost: 3,
            missing: 4,
            maybe_truncated: 5,
            is_complete: Some(false),
            has_per_thread_times: true,
            ..whole
        };
        let told = told(&torn, Path::new("a.parquet"));
        for part in [
            "2 lines are no events; the first is line 7: `12\\t\\u{1b}[2J`",
            "the tool lost 3 events",
            "at least 4 events must be missing",
            "5 events may have a name that bpftrace cut off",
            "does not have its end",
            "cannot be compared",
            "pyrec tree -i a.parquet\n",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
