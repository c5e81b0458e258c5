//! `pyrec man`: manual pages.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use clap_mangen::Man as Page;

use crate::output::print;

/// Print the manual page, or write one for every command
#[derive(Debug, Args)]
pub struct Man {
    /// Write all pages into this directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    /// Prints or writes them.
    pub fn run(self) -> Result<ExitCode> {
        let mut command = crate::cli::command();
        command.build();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Page::new(command).render(&mut page)?;
            return print(|out| out.write_all(&page));
        };
        fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(command, &directory))
            .with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
        print(|out| writeln!(out, "next: man -l {}", directory.join("pyrec.1").display()))
    }
}
