//! `pyrec threads`: the processes and threads of a trace.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{CallTree, Filter, measure, report};

use crate::input::{InputArgs, ThreadFilterArgs};
use crate::output::print;

/// List processes and threads, and how busy each was
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Threads {
    #[command(flatten)]
    input: InputArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: ThreadFilterArgs,
}

const EXAMPLES: &str = "\
Example:
  pyrec threads";

impl Threads {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let calls = CallTree::read(&trace, &Filter::default())?;
        let threads = measure::Threads::of(&calls, &self.filters.into());
        print(|out| match self.json {
            true => report::threads::write_json(&threads, out),
            false => report::threads::write(&threads, out),
        })
    }
}
