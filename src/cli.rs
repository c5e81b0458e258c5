//! What can be typed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The commands that every build has, on the page that `pyrec --help` prints.
macro_rules! reports {
    () => {
        "\
Look at a recording:
  flame      Draw a flame graph: the widest boxes took the most time
  stats      List functions with their calls and times
  heat       Show each line of the source with its hits and times
  tree       Print who called whom, in order
  diff       Compare recordings: calls exactly, times by evidence
  worst      Show the slowest calls of one function, with what they called
  gc         Show garbage collections: how long, and what they interrupted
  imports    List imports with their times, and who asked for them
  audit      List audit events, such as opened files, with who raised them
  instances  List classes with how many objects each made, for whom, and how long that took
  threads    List processes and threads, and how busy each was
  info       Say what is in a recording, and how far it can be trusted
  profile    Reduce recordings to one small file of call paths that adds up
  export     Write a recording in the format of another tool
  share      Make a small file of a recording to send, without names of people and machines
  dump       Print the rows as text or JSON lines

Other tools:
  script     Write a capture script for DTrace, SystemTap or bpftrace
  import     Make a recording of what such a script printed
"
    };
}

/// The page that `pyrec --help` prints.
#[cfg(feature = "record")]
const HELP: &str = concat!(
    "\
pyrec {version}, a flight recorder for Python

It records every call that a Python program makes, with times, into one file,
and then shows where the time went.

{usage-heading} pyrec COMMAND …

Record:
  record     Run a program and record it
  top        Watch which functions are entered most, and which take the time
  markers    List the static markers of Pythons
  doctor     Say what can be recorded here, and what to do where it cannot
  snapshot   Copy a recording while it goes on
  repair     Make a recording whole whose recorder was killed

",
    reports!(),
    "
Options:
{options}

Examples:
  pyrec record script.py --its options    Record a script,
  pyrec record -m pytest tests/           a module,
  pyrec record gunicorn app:app           or any program that starts Python
  pyrec flame flame.svg                   Open flame.svg in a browser
  pyrec stats -n 20                       The 20 functions that took longest
  pyrec tree --root main                  Everything that happened inside main

A recording goes to pyrec.parquet, and that is what the other commands read;
`-o FILE` and `-i FILE` name another. `pyrec COMMAND --help` tells more.
"
);

/// The same without what this build cannot do.
#[cfg(not(feature = "record"))]
const HELP: &str = concat!(
    "\
pyrec {version}, which shows where the time went in a recorded Python program

This build reads recordings and makes none.

{usage-heading} pyrec COMMAND …

",
    reports!(),
    "
Options:
{options}

Examples:
  pyrec flame -i trace.parquet flame.svg  Open flame.svg in a browser
  pyrec stats -i trace.parquet -n 20      The 20 functions that took longest
  pyrec tree -i trace.parquet             Who called whom

Without `-i FILE`, pyrec.parquet is read. `pyrec COMMAND --help` tells more.
"
);

/// A flight recorder for Python
#[derive(Debug, Parser)]
#[command(name = "pyrec", version, help_template = HELP, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One of the commands, each with its flags.
#[derive(Debug, Subcommand)]
pub enum Command {
    Record(crate::record::Record),
    #[cfg(feature = "record")]
    Top(crate::top::Top),
    #[cfg(feature = "record")]
    Markers(crate::markers::Markers),
    #[cfg(feature = "record")]
    Doctor(crate::doctor::Doctor),
    #[cfg(feature = "record")]
    Snapshot(crate::snapshot::Snapshot),
    #[cfg(feature = "record")]
    Repair(crate::repair::Repair),
    Flame(crate::flame::Flame),
    Stats(crate::stats::Stats),
    Heat(crate::heat::Heat),
    Tree(crate::tree::Tree),
    Diff(crate::diff::Diff),
    Worst(crate::worst::Worst),
    Gc(crate::gc::Gc),
    Imports(crate::imports::Imports),
    Audit(crate::audit::Audit),
    Instances(crate::instances::Instances),
    Threads(crate::threads::Threads),
    Info(crate::info::Info),
    Dump(crate::dump::Dump),
    Profile(crate::profile::Profile),
    Export(crate::export::Export),
    Script(crate::script::Script),
    Import(crate::import::Import),
    Share(crate::share::Share),
    #[command(hide = true)]
    Completions(crate::completions::Completions),
    #[command(hide = true)]
    Man(crate::man::Man),
}

/// All that can be typed, for those who describe it elsewhere.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Takes a command line apart. The error may be an answer: the help page, the version.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(words).map(|cli| cli.command)
}

impl Command {
    /// Does what was asked for. Returns the exit status of the process.
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
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_page_names_every_command_in_its_own_words() {
        let command = Cli::command();
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().expect("every command says what it does");
            let line = format!("\n  {:<9}  {about}\n", command.get_name());
            assert!(HELP.contains(&line), "not on the page:{line}");
        }
    }

    #[test]
    fn the_examples_of_the_help_page_can_be_typed() {
        let examples = HELP.split("Examples:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let examples: Vec<&str> = examples.expect("there are examples").lines().collect();
        assert!(examples.len() >= 3);
        for example in examples {
            let typed = example.trim_start().split("  ").next().expect("a command stands before two spaces");
            if let Err(error) = parse(typed.split_whitespace().map(OsString::from)) {
                panic!("{typed}: {error}");
            }
        }
    }
}
