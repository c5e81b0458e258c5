//! `pyrec heat`: hits and time per line.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::{Lines, Sources};
use pyrec_analyzer::report;

use crate::input::{Filters, Input};
use crate::output::{colours, print};

/// Rows that fit a screen.
const SCREEN: usize = 30;

/// List lines with their hits and times
#[derive(Debug, Args)]
pub struct Heat {
    /// The files or functions whose source to list [default: the hottest lines of all]
    #[arg(value_name = "FILE|FUNCTION")]
    what: Option<Pattern>,

    #[command(flatten)]
    input: Input,

    /// At most N of the hottest lines, or all with 0 [default: 30]
    #[arg(short = 'n', long = "rows", value_name = "N", conflicts_with = "what")]
    rows: Option<usize>,

    /// Print JSON: every line of every file
    #[arg(long, conflicts_with_all = ["what", "rows"])]
    json: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Heat {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let lines = Lines::read(&trace, &self.filters.into())?;
        if self.json {
            return print(|out| report::heat::write_json(&lines, out));
        }
        let sources = Sources::read(&trace)?;
        let rows = if self.rows == Some(0) { None } else { self.rows.or(Some(SCREEN)) };
        let options = report::heat::Options { what: self.what.as_ref(), rows, colours: colours() };
        print(|out| report::heat::write(&lines, &sources, &options, out))
    }
}
