//! `pyrec dump`: the rows themselves.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::report;

use crate::input::{Input, Markers, Part, markers};
use crate::output::print;

/// Print the rows as text or JSON lines
#[derive(Debug, Args)]
pub struct Dump {
    #[command(flatten)]
    input: Input,

    /// Only these rows: groups as `function`, `gc`, or single markers as `gc__start`, `lost` [default: all but
    /// `source`]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = markers)]
    markers: Vec<Markers>,

    /// Print an object of JSON per row
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    part: Part,
}

impl Dump {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let format =
            if self.json { report::dump::DumpFormat::Json } else { report::dump::DumpFormat::Script };
        let markers = self.markers.iter().flat_map(|markers| markers.0).copied().collect();
        let options = report::dump::DumpOptions { markers, format };
        let filter = self.part.into();
        print(|out| report::dump::write(&trace, &filter, &options, out))
    }
}
