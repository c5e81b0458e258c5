//! `pyrec`: a flight recorder for Python.
//!
//! `cli` parses the command line into one of the commands in `commands/`. A command is a file: its
//! flags, and the calls of the recorder or the analyzer that they lead to. The other modules hold
//! what several commands share.

mod cli;
mod commands;
mod exit;
mod input;
mod output;
mod output_path;
mod size_or_duration;
mod source_on_disk;
#[cfg(feature = "record")]
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => exit::from_result(command.run()),
        Err(error) => exit::from_clap(&error),
    }
}
