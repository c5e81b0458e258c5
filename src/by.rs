//! `--by`: processes, machines or recordings side by side.

use clap::ValueEnum;
use pyrec_analyzer::tree;

/// What is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Each process of each recording
    Process,
    /// Each machine that recorded
    Host,
    /// Each recording
    Run,
}

impl From<By> for tree::By {
    fn from(by: By) -> tree::By {
        match by {
            By::Process => tree::By::Process,
            By::Host => tree::By::Host,
            By::Run => tree::By::Run,
        }
    }
}
