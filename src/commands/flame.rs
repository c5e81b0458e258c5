//! `pyrec flame`: a flame graph.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::{self, Folded};
use pyrec_analyzer::{CallTree, report};

use crate::input::{CallFilterArgs, GroupBy, InputArgs};
use crate::output::{refuse_trace_as_picture, write_picture};

/// Draw a flame graph: the widest boxes took the most time
///
/// The picture is an SVG file for a browser, where a click magnifies a box.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Flame {
    #[command(flatten)]
    input: InputArgs,

    /// The quantity that makes a box wide
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    weight: Weight,

    /// Draw callers above the functions that they call
    #[arg(long)]
    icicle: bool,

    /// Begin with the functions in which the time passed, and stack their callers on them
    #[arg(long)]
    reverse: bool,

    /// Draw a separate box at the bottom for each thread
    #[arg(long)]
    by_thread: bool,

    /// Draw a separate box at the bottom for each process, machine or recording
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "by_thread")]
    by: Option<GroupBy>,

    /// Colour functions whose name or file matches, and print their share of the total
    #[arg(long, value_name = "GLOB")]
    search: Option<Pattern>,

    /// The headline [default: the recorded command]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// The file to write, or `-` for standard output
    #[arg(value_name = "OUT.svg", default_value = "flame.svg")]
    out: PathBuf,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec flame flame.svg
  pyrec flame --root main --weight calls calls.svg
  pyrec flame --by-thread -i server.parquet threads.svg";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Weight {
    /// Time
    #[default]
    Time,
    /// Time in the function itself, the same as `time` with --reverse
    #[value(name = "self")]
    SelfTime,
    /// Number of calls
    Calls,
    /// Time in garbage collections
    Gc,
}

impl Flame {
    /// Writes the picture, then prints the trust line.
    pub fn run(self) -> Result<ExitCode> {
        refuse_trace_as_picture("flame", &self.out)?;
        let weight = match self.weight {
            Weight::Time | Weight::SelfTime => measure::Weight::Time,
            Weight::Calls => measure::Weight::Calls,
            Weight::Gc => measure::Weight::Gc,
        };
        let reverse = self.reverse || self.weight == Weight::SelfTime;
        let filter = self.filters.into();
        let (calls, mut folded) = if let Some(by) = self.by {
            let groups = self.input.calls_by_group(by, &filter)?;
            let folded = Folded::by_group(&groups, weight);
            (groups.calls, folded)
        } else if self.by_thread {
            let (calls, threads) = CallTree::read_by_thread(&self.input.open()?, &filter)?;
            let folded = Folded::by_thread(&calls, &threads, weight);
            (calls, folded)
        } else {
            let calls = self.input.calls(&filter)?;
            let folded = Folded::of(&calls, weight);
            (calls, folded)
        };
        if let Some(function) = &self.search {
            folded.find(function, &calls);
        }
        let trust = folded.trust.clone();
        let options = report::flame::FlameOptions { icicle: self.icicle, reverse, title: self.title };
        write_picture(&self.out, &trust, |out| report::flame::write(folded, &options, out))
    }
}
