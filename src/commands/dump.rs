//! `pyrec dump`: the rows of a trace.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::report;

use crate::input::{InputArgs, MarkerSet, RangeFilterArgs, parse_markers};
use crate::output::print;

/// Print the rows as text or JSON lines
///
/// A row is an event with its time in nanoseconds, process, thread, marker, function, line, value
/// and text. Example: `pyrec dump --markers gc --time 1s-2s`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Dump {
    #[command(flatten)]
    input: InputArgs,

    /// Only rows of these groups (`function`, `gc`) or single markers (`gc__start`, `lost`),
    /// separated by commas [default: all but `source`]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_markers)]
    markers: Vec<MarkerSet>,

    /// Print a JSON object per row
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    range: RangeFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec dump --markers gc --time 1s-2s
  pyrec dump --json";

impl Dump {
    /// Prints the rows.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let format = match self.json {
            true => report::dump::DumpFormat::Json,
            false => report::dump::DumpFormat::Script,
        };
        let markers = self.markers.iter().flat_map(|set| set.0).copied().collect();
        let options = report::dump::DumpOptions { markers, format };
        let filter = self.range.into();
        print(|out| report::dump::write(&trace, &filter, &options, out))
    }
}
