//! `pyrec worst`: the slowest calls of a function.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{CallFilterArgs, InputArgs};
use crate::output::print;

/// Show the slowest calls of one function, with what they called
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Worst {
    #[command(flatten)]
    input: InputArgs,

    /// Print the N slowest calls
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 3)]
    rows: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The function: `run`, `Scheduler.run`, `Decoder.*`
    #[arg(value_name = "FUNC")]
    function: Pattern,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Example:
  pyrec worst -n 1 Scheduler.run";

impl Worst {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let worst = measure::SlowestCalls::read(&trace, &self.filters.into(), &self.function, self.rows)?;
        print(|out| match self.json {
            true => report::worst::write_json(&worst, out),
            false => report::worst::write(&worst, out),
        })
    }
}
