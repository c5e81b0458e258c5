//! `pyrec gc`: garbage collections.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{measure, report};

use crate::input::{CallFilterArgs, InputArgs, row_limit};
use crate::output::print;

const DEFAULT_ROWS: usize = 10;

/// Show garbage collections: how long, and what they interrupted
///
/// Prints a histogram of the durations for each generation, and the functions that were interrupted
/// longest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Gc {
    #[command(flatten)]
    input: InputArgs,

    /// Print at most N interrupted functions; 0 prints all [default: 10, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec gc
  pyrec gc --root main -n 0";

impl Gc {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let rows = row_limit(self.rows, self.json, DEFAULT_ROWS);
        let options = report::gc::GcOptions { rows };
        let gc = measure::GcPauses::read(&trace, &self.filters.into())?;
        print(|out| match self.json {
            true => report::gc::write_json(&gc, &options, out),
            false => report::gc::write(&gc, &options, out),
        })
    }
}
