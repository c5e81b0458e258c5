//! `pyrec tree`: who called whom.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::report;
use pyrec_schema::MarkerGroup;

use crate::input::{Filters, Input, group};
use crate::output::print;

/// Print who called whom, in order
#[derive(Debug, Args)]
pub struct Tree {
    #[command(flatten)]
    input: Input,

    /// The layout of a line
    #[arg(long, value_enum, value_name = "STYLE", default_value_t)]
    style: Style,

    /// No calls deeper than N levels
    #[arg(long, value_name = "N")]
    depth: Option<usize>,

    /// What gets a line: function, line, gc, import, … [default: function,gc,import; function in classic styles]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', value_parser = group)]
    markers: Vec<MarkerGroup>,

    /// Tell calls that repeat once: `… 1,000 × f`
    #[arg(long, conflicts_with = "style")]
    fold: bool,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Time, thread, duration, call
    #[default]
    Pyrec,
    /// As DTrace prints it with CPython's call_stack.d
    Dtrace,
    /// As SystemTap prints it with thread_indent
    Stap,
}

impl Tree {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let format = match self.style {
            Style::Pyrec => report::tree::TreeFormat::Pyrec,
            Style::Dtrace => report::tree::TreeFormat::Dtrace,
            Style::Stap => report::tree::TreeFormat::Stap,
        };
        let options = report::tree::TreeOptions {
            format,
            depth: self.depth,
            markers: self.markers,
            fold_repeats: self.fold,
        };
        let filter = self.filters.into();
        print(|out| report::tree::write(&trace, &filter, &options, out))
    }
}
