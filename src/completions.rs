//! `pyrec completions`: what a shell reads to complete command lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::{Shell, generate};

use crate::output::print;

/// Print what a shell reads to complete command lines
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        let mut page = Vec::new();
        generate(self.shell, &mut crate::cli::command(), "pyrec", &mut page);
        print(|out| std::io::Write::write_all(out, &page))
    }
}
