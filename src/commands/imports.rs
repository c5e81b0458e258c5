//! `pyrec imports`: modules with the time that their imports took.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{measure, report};

use crate::input::{CallFilterArgs, InputArgs};
use crate::output::print;

/// List imports with their times and importers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Imports {
    #[command(flatten)]
    input: InputArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Example:
  pyrec imports --min-time 5ms";

impl Imports {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let imports = measure::Imports::read(&trace, &self.filters.into())?;
        print(|out| match self.json {
            true => report::imports::write_json(&imports, out),
            false => report::imports::write(&imports, out),
        })
    }
}
