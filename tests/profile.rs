//! `pyrec profile`: recordings add up, in whatever order and by whichever engine.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::venv::venv;
use support::{Subject, json, number, program, pyrec, report, run};
use tempfile::TempDir;

/// Three recordings of one program with different work, in one directory.
fn recordings() -> Option<TempDir> {
    let subject = Subject::any()?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    for articles in ["1", "2", "3"] {
        let recording = subject.record(&[], &[program("press.py").as_os_str(), articles.as_ref()]);
        std::fs::copy(recording.trace(), directory.path().join(format!("{articles}.parquet")))
            .expect("it is copied");
    }
    Some(directory)
}

/// `pyrec profile` of what is named there.
fn profile(directory: &TempDir, inputs: &[&str], out: &str) -> PathBuf {
    let out = directory.path().join(out);
    let inputs = inputs.iter().flat_map(|input| ["-i", input]);
    let done = run(pyrec("profile").args(inputs).arg(&out).current_dir(directory.path()));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    out
}

/// Calls and own time of every function.
fn functions(stats: &Value) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for function in stats["functions"].as_array().expect("functions are a list") {
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

    // The same without a profile in between.
    let glob = directory.path().join("[123].parquet");
    assert_eq!(functions(&json(&glob, "stats")), expected);
    let picture = report(&all, "flame", &["-"]);
    assert!(picture.contains("Parser.parse") && picture.contains("trust: "), "a picture");
}

#[test]
fn profiles_merge_in_any_order_to_the_same_bytes() {
    let Some(directory) = recordings() else { return };
    let all = std::fs::read(profile(&directory, &["*.parquet"], "all.profile")).expect("it is there");
    profile(&directory, &["3.parquet"], "three.profile");
    profile(&directory, &["2.parquet", "1.parquet"], "others.profile");
    let merged = profile(&directory, &["three.profile", "others.profile"], "merged.profile");
    assert!(all == std::fs::read(merged).expect("it is there"), "the bytes differ");

    let Some(environment) = venv() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/merge.py");
    for name in ["1", "2", "3"] {
        profile(&directory, &[&format!("{name}.parquet")], &format!("{name}.profile"));
    }
    let merge = run(Command::new(environment.join("bin/python"))
        .arg(script)
        .args(["by_sql.profile", "1.profile", "2.profile", "3.profile"])
        .current_dir(directory.path()));
    assert!(merge.status.success(), "{}", String::from_utf8_lossy(&merge.stderr));
    let by_sql = profile(&directory, &["by_sql.profile"], "normal.profile");
    assert!(all == std::fs::read(by_sql).expect("it is there"), "the bytes differ");
}

#[test]
fn a_profile_of_a_part_says_so() {
    let Some(directory) = recordings() else { return };
    let slice = |inputs: &[&str], options: &[&str], out: &str| {
        let inputs = inputs.iter().flat_map(|input| ["-i", input]);
        let done = run(pyrec("profile").args(inputs).args(options).arg(out).current_dir(directory.path()));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        json(&directory.path().join(out), "stats")["trust"]["slice"].clone()
    };
    assert_eq!(slice(&["1.parquet"], &[], "whole"), Value::Null);
    assert_eq!(slice(&["1.parquet"], &["--include", "*"], "still"), Value::Null);
    let part = slice(&["1.parquet"], &["--time", "1ms-2ms"], "part");
    assert_eq!((number(&part, "from_ns"), number(&part, "to_ns")), (1_000_000, 2_000_000), "{part}");
    let inside = slice(&["part"], &["--root", "Parser.parse"], "inside");
    assert_eq!((&inside["is_inside"], &inside["from_ns"]), (&true.into(), &part["from_ns"]), "{inside}");
    // One of several.
    let several = slice(&["inside", "2.parquet"], &[], "several");
    assert_eq!((&several["is_several"], &several["is_inside"]), (&true.into(), &true.into()), "{several}");
    assert!(report(&directory.path().join("several"), "stats", &[]).contains("a slice: parts of several"));
    assert_eq!(slice(&["[23].parquet"], &["--root", "Parser.parse"], "both")["is_several"], true);
}

#[test]
fn filters_hold_for_profiles_as_far_as_they_can() {
    let Some(directory) = recordings() else { return };
    let all = profile(&directory, &["1.parquet"], "one.profile");
    let calls_inside = |path: &Path| -> u64 {
        let stats = report(path, "stats", &["--json", "--root", "Parser.parse"]);
        functions(&serde_json::from_str(&stats).expect("JSON")).values().map(|(calls, _)| calls).sum()
    };
    assert_eq!(calls_inside(&all), calls_inside(&directory.path().join("1.parquet")));
    let refusals: [(&str, &[&str]); 3] =
        [("stats", &["--time", "1s-"]), ("flame", &["--pid", "1"]), ("imports", &[])];
    for (command, words) in refusals {
        let refused = run(pyrec(command).arg("-i").arg(&all).args(words));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("profile"), "{command}: {said}");
    }
}
