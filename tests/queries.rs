//! The SQL queries of `docs/reference/queries.md`: their results equal those of pyrec's reports.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::venv::venv;
use support::{Recording, Setup, number, program, pyrec, run, stderr};

/// The results of the queries, by name.
struct Results(Value);

impl Results {
    fn of(directory: &Path, environment: &Path) -> Results {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(environment.join("bin/python"));
        command.arg(root.join("tests/consumers/queries.py")).arg(root.join("docs/reference/queries.md"));
        let output = run(command.current_dir(directory));
        assert!(output.status.success(), "{}", stderr(&output));
        Results(serde_json::from_slice(&output.stdout).expect("valid JSON"))
    }

    fn rows(&self, name: &str) -> &[Value] {
        self.0[name].as_array().unwrap_or_else(|| panic!("no query is named {name}"))
    }
}

/// The sum of a column, or of a key.
fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, key: &str) -> u64 {
    rows.into_iter().map(|row| number(row, key)).sum()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is not a list: {value}"))
}

#[test]
fn queries_return_the_data_of_the_reports() {
    let (Some(setup), Some(environment)) = (Setup::any(), venv()) else { return };
    let press = |pages: &str| setup.record(&[], &[program("press.py").as_os_str(), pages.as_ref()]);
    let (old, new) = (press("4"), press("6"));
    let directory = new.directory.path();
    fs::copy(old.trace(), directory.join("pyrec.old.parquet")).expect("the file is copied");
    let exported = run(pyrec("export").args(["calls", "calls.parquet"]).current_dir(directory));
    assert!(exported.status.success(), "{exported:?}");
    let results = Results::of(directory, environment);
    compare_queries_of_the_trace(&results, &old, &new);
    compare_queries_of_the_calls(&results, &new);
}

fn compare_queries_of_the_trace(results: &Results, old: &Recording, new: &Recording) {
    let (info, stats) = (new.json("info"), new.json("stats"));
    for row in results.rows("markers") {
        assert_eq!(row["rows"], info["markers"][row["marker"].as_str().expect("a string")], "{row}");
    }
    assert_eq!(results.rows("markers").len(), info["markers"].as_object().expect("an object").len());

    let functions = list(&stats, "functions");
    for row in results.rows("most called") {
        let code = row["code"].as_str().expect("a string");
        let calls = functions.iter().filter(|function| code_of(function) == code);
        assert_eq!(number(row, "calls"), sum(calls, "calls"), "{code}");
    }
    assert_eq!(sum(results.rows("calls per second"), "calls"), sum(functions, "calls"));

    let imports = new.json("imports");
    let imports = list(&imports, "imports");
    assert_eq!(results.rows("imports").len() as u64, sum(imports, "count"));
    let longest = |rows: &[Value], key: &str| rows.iter().map(|row| number(row, key)).max();
    assert_eq!(longest(results.rows("imports"), "took_ns"), longest(imports, "total_ns"));

    let gc = new.json("gc");
    let generations = list(&gc, "generations");
    let collections = results.rows("collections");
    assert_eq!(collections.len() as u64, sum(generations, "pauses"));
    assert_eq!(sum(collections, "took_ns"), sum(generations, "total_ns"));

    assert!(results.rows("lost").is_empty());
    let manifest = &results.rows("manifest")[0];
    assert_eq!(manifest["ended"], "exited");
    assert!(manifest["command"].as_str().is_some_and(|command| command.contains("press.py")), "{manifest}");

    let differing = results.rows("two runs");
    let old = old.json("stats");
    let calls = |functions: &[Value], code: &str| {
        sum(functions.iter().filter(|function| code_of(function) == code), "calls")
    };
    for row in differing {
        let code = row["code"].as_str().expect("a string");
        assert_eq!(number(row, "old_calls"), calls(list(&old, "functions"), code), "{row}");
        assert_eq!(number(row, "new_calls"), calls(functions, code), "{row}");
    }
    assert!(
        differing[0]["more"].as_i64().is_some_and(|more| more > 0),
        "six pages need more calls than four"
    );
}

fn compare_queries_of_the_calls(results: &Results, new: &Recording) {
    let stats = new.json("stats");
    let functions = list(&stats, "functions");
    let mut self_times: Vec<_> = functions.iter().map(|function| number(function, "self_ns")).collect();
    self_times.sort_unstable_by(|a, b| b.cmp(a));
    let found: Vec<_> = results.rows("hot functions").iter().map(|row| number(row, "self_ns")).collect();
    assert_eq!(found, self_times[..20]);

    let read =
        functions.iter().find(|function| function["qualname"] == "Site.read").expect("the program calls it");
    let slowest = &results.rows("slowest call")[0];
    assert_eq!((&slowest["duration_ns"], &slowest["caller"]), (&read["max_ns"], &"Site.build".into()));

    for row in results.rows("percentiles") {
        let is_same =
            |function: &&Value| function["qualname"] == row["name"] && function["max_ns"] == row["max_ns"];
        let function = functions.iter().find(is_same).unwrap_or_else(|| panic!("no such function: {row}"));
        assert_eq!((&row["min_ns"], &row["calls"]), (&function["min_ns"], &function["calls"]));
        assert!(row["p50_ns"].as_f64() <= row["p99_ns"].as_f64(), "{row}");
    }

    let gc = new.json("gc");
    for row in results.rows("gc by generation") {
        let generations = list(&gc, "generations").iter();
        let mut matching = generations.filter(|generation| generation["generation"] == row["generation"]);
        let generation = matching.next().expect("the report has the generation");
        for key in ["pauses", "total_ns", "max_ns"] {
            assert_eq!(row[key], generation[key], "{key}: {row}");
        }
    }
    assert!(!results.rows("gc by generation").is_empty());
    let interrupted = list(&gc, "interrupted");
    assert_eq!(sum(results.rows("gc by caller"), "total_ns"), sum(interrupted, "total_ns"));
    assert_eq!(results.rows("gc by caller").len(), interrupted.len());

    let threads = new.json("threads");
    let threads = list(&threads["processes"][0], "threads");
    let found = results.rows("threads");
    assert_eq!((found.len(), sum(found, "in_calls_ns")), (threads.len(), sum(threads, "in_calls_ns")));

    let moment = results.rows("at a moment");
    assert!(moment.iter().map(|row| number(row, "depth")).eq(0..moment.len() as u64), "{moment:?}");
    assert_eq!(moment[0]["name"], "<module>");
    assert!(!results.rows("exceptions").is_empty());
}

/// The value of the column `code` for a function in the output of `pyrec stats --json`.
fn code_of(function: &Value) -> String {
    let text = |key: &str| function[key].as_str().unwrap_or("");
    format!("{}:{}:{}", text("file"), function["first_line"], text("qualname").replace(':', ";"))
}
