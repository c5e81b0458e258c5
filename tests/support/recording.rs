//! Runs of the command: recordings, and reports of traces.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::process::make_deterministic;
use super::{run, stderr, stdout};

/// A finished `pyrec record` in a temporary directory.
pub struct Recording {
    pub directory: TempDir,
    pub output: Output,
}

impl Recording {
    /// Runs `pyrec record WORDS…`. It may fail.
    pub fn of<S: AsRef<OsStr>>(words: &[S]) -> Recording {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let output = run(pyrec("record").args(words).current_dir(directory.path()));
        Recording { directory, output }
    }

    pub fn trace(&self) -> PathBuf {
        self.directory.path().join("pyrec.parquet")
    }

    /// The standard error of the command and the program.
    pub fn stderr(&self) -> String {
        stderr(&self.output)
    }

    /// A report of the trace, as text.
    pub fn report(&self, command: &str, options: &[&str]) -> String {
        report(&self.trace(), command, options)
    }

    /// A report of the trace, as JSON.
    pub fn json(&self, command: &str) -> Value {
        json(&self.trace(), command)
    }
}

/// The output of `pyrec COMMAND -i TRACE OPTIONS…`. Panics unless the command succeeds.
pub fn report(trace: &Path, command: &str, options: &[&str]) -> String {
    let output = run(pyrec(command).arg("-i").arg(trace).args(options));
    assert!(output.status.success(), "{command}: {}", stderr(&output));
    stdout(&output)
}

/// The output of `pyrec COMMAND -i TRACE --json`.
pub fn json(trace: &Path, command: &str) -> Value {
    let text = report(trace, command, &["--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command} --json: {error}: {text}"))
}

/// The number under a key.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is not a number: {value}"))
}

/// `pyrec SUBCOMMAND`.
pub fn pyrec(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyrec"));
    command.arg(subcommand);
    make_deterministic(&mut command);
    command
}
