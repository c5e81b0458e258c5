//! `pyrec threads`: who ran.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{CallTree, Filter, measure, report};

use crate::input::{Input, Who};
use crate::output::print;

/// List processes and threads, and how busy each was
#[derive(Debug, Args)]
pub struct Threads {
    #[command(flatten)]
    input: Input,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

impl Threads {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let calls = CallTree::read(&trace, &Filter::default())?;
        let threads = measure::Threads::of(&calls, &self.who.into());
        print(|out| match self.json {
            true => report::threads::write_json(&threads, out),
            false => report::threads::write(&threads, out),
        })
    }
}
