//! `pyrec info`: the manifest of a trace, its contents, losses and repairs.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{CallTree, Filter, measure, report};

use crate::input::InputArgs;
use crate::output::print;

/// Describe a trace: origin, contents, losses and repairs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Info {
    #[command(flatten)]
    input: InputArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Example:
  pyrec info -i trace.parquet";

impl Info {
    /// Prints the description.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let info = measure::TraceInfo::of(&CallTree::read(&trace, &Filter::default())?);
        print(|out| match self.json {
            true => report::info::write_json(&info, out),
            false => report::info::write(&info, out),
        })
    }
}
