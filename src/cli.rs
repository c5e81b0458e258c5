//! The command line: the help page and the commands that can be typed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::audit::Audit;
use crate::commands::completions::Completions;
use crate::commands::diff::Diff;
#[cfg(feature = "record")]
use crate::commands::doctor::Doctor;
use crate::commands::dump::Dump;
use crate::commands::export::Export;
use crate::commands::flame::Flame;
use crate::commands::gc::Gc;
use crate::commands::heat::Heat;
use crate::commands::import::Import;
use crate::commands::imports::Imports;
use crate::commands::info::Info;
use crate::commands::instances::Instances;
use crate::commands::man::Man;
#[cfg(feature = "record")]
use crate::commands::markers::Markers;
use crate::commands::profile::Profile;
use crate::commands::record::Record;
#[cfg(feature = "record")]
use crate::commands::repair::Repair;
use crate::commands::script::Script;
use crate::commands::share::Share;
#[cfg(feature = "record")]
use crate::commands::snapshot::Snapshot;
use crate::commands::stats::Stats;
use crate::commands::threads::Threads;
#[cfg(feature = "record")]
use crate::commands::top::Top;
use crate::commands::tree::Tree;
use crate::commands::worst::Worst;

/// The part of the help page that lists the commands of every build.
macro_rules! analyzer_commands {
    () => {
        "\
Analyze a trace:
  flame      Draw a flame graph: the widest boxes took the most time
  stats      List functions with their calls and times
  heat       Show each line of the source with its hits and times
  tree       Print the calls in order, indented below their callers
  diff       Compare two traces: calls exactly, times statistically
  worst      Show the slowest calls of one function, with what they called
  gc         Show garbage collections: how long, and what they interrupted
  imports    List imports with their times and importers
  audit      List audit events, such as opened files, with their call stacks
  instances  List classes with the objects they created: number, time, callers
  threads    List processes and threads, and how busy each was
  info       Describe a trace: origin, contents, losses and repairs
  profile    Sum traces up into one small file of call paths
  export     Convert a trace to the format of another tool
  share      Write a small copy to send, without names of people and machines
  dump       Print the rows as text or JSON lines

Other tools:
  script     Write a capture script for DTrace, SystemTap or bpftrace
  import     Convert the output of such a script to a trace
"
    };
}

/// The page that `pyrec --help` prints.
#[cfg(feature = "record")]
const HELP: &str = concat!(
    "\
pyrec {version}, a flight recorder for Python

Records every call of a Python program, with times, into one file, and shows
where the time went.

{usage-heading} pyrec COMMAND …

Record:
  record     Run a program, or attach to a running one, and record its calls
  top        Show live which functions are called most and take the most time
  markers    List the static markers of the Pythons on this machine
  doctor     Check what can be recorded here, and how to enable the rest
  snapshot   Copy a trace that is still being written
  repair     Recover the last events of a trace whose recorder was killed

",
    analyzer_commands!(),
    "
Options:
{options}

Examples:
  pyrec record script.py --its options    Record a script,
  pyrec record -m pytest tests/           a module,
  pyrec record gunicorn app:app           or any program that starts Python
  pyrec flame flame.svg                   Draw a flame graph, for a browser
  pyrec stats -n 20                       List the 20 most expensive functions
  pyrec tree --root main                  Print everything that main called

A recording is written to pyrec.parquet, and the other commands read that file;
`-o FILE` and `-i FILE` name another. `pyrec COMMAND --help` explains a command.
"
);

/// The page of a build without `record`.
#[cfg(not(feature = "record"))]
const HELP: &str = concat!(
    "\
pyrec {version}, an analyzer for recorded Python programs

Shows where the time went. This build reads traces and cannot record.

{usage-heading} pyrec COMMAND …

",
    analyzer_commands!(),
    "
Options:
{options}

Examples:
  pyrec flame -i trace.parquet flame.svg  Draw a flame graph, for a browser
  pyrec stats -i trace.parquet -n 20      List the 20 most expensive functions
  pyrec tree -i trace.parquet             Print the calls in order

Without `-i FILE`, pyrec.parquet is read. `pyrec COMMAND --help` explains a
command.
"
);

/// A flight recorder for Python
#[derive(Debug, Parser)]
#[command(name = "pyrec", version, help_template = HELP, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command with its flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    Record(Record),
    #[cfg(feature = "record")]
    Top(Top),
    #[cfg(feature = "record")]
    Markers(Markers),
    #[cfg(feature = "record")]
    Doctor(Doctor),
    #[cfg(feature = "record")]
    Snapshot(Snapshot),
    #[cfg(feature = "record")]
    Repair(Repair),
    Flame(Flame),
    Stats(Stats),
    Heat(Heat),
    Tree(Tree),
    Diff(Diff),
    Worst(Worst),
    Gc(Gc),
    Imports(Imports),
    Audit(Audit),
    Instances(Instances),
    Threads(Threads),
    Info(Info),
    Dump(Dump),
    Profile(Profile),
    Export(Export),
    Script(Script),
    Import(Import),
    Share(Share),
    #[command(hide = true)]
    Completions(Completions),
    #[command(hide = true)]
    Man(Man),
}

/// Parses a command line. The error may be a request for the help page or the version, which prints
/// itself.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(words).map(|cli| cli.command)
}

impl Command {
    /// Carries out the command. Returns the exit status of the process.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Record(record) => record.run(),
            #[cfg(feature = "record")]
            Command::Top(top) => top.run(),
            #[cfg(feature = "record")]
            Command::Markers(markers) => markers.run(),
            #[cfg(feature = "record")]
            Command::Doctor(doctor) => doctor.run(),
            #[cfg(feature = "record")]
            Command::Snapshot(snapshot) => snapshot.run(),
            #[cfg(feature = "record")]
            Command::Repair(repair) => repair.run(),
            Command::Flame(flame) => flame.run(),
            Command::Stats(stats) => stats.run(),
            Command::Heat(heat) => heat.run(),
            Command::Tree(tree) => tree.run(),
            Command::Diff(diff) => diff.run(),
            Command::Worst(worst) => worst.run(),
            Command::Gc(gc) => gc.run(),
            Command::Imports(imports) => imports.run(),
            Command::Audit(audit) => audit.run(),
            Command::Instances(instances) => instances.run(),
            Command::Threads(threads) => threads.run(),
            Command::Info(info) => info.run(),
            Command::Profile(profile) => profile.run(),
            Command::Export(export) => export.run(),
            Command::Script(script) => script.run(),
            Command::Import(import) => import.run(),
            Command::Share(share) => share.run(),
            Command::Dump(dump) => dump.run(),
            Command::Completions(completions) => completions.run(Cli::command()),
            Command::Man(man) => man.run(Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_of_commands_and_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_page_lists_every_command_with_its_first_line() {
        let cli = Cli::command();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().expect("every command has a description");
            let line = format!("\n  {:<9}  {about}\n", command.get_name());
            assert!(HELP.contains(&line), "not on the page:{line}");
        }
    }

    #[test]
    fn lines_of_the_help_page_fit_a_terminal_of_80_columns() {
        let too_long: Vec<&str> = HELP.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{too_long:#?}");
    }

    #[test]
    fn the_examples_of_the_help_page_parse() {
        let examples = HELP.split("Examples:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let examples: Vec<&str> = examples.expect("the page has examples").lines().collect();
        assert!(examples.len() >= 3);
        for example in examples {
            let typed = example.trim_start().split("  ").next().expect("a command precedes two spaces");
            if let Err(error) = parse(typed.split_whitespace().map(OsString::from)) {
                panic!("{typed}: {error}");
            }
        }
    }
}
