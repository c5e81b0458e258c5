//! The queries of `docs/reference/queries.md`, each run on a recording and compared with what pyrec says of it.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::venv::venv;
use support::{Recording, Subject, number, program, pyrec, run};

/// Answers by the names of the queries.
struct Answers(Value);

impl Answers {
    fn of(directory: &Path, environment: &Path) -> Answers {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(environment.join("bin/python"));
        command.arg(root.join("tests/consumers/queries.py")).arg(root.join("docs/reference/queries.md"));
        let output = run(command.current_dir(directory));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Answers(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
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
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list: {value}"))
}

#[test]
fn queries_answer_what_pyrec_says() {
    let (Some(subject), Some(environment)) = (Subject::any(), venv()) else { return };
    let press = |pages: &str| subject.record(&[], &[program("press.py").as_os_str(), pages.as_ref()]);
    let (old, new) = (press("4"), press("6"));
    let directory = new.directory.path();
    fs::copy(old.trace(), directory.join("pyrec.old.parquet")).expect("it is copied");
    let exported = run(pyrec("export").args(["calls", "calls.parquet"]).current_dir(directory));
    assert!(exported.status.success(), "{exported:?}");
    let answers = Answers::of(directory, environment);
    of_the_trace(&answers, &old, &new);
    of_the_calls(&answers, &new);
}

fn of_the_trace(answers: &Answers, old: &Recording, new: &Recording) {
    let (info, stats) = (new.json("info"), new.json("stats"));
    for row in answers.rows("markers") {
        assert_eq!(row["rows"], info["markers"][row["marker"].as_str().expect("a name")], "{row}");
    }
    assert_eq!(answers.rows("markers").len(), info["markers"].as_object().expect("an object").len());

    let functions = list(&stats, "functions");
    for row in answers.rows("most called") {
        let code = row["code"].as_str().expect("a code");
        let calls = functions.iter().filter(|function| code_of(function) == code);
        assert_eq!(number(row, "calls"), sum(calls, "calls"), "{code}");
    }
    assert_eq!(sum(answers.rows("calls per second"), "calls"), sum(functions, "calls"));

    let imports = new.json("imports");
    let imports = list(&imports, "imports");
    assert_eq!(answers.rows("imports").len() as u64, sum(imports, "count"));
    let longest = |rows: &[Value], key: &str| rows.iter().map(|row| number(row, key)).max();
    assert_eq!(longest(answers.rows("imports"), "took_ns"), longest(imports, "total_ns"));

    let gc = new.json("gc");
    let generations = list(&gc, "generations");
    let collections = answers.rows("collections");
    assert_eq!(collections.len() as u64, sum(generations, "pauses"));
    assert_eq!(sum(collections, "took_ns"), sum(generations, "total_ns"));

    assert!(answers.rows("lost").is_empty());
    let manifest = &answers.rows("manifest")[0];
    assert_eq!(manifest["ended"], "exited");
    assert!(manifest["command"].as_str().is_some_and(|command| command.contains("press.py")), "{manifest}");

    let differing = answers.rows("two runs");
    let old = old.json("stats");
    let calls = |functions: &[Value], code: &str| {
        sum(functions.iter().filter(|function| code_of(function) == code), "calls")
    };
    for row in differing {
        let code = row["code"].as_str().expect("a code");
        assert_eq!(number(row, "old_calls"), calls(list(&old, "functions"), code), "{row}");
        assert_eq!(number(row, "new_calls"), calls(functions, code), "{row}");
    }
    assert!(
        differing[0]["more"].as_i64().is_some_and(|more| more > 0),
        "six pages take more calls than four"
    );
}

fn of_the_calls(answers: &Answers, new: &Recording) {
    let stats = new.json("stats");
    let functions = list(&stats, "functions");
    let mut hot: Vec<_> = functions.iter().map(|function| number(function, "self_ns")).collect();
    hot.sort_unstable_by(|a, b| b.cmp(a));
    let found: Vec<_> = answers.rows("hot functions").iter().map(|row| number(row, "self_ns")).collect();
    assert_eq!(found, hot[..20]);

    let read = functions.iter().find(|function| function["qualname"] == "Site.read").expect("it is called");
    let slowest = &answers.rows("slowest call")[0];
    assert_eq!((&slowest["duration_ns"], &slowest["caller"]), (&read["max_ns"], &"Site.build".into()));

    for row in answers.rows("percentiles") {
        let is_it =
            |function: &&Value| function["qualname"] == row["name"] && function["max_ns"] == row["max_ns"];
        let function = functions.iter().find(is_it).unwrap_or_else(|| panic!("no such function: {row}"));
        assert_eq!((&row["min_ns"], &row["calls"]), (&function["min_ns"], &function["calls"]));
        assert!(row["p50_ns"].as_f64() <= row["p99_ns"].as_f64(), "{row}");
    }

    let gc = new.json("gc");
    for row in answers.rows("gc by generation") {
        let generations = list(&gc, "generations").iter();
        let mut same = generations.filter(|generation| generation["generation"] == row["generation"]);
        let generation = same.next().expect("there is such a generation");
        for key in ["pauses", "total_ns", "max_ns"] {
            assert_eq!(row[key], generation[key], "{key}: {row}");
        }
    }
    assert!(!answers.rows("gc by generation").is_empty());
    let interrupted = list(&gc, "interrupted");
    assert_eq!(sum(answers.rows("gc by caller"), "total_ns"), sum(interrupted, "total_ns"));
    assert_eq!(answers.rows("gc by caller").len(), interrupted.len());

    let threads = new.json("threads");
    let threads = list(&threads["processes"][0], "threads");
    let found = answers.rows("threads");
    assert_eq!((found.len(), sum(found, "in_calls_ns")), (threads.len(), sum(threads, "in_calls_ns")));

    let moment = answers.rows("at a moment");
    assert!(moment.iter().map(|row| number(row, "depth")).eq(0..moment.len() as u64), "{moment:?}");
    assert_eq!(moment[0]["name"], "<module>");
    assert!(!answers.rows("exceptions").is_empty());
}

/// What a trace has in its `code` column for a function of `pyrec stats --json`.
fn code_of(function: &Value) -> String {
    let text = |key: &str| function[key].as_str().unwrap_or("");
    format!("{}:{}:{}", text("file"), function["first_line"], text("qualname").replace(':', ";"))
}
