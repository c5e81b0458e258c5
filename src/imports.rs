//! `pyrec imports`: how long imports took.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{measure, report};

use crate::input::{Filters, Input};
use crate::output::print;

/// List imports with their times, and who asked for them
#[derive(Debug, Args)]
pub struct Imports {
    #[command(flatten)]
    input: Input,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Imports {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let imports = measure::Imports::read(&trace, &self.filters.into())?;
        print(|out| match self.json {
            true => report::imports::write_json(&imports, out),
            false => report::imports::write(&imports, out),
        })
    }
}
