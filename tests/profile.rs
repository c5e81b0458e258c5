//! `pyrec profile`: sums of recordings and profiles do not depend on their order or on the engine
//! that computes them.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::venv::venv;
use support::{Setup, consumer, json, number, program, pyrec, report, run, stderr};
use tempfile::TempDir;

/// Three recordings of one program with different work, in one directory.
fn recordings() -> Option<TempDir> {
    let setup = Setup::any()?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    for articles in ["1", "2", "3"] {
        let recording = setup.record(&[], &[program("press.py").as_os_str(), articles.as_ref()]);
        std::fs::copy(recording.trace(), directory.path().join(format!("{articles}.parquet")))
            .expect("the file is copied");
    }
    Some(directory)
}

/// Writes a profile of these inputs.
fn profile(directory: &TempDir, inputs: &[&str], out: &str) -> PathBuf {
    let out = directory.path().join(out);
    let inputs = inputs.iter().flat_map(|input| ["-i", input]);
    let output = run(pyrec("profile").args(inputs).arg(&out).current_dir(directory.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

/// The calls and the self time of each function.
fn functions(stats: &Value) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for function in stats["functions"].as_array().expect("an array") {
        let name = format!("{}:{}:{}", function["file"], function["first_line"], function["qualname"]);
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + number(function, "calls"), sum.1 + number(function, "self_ns"));
    }
    sums
}

#[test]
fn a_profile_is_the_sum_of_its_recordings() {
    let Some(directory) = recordings() else { return };
    let all = profile(&directory, &["[123].parquet"], "all.profile");
    let mut expected = BTreeMap::new();
    let mut events = 0;
    for name in ["1.parquet", "2.parquet", "3.parquet"] {
        let stats = json(&directory.path().join(name), "stats");
        events += number(&stats["trust"], "events");
        for (function, (calls, self_ns)) in functions(&stats) {
            let sum: &mut (u64, u64) = expected.entry(function).or_default();
            *sum = (sum.0 + calls, sum.1 + self_ns);
        }
    }
    let stats = json(&all, "stats");
    assert_eq!(functions(&stats), expected);
    assert_eq!(number(&stats["trust"], "events"), events);
    assert_eq!(stats["trust"]["ended"]["status"], 0);

    // `stats` sums traces without a profile, too.
    let glob = directory.path().join("[123].parquet");
    assert_eq!(functions(&json(&glob, "stats")), expected);
    let picture = report(&all, "flame", &["-"]);
    assert!(picture.contains("Parser.parse") && picture.contains("trust: "), "{picture}");
}

#[test]
fn profiles_merge_in_any_order_to_the_same_bytes() {
    let Some(directory) = recordings() else { return };
    let all =
        std::fs::read(profile(&directory, &["*.parquet"], "all.profile")).expect("the file is readable");
    profile(&directory, &["3.parquet"], "three.profile");
    profile(&directory, &["2.parquet", "1.parquet"], "others.profile");
    let merged = profile(&directory, &["three.profile", "others.profile"], "merged.profile");
    assert!(all == std::fs::read(merged).expect("the file is readable"), "the bytes differ");

    let Some(environment) = venv() else { return };
    let script = consumer("merge.py");
    for name in ["1", "2", "3"] {
        profile(&directory, &[&format!("{name}.parquet")], &format!("{name}.profile"));
    }
    let merge = run(Command::new(environment.join("bin/python"))
        .arg(script)
        .args(["by_sql.profile", "1.profile", "2.profile", "3.profile"])
        .current_dir(directory.path()));
    assert!(merge.status.success(), "{}", stderr(&merge));
    let by_sql = profile(&directory, &["by_sql.profile"], "normal.profile");
    assert!(all == std::fs::read(by_sql).expect("the file is readable"), "the bytes differ");
}

#[test]
fn a_profile_of_a_part_of_a_trace_is_marked_as_a_slice() {
    let Some(directory) = recordings() else { return };
    let slice = |inputs: &[&str], options: &[&str], out: &str| {
        let inputs = inputs.iter().flat_map(|input| ["-i", input]);
        let output = run(pyrec("profile").args(inputs).args(options).arg(out).current_dir(directory.path()));
        assert!(output.status.success(), "{}", stderr(&output));
        json(&directory.path().join(out), "stats")["trust"]["slice"].clone()
    };
    assert_eq!(slice(&["1.parquet"], &[], "whole"), Value::Null);
    assert_eq!(slice(&["1.parquet"], &["--include", "*"], "still"), Value::Null);
    let part = slice(&["1.parquet"], &["--time", "1ms-2ms"], "part");
    assert_eq!((number(&part, "from_ns"), number(&part, "to_ns")), (1_000_000, 2_000_000), "{part}");
    let inside = slice(&["part"], &["--root", "Parser.parse"], "inside");
    assert_eq!((&inside["is_inside"], &inside["from_ns"]), (&true.into(), &part["from_ns"]), "{inside}");
    // The sum of a slice and a whole trace.
    let several = slice(&["inside", "2.parquet"], &[], "several");
    assert_eq!((&several["is_several"], &several["is_inside"]), (&true.into(), &true.into()), "{several}");
    assert!(report(&directory.path().join("several"), "stats", &[]).contains("a slice: parts of several"));
    assert_eq!(slice(&["[23].parquet"], &["--root", "Parser.parse"], "both")["is_several"], true);
}

#[test]
fn filters_that_need_events_are_refused_for_profiles() {
    let Some(directory) = recordings() else { return };
    let all = profile(&directory, &["1.parquet"], "one.profile");
    let calls_inside = |path: &Path| -> u64 {
        let stats = report(path, "stats", &["--json", "--root", "Parser.parse"]);
        functions(&serde_json::from_str(&stats).expect("valid JSON")).values().map(|(calls, _)| calls).sum()
    };
    assert_eq!(calls_inside(&all), calls_inside(&directory.path().join("1.parquet")));
    let refusals: [(&str, &[&str]); 3] =
        [("stats", &["--time", "1s-"]), ("flame", &["--pid", "1"]), ("imports", &[])];
    for (command, words) in refusals {
        let refused = run(pyrec(command).arg("-i").arg(&all).args(words));
        let stderr = stderr(&refused);
        assert!(!refused.status.success() && stderr.contains("profile"), "{command}: {stderr}");
    }
}
