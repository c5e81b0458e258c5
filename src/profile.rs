//! `pyrec profile`: recordings reduced to what adds up.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::{CallTree, Error, Filter, report};
use pyrec_schema::write_profile;

use crate::input::{Filters, Input};
use crate::output::{print, write_file};

/// Reduce recordings to one small file of call paths that adds up
///
/// A profile holds each call path with its calls and times, and what the trust line needs. It is a Parquet file whose
/// rows are sums: several recordings become one profile, several profiles another, here or in any SQL engine. `pyrec flame`
/// and `pyrec stats` read it. Lines, single calls, threads and times of day are gone.
#[derive(Debug, Args)]
pub struct Profile {
    #[command(flatten)]
    input: Input,

    /// Replace the file if there is one
    #[arg(short = 'f', long)]
    force: bool,

    #[command(flatten)]
    filters: Filters,

    /// The file to write; `-` is standard output
    #[arg(value_name = "OUT", default_value = "profile.parquet")]
    out: PathBuf,
}

impl Profile {
    /// Writes the file, and prints the trust line and what to do with it.
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
