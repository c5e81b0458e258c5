//! How the command ends: its exit status, and the one sentence about what went wrong.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use pyrec_analyzer::Plain;

use crate::output::say;

/// Something went wrong. (0 is fine, and 2 is kept for a gate that failed.)
const ERROR: u8 = 1;

/// Ends a command that ran.
pub fn of(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(status) => status,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Without its causes: the libraries' messages tell them already.
            say(&format!("pyrec: {}\n", Plain(&error.to_string())));
            ExitCode::from(ERROR)
        }
    }
}

/// Ends a command line that was not understood, or that asked for help.
pub fn of_usage(answer: &clap::Error) -> ExitCode {
    match answer.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever closed the pipe has seen what they wanted.
            let _ = answer.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = answer.print();
            ExitCode::from(ERROR)
        }
        _ => {
            say(&format!("pyrec: {}\n", Plain(&sentence(&answer.render().to_string()))));
            ExitCode::from(ERROR)
        }
    }
}

/// Whether somebody stopped reading our output, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Clap's message without its label, its usage lines and its paragraphs.
fn sentence(message: &str) -> String {
    let told = message.split("\nUsage:").next().unwrap_or(message).split("\nFor more information").next();
    let parts = told.unwrap_or(message).trim_start_matches("error:").split("\n\n");
    let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}; `--help` tells more", parts.join("; ").replace("tip: ", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_sentence() {
        let message = "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: '--json'\n\n\
                       Usage: pyrec stats [OPTIONS]\n\nFor more information, try '--help'.\n";
        assert_eq!(
            sentence(message),
            "unexpected argument '--jsn' found; a similar argument exists: '--json'; `--help` tells more"
        );
        let message =
            "error: the following required arguments were not provided:\n  <CMD>...\n\nUsage: pyrec\n";
        assert_eq!(
            sentence(message),
            "the following required arguments were not provided: <CMD>...; `--help` tells more"
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
