//! Support of the unit tests.

use std::fmt::Display;
use std::io::Write;

/// Reports that the current test, or a part of it, cannot run on this machine, and why.
///
/// # Panics
///
/// If the environment variable `PYREC_REQUIRE` is `all`, as in CI, where every test has to run.
pub fn skip(reason: impl Display) {
    if std::env::var_os("PYREC_REQUIRE").is_some_and(|required| required == "all") {
        panic!("PYREC_REQUIRE=all: {reason}");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The test harness captures what `eprintln` prints.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}
