//! `pyrec tree`: the calls in order, indented by depth.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::report;
use pyrec_schema::MarkerGroup;

use crate::input::{CallFilterArgs, InputArgs, parse_group};
use crate::output::print;

/// Print the calls in order, indented below their callers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Tree {
    #[command(flatten)]
    input: InputArgs,

    /// The layout of a line
    #[arg(long, value_enum, value_name = "STYLE", default_value_t)]
    style: Style,

    /// Leave out calls deeper than N levels
    #[arg(long, value_name = "N")]
    depth: Option<usize>,

    /// Groups of events that get a line, separated by commas: function, line, gc, import, audit,
    /// cfunction, instance [default: function,gc,import; function in the classic styles]
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', value_parser = parse_group)]
    markers: Vec<MarkerGroup>,

    /// Print repeated calls once, with their number: `… 1,000 × f`
    #[arg(long, conflicts_with = "style")]
    fold: bool,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec tree --root main --depth 3
  pyrec tree --min-time 1ms --fold";

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
    /// Prints the tree.
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
