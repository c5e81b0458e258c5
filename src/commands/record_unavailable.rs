//! `pyrec record` in a build without the feature `record`: an error that says so.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// Fail, because this build only reads traces
#[derive(Debug, Args)]
#[command(hide = true, disable_help_flag = true)]
pub struct Record {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Record {
    /// Returns the error.
    pub fn run(self) -> Result<ExitCode> {
        bail!("this build of pyrec only reads traces; to record, install pyrec with its default features")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parse;

    #[test]
    fn any_arguments_give_the_same_error() {
        for arguments in ["", "a.py", "-q -o x a.py -v", "-p 7", "--help"] {
            let record: Record = parse(arguments.split_whitespace()).expect("any arguments parse");
            let error = record.run().expect_err("this build cannot record").to_string();
            assert!(error.contains("only reads traces"), "{error}");
        }
    }
}
