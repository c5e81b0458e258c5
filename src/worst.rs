//! `pyrec worst`: the slowest calls of one function.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{Filters, Input};
use crate::output::print;

/// Show the slowest calls of one function, with what they called
#[derive(Debug, Args)]
pub struct Worst {
    #[command(flatten)]
    input: Input,

    /// How many calls
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 3)]
    rows: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,

    /// The function: `run`, `Scheduler.run`, `Decoder.*`
    #[arg(value_name = "FUNC")]
    function: Pattern,
}

impl Worst {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let worst = measure::SlowestCalls::read(&trace, &self.filters.into(), &self.function, self.rows)?;
        print(|out| match self.json {
            true => report::worst::write_json(&worst, out),
            false => report::worst::write(&worst, out),
        })
    }
}
