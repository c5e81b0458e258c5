//! `pyrec flame`: a flame graph.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use pyrec_analyzer::measure::{self, Folded};
use pyrec_analyzer::{CallTree, Error, report};

use crate::input::{Filters, Input};
use crate::output::print;

/// Draw a flame graph: the widest boxes took the most time
#[derive(Debug, Args)]
pub struct Flame {
    #[command(flatten)]
    input: Input,

    /// What makes a box wide
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    weight: Weight,

    /// Draw callers above what they call
    #[arg(long)]
    icicle: bool,

    /// The headline [default: what was run]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    #[command(flatten)]
    filters: Filters,

    /// The picture to write; `-` is standard output
    #[arg(value_name = "OUT.svg", default_value = "flame.svg")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Weight {
    /// Time
    #[default]
    Time,
    /// How often a function was entered
    Calls,
}

impl Flame {
    /// Writes the picture, and prints the trust line where the picture does not go to standard output itself.
    pub fn run(self) -> Result<ExitCode> {
        if is_trace(&self.out) {
            let name = self.out.display();
            bail!(
                "{name} would be replaced by a picture; if it is the recording to read, type `pyrec flame -i {name}`"
            );
        }
        let trace = self.input.open()?;
        let weight = match self.weight {
            Weight::Time => measure::Weight::Time,
            Weight::Calls => measure::Weight::Calls,
        };
        let folded = Folded::of(&CallTree::read(&trace, &self.filters.into())?, weight);
        let options = report::flame::Options { icicle: self.icicle, title: self.title };
        if self.out == Path::new("-") {
            return print(|out| report::flame::write(&folded, &options, out));
        }
        let mut picture = Vec::new();
        report::flame::write(&folded, &options, &mut picture)?;
        let path = self.out.display();
        fs::write(&self.out, picture).map_err(|error| anyhow!("cannot write {path}: {error}"))?;
        print(|out| -> Result<(), Error> {
            writeln!(out, "{}", report::trust_line(&folded.trust))?;
            Ok(writeln!(out, "open {path} in a browser")?)
        })
    }
}

/// Whether a file is a recording by its name, which is how `-i` is forgotten.
fn is_trace(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}
