//! `pyrec audit`: audit events with the stack at that moment.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{Filters, Input, rows};
use crate::output::print;

/// Groups that somebody reads.
const SCREEN: usize = 30;

/// List audit events, such as opened files, with who raised them
#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    input: Input,

    /// At most N groups, or all with 0 [default: 30, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,

    /// Only events whose name matches: `open`, `socket.*`
    #[arg(value_name = "EVENT")]
    events: Vec<Pattern>,
}

impl Audit {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let rows = rows(self.rows, self.json, SCREEN);
        let options = report::audit::AuditOptions { rows };
        let audit = measure::Audit::read(&trace, &self.filters.into(), &self.events)?;
        print(|out| match self.json {
            true => report::audit::write_json(&audit, &options, out),
            false => report::audit::write(&audit, &options, out),
        })
    }
}
