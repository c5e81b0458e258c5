//! `pyrec heat`: hits and times per source line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::Filter;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::{Lines, Sources};
use pyrec_analyzer::report::heat::{self, HeatListingOptions, HeatPageOptions};
use pyrec_schema::Trace;

use crate::input::{CallFilterArgs, InputArgs, row_limit};
use crate::output::{print, refuse_trace_as_picture, use_colours, write_picture};
use crate::source_on_disk::differs_on_disk;

const DEFAULT_ROWS: usize = 30;

/// Show each line of the source with its hits and times
///
/// Writes a page for a browser. Hits and times of single lines need a trace that was recorded with
/// `--lines`; without them, the page shows calls.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Heat {
    #[command(flatten)]
    input: InputArgs,

    /// Print to the terminal: the hottest lines of all files, or the source of a file or function
    #[arg(long, value_name = "FILE|FUNCTION", num_args = 0..=1, conflicts_with = "out")]
    text: Option<Option<Pattern>>,

    /// Print at most N of the hottest lines; 0 prints all [default: 30]
    #[arg(short = 'n', long = "rows", value_name = "N", requires = "text")]
    rows: Option<usize>,

    /// Print JSON, with every line of every file
    #[arg(long, conflicts_with_all = ["text", "rows", "out"])]
    json: bool,

    /// The page to write, or `-` for standard output
    #[arg(value_name = "OUT.html", default_value = "heat.html")]
    out: PathBuf,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec record --lines script.py
  pyrec heat heat.html
  pyrec heat --text app.py";

impl Heat {
    /// Writes the page, or prints lines or JSON.
    pub fn run(self) -> Result<ExitCode> {
        refuse_trace_as_picture("heat", &self.out)?;
        let trace = self.input.open()?;
        let (lines, sources) = read(&trace, &self.filters.into())?;
        if self.json {
            return print(|out| heat::write_json(&lines, out));
        }
        let Some(pattern) = self.text else {
            let files = lines.files.iter().map(|file| &file.file);
            let is_changed =
                |file: &&String| sources.text(file).is_some_and(|recorded| differs_on_disk(file, recorded));
            let changed = files.filter(is_changed).cloned().collect();
            let options = HeatPageOptions { command: trace.manifest().command.clone(), changed };
            return write_picture(&self.out, &lines.trust, |out| {
                heat::write_page(&lines, &sources, &options, out)
            });
        };
        let options = HeatListingOptions {
            pattern: pattern.as_ref(),
            rows: row_limit(self.rows, false, DEFAULT_ROWS),
            colours: use_colours(),
        };
        print(|out| heat::write(&lines, &sources, &options, out))
    }
}

/// The lines of one recording, or the sum of several. Recordings with and without line events have
/// no sum.
fn read(trace: &Trace, filter: &Filter) -> Result<(Lines, Sources)> {
    let read = |trace: &Trace| -> Result<_> { Ok((Lines::read(trace, filter)?, Sources::read(trace)?)) };
    let recordings = trace.recordings();
    if recordings.len() == 1 {
        return read(trace);
    }
    let runs =
        recordings.iter().map(|recording| read(&Trace::open(recording)?)).collect::<Result<Vec<_>>>()?;
    let position = |has_hits: bool| runs.iter().position(|(lines, _)| lines.has_hits == has_hits);
    if let (Some(with), Some(without)) = (position(true), position(false)) {
        let name = |index: usize| recordings[index][0].display();
        bail!(
            "{} has line events and {} has none, so they cannot be summed; name recordings of one kind",
            name(with),
            name(without)
        );
    }
    Ok(Lines::sum(&runs))
}
