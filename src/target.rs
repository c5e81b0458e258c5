//! Arguments of `pyrec record` and `pyrec top`: which processes, by which provider, and which
//! events.

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pyrec_recorder::{ProviderChoice, Target};
use pyrec_schema::MarkerGroup;

use crate::input::parse_group;

/// Where events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// The agent for CMD; for PID the static markers if they can be read, else the agent
    #[default]
    Auto,
    /// Hooks inside the process: any build of CPython 3.8 to 3.15, for PID 3.14 or later; needs no
    /// privileges
    Agent,
    /// CPython's static markers, read by BPF: needs root and a CPython built with them
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

/// The target processes: exactly one of a command, `-p` and `--all`.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Where events come from
    #[arg(long, value_enum, value_name = "PROVIDER", default_value_t)]
    pub provider: Provider,

    /// Attach to a running process and its children, until they end or you press Ctrl-C. Several:
    /// -p 1,2 or -p 1 -p 2
    #[arg(
        short,
        long,
        value_name = "PID",
        value_delimiter = ',',
        value_parser = clap::value_parser!(i32).range(1..),
        conflicts_with = "command"
    )]
    pub pid: Vec<i32>,

    /// Attach to every Python with static markers on this machine, also to those that start later,
    /// until you press Ctrl-C
    #[arg(long, conflicts_with_all = ["pid", "command"])]
    pub all: bool,

    /// The program to run, with its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present_any = ["pid", "all"]
    )]
    pub command: Vec<OsString>,
}

impl TargetArgs {
    /// The target that the arguments select. `subcommand` is named in errors.
    pub fn target(&self, subcommand: &str) -> Result<Target> {
        if self.all {
            return Ok(Target::Machine);
        }
        if !self.pid.is_empty() {
            let mut pids = self.pid.clone();
            pids.sort_unstable();
            pids.dedup();
            return Ok(Target::Processes(pids));
        }
        // Clap takes an unknown option for the first word of CMD.
        if let Some(first) = self.command.first().and_then(|first| first.to_str())
            && first.starts_with('-')
            && !["-m", "-c"].contains(&first)
        {
            bail!(
                "there is no option {first}; `pyrec {subcommand} --help` lists the options, and those of Python go \
                 after python3"
            );
        }
        if let [only] = &self.command[..]
            && ["-m", "-c"].iter().any(|option| only == option)
        {
            bail!("{} needs a value: -m MODULE or -c CODE", only.display());
        }
        Ok(Target::Command(self.command.clone()))
    }
}

/// Which events are recorded or counted.
#[derive(Debug, Args)]
pub struct EventArgs {
    /// Groups of events, separated by commas: function, line, gc, import, audit, cfunction,
    /// instance
    ///
    /// [default: function,gc,import]
    #[arg(
        long,
        value_name = "GROUPS",
        value_delimiter = ',',
        value_parser = parse_group,
        default_values_t = MarkerGroup::DEFAULT,
        hide_default_value = true
    )]
    markers: Vec<MarkerGroup>,

    /// Add the group `line`: an event for each executed line
    #[arg(long)]
    pub lines: bool,
}

impl EventArgs {
    /// The groups, sorted and without duplicates.
    pub fn groups(&self) -> Vec<MarkerGroup> {
        let mut groups = self.markers.clone();
        if self.lines {
            groups.push(MarkerGroup::Line);
        }
        groups.sort();
        groups.dedup();
        groups
    }
}
