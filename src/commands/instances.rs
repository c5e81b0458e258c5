//! `pyrec instances`: the objects that each class created.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{CallFilterArgs, InputArgs, row_limit};
use crate::output::print;

const DEFAULT_ROWS: usize = 30;

/// List classes with the objects they created: number, time, callers
///
/// Needs a trace that was recorded with `--markers instance`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Instances {
    #[command(flatten)]
    input: InputArgs,

    /// Print at most N classes, each with up to five lines that call it; 0 prints all [default: 30,
    /// and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Only classes whose name matches: `Point`, `shop.*`
    #[arg(value_name = "CLASS")]
    classes: Vec<Pattern>,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec record --markers function,instance script.py
  pyrec instances 'shop.*'";

impl Instances {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let options =
            report::instances::InstancesOptions { rows: row_limit(self.rows, self.json, DEFAULT_ROWS) };
        let instances = measure::Instances::read(&trace, &self.filters.into(), &self.classes)?;
        print(|out| match self.json {
            true => report::instances::write_json(&instances, &options, out),
            false => report::instances::write(&instances, &options, out),
        })
    }
}
