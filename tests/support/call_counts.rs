//! Calls of each function: as recorded, and as independent counters count them in a separate run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use super::{Python, Recording, number, run, stderr};

/// Numbers of calls by file, first line and name. Functions that share all three are summed.
pub type Calls = BTreeMap<(String, u64, String), u64>;

/// Runs `PYTHON ARGUMENTS…` under `tests/counter`. Counts code in files whose paths start with one
/// of the roots.
pub fn counted<S: AsRef<OsStr>>(python: &Python, arguments: &[S], roots: &[&str]) -> Calls {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("counts.jsonl");
    let mut command = python.command();
    command.args(arguments).current_dir(directory.path());
    command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counter"));
    command.env("COUNTER_FILE", &file).env("COUNTER_ROOTS", roots.join(":"));
    let output = run(&mut command);
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));

    let mut calls = Calls::new();
    let lines = std::fs::read_to_string(&file).expect("the file is readable");
    for process in lines.lines() {
        let functions: Vec<(String, u64, String, u64)> = serde_json::from_str(process).expect("valid JSON");
        for (file, line, name, count) in functions {
            *calls.entry((file, line, name)).or_default() += count;
        }
    }
    calls
}

/// Runs `PYTHON ARGUMENTS…` under cProfile, which counts in the main thread.
pub fn profiled<S: AsRef<OsStr>>(python: &Python, arguments: &[S], roots: &[&str]) -> Calls {
    const PRINT: &str = "import json, pstats, sys\n\
        calls = pstats.Stats(sys.argv[1]).stats\n\
        print(json.dumps([[*key, all_calls] for key, (primitive, all_calls, *_) in calls.items()]))";
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("calls.pstats");
    let mut profile = python.command();
    profile.args(["-m", "cProfile", "-o"]).arg(&file).args(arguments).current_dir(directory.path());
    let mut print = python.command();
    print.args(["-c", PRINT]).arg(&file);
    let [_, printed] = [profile, print].map(|mut command| {
        let output = run(&mut command);
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        output.stdout
    });
    let functions: Vec<(String, u64, String, u64)> = serde_json::from_slice(&printed).expect("valid JSON");
    let in_roots = functions.into_iter().filter(|(file, ..)| roots.iter().any(|root| file.starts_with(root)));
    in_roots.map(|(file, line, name, count)| ((file, line, name), count)).collect()
}

/// The recorded calls in the same files. Panics if events were lost.
pub fn recorded(recording: &Recording, roots: &[&str]) -> Calls {
    assert_eq!(number(&recording.json("info"), "lost"), 0);
    let stats = recording.json("stats");
    let mut calls = Calls::new();
    for function in stats["functions"].as_array().expect("an array") {
        let text =
            |key: &str| function[key].as_str().unwrap_or_else(|| panic!("{key}: {function}")).to_owned();
        if roots.iter().any(|root| text("file").starts_with(root)) {
            let line = function["first_line"].as_u64().unwrap_or_else(|| panic!("no first line: {function}"));
            *calls.entry((text("file"), line, text("name"))).or_default() += number(function, "calls");
        }
    }
    calls
}

/// Asserts that both counts are equal. Panics with all differences.
pub fn assert_same(counted: &Calls, recorded: &Calls) {
    assert!(!counted.is_empty(), "nothing was counted");
    let all: std::collections::BTreeSet<_> = counted.keys().chain(recorded.keys()).collect();
    let differences: Vec<String> = all
        .into_iter()
        .map(|key| (key, counted.get(key).unwrap_or(&0), recorded.get(key).unwrap_or(&0)))
        .filter(|(_, counted, recorded)| counted != recorded)
        .map(|((file, line, name), counted, recorded)| {
            format!("{file}:{line}:{name}: {counted} calls, recorded {recorded}")
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The function with this name in the output of `pyrec stats --json`.
pub fn function<'a>(stats: &'a Value, name: &str) -> &'a Value {
    let functions = stats["functions"].as_array().expect("an array");
    functions
        .iter()
        .find(|function| function["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {stats}"))
}
