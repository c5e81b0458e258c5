//! The Python package in `python/`: its tables contain the data of the command's reports.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::venv::{venv, with_package};
use support::{Setup, json, number, program, stderr};

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().expect("an array").iter().filter_map(Value::as_str).collect()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn tables_contain_the_data_of_the_reports() {
    let (Some(environment), Some(setup)) = (venv(), Setup::any()) else { return };
    let recording = setup.record(&[], &[program("press.py").as_os_str(), "3".as_ref()]);
    let output = with_package(environment, "tables.py").arg(recording.trace()).output().expect("Python runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");

    let info = json(&recording.trace(), "info");
    let stats = json(&recording.trace(), "stats");
    let functions = stats["functions"].as_array().expect("an array");
    let calls: u64 = functions.iter().map(|function| number(function, "calls")).sum();
    let markers = info["markers"].as_object().expect("an object");
    let rows: u64 = markers.values().map(|count| count.as_u64().expect("an integer")).sum();
    assert!(calls > 1000, "{info}");
    for library in ["pyarrow", "polars", "pandas"] {
        let tables = &result[library];
        assert_eq!(number(tables, "events"), rows, "{library}");
        assert_eq!(number(tables, "functions"), functions.len() as u64, "{library}");
        assert_eq!(number(tables, "calls"), calls, "{library}");
        assert_eq!(names(&tables["function_columns"]), keys(&functions[0]), "{library}");
        // Tables without rows have the same columns.
        assert_eq!(number(tables, "rows_without_rows"), 0, "{library}");
        for kind in ["call", "function"] {
            let [all, none] = ["", "_without_rows"].map(|part| &tables[format!("{kind}_columns{part}")]);
            assert_eq!(all, none, "{library}");
            assert!(names(all).len() >= 16, "{library}: {all}");
        }
    }
    assert_eq!(result["info"]["command"], info["command"]);
    assert!(number(&result, "inside") < calls / 2, "the filter has no effect");
    let refused = result["refused"].as_str().expect("a string");
    assert!(refused.contains("no-such-flag") && !refused.contains("Traceback"), "{refused}");
}
