//! `pyrec`: a flight recorder for Python.
//!
//! Glue only. A command is a file: its flags at the top, below them what it calls in the recorder or the analyzer.

mod audit;
mod by;
mod cli;
mod completions;
mod diff;
#[cfg(feature = "record")]
mod doctor;
mod dump;
mod ending;
mod export;
#[cfg(feature = "record")]
mod extent;
mod flame;
mod gc;
mod heat;
mod import;
mod imports;
mod info;
mod input;
mod instances;
mod man;
#[cfg(feature = "record")]
mod markers;
mod on_disk;
mod output;
mod place;
mod profile;
#[cfg_attr(not(feature = "record"), path = "no_record.rs")]
mod record;
#[cfg(feature = "record")]
mod repair;
mod script;
mod share;
mod size;
#[cfg(feature = "record")]
mod snapshot;
mod stats;
#[cfg(feature = "record")]
mod target;
mod threads;
#[cfg(feature = "record")]
mod top;
mod tree;
mod worst;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => ending::of(command.run()),
        Err(answer) => ending::of_usage(&answer),
    }
}
