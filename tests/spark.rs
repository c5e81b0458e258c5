//! `pyrec.spark` on a standalone master with two workers computes the profile that `pyrec profile`
//! computes.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::venv::{venv_with, with_package};
use support::{Python, Setup, program, pyrec, run, skip, stderr};

const PACKAGES: [&str; 3] = ["pandas<3", "pyarrow", "pyspark>=4"];

/// The recordings that a small fleet makes in some minutes.
const RECORDINGS: usize = 200;

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn two_workers_compute_the_profile_of_one_machine_even_if_one_is_killed() {
    if !Command::new("java").arg("-version").output().is_ok_and(|java| java.status.success()) {
        return skip("no java");
    }
    let Some(environment) = venv_with("spark", Python::find("3.11"), &PACKAGES) else { return };
    let Some(setup) = Setup::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let traces = directory.path().join("traces");
    std::fs::create_dir(&traces).expect("the directory is created");
    for number in 0..RECORDINGS {
        let recording = setup.record(&[], &[program("press.py"), (number % 4 + 1).to_string().into()]);
        std::fs::copy(recording.trace(), traces.join(format!("{number}.parquet")))
            .expect("the file is copied");
    }
    let profile = |input: &Path, name: &str| {
        let out = directory.path().join(name);
        let output = run(pyrec("profile").arg("-i").arg(input).arg(&out));
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read(out).expect("the file is readable")
    };
    let expected = profile(&traces, "here.profile");
    for killed in [false, true] {
        let sums = directory.path().join(format!("spark_{killed}.profile"));
        let result = spark(&environment, &traces, &sums, killed);
        assert_eq!(result["killed_after"].as_array().map(Vec::len), Some(killed.into()), "{result}");
        assert!(
            profile(&sums, &format!("sorted_{killed}.profile")) == expected,
            "the bytes differ: {result}"
        );
    }
}

/// Runs `tests/consumers/spark.py`, and returns its output. Without the time limit of other
/// commands.
fn spark(environment: &Path, traces: &Path, sums: &Path, kill: bool) -> Value {
    let output = with_package(environment, "spark.py")
        .args([traces.as_os_str(), sums.as_os_str(), if kill { "1" } else { "0" }.as_ref()])
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    println!("{result}");
    result
}
