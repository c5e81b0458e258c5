//! `pyrec stats`: functions with their calls and times, as a table.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::measure::{GroupedTotals, Totals};
use pyrec_analyzer::report;

use crate::input::{CallFilterArgs, GroupBy, InputArgs, row_limit};
use crate::output::print;

const DEFAULT_ROWS: usize = 30;

/// List functions with their calls and times
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Stats {
    #[command(flatten)]
    input: InputArgs,

    /// The column to sort by
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    sort: Sort,

    /// Print a table for each process, machine or recording
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<GroupBy>,

    /// Print at most N functions; 0 prints all [default: 30, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec stats --sort total -n 10
  pyrec stats --include 'json/*' --json";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Time in the function itself
    #[default]
    #[value(name = "self")]
    SelfTime,
    /// Time in the function and in the calls that it made
    Total,
    /// Number of calls
    Calls,
    /// Mean total time of a call
    Mean,
    /// Total time of the longest call
    Max,
    /// Name of the function
    Name,
}

impl Stats {
    /// Prints the table.
    pub fn run(self) -> Result<ExitCode> {
        let options = self.options();
        if let Some(by) = self.by {
            let totals = GroupedTotals::of(&self.input.calls_by_group(by, &self.filters.into())?);
            return print(|out| match self.json {
                true => report::stats::write_groups_json(&totals, &options, out),
                false => report::stats::write_groups(&totals, &options, out),
            });
        }
        let totals = Totals::of(&self.input.calls(&self.filters.into())?);
        print(|out| match self.json {
            true => report::stats::write_json(&totals, &options, out),
            false => report::stats::write(&totals, &options, out),
        })
    }

    fn options(&self) -> report::stats::StatsOptions {
        use report::stats::SortColumn as By;
        let sort = match self.sort {
            Sort::SelfTime => By::SelfTime,
            Sort::Total => By::Total,
            Sort::Calls => By::Calls,
            Sort::Mean => By::Mean,
            Sort::Max => By::Max,
            Sort::Name => By::Name,
        };
        report::stats::StatsOptions { sort, rows: row_limit(self.rows, self.json, DEFAULT_ROWS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parse;

    fn options(arguments: &str) -> report::stats::StatsOptions {
        parse::<Stats>(arguments.split_whitespace()).expect("the arguments parse").options()
    }

    #[test]
    fn text_is_limited_to_30_rows_and_json_is_not_limited() {
        let rows =
            [("", Some(30)), ("-n 5", Some(5)), ("-n 0", None), ("--json", None), ("--json -n 5", Some(5))];
        for (arguments, expected) in rows {
            assert_eq!(options(arguments).rows, expected, "{arguments}");
        }
    }

    #[test]
    fn the_sort_columns_are_named_as_in_the_table() {
        use report::stats::SortColumn as By;
        for (name, sort) in
            [("self", By::SelfTime), ("total", By::Total), ("calls", By::Calls), ("name", By::Name)]
        {
            assert_eq!(options(&format!("--sort {name}")).sort, sort);
        }
        assert_eq!(options("").sort, By::SelfTime);
    }
}
