//! `pyrec gc`: the garbage collector's pauses.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{measure, report};

use crate::input::{Filters, Input, rows};
use crate::output::print;

/// Rows that fit a screen beside the histograms.
const SCREEN: usize = 10;

/// Show garbage collections: how long, and what they interrupted
#[derive(Debug, Args)]
pub struct Gc {
    #[command(flatten)]
    input: Input,

    /// At most N places that were interrupted, or all with 0 [default: 10, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Gc {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let rows = rows(self.rows, self.json, SCREEN);
        let options = report::gc::GcOptions { rows };
        let gc = measure::GcPauses::read(&trace, &self.filters.into())?;
        print(|out| match self.json {
            true => report::gc::write_json(&gc, &options, out),
            false => report::gc::write(&gc, &options, out),
        })
    }
}
