//! `pyrec audit`: audit events, grouped by name, arguments and call stack.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{CallFilterArgs, InputArgs, row_limit};
use crate::output::print;

const DEFAULT_ROWS: usize = 30;

/// List audit events, such as opened files, with their call stacks
///
/// CPython raises audit events (PEP 578) for operations such as `open`, `exec` and
/// `socket.connect`. They are in a trace that was recorded with `--markers audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Audit {
    #[command(flatten)]
    input: InputArgs,

    /// Print at most N groups; 0 prints all [default: 30, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Only events whose name matches: `open`, `socket.*`
    #[arg(value_name = "EVENT")]
    events: Vec<Pattern>,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec record --markers function,audit script.py
  pyrec audit open";

impl Audit {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let rows = row_limit(self.rows, self.json, DEFAULT_ROWS);
        let options = report::audit::AuditOptions { rows };
        let audit = measure::Audit::read(&trace, &self.filters.into(), &self.events)?;
        print(|out| match self.json {
            true => report::audit::write_json(&audit, &options, out),
            false => report::audit::write(&audit, &options, out),
        })
    }
}
