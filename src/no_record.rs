//! `pyrec record` in a build that cannot.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// Say that this build only reads recordings
#[derive(Debug, Args)]
#[command(hide = true, disable_help_flag = true)]
pub struct Record {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Record {
    /// Refuses.
    pub fn run(self) -> Result<ExitCode> {
        bail!(
            "this build of pyrec only reads recordings; to make one, install pyrec with its default features"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    #[test]
    fn whatever_is_typed_gets_the_sentence() {
        for words in ["", "a.py", "-q -o x a.py -v", "-p 7", "--help"] {
            let words = ["pyrec", "record"].into_iter().chain(words.split_whitespace()).map(OsString::from);
            let Ok(Command::Record(record)) = parse(words) else { panic!("it is understood") };
            let refused = record.run().expect_err("it cannot").to_string();
            assert!(refused.contains("only reads recordings"), "{refused}");
        }
    }
}
