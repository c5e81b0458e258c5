//! What is recorded or counted: the flags and words that `pyrec record` and `pyrec top` share.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pyrec_recorder::{Exit, ProviderChoice, Target};
use pyrec_schema::MarkerGroup;

use crate::input::group;

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

/// Whom it is about: of `--all`, `-p` and a command, one is there.
#[derive(Debug, Args)]
pub struct Aim {
    /// Where events come from
    #[arg(long, value_enum, value_name = "PROVIDER", default_value_t)]
    pub provider: Provider,

    /// A process that runs already, with its children, until it ends or you press Ctrl-C. Several: -p 1,2 or -p 1 -p 2
    #[arg(
        short,
        long,
        value_name = "PID",
        value_delimiter = ',',
        value_parser = clap::value_parser!(i32).range(1..),
        conflicts_with = "command"
    )]
    pub pid: Vec<i32>,

    /// Every Python with static markers on this machine, those that start later too, until you press Ctrl-C
    #[arg(long, conflicts_with_all = ["pid", "command"])]
    pub all: bool,

    /// The command
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present_any = ["pid", "all"]
    )]
    pub command: Vec<OsString>,
}

impl Aim {
    /// The target. `name` is that of our own command.
    pub fn target(&self, name: &str) -> Result<Target> {
        if self.all {
            return Ok(Target::Machine);
        }
        if !self.pid.is_empty() {
            let mut pids = self.pid.clone();
            pids.sort_unstable();
            pids.dedup();
            return Ok(Target::Processes(pids));
        }
        // Clap takes whatever looks like an unknown option for the first word of CMD.
        if let Some(first) = self.command.first().and_then(|first| first.to_str())
            && first.starts_with('-')
            && !["-m", "-c"].contains(&first)
        {
            bail!(
                "there is no option {first}; `pyrec {name} --help` lists them, and Python's own go after python3"
            );
        }
        if let [only] = &self.command[..]
            && ["-m", "-c"].iter().any(|option| only == option)
        {
            bail!("nothing follows {}; give it what Python needs there", only.display());
        }
        Ok(Target::Command(self.command.clone()))
    }
}

/// Which events, of those that pyrec knows.
#[derive(Debug, Args)]
pub struct Events {
    /// Which events: function, line, gc, import, audit, cfunction, instance, separated by commas
    ///
    /// [default: function,gc,import]
    #[arg(
        long,
        value_name = "GROUPS",
        value_delimiter = ',',
        value_parser = group,
        default_values_t = MarkerGroup::DEFAULT,
        hide_default_value = true
    )]
    markers: Vec<MarkerGroup>,

    /// Each line executed, too
    #[arg(long)]
    pub lines: bool,
}

impl Events {
    /// The marker groups, each once.
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

/// The status of a program is that of the command.
pub fn status(exit: Exit) -> ExitCode {
    match exit {
        // What wait(2) tells of a status is a byte.
        Exit::Status(status) => ExitCode::from(status as u8),
        Exit::Signal(signal) => ExitCode::from(128u8.saturating_add(signal as u8)),
        Exit::Unknown | Exit::StillRunning => ExitCode::SUCCESS,
    }
}
