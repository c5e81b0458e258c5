//! Support of the integration tests: interpreters, recordings, processes, readers of other tools.
//!
//! A test that needs something that this machine lacks calls [`skip`] and returns.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part of it")]

pub mod browser;
pub mod call_counts;
pub mod external_readers;
pub mod npm;
pub mod numbered_calls;
mod process;
mod python;
mod recording;
pub mod scripted_program;
mod setup;
pub mod small_disk;
pub mod static_markers;
pub mod trace_rows;
pub mod venv;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use process::{Background, run, signal, stderr, stdout, wait_for};
pub use python::Python;
pub use recording::{Recording, json, number, pyrec, report};
pub use setup::Setup;
pub(crate) use setup::{
    in_every_way, on_every_agent, on_every_function_marker, on_every_marked_python, on_every_python, tests_of,
};

/// Reports that the current test cannot run on this machine, and why.
///
/// # Panics
///
/// If the environment variable `PYREC_REQUIRE` is `all`, as in CI, where every test has to run.
pub fn skip(reason: &str) {
    if std::env::var_os("PYREC_REQUIRE").is_some_and(|required| required == "all") {
        panic!("PYREC_REQUIRE=all: {reason}");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The test harness captures what `eprintln` prints.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Whether the kernel can leave inherited perf events with the thread that they were created for,
/// rather than swap them between related threads on a context switch. Skips the test if not.
pub fn inherited_events_stay_with_their_thread() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the file is readable");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let is_new_enough = (numbers.next(), numbers.next()) >= (Some(6), Some(12));
    if !is_new_enough {
        skip("Linux is older than 6.12");
    }
    is_new_enough
}

/// Whether the test runs as root. Skips the test if not.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        skip("not root");
    }
    is_root
}

/// Whether a program can be started. Skips the test if not.
pub fn has_program(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok();
    if !found {
        skip(&format!("no {name}"));
    }
    found
}

/// The counter in a file that `forever.py` writes; 0 if the file does not exist yet.
pub fn calls_in(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.first_chunk().map_or(0, |number| u64::from_ne_bytes(*number))
}

/// The path of a program in `testdata/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/programs").join(name)
}

/// The path of a script in `tests/consumers`.
pub fn consumer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers").join(name)
}
