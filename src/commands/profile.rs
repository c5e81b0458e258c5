//! `pyrec profile`: call paths with their sums, in a small file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::{CallTree, Error, Filter, report};
use pyrec_schema::write_profile;

use crate::input::{CallFilterArgs, InputArgs};
use crate::output::{print, write_file};

/// Sum traces up into one small file of call paths
///
/// A profile is a Parquet file with a row for each call path: its calls, its times, and what the
/// trust line needs. Traces and profiles can be summed, here or by any SQL engine. `pyrec flame`
/// and `pyrec stats` read profiles. A profile has no lines, single calls, threads or times of day.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Profile {
    #[command(flatten)]
    input: InputArgs,

    /// Replace OUT if it exists
    #[arg(short = 'f', long)]
    force: bool,

    /// The file to write, or `-` for standard output
    #[arg(value_name = "OUT", default_value = "profile.parquet")]
    out: PathBuf,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec profile -i 'runs/*.parquet' sum.parquet
  pyrec flame -i sum.parquet flame.svg";

impl Profile {
    /// Writes the profile, then prints the trust line and the next command.
    pub fn run(self) -> Result<ExitCode> {
        let filter: Filter = self.filters.into();
        let profile = CallTree::mark_excerpt(self.input.profile(&filter)?, &filter);
        let trust = report::trust_line(&Trust::of_profile(&profile));
        write_file(&self.out, self.force, |out| write_profile(&profile, out).map_err(Error::Write))?;
        if self.out == Path::new("-") {
            eprintln!("{trust}");
            return Ok(ExitCode::SUCCESS);
        }
        let name = self.out.display();
        print(|out| -> Result<(), Error> {
            writeln!(out, "{trust}")?;
            Ok(writeln!(out, "next: pyrec flame -i {name} flame.svg")?)
        })
    }
}
