//! What is recorded or counted: the flags and words that `pyrec record` and `pyrec top` share.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;
use pyrec_recorder::{Exit, ProviderChoice, Target};
use pyrec_schema::Group;

/// Where events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// The agent for CMD; for PID the static markers where they can be read, else the agent
    #[default]
    Auto,
    /// Hooks inside the process: any build of CPython 3.8 to 3.15, for PID 3.14 or later; no rights needed
    Agent,
    /// CPython's static markers, through BPF: needs root and a CPython built with them
    Usdt,
}

impl From<Provider> for ProviderChoice {
    fn from(provider: Provider) -> ProviderChoice {
        match provider {
            Provider::Auto => ProviderChoice::Auto,
            Provider::Agent => ProviderChoice::Agent,
            Provider::Usdt => ProviderChoice::Usdt,
        }
    }
}

/// What was asked for: of `--all`, `-p` and a command, at most one is there. `name` is that of our own command.
pub fn target(name: &str, all: bool, pids: &[i32], command: &[OsString]) -> Result<Target> {
    if all {
        return Ok(Target::All);
    }
    if !pids.is_empty() {
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        pids.dedup();
        return Ok(Target::Processes(pids));
    }
    // Clap takes whatever looks like an unknown option for the first word of CMD.
    if let Some(first) = command.first().and_then(|first| first.to_str())
        && first.starts_with('-')
        && !["-m", "-c"].contains(&first)
    {
        bail!(
            "there is no option {first}; `pyrec {name} --help` lists them, and Python's own go after python3"
        );
    }
    if let [only] = command
        && ["-m", "-c"].iter().any(|option| only == option)
    {
        bail!("nothing follows {}; give it what Python needs there", only.display());
    }
    Ok(Target::Command(command.to_vec()))
}

/// The marker groups, each once.
pub fn groups(markers: &[Group], lines: bool) -> Vec<Group> {
    let mut groups = markers.to_vec();
    if lines {
        groups.push(Group::Line);
    }
    groups.sort();
    groups.dedup();
    groups
}

/// The status of a program is that of the command.
pub fn status(exit: Exit) -> ExitCode {
    match exit {
        // What wait(2) tells of a status is a byte.
        Exit::Status(status) => ExitCode::from(status as u8),
        Exit::Signal(signal) => ExitCode::from(128u8.saturating_add(signal as u8)),
        Exit::Gone | Exit::RunsOn => ExitCode::SUCCESS,
    }
}
