//! `pyrec completions`: completion scripts for shells. A hidden command for packagers.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::output::print;

/// Print a script that lets a shell complete pyrec's commands and flags
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints the script for the command line that `command` defines.
    pub fn run(self, mut command: Command) -> Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut command, "pyrec", &mut script);
        print(|out| out.write_all(&script))
    }
}
