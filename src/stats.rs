//! `pyrec stats`: functions with their calls and times.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_analyzer::measure::{GroupedTotals, Totals};
use pyrec_analyzer::report;

use crate::by::By;
use crate::input::{Filters, Input, rows};
use crate::output::print;

/// Rows that fit a screen.
const SCREEN: usize = 30;

/// List functions with their calls and times
#[derive(Debug, Args)]
pub struct Stats {
    #[command(flatten)]
    input: Input,

    /// What comes first
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    sort: Sort,

    /// A table for each process, machine or recording
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,

    /// At most N functions, or all with 0 [default: 30, and all with --json]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Time in the function itself
    #[default]
    #[value(name = "self")]
    SelfTime,
    /// Time in it and what it called
    Total,
    /// How often it was entered
    Calls,
    /// Mean time of a call
    Mean,
    /// Time of the longest call
    Max,
    /// Its name
    Name,
}

impl Stats {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let options = self.options();
        if let Some(by) = self.by {
            let totals = GroupedTotals::of(&self.input.groups(by, &self.filters.into())?);
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
        report::stats::StatsOptions { sort, rows: rows(self.rows, self.json, SCREEN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn options(words: &str) -> report::stats::StatsOptions {
        match parse("pyrec stats".split(' ').chain(words.split_whitespace()).map(std::ffi::OsString::from)) {
            Ok(Command::Stats(stats)) => stats.options(),
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn a_screen_of_text_and_all_of_json() {
        let rows =
            [("", Some(30)), ("-n 5", Some(5)), ("-n 0", None), ("--json", None), ("--json -n 5", Some(5))];
        for (words, expected) in rows {
            assert_eq!(options(words).rows, expected, "{words}");
        }
    }

    #[test]
    fn columns_are_named_as_in_the_table() {
        use report::stats::SortColumn as By;
        for (name, sort) in
            [("self", By::SelfTime), ("total", By::Total), ("calls", By::Calls), ("name", By::Name)]
        {
            assert_eq!(options(&format!("--sort {name}")).sort, sort);
        }
        assert_eq!(options("").sort, By::SelfTime);
    }
}
