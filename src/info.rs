//! `pyrec info`: what is in a recording.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::{CallTree, Filter, measure, report};

use crate::input::Input;
use crate::output::print;

/// Say what is in a recording, and how far it can be trusted
#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    input: Input,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        let trace = self.input.open()?;
        let info = measure::TraceInfo::of(&CallTree::read(&trace, &Filter::default())?);
        print(
            |out| {
                if self.json { report::info::write_json(&info, out) } else { report::info::write(&info, out) }
            },
        )
    }
}
