//! `pyrec export`: a recording for other tools.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pyrec_analyzer::{Error, Filter, Plain, report};

use crate::input::{Filters, Input};
use crate::output::{print, write_file};

/// Write a recording in the format of another tool
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    input: Input,

    /// Replace the file if there is one
    #[arg(short = 'f', long)]
    force: bool,

    #[command(flatten)]
    filters: Filters,

    /// What to write
    #[arg(value_enum, value_name = "FORMAT")]
    format: Format,

    /// The file to write; `-` is standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Call paths with their time, as flamegraph.pl and inferno read them
    Collapsed,
    /// For www.speedscope.app
    Speedscope,
    /// For ui.perfetto.dev and Perfetto's trace processor
    Perfetto,
    /// For profiler.firefox.com
    Firefox,
    /// What cProfile saves: for Python's pstats, snakeviz, gprof2dot
    Pstats,
    /// For callgrind_annotate and KCachegrind
    Callgrind,
    /// A Parquet file with a row for every call: for DuckDB, pandas, polars
    Calls,
}

impl Export {
    /// Writes the file, and prints the trust line and what to do with it.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let filter: Filter = self.filters.into();
        if trace.files().iter().any(|file| is_same(file.path(), &self.out)) {
            bail!("{} is the recording itself; name another file", self.out.display());
        }
        let trust = write_file(&self.out, self.force, |mut out| {
            report::export::write(&trace, &filter, self.format.into(), &mut out)
        })?;
        if self.out == Path::new("-") {
            eprintln!("{}", report::trust_line(&trust));
            return Ok(ExitCode::SUCCESS);
        }
        print(|out| -> Result<(), Error> {
            writeln!(out, "{}", report::trust_line(&trust))?;
            let next_step = self.format.next_step(&self.out.display().to_string());
            Ok(writeln!(out, "{}", Plain(&next_step))?)
        })
    }
}

impl Format {
    /// What to do with the file.
    fn next_step(self, path: &str) -> String {
        match self {
            Format::Collapsed => format!("flamegraph.pl {path} > flame.svg"),
            Format::Speedscope => format!("open {path} at https://www.speedscope.app"),
            Format::Perfetto => format!("open {path} at https://ui.perfetto.dev"),
            Format::Firefox => format!("open {path} at https://profiler.firefox.com"),
            Format::Pstats => format!("python3 -m pstats {path}"),
            Format::Calls => format!("duckdb -c \"from '{path}' order by duration_ns desc limit 20\""),
            Format::Callgrind => format!("callgrind_annotate {path}"),
        }
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

impl From<Format> for report::export::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Collapsed => Self::Collapsed,
            Format::Speedscope => Self::Speedscope,
            Format::Perfetto => Self::Perfetto,
            Format::Firefox => Self::Firefox,
            Format::Pstats => Self::Pstats,
            Format::Callgrind => Self::Callgrind,
            Format::Calls => Self::Calls,
        }
    }
}
