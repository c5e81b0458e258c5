//! `pyrec man`: manual pages. A hidden command for packagers.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command};

use crate::output::print;

/// Print the manual page of pyrec, or write the pages of all commands
#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for each command into this directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages of the command line that `command` defines.
    pub fn run(self, mut command: Command) -> Result<ExitCode> {
        command.build();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            return print(|out| out.write_all(&page));
        };
        fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(command, &directory))
            .with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
        print(|out| writeln!(out, "next: man -l {}", directory.join("pyrec.1").display()))
    }
}
