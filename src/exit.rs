//! The end of the command: its exit status, and the sentence about an error.
//!
//! The status is 0 for success, 1 for an error, and 2 for a gate that failed (`pyrec diff
//! --fail-on`). `pyrec record` and `pyrec top` exit with the status of the program that they
//! started.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use pyrec_analyzer::Printable;
#[cfg(feature = "record")]
use pyrec_recorder::Exit;

use crate::output::print_message;

const ERROR: u8 = 1;

/// A rule of `pyrec diff --fail-on` does not hold.
pub const GATE_FAILED: u8 = 2;

/// The exit status of a command that ran. Prints its error, if there is one.
pub fn from_result(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Only the outermost message: the libraries' messages include those of their causes.
            print_message(Printable(&error.to_string()));
            ExitCode::from(ERROR)
        }
    }
}

/// The exit status of a command line that clap did not turn into a command: a request for help or
/// the version, which is printed, or a usage error.
pub fn from_clap(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Fails if the reader closed the pipe, as `head` does. That is no error.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(ERROR)
        }
        _ => {
            print_message(Printable(&one_sentence(&error.render().to_string())));
            ExitCode::from(ERROR)
        }
    }
}

/// The exit status of a recorded program, as a shell reports it. Success where the program was not
/// started by pyrec.
#[cfg(feature = "record")]
pub fn from_program(exit: Exit) -> ExitCode {
    match exit {
        // wait(2) passes on the low eight bits of a status.
        Exit::Status(status) => ExitCode::from(status as u8),
        Exit::Signal(signal) => ExitCode::from(128u8.saturating_add(signal as u8)),
        Exit::Unknown | Exit::StillRunning => ExitCode::SUCCESS,
    }
}

/// Whether the reader of standard output closed it, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Clap's message without its label, usage lines and paragraphs.
fn one_sentence(message: &str) -> String {
    let text = message.split("\nUsage:").next().unwrap_or(message);
    let text = text.split("\nFor more information").next().unwrap_or(text).trim_start_matches("error:");
    let paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let paragraphs: Vec<String> = paragraphs.filter(|part| !part.is_empty()).collect();
    format!("{}; see `--help`", paragraphs.join("; ").replace("tip: ", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_sentence() {
        let message = "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: '--json'\n\n\
                       Usage: pyrec stats [OPTIONS]\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_sentence(message),
            "unexpected argument '--jsn' found; a similar argument exists: '--json'; see `--help`"
        );
        let message =
            "error: the following required arguments were not provided:\n  <CMD>...\n\nUsage: pyrec\n";
        assert_eq!(
            one_sentence(message),
            "the following required arguments were not provided: <CMD>...; see `--help`"
        );
    }

    #[test]
    fn a_closed_pipe_is_found_below_other_errors() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&closed().into()));
        assert!(is_closed_pipe(&anyhow::Error::from(closed()).context("writing the report")));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
