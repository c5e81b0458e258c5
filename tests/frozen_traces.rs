//! Reports of frozen traces: a trace of every version of the format opens in every report, and the output stays the same.
//!
//! `testdata/traces/README.md` lists the traces. After an intended change of a report, `INSTA_UPDATE=always cargo test
//! --test frozen_traces` writes the snapshots, and the difference belongs into the same commit.

mod support;

use std::path::{Path, PathBuf};

use support::{pyrec, run, stdout};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/traces/format-1")
}

/// The output of a command that reads traces by their names in the folder.
fn printed(command: &str, options: &[&str]) -> String {
    let output = run(pyrec(command).args(options).current_dir(folder()));
    assert!(output.status.success(), "{command} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    stdout(&output)
}

/// Compares the output of every report on a trace with its snapshots. `function` is one that the trace has calls of.
fn reports_are_unchanged(trace: &str, function: &str) {
    let reports: [(&str, &[&str]); 14] = [
        ("info", &[]),
        ("stats", &[]),
        ("stats", &["--json", "-n", "5"]),
        ("tree", &["--min-time", "1ms"]),
        ("tree", &["--fold", "--min-time", "1ms"]),
        ("worst", &[function]),
        ("heat", &["--text"]),
        ("gc", &[]),
        ("imports", &[]),
        ("audit", &[]),
        ("instances", &[]),
        ("threads", &[]),
        ("threads", &["--json"]),
        ("dump", &["--time", "10ms-11ms"]),
    ];
    let file = format!("{trace}.parquet");
    for (command, options) in reports {
        let mut words = options.to_vec();
        words.extend(["-i", &file]);
        let options: String =
            options.iter().map(|option| format!("-{}", option.trim_start_matches('-'))).collect();
        insta::assert_snapshot!(format!("{trace}-{command}{options}"), printed(command, &words));
    }
}

#[test]
fn reports_of_calls() {
    reports_are_unchanged("calls", "render");
}

#[test]
fn reports_of_lines() {
    reports_are_unchanged("lines", "render");
}

#[test]
fn reports_of_all_markers() {
    reports_are_unchanged("markers", "sweep");
}

#[test]
fn reports_of_static_markers() {
    reports_are_unchanged("usdt", "function_1");
}

#[test]
fn differences_of_two_recordings() {
    let traces = ["calls.parquet", "calls-changed.parquet"];
    for option in ["--markdown", "--divergence"] {
        let name = format!("diff{}", &option[1..]);
        insta::assert_snapshot!(name, printed("diff", &[&traces[..], &[option]].concat()));
    }
}
