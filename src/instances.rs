//! `pyrec instances`: which classes were called, and from where.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{measure, report};

use crate::input::{Filters, Input, rows};
use crate::output::print;

/// Classes that somebody reads.
const SCREEN: usize = 30;

/// List classes with how many objects each made, for whom, and how long that took
#[derive(Debug, Args)]
pub struct Instances {
    #[command(flatten)]
    input: Input,

    /// At most N classes, with five lines each, or all with 0 [default: 30, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,

    /// Only classes whose name matches: `Point`, `shop.*`
    #[arg(value_name = "CLASS")]
    classes: Vec<Pattern>,
}

impl Instances {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let options = report::instances::InstancesOptions { rows: rows(self.rows, self.json, SCREEN) };
        let instances = measure::Instances::read(&trace, &self.filters.into(), &self.classes)?;
        print(|out| match self.json {
            true => report::instances::write_json(&instances, &options, out),
            false => report::instances::write(&instances, &options, out),
        })
    }
}
