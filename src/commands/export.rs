//! `pyrec export`: a trace in the format of another tool.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pyrec_analyzer::{Error, Filter, Printable, report};

use crate::input::{CallFilterArgs, InputArgs};
use crate::output::{print, write_file};

/// Convert a trace to the format of another tool
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    #[command(flatten)]
    input: InputArgs,

    /// Replace OUT if it exists
    #[arg(short = 'f', long)]
    force: bool,

    /// The format to write
    #[arg(value_enum, value_name = "FORMAT")]
    format: Format,

    /// The file to write, or `-` for standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec export speedscope out.json
  pyrec export calls calls.parquet";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Call paths with their times, for flamegraph.pl and inferno
    Collapsed,
    /// For www.speedscope.app
    Speedscope,
    /// For ui.perfetto.dev and Perfetto's trace processor
    Perfetto,
    /// For profiler.firefox.com
    Firefox,
    /// The file that cProfile saves, for Python's pstats, snakeviz and gprof2dot
    Pstats,
    /// For callgrind_annotate and KCachegrind
    Callgrind,
    /// A Parquet file with a row per call, for DuckDB, pandas and polars
    Calls,
}

impl Export {
    /// Writes the file, then prints the trust line and how to open the file.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let filter: Filter = self.filters.into();
        if trace.files().iter().any(|file| is_same_file(file.path(), &self.out)) {
            bail!("{} is the trace itself; name another file", self.out.display());
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
            Ok(writeln!(out, "{}", Printable(&next_step))?)
        })
    }
}

impl Format {
    /// How to open the file in the tool.
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

/// Whether two paths name the same existing file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
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
