//! `pyrec flame`: a flame graph.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::{self, Folded};
use pyrec_analyzer::{CallTree, report};

use crate::by::By;
use crate::input::{Filters, Input};
use crate::output::{check_picture, write_picture};

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

    /// Begin with where time passed, and stack callers on it
    #[arg(long)]
    reverse: bool,

    /// Put the calls of each thread on a box of its own
    #[arg(long)]
    by_thread: bool,

    /// Put the calls of each process, machine or recording on a box of its own
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "by_thread")]
    by: Option<By>,

    /// Colour functions whose name or file matches, and tell their share
    #[arg(long, value_name = "GLOB")]
    search: Option<Pattern>,

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
    /// Time in the function itself: the same as `time --reverse`
    #[value(name = "self")]
    SelfTime,
    /// How often a function was entered
    Calls,
    /// Time in pauses for garbage collection
    Gc,
}

impl Flame {
    /// Writes the picture, and prints the trust line where the picture does not go to standard output itself.
    pub fn run(self) -> Result<ExitCode> {
        check_picture("flame", &self.out)?;
        let weight = match self.weight {
            Weight::Time | Weight::SelfTime => measure::Weight::Time,
            Weight::Calls => measure::Weight::Calls,
            Weight::Gc => measure::Weight::Gc,
        };
        let reverse = self.reverse || self.weight == Weight::SelfTime;
        let filter = self.filters.into();
        let (calls, mut folded) = if let Some(by) = self.by {
            let groups = self.input.groups(by, &filter)?;
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
