//! `pyrec heat`: hits and time per line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::Filter;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::{Lines, Sources};
use pyrec_analyzer::report::heat::{self, HeatListingOptions, HeatPageOptions};
use pyrec_schema::Trace;

use crate::input::{Filters, Input, rows};
use crate::on_disk::has_changed;
use crate::output::{check_picture, colours, print, write_picture};

/// Rows that fit a screen.
const SCREEN: usize = 30;

/// Show each line of the source with its hits and times
#[derive(Debug, Args)]
pub struct Heat {
    #[command(flatten)]
    input: Input,

    /// List lines in the terminal: the hottest of all, or the source of these files or functions
    #[arg(long, value_name = "FILE|FUNCTION", num_args = 0..=1, conflicts_with = "out")]
    text: Option<Option<Pattern>>,

    /// With --text: at most N of the hottest lines, or all with 0 [default: 30]
    #[arg(short = 'n', long = "rows", value_name = "N", requires = "text")]
    rows: Option<usize>,

    /// Print JSON: every line of every file
    #[arg(long, conflicts_with_all = ["text", "rows", "out"])]
    json: bool,

    #[command(flatten)]
    filters: Filters,

    /// The page to write; `-` is standard output
    #[arg(value_name = "OUT.html", default_value = "heat.html")]
    out: PathBuf,
}

impl Heat {
    /// Writes the page, or prints lines.
    pub fn run(self) -> Result<ExitCode> {
        check_picture("heat", &self.out)?;
        let trace = self.input.open()?;
        let (lines, sources) = read(&trace, &self.filters.into())?;
        if self.json {
            return print(|out| heat::write_json(&lines, out));
        }
        let Some(what) = self.text else {
            let files = lines.files.iter().map(|file| &file.file);
            let is_changed = |file: &&String| sources.text(file).is_some_and(|ran| has_changed(file, ran));
            let changed = files.filter(is_changed).cloned().collect();
            let options = HeatPageOptions { command: trace.manifest().command.clone(), changed };
            return write_picture(&self.out, &lines.trust, |out| {
                heat::write_page(&lines, &sources, &options, out)
            });
        };
        let options = HeatListingOptions {
            pattern: what.as_ref(),
            rows: rows(self.rows, false, SCREEN),
            colours: colours(),
        };
        print(|out| heat::write(&lines, &sources, &options, out))
    }
}

/// The lines of a recording, or the sum of several.
fn read(trace: &Trace, filter: &Filter) -> Result<(Lines, Sources)> {
    let read = |trace: &Trace| -> Result<_> { Ok((Lines::read(trace, filter)?, Sources::read(trace)?)) };
    let recordings = trace.recordings();
    if recordings.len() == 1 {
        return read(trace);
    }
    let runs =
        recordings.iter().map(|recording| read(&Trace::open(recording)?)).collect::<Result<Vec<_>>>()?;
    let with = |has_hits: bool| runs.iter().position(|(lines, _)| lines.has_hits == has_hits);
    if let (Some(with), Some(without)) = (with(true), with(false)) {
        let name = |at: usize| recordings[at][0].display();
        bail!(
            "{} has line events and {} has none, so they do not add up; name recordings of one kind",
            name(with),
            name(without)
        );
    }
    Ok(Lines::sum(&runs))
}
