//! `pyrec.spark` on a standalone master with two workers gives the profile that one machine gives.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::venv::{venv_with, with_package};
use support::{Python, Subject, program, pyrec, run, skipped};

const PACKAGES: [&str; 3] = ["pandas<3", "pyarrow", "pyspark>=4"];

/// As many recordings as a folder of some minutes of a small fleet holds.
const RECORDINGS: usize = 200;

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn two_workers_of_which_one_is_killed_give_what_one_machine_gives() {
    if !Command::new("java").arg("-version").output().is_ok_and(|java| java.status.success()) {
        return skipped("there is no java");
    }
    let Some(environment) = venv_with("spark", Python::find("3.11"), &PACKAGES) else { return };
    let Some(subject) = Subject::any() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let traces = directory.path().join("traces");
    std::fs::create_dir(&traces).expect("it is made");
    for number in 0..RECORDINGS {
        let recording = subject.record(&[], &[program("press.py"), (number % 4 + 1).to_string().into()]);
        std::fs::copy(recording.trace(), traces.join(format!("{number}.parquet"))).expect("it is copied");
    }
    let profile = |input: &Path, name: &str| {
        let out = directory.path().join(name);
        let done = run(pyrec("profile").arg("-i").arg(input).arg(&out));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read(out).expect("it is there")
    };
    let here = profile(&traces, "here.profile");
    for killed in [false, true] {
        let sums = directory.path().join(format!("spark_{killed}.profile"));
        let said = spark(&environment, &traces, &sums, killed);
        assert_eq!(said["killed_after"].as_array().map(Vec::len), Some(killed.into()), "{said}");
        assert!(profile(&sums, &format!("sorted_{killed}.profile")) == here, "the bytes differ: {said}");
    }
}

/// Runs `tests/consumers/spark.py` and returns what it says. It may take longer than other commands.
fn spark(environment: &Path, traces: &Path, sums: &Path, kill: bool) -> Value {
    let output = with_package(environment, "spark.py")
        .args([traces.as_os_str(), sums.as_os_str(), if kill { "1" } else { "0" }.as_ref()])
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    println!("{said}");
    said
}
