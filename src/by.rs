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

impl From<By> for tree::GroupBy {
    fn from(by: By) -> tree::GroupBy {
        match by {
            By::Process => tree::GroupBy::Process,
            By::Host => tree::GroupBy::Host,
            By::Run => tree::GroupBy::Run,
        }
    }
}
